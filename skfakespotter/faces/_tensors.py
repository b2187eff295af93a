"""Faces of tensors: pictures that are on a device are resized and cropped there."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a picture on its device, bilinear and antialiased.

    Parameters
    ----------
    image : Tensor of shape (h, w, 3), uint8
        RGB.
    size : (int, int)
        Height and width of the result.

    Returns
    -------
    Tensor of shape (size[0], size[1], 3), uint8
        On the device of ``image``.
    """
    maps = image.permute(2, 0, 1)[None].float()
    maps = nn.functional.interpolate(maps, size, mode="bilinear", antialias=True)
    return maps[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def warp(
    image: torch.Tensor,
    factor: int,
    inverse: NDArray[np.float64],
    size: tuple[int, int],
    outside: int,
) -> torch.Tensor:
    """Reduce a picture and map it, as Pillow would.

    Parameters
    ----------
    image : Tensor of shape (h, w, 3), uint8
        RGB.
    factor : int
        Whole factor by which it is reduced first.
    inverse : ndarray of shape (2, 3)
        From places (x, y, 1) in the result to those in the reduced picture; pixel centers lie
        on halves.
    size : (int, int)
        Height and width of the result.
    outside : int
        Gray level beyond the picture.

    Returns
    -------
    Tensor of shape (size[0], size[1], 3), uint8
        On the device. It differs from Pillow's by at most one gray level.
    """
    return _transformed(_reduced(image, factor), inverse, size, outside)


def _reduced(image: torch.Tensor, factor: int) -> torch.Tensor:
    """Average squares of ``factor`` pixels, smaller ones at the edges, in Pillow's arithmetic."""
    if factor == 1:
        return image
    maps = image.permute(2, 0, 1)[None].float()
    add = partial(nn.functional.avg_pool2d, kernel_size=factor, ceil_mode=True, divisor_override=1)
    sums, areas = add(maps).long(), add(torch.ones_like(maps[:, :1])).long()
    return ((sums + areas // 2) * (2**24 // areas) >> 24)[0].permute(1, 2, 0)


def _transformed(
    image: torch.Tensor, inverse: NDArray, size: tuple[int, int], outside: int
) -> torch.Tensor:
    """Interpolate by Pillow's bicubic kernel; one gray level beyond the picture."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    x = inverse[0, 0] * columns + inverse[0, 1] * rows + inverse[0, 2]
    y = inverse[1, 0] * columns + inverse[1, 1] * rows + inverse[1, 2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    (x_taps, x_weights), (y_taps, y_weights) = _taps(x, width), _taps(y, height)
    places = (y_taps[:, None] * width + x_taps[None]).reshape(16, -1)
    weights = (y_weights[:, None] * x_weights[None] * inside).reshape(16, -1, 1)
    flat = image.reshape(-1, 3).float()
    beyond = torch.from_numpy(np.float32(~inside) * outside).to(flat.device)
    values = beyond.reshape(-1, 1).repeat(1, 3)
    tables = (torch.from_numpy(table).to(flat.device) for table in (places, np.float32(weights)))
    for here, share in zip(*tables, strict=True):
        values += flat[here] * share
    return values.clamp(0, 255).to(torch.uint8).reshape(*size, 3)


def _taps(place: NDArray, length: int) -> tuple[NDArray, NDArray]:
    """Return the four pixels about each place, at the edge the last one, and their weights."""
    first = np.floor(place - 0.5)
    d = place - 0.5 - first
    weights = [-d + 2 * d**2 - d**3, 1 - 2 * d**2 + d**3, d + d**2 - d**3, -(d**2) + d**3]
    pixels = np.stack([first + step for step in (-1, 0, 1, 2)])
    return np.clip(pixels, 0, length - 1).astype(np.int64), np.stack(weights)
