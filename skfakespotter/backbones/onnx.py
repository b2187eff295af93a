"""ONNX files as backbones: the graph runs in torch, with real torch layers to monitor.

The package ``onnx`` reads and checks the file; nothing in it is executed. The published
converters to torch need a torchvision that fits the installed torch exactly, and a runtime
would copy every activation to the host, so the operators of face-recognition networks and
vision transformers are written out in ``_onnx_operators``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from skfakespotter.backbones._backbone import Backbone, WeightsError
from skfakespotter.backbones._onnx_bounds import StepError
from skfakespotter.backbones._onnx_layers import UnsupportedError
from skfakespotter.backbones._onnx_network import OnnxNetwork, label
from skfakespotter.backbones._registry import register_backbone

__all__ = ["OnnxNetwork", "onnx_backbone", "onnx_factory", "register_onnx"]


def register_onnx(
    name: str, path: str | os.PathLike, *, overwrite: bool = False, **options: Any
) -> None:
    """Make an ONNX file available by name.

    Parameters
    ----------
    name : str
        Name, without a colon.
    path : path
        The file; ``load_backbone(name, weights=path)`` takes another one.
    overwrite : bool, default=False
        Replace a backbone of the same name; otherwise that is an error.
    **options
        To :func:`onnx_backbone`.

    Examples
    --------
    >>> from skfakespotter import list_backbones
    >>> from skfakespotter.backbones.onnx import register_onnx
    >>> register_onnx("w600k_r50", "w600k_r50.onnx", overwrite=True)
    >>> "w600k_r50" in list_backbones()
    True
    """
    path = os.path.abspath(path)
    factory = partial(onnx_factory, path, name=name, **options)
    register_backbone(name, factory, path=path, overwrite=overwrite)


def onnx_factory(
    path: str | os.PathLike, weights: str | os.PathLike | None = None, **options: Any
) -> Backbone:
    """Build the backbone as the registry wants it: ``weights`` is None or another file."""
    if weights == "random":
        raise ValueError("weights is 'random': an ONNX file has no untrained network.")
    return onnx_backbone(weights or path, **options)


def onnx_backbone(
    path: str | os.PathLike,
    *,
    name: str | None = None,
    input_size: tuple[int, int] | None = None,
    mean: float | Sequence[float] = 127.5,
    scale: float | Sequence[float] = 127.5,
    channel_order: str = "RGB",
    template: str | None = "arcface",
    license: str = "",
) -> Backbone:
    """Build a backbone from an ONNX file.

    The defaults are those of InsightFace's recognition networks (``w600k_r50.onnx`` and its
    kin). Every convolution, every Gemm or MatMul with constant weights, and every
    LayerNormalization over the last axis is a layer named after its node. The last kind is
    watched only on request (``layers="LayerNorm"``); a file has no blocks to watch.

    Parameters
    ----------
    path : path
        The file; it takes one input (n, 3, h, w).
    name : str, default=None
        What to call it in messages; None takes the file's name.
    input_size : (int, int), default=None
        Height and width; None takes what the file says.
    mean, scale : float or sequence of 3 floats, default=127.5
        The network sees ``(pixels - mean) / scale``. Use 0 and 1 for files that scale pixels
        themselves (a Sub and a Mul among the first nodes).
    channel_order : "RGB" or "BGR", default="RGB"
        Order in which the network takes the channels.
    template : str, default="arcface"
        The alignment that it was trained with.
    license : str, default=""
        Of the weights.

    Returns
    -------
    Backbone
        It pickles as a whole; loaded by name (:func:`register_onnx`) it pickles small.

    Raises
    ------
    WeightsError
        When the file is missing, broken, no ONNX file, holds an operator that is not
        supported, or gives other results for a batch than for single pictures.
    ImportError
        When the extra ``onnx`` is not installed.

    Notes
    -----
    Exporters fold a batch normalization into the convolution before it, so its output is
    monitored, as in the other backbones. The descriptor is the
    graph's first output.
    """
    network = OnnxNetwork(path)
    height, width = input_size or network.input_size or (None, None)
    if height is None or width is None:
        raise WeightsError(path, "does not say which size it takes: pass input_size=(112, 112)")
    size = (height, width)
    if not all(0 < length < 2**15 for length in size):
        raise WeightsError(path, f"takes pictures of {size} pixels: expected fewer than 32768")
    _check_batches(network, path, size)
    return Backbone(
        name=name or os.path.basename(path),
        module=network,
        input_size=size,
        mean=mean,
        scale=scale,
        channel_order=channel_order,
        template=template,
        license=license,
        source=os.path.basename(path),
    )


def _check_batches(network, path, size):
    """Refuse a graph that works for its own batch size alone, or mixes the pictures."""
    try:
        network.specialize(size)
    except UnsupportedError as error:
        raise _does_not_run(network, path, size, error) from error
    except StepError as error:
        (step,) = error.args
        where = f" at {label(step.name, step.operator)}"
        raise _does_not_run(network, path, size, error.__cause__, where) from error
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    try:
        with torch.inference_mode():
            both, one = network(x), network(x[:1])
    except Exception as error:
        raise _does_not_run(network, path, size, error) from error
    if not both.is_floating_point():
        raise WeightsError(path, f"gives values of type {both.dtype}: expected floating-point ones")
    if not both.ndim or both.shape[0] != 2 or not torch.allclose(both[:1], one, 1e-3, 1e-4):
        raise WeightsError(path, "gives other results for two pictures than for one")


def _does_not_run(network, path, size, error, where=""):
    reason = str(error).split("\n")[0][:500]
    if network.batch:
        reason += f"; it was made for batches of {network.batch}: export it for any batch size"
    return WeightsError(path, f"does not run on (2, 3, {size[0]}, {size[1]}){where}: {reason}")
