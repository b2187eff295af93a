"""Weights: find the file of a network and read it without executing anything in it.

Five formats are read: PyTorch state dicts, old and new; safetensors; the ``.h5`` files of
Keras; and pickles of name -> NumPy array, such as Python 2 wrote. Each has a module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._files import open_file
from skfakespotter.backbones._keras_files import read_keras
from skfakespotter.backbones._pickles import read_pickle
from skfakespotter.backbones._torch_files import LEGACY, read_torch

VARIABLE = "SKFAKESPOTTER_WEIGHTS"
SMALLEST = 1e-20
_NOT_WEIGHTS = (
    (b"<", "is an HTML page: the download failed, or needs a browser"),
    (b"version https://git-lfs", "is a Git LFS pointer: fetch the file itself"),
    (b"\x1f\x8b", "is a compressed archive: unpack it and give the file inside"),
)


def find_weights(
    names: Sequence[str], source: str, folder: str | os.PathLike | None = None
) -> Path:
    """Find a weight file by its published name.

    Without ``folder`` the places are, in this order: what the environment variable
    ``SKFAKESPOTTER_WEIGHTS`` lists (folders and files, separated as in ``PATH``), and the
    user's folder, ``~/.config/skfakespotter/weights`` (``%APPDATA%`` on Windows).

    Parameters
    ----------
    names : sequence of str
        Published file names, the preferred one first.
    source : str
        Where users get them, for the message.
    folder : path, default=None
        The only place to look in.

    Returns
    -------
    Path
        The first match; an earlier place counts more than an earlier name.

    Raises
    ------
    FileNotFoundError
        When there is none; it names the files, the places and the source.

    Examples
    --------
    >>> from skfakespotter.backbones import find_weights
    >>> find_weights(["net.pkl"], "https://example.org", folder="no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no weights: none of net.pkl in no/such/folder. Get one from ...
    """
    places = [Path(folder)] if folder else [*_listed_places(), user_folder()]
    for place in places:
        for name in names:
            path = place if place.name == name else place / name
            if path.is_file():
                return path
    raise FileNotFoundError(
        f"no weights: none of {', '.join(names)} in {', '.join(map(str, places))}. Get one from "
        f"{source} and put it there, list its folder in the environment variable {VARIABLE}, or "
        "pass weights=PATH. weights='random' takes the untrained network."
    )


def user_folder() -> Path:
    """Return the folder of the user's weight files.

    Returns
    -------
    Path
        It need not exist.
    """
    base = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
    return Path(base or Path.home() / ".config", "skfakespotter", "weights")


def read_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read named tensors from a file, executing nothing that it holds.

    The format is recognized by the content, so that the suffix does not matter; only
    safetensors go by ``.safetensors``.

    Parameters
    ----------
    path : path
        A PyTorch state dict, safetensors, Keras weights or a pickle of name -> array.

    Returns
    -------
    dict of str to Tensor
        In the names of the file. For Keras ``layer.weight``, ``layer.bias``,
        ``layer.running_mean`` and ``layer.running_var``, kernels in PyTorch's axis order.
        Floating-point tensors are float32.

    Raises
    ------
    WeightsError
        When the file is missing, truncated, something else, or tries to run code.
    ImportError
        When the format needs a package that is not installed; the message names it.

    Examples
    --------
    >>> from skfakespotter.backbones._weights import read_weights
    >>> read_weights("missing.pkl")
    Traceback (most recent call last):
    ...
    skfakespotter.backbones._backbone.WeightsError: 'missing.pkl': cannot be read ([Errno 2] ...
    """
    with open_file(path) as file:
        head = file.read(64)
    for start, reason in _NOT_WEIGHTS:
        if head.lstrip().startswith(start):
            raise WeightsError(path, reason)
    read = _reader(path, head)
    try:
        weights = read(path)
    except (WeightsError, ImportError):
        raise
    except Exception as error:  # broken files make every reader raise many types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsError(
            path, f"cannot be read; truncated, or not weights? ({reason})"
        ) from error
    return {name: _plain(tensor) for name, tensor in weights.items()}


def check_weights(
    path: str | os.PathLike, weights: dict[str, torch.Tensor], shapes: dict[str, Sequence[int]]
) -> None:
    """Check that a file holds the tensors of a network, and nothing else.

    Parameters
    ----------
    path : path
        The file, for messages.
    weights : dict of str to Tensor
        What :func:`read_weights` gave.
    shapes : dict of str to tuple of int
        The shape of every tensor expected.

    Raises
    ------
    WeightsError
        For a missing or unexpected key, a wrong shape or type, values that are not finite
        and negative variances; it names the key.
    """
    for name, shape in shapes.items():
        if name not in weights:
            raise WeightsError(path, f"missing; expected values of shape {tuple(shape)}", name)
        found = weights[name]
        if found.shape != torch.Size(shape) or not found.is_floating_point():
            raise WeightsError(
                path,
                f"has the shape {tuple(found.shape)} and type {found.dtype}; "
                f"expected {tuple(shape)}, floating-point",
                name,
            )
        if not found.isfinite().all():
            raise WeightsError(path, "holds values that are NaN or infinite", name)
        if name.endswith("running_var") and found.min() < 0:
            raise WeightsError(path, "holds negative variances", name)
    if unexpected := [name for name in weights if name not in shapes]:
        raise WeightsError(path, "unexpected: the file is of another network", unexpected[0])


def load_weights(network: nn.Module, path: str | os.PathLike) -> None:
    """Load a file into a network, every name and shape of which must agree.

    Parameters
    ----------
    network : torch.nn.Module
        Is changed.
    path : path
        What :func:`read_weights` reads.

    Raises
    ------
    WeightsError
        When the file cannot be read, or is of another network; it names the first keys.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.backbones import load_weights
    >>> load_weights(torch.nn.Linear(2, 1), "missing.pth")
    Traceback (most recent call last):
    ...
    skfakespotter.backbones._backbone.WeightsError: 'missing.pth': cannot be read ([Errno 2] ...
    """
    weights = read_weights(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:500]
        raise WeightsError(path, f"is of another network ({reason})") from error


def _plain(tensor):
    """Return floating-point values as float32, without denormal ones."""
    return flush_denormals(tensor.float()) if tensor.is_floating_point() else tensor


def flush_denormals(values: torch.Tensor) -> torch.Tensor:
    """Set values below 1e-20 to zero, in place.

    Processors work on denormal numbers (below 1.2e-38) by a slow path, and products of
    weights and activations get there long before the weights do; networks trained with
    weight decay have many. No result in float32 depends on them.

    Parameters
    ----------
    values : Tensor
        Floating-point.

    Returns
    -------
    Tensor
        The same.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.backbones._weights import flush_denormals
    >>> flush_denormals(torch.tensor([1e-3, -1e-30, 1e-40]))
    tensor([0.0010, 0.0000, 0.0000])
    """
    return values.masked_fill_(values.abs() < SMALLEST, 0.0)


def _listed_places():
    return [Path(p).expanduser() for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]


def _reader(path, head):
    if head.startswith(b"PK\x03\x04") or LEGACY in head[:16]:
        return read_torch
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras
    if os.fspath(path).endswith(".safetensors"):
        return _read_safetensors
    return read_pickle


def _read_safetensors(path):
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f'{path}: reading it needs safetensors: pip install "skfakespotter[safetensors]"'
        ) from error
    return load_file(path)
