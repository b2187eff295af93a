"""The operators of ONNX that move values about, and those that compute shapes.

As in ``_onnx_operators``: attributes first, then inputs. Shapes are whole numbers in tensors
that stay on the host; ``VALUES`` says which inputs must be such.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from skfakespotter.backbones._onnx_layers import UnsupportedError

# Inputs that are read as numbers, by operator: what comes out has another shape by them.
VALUES = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "ReduceL2": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (3,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
MOST_MADE = 2**24  # values that a node may make out of a shape alone
CASTS = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float32,
    11: torch.float32,
    16: torch.float32,
}


def numbers(given: torch.Tensor) -> list[int]:
    """Return the whole numbers in a tensor; those that depend on a picture are no shape."""
    if given.is_meta or given.is_floating_point():
        raise UnsupportedError("a shape that depends on the pictures, or is not a whole number")
    return given.reshape(-1).tolist()


def axes_of(attributes: dict, given: torch.Tensor | None) -> list[int] | None:
    """Axes are an attribute before opset 13 or 18, and an input since; None means all."""
    return attributes.get("axes") if given is None else numbers(given)


def _flatten(attributes, x):
    axis = attributes.get("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise UnsupportedError(f"axis={axis}")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _reshape(attributes, x, shape):
    sizes = numbers(shape)
    if not attributes.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _squeeze(attributes, x, axes=None):
    axes = axes_of(attributes, axes)
    if axes is not None and any(x.shape[axis] != 1 for axis in axes):
        raise UnsupportedError(f"axes={axes} of shape {tuple(x.shape)}")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(attributes, x, axes=None):
    axes = axes_of(attributes, axes)
    if axes is None:
        raise UnsupportedError("no axes")
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(attributes, x):
    return x.permute(tuple(attributes.get("perm", reversed(range(x.ndim)))))


def _slice(attributes, x, starts=None, ends=None, axes=None, steps=None):
    starts = attributes["starts"] if starts is None else numbers(starts)
    ends = attributes["ends"] if ends is None else numbers(ends)
    axes = axes_of(attributes, axes)
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else numbers(steps)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept = range(*slice(start, end, step).indices(x.shape[axis]))
        if step > 0:
            x = x.narrow(axis, kept.start, max(0, kept.stop - kept.start))
            x = x if step == 1 else x[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]
        else:
            x = x.index_select(axis, torch.tensor(list(kept), dtype=torch.int64, device=x.device))
    return x


def _split(attributes, x, sizes=None):
    axis, count = attributes.get("axis", 0), attributes["outputs"]
    sizes = attributes.get("split") if sizes is None else numbers(sizes)
    if sizes is None:
        each = -(-x.shape[axis] // count)  # the last part may be smaller
        sizes = [min(each, x.shape[axis] - i * each) for i in range(count)]
    if len(sizes) != count:
        raise UnsupportedError(f"{len(sizes)} parts for {count} outputs")
    return x.split(list(sizes), axis)


def _pad(attributes, x, pads=None, value=None, axes=None):
    pads = attributes["pads"] if pads is None else numbers(pads)
    axes = range(x.ndim) if axes is None else numbers(axes)
    if value is not None or len(pads) != 2 * len(axes):
        raise UnsupportedError("padding with other than a constant, or other axes than it has")
    around = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        around[axis] = (before, after)
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        attributes.get("mode", "constant")
    )
    if mode is None:
        raise UnsupportedError(f"mode={attributes['mode']}")
    flat = [size for pair in reversed(around) for size in pair]
    if mode == "constant":
        return F.pad(x, flat, value=attributes.get("value", 0.0))
    while len(flat) > 4 and flat[-2:] == [0, 0]:
        del flat[-2:]
    return F.pad(x, flat, mode)


def _expand(attributes, x, shape):
    return x.expand(torch.broadcast_shapes(x.shape, numbers(shape)))


def _concat(attributes, *parts):
    return torch.cat(parts, attributes["axis"])


def _cast(attributes, x):
    if attributes["to"] not in CASTS:
        raise UnsupportedError(f"to={attributes['to']}")
    return x.to(CASTS[attributes["to"]])


def _shape(attributes, x):
    sizes = x.shape[attributes.get("start", 0) : attributes.get("end")]
    return torch.tensor(sizes, dtype=torch.int64, device="cpu")


def _size(attributes, x):
    return torch.tensor(x.numel(), dtype=torch.int64, device="cpu")


def _constant(attributes):
    if "value" in attributes:
        return attributes["value"]
    (value,) = (v for k, v in attributes.items() if k.startswith("value_"))
    many = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(v, (int, float)) for v in many):
        raise UnsupportedError("text")
    dtype = torch.float32 if any(isinstance(v, float) for v in many) else torch.int64
    return torch.tensor(value, dtype=dtype, device="cpu")


def _constant_of_shape(attributes, shape):
    sizes = numbers(shape)
    if math.prod(sizes) > MOST_MADE:
        raise UnsupportedError(f"{math.prod(sizes)} values out of nothing")
    value = attributes.get("value")
    if value is None:
        return torch.zeros(sizes, dtype=torch.float32, device="cpu")
    return value.reshape(()).expand(sizes).clone()


def _range(attributes, start, limit, step):
    start, limit, step = (numbers(given)[0] for given in (start, limit, step))
    if step == 0 or (limit - start) / step > MOST_MADE:
        raise UnsupportedError(f"a range from {start} to {limit} in steps of {step}")
    return torch.arange(start, limit, step, dtype=torch.int64, device="cpu")


def _tile(attributes, x, repeats):
    return x.repeat(numbers(repeats))


SHAPES = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Identity": lambda attributes, x: x,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": lambda attributes, condition, x, y: torch.where(condition, x, y),
}
