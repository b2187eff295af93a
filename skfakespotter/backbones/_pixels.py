"""Pixels: from uint8 pictures to the numbers a network takes, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def scale_pixels(
    pixels: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor, channel_order: str
) -> torch.Tensor:
    """Turn pictures into network input: ``(pixels - mean) / scale``.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, h, w), uint8
        RGB.
    mean, scale : Tensor of shape (w * 3,), float32
        On the device of the pixels; see :func:`along_row`.
    channel_order : {"RGB", "BGR"}
        Order in which the network takes the channels.

    Returns
    -------
    Tensor of shape (n, 3, h, w), float32
        Channels last in memory.
    """
    x = pixels.flip(1) if channel_order == "BGR" else pixels
    n, channels, height, width = x.shape
    # whole rows of pixels are long enough for vector instructions, three channels are not
    rows = x.permute(0, 2, 3, 1).reshape(n, height, width * channels).to(torch.float32)
    rows.sub_(mean).div_(scale)
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)


def along_row(
    value: float | Sequence[float], width: int, channels: int, device: torch.device
) -> torch.Tensor:
    """Repeat a number, or one per channel, along a row of pixels.

    Parameters
    ----------
    value : float or sequence of floats
        Mean or scale.
    width, channels : int
        Of the pictures.
    device : torch.device
        Where to put it.

    Returns
    -------
    Tensor of shape (width * channels,), float32
        On the device.
    """
    tensor = torch.as_tensor(value, dtype=torch.float32, device="cpu")
    return tensor.expand(channels).repeat(width).to(device)
