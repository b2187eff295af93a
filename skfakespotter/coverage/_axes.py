"""Axes: whether the last dimension of a layer's output counts channels, or the one after pictures.

A layer alone does not always tell; ``find_last_channels`` in ``_runs.py`` looks around it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

# channels come before places
_MAPS = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._LPPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
)
_VECTORS = nn.Linear, nn.Bilinear, nn.Embedding, nn.MultiheadAttention, nn.RNNBase
_NORMS = nn.LayerNorm.forward, nn.RMSNorm.forward  # LayerNorm2d has one of its own


def has_channels_last(layer: nn.Module, output: torch.Tensor) -> bool:
    """Tell from a layer alone whether the last dimension of its output counts channels.

    Parameters
    ----------
    layer : torch.nn.Module
        What gave the output.
    output : Tensor
        With one row per picture.

    Returns
    -------
    bool
        As its kind says, or else the widths of the layers within it. Where neither tells, True
        for three dimensions: (n, tokens, channels).
    """
    size = tuple(output.shape[1:])
    last = last_by_kind(layer, size)
    last = last_by_width(layer, size) if last is None else last
    return len(size) == 2 if last is None else last


def last_by_kind(layer: nn.Module, size: tuple[int, ...]) -> bool | None:
    """Tell whether channels come last, for the kinds of modules of which that is known.

    Parameters
    ----------
    layer : torch.nn.Module
        What gave the output.
    size : tuple of int
        Shape of one picture's output.

    Returns
    -------
    bool or None
        False for convolutions, pooling and the normalizations of maps; True for what works on
        vectors; None for any other kind.
    """
    if isinstance(layer, _MAPS):
        return False
    if isinstance(layer, _VECTORS):
        return True
    if getattr(type(layer), "forward", None) not in _NORMS:  # a scripted part may have none
        return None
    if len(cast("nn.LayerNorm", layer).normalized_shape) == 1:
        return True
    return False if len(size) > 2 else None  # over (channels, h, w) or (h, w)


def last_by_width(layer: nn.Module, size: tuple[int, ...]) -> bool | None:
    """Tell whether channels come last from where the widths of the layers within are.

    Parameters
    ----------
    layer, size
        As for :func:`last_by_kind`.

    Returns
    -------
    bool or None
        None where both, or neither, the first and the last dimension are such a width.
    """
    widths = {width for part in layer.modules() if (width := _width(part))}
    first, last = size[0] in widths, size[-1] in widths
    return last if first != last else None


def _width(part: nn.Module) -> int | None:
    """Return the number of channels that a layer gives; None for what is no layer."""
    if isinstance(part, nn.LayerNorm):  # some give maps, such as LayerNorm2d
        return part.normalized_shape[-1]
    return getattr(part, "out_features", None) or getattr(part, "out_channels", None)
