"""The operators of ONNX that networks for faces and pictures use, in torch.

Semantics: https://onnx.ai/onnx/operators/. Each function takes the node's attributes (a
dict), then its inputs; an input that the node leaves out is None. Those that move values
about, and compute shapes, are in ``_onnx_shapes`` and ``_onnx_indices``; layers with weights
in ``_onnx_layers``.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from skfakespotter.backbones._onnx_attention import attention
from skfakespotter.backbones._onnx_indices import INDICES
from skfakespotter.backbones._onnx_layers import UnsupportedError, paddings, pair
from skfakespotter.backbones._onnx_resize import resize
from skfakespotter.backbones._onnx_shapes import SHAPES, axes_of


def _max_pool(attributes, x):
    before, padding = paddings(attributes)
    x = x if before is None else F.pad(x, before, value=-torch.inf)
    kernel, strides = pair(attributes, "kernel_shape"), pair(attributes, "strides")
    ceil = bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(x, kernel, strides, padding, pair(attributes, "dilations"), ceil)


def _average_pool(attributes, x):
    before, padding = paddings(attributes)
    if before is not None:
        raise UnsupportedError("uneven padding")
    kernel, strides = pair(attributes, "kernel_shape"), pair(attributes, "strides")
    ceil, counted = attributes.get("ceil_mode", 0), attributes.get("count_include_pad", 0)
    return F.avg_pool2d(x, kernel, strides, padding, bool(ceil), bool(counted))


def _clip(attributes, x):
    low, high = attributes.get("min"), attributes.get("max")
    return x if low is None and high is None else torch.clamp(x, low, high)


def _prelu(attributes, x, slope):
    channels = x.shape[1] if x.ndim > 1 else 1
    rank = x.ndim - 1  # one slope a channel is (c, 1, 1), to which (h, w) come from the right
    if slope.numel() == 1 or (slope.ndim >= rank and slope.shape[-rank] == slope.numel()):
        return F.prelu(x, slope.flatten())
    if slope.shape == (channels,) != x.shape[-1:]:  # MXNet's exporter leaves (1, 1) out
        return F.prelu(x, slope)
    return torch.where(x < 0, x * slope, x)


def _divide(attributes, x, y):
    whole = not x.is_floating_point() and not y.is_floating_point()
    return torch.div(x, y, rounding_mode="trunc" if whole else None)


def _modulo(attributes, x, y):
    return torch.fmod(x, y) if attributes.get("fmod", 0) else torch.remainder(x, y)


def _reduce(function):
    def reduce(attributes, x, axes=None):
        axes = axes_of(attributes, axes)
        if not axes:
            if attributes.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        return function(x, dim=tuple(axes), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _fold(function):
    """Turn a function of two tensors into an operator on any number of them."""

    def fold(attributes, first, *rest):
        for x in rest:
            first = function(first, x)
        return first

    return fold


def _softmax(attributes, x):
    if not attributes.get("flattens"):
        return x.softmax(attributes.get("axis", -1))
    axis = attributes.get("axis", 1) % x.ndim  # before opset 13: over all axes from this one on
    return x.flatten(axis).softmax(-1).view(x.shape)


def _hard_sigmoid(attributes, x):
    return (attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5)).clamp(0, 1)


def _batch_norm(attributes, x, weight, bias, mean, var):
    if attributes.get("training_mode", 0):
        raise UnsupportedError("training_mode")
    return F.batch_norm(x, mean, var, weight, bias, eps=attributes.get("epsilon", 1e-5))


def _layer_norm(attributes, x, weight, bias=None):
    shape = x.shape[attributes.get("axis", -1) % x.ndim :]
    bias = None if bias is None else bias.expand(shape)
    return F.layer_norm(x, shape, weight.expand(shape), bias, attributes.get("epsilon", 1e-5))


def _instance_norm(attributes, x, weight, bias):
    mean_and_var = None, None, True, 0.0  # of the picture itself
    eps = attributes.get("epsilon", 1e-5)
    return torch.instance_norm(x, weight, bias, *mean_and_var, eps, cudnn_enabled=False)


def _group_norm(attributes, x, weight, bias):
    groups, eps = attributes["num_groups"], attributes.get("epsilon", 1e-5)
    return torch.group_norm(x, groups, weight, bias, eps)


def einsum_work(attributes: dict, *operands: torch.Tensor) -> int:
    """Return how many multiplications an Einsum takes.

    Parameters
    ----------
    attributes : dict
        Of the node.
    *operands : Tensor
        One or two; with more, what lies between could take any amount of memory.

    Raises
    ------
    UnsupportedError
        For an equation with "...", or axes of one letter that differ in length.
    """
    terms = attributes["equation"].replace(" ", "").split("->")[0].split(",")
    if len(operands) > 2 or any("." in term for term in terms):
        raise UnsupportedError(f"the equation {attributes['equation'][:99]!r}")
    lengths: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for letter, length in zip(term, x.shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise UnsupportedError(f"an axis {letter!r} of {lengths[letter]} and {length}")
    return math.prod(lengths.values())


def _einsum(attributes, *operands):
    einsum_work(attributes, *operands)
    return torch.einsum(attributes["equation"], *operands)


def _gelu(attributes, x):
    return F.gelu(x, approximate=attributes.get("approximate", "none"))


def _is_inf(attributes, x):
    above = torch.isposinf(x) & bool(attributes.get("detect_positive", 1))
    return above | (torch.isneginf(x) & bool(attributes.get("detect_negative", 1)))


def _lp_normalization(attributes, x):
    return F.normalize(x, attributes.get("p", 2), attributes.get("axis", -1))


def _gemm(attributes, x, weight, bias=None):
    x = x.T if attributes.get("transA", 0) else x
    weight = weight.T if attributes.get("transB", 0) else weight
    product = attributes.get("alpha", 1.0) * (x @ weight)
    return product if bias is None else product + attributes.get("beta", 1.0) * bias


def _plain(function):
    """Turn a torch function without options into an operator."""
    return lambda attributes, *inputs: function(*inputs)


OPERATORS = {
    **SHAPES,
    **INDICES,
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "Attention": attention,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Ceil": _plain(torch.ceil),
    "Clip": _clip,
    "Cos": _plain(torch.cos),
    "Div": _divide,
    "Dropout": lambda attributes, x, *ratio: x,
    "Einsum": _einsum,
    "Elu": lambda attributes, x: F.elu(x, attributes.get("alpha", 1.0)),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Floor": _plain(torch.floor),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda attributes, x: x.mean((2, 3), keepdim=True),
    "GlobalMaxPool": lambda attributes, x: x.amax((2, 3), keepdim=True),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "InstanceNormalization": _instance_norm,
    "IsInf": _is_inf,
    "IsNaN": _plain(torch.isnan),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda attributes, x: F.leaky_relu(x, attributes.get("alpha", 0.01)),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Log": _plain(torch.log),
    "LpNormalization": _lp_normalization,
    "MatMul": _plain(torch.matmul),
    "Max": _fold(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _fold(torch.minimum),
    "Mish": _plain(F.mish),
    "Mod": _modulo,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "PRelu": _prelu,
    "Pow": lambda attributes, x, y: torch.pow(x, y).to(x.dtype),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Resize": resize,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Softmax": _softmax,
    "Softplus": _plain(F.softplus),
    "Sqrt": _plain(torch.sqrt),
    "Sub": _plain(torch.sub),
    "Sum": _fold(torch.add),
    "Tanh": _plain(torch.tanh),
}
