"""The operators of ONNX that pick values by index, or put them there.

As in ``_onnx_operators``: attributes first, then inputs.
"""

from __future__ import annotations

import torch

from skfakespotter.backbones._onnx_layers import UnsupportedError


def _gather(attributes, x, index):
    if index.is_floating_point():
        raise UnsupportedError("an index that is no whole number")
    axis = attributes.get("axis", 0)
    if not -x.ndim <= axis < x.ndim:
        raise UnsupportedError(f"axis={axis}")
    axis %= x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    found = x.index_select(axis, index.reshape(-1).to(x.device))
    return found.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _gather_nd(attributes, x, index):
    """Pick the value, or the part, at each place that the last axis of the index names."""
    batch = attributes.get("batch_dims", 0)
    if not 0 <= batch < min(x.ndim, index.ndim) or x.shape[:batch] != index.shape[:batch]:
        raise UnsupportedError(f"batch_dims={batch}")
    rows = [
        torch.arange(x.shape[axis], device=x.device).reshape(-1, *[1] * (index.ndim - 2 - axis))
        for axis in range(batch)  # each row of these has places of its own
    ]
    return x[(*rows, *_places(index))]


def _scatter_nd(attributes, x, index, updates):
    """Put values, or parts, to the places that the last axis of the index names."""
    if attributes.get("reduction", "none") != "none":
        raise UnsupportedError(f"reduction={attributes['reduction']}")
    return x.clone().index_put_(_places(index), updates)


def _places(index):
    if index.dtype != torch.int64 or not index.shape[-1]:  # torch takes bytes for a mask
        raise UnsupportedError(f"an index of {index.dtype} and shape {tuple(index.shape)}")
    return index.unbind(-1)


INDICES = {"Gather": _gather, "GatherND": _gather_nd, "ScatterND": _scatter_nd}
