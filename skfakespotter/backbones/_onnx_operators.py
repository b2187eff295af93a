"""The operators of ONNX that face-recognition networks use, in torch.

Semantics: https://onnx.ai/onnx/operators/. Each function takes the node's attributes (a
dict), then its inputs; an input that the node leaves out is None.
"""

import torch
from torch import nn
from torch.nn import functional as F


class UnsupportedError(ValueError):
    """An operator, or a variant of one, that is not written out here."""


LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def make_layer(operator, inputs, attributes, constants):
    """Make a torch layer of a convolution or of a product with constant weights.

    Parameters
    ----------
    operator : str
        Name of the node's operator.
    inputs : list of str
        Names of its inputs.
    attributes : dict
        Its attributes.
    constants : dict of str to Tensor
        Known values by name.

    Returns
    -------
    (torch.nn.Module, list of str) or (None, None)
        The layer and the inputs it is still to be given; None for any other node.
    """
    if operator not in LAYERS or inputs[1] not in constants:
        if operator in LAYERS and operator != "MatMul":
            raise UnsupportedError("its weights are not constant")
        return None, None
    weight = constants[inputs[1]]
    bias = constants[inputs[2]] if len(inputs) > 2 and inputs[2] else None
    if operator == "Conv":
        return _convolution(attributes, weight, bias), inputs[:1]
    if operator == "ConvTranspose":
        return _transposed_convolution(attributes, weight, bias), inputs[:1]
    if operator == "Gemm":
        if attributes.get("transA", 0):
            raise UnsupportedError("transA")
        weight = weight if attributes.get("transB", 0) else weight.T
        weight = weight * attributes.get("alpha", 1.0)
        bias = None if bias is None else bias * attributes.get("beta", 1.0)
    elif weight.ndim == 2:
        weight = weight.T
    else:
        return None, None
    return _linear(weight, bias), inputs[:1]


def _convolution(attributes, weight, bias):
    if weight.ndim != 4:
        raise UnsupportedError(f"kernel of shape {tuple(weight.shape)}")
    before, padding = _padding(attributes)
    groups = attributes.get("group", 1)
    with torch.device("meta"):
        layer = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            tuple(attributes.get("strides", (1, 1))),
            padding,
            tuple(attributes.get("dilations", (1, 1))),
            groups,
            bias is not None,
        )
    _assign(layer, weight, bias)
    return layer if before is None else nn.Sequential(nn.ZeroPad2d(before), layer)


def _transposed_convolution(attributes, weight, bias):
    if weight.ndim != 4:
        raise UnsupportedError(f"kernel of shape {tuple(weight.shape)}")
    if "output_shape" in attributes:
        raise UnsupportedError("output_shape")
    before, padding = _padding(attributes)
    if before is not None:
        raise UnsupportedError("uneven padding")
    groups = attributes.get("group", 1)
    with torch.device("meta"):
        layer = nn.ConvTranspose2d(
            weight.shape[0],
            weight.shape[1] * groups,
            tuple(weight.shape[2:]),
            tuple(attributes.get("strides", (1, 1))),
            padding,
            tuple(attributes.get("output_padding", (0, 0))),
            groups,
            bias is not None,
            tuple(attributes.get("dilations", (1, 1))),
        )
    _assign(layer, weight, bias)
    return layer


def _linear(weight, bias):
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    _assign(layer, weight, None if bias is None else bias.expand(weight.shape[0]))
    return layer


def _assign(layer, weight, bias):
    layer.weight = nn.Parameter(weight.contiguous().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous().clone(), requires_grad=False)


def _padding(attributes):
    """Give padding as F.pad takes it, where it is uneven, and as a layer takes it."""
    if attributes.get("auto_pad", "NOTSET") == "VALID":
        return None, (0, 0)
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise UnsupportedError(f"auto_pad={attributes['auto_pad']}")
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if (top, left) == (bottom, right):
        return None, (top, left)
    return (left, right, top, bottom), (0, 0)


def _max_pool(attributes, x):
    before, padding = _padding(attributes)
    x = x if before is None else F.pad(x, before, value=-torch.inf)
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", (1, 1))
    dilations = attributes.get("dilations", (1, 1))
    ceil = bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(x, kernel, strides, padding, dilations, ceil)


def _average_pool(attributes, x):
    before, padding = _padding(attributes)
    if before is not None:
        raise UnsupportedError("uneven padding")
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", (1, 1))
    ceil, counted = attributes.get("ceil_mode", 0), attributes.get("count_include_pad", 0)
    return F.avg_pool2d(x, kernel, strides, padding, bool(ceil), bool(counted))


def _clip(attributes, x, low=None, high=None):
    low = attributes.get("min") if low is None else low.item()
    high = attributes.get("max") if high is None else high.item()
    return x if low is None and high is None else torch.clamp(x, low, high)


def _prelu(attributes, x, slope):
    rank = x.ndim - 1  # one slope a channel is (c, 1, 1), to which (h, w) come from the right
    if slope.numel() == 1 or (slope.ndim >= rank and slope.shape[-rank] == slope.numel()):
        return F.prelu(x, slope.flatten())
    return torch.where(x < 0, x * slope, x)


def _flatten(attributes, x):
    axis = attributes.get("axis", 1)
    if axis == 0:
        return x.reshape(1, -1)
    return x.flatten(0, axis - 1).flatten(1) if axis != 1 else x.flatten(1)


def _reshape(attributes, x, shape):
    kept = [x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    return x.reshape(kept)


def _axes(attributes, given):
    """Axes are an attribute before opset 13 or 18, and an input since; None means all."""
    return attributes.get("axes") if given is None else given.tolist()


def _squeeze(attributes, x, axes=None):
    axes = _axes(attributes, axes)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(attributes, x, axes=None):
    rank = x.ndim + len(axes := _axes(attributes, axes))
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _reduce(function):
    def reduce(attributes, x, axes=None):
        axes = _axes(attributes, axes) or list(range(x.ndim))
        return function(x, dim=tuple(axes), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _gather(attributes, x, index):
    axis = attributes.get("axis", 0)
    found = x.index_select(axis, index.flatten().to(x.device) % x.shape[axis])
    axis %= x.ndim
    return found.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _cast(attributes, x):
    kinds = {1: torch.float32, 10: torch.float32, 11: torch.float32, 6: torch.int32, 7: torch.int64}
    if attributes["to"] not in kinds:
        raise UnsupportedError(f"to={attributes['to']}")
    return x.to(kinds[attributes["to"]])


def _constant(attributes):
    if "value" in attributes:
        return attributes["value"]
    (value,) = attributes.values()  # value_float(s), value_int(s)
    return torch.as_tensor(value)


def _hard_sigmoid(attributes, x):
    return (attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5)).clamp(0, 1)


def _batch_norm(attributes, x, weight, bias, mean, var):
    return F.batch_norm(x, mean, var, weight, bias, eps=attributes.get("epsilon", 1e-5))


def _lp_normalization(attributes, x):
    return F.normalize(x, attributes.get("p", 2), attributes.get("axis", -1))


def _transpose(attributes, x):
    return x.permute(attributes.get("perm", tuple(reversed(range(x.ndim)))))


def _plain(function):
    """Turn a torch function without options into an operator."""
    return lambda attributes, *inputs: function(*inputs)


OPERATORS = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda attributes, *x: torch.cat(x, attributes["axis"]),
    "Constant": _constant,
    "Div": _plain(torch.div),
    "Dropout": lambda attributes, x, *ratio: x,
    "Elu": lambda attributes, x: F.elu(x, attributes.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Flatten": _flatten,
    "Gather": _gather,
    "GlobalAveragePool": lambda attributes, x: x.mean((2, 3), keepdim=True),
    "GlobalMaxPool": lambda attributes, x: x.amax((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": lambda attributes, x: F.leaky_relu(x, attributes.get("alpha", 0.01)),
    "LpNormalization": _lp_normalization,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _prelu,
    "Pow": _plain(torch.pow),
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": lambda attributes, x: torch.tensor(x.shape),
    "Sigmoid": _plain(torch.sigmoid),
    "Softmax": lambda attributes, x: x.softmax(attributes.get("axis", -1)),
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
