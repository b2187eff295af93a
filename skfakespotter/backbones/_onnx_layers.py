"""Layers: ONNX's convolutions, normalizations and products with weights, as torch layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LAYERS = ("BatchNormalization", "Conv", "ConvTranspose", "Gemm", "LayerNormalization", "MatMul")


class UnsupportedError(ValueError):
    """An operator, or a variant of one, that is not written out here."""


def make_layer(
    operator: str, inputs: list[str], attributes: dict, constants: dict[str, torch.Tensor]
) -> tuple[nn.Module | None, list[str]]:
    """Make a torch layer of a convolution, normalization or product with constant weights.

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
    (torch.nn.Module, list of str) or (None, empty list)
        The layer and the inputs it is still to be given; None for any other node.
    """
    if operator not in LAYERS or inputs[0] in constants:
        return None, []
    if operator in NORMALIZATIONS:
        tensors = [constants.get(name) for name in inputs[1:5]]
        layer = NORMALIZATIONS[operator](attributes, tensors)
        return (layer, inputs[:1]) if layer is not None else (None, [])
    if inputs[1] not in constants or (len(inputs) > 2 and inputs[2] and inputs[2] not in constants):
        if operator != "MatMul":
            raise UnsupportedError("its weights are not constant")
        return None, []
    weight = constants[inputs[1]]
    bias = constants[inputs[2]] if len(inputs) > 2 and inputs[2] else None
    if not weight.is_floating_point() or not (bias is None or bias.is_floating_point()):
        raise UnsupportedError(f"weights of type {weight.dtype}")
    if operator == "Conv":
        return _convolution(attributes, weight, bias), inputs[:1]
    if operator == "ConvTranspose":
        return _transposed_convolution(attributes, weight, bias), inputs[:1]
    if operator == "Gemm":
        return _gemm(attributes, weight, bias), inputs[:1]
    return (_linear(weight.T, None), inputs[:1]) if weight.ndim == 2 else (None, [])


def _convolution(attributes, weight, bias):
    before, padding = paddings(attributes)
    groups = _groups(attributes, weight)
    with torch.device("meta"):
        layer = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            pair(attributes, "strides"),
            padding,
            pair(attributes, "dilations"),
            groups,
            bias is not None,
            dtype=torch.float32,
        )
    _assign(layer, weight, bias, weight.shape[0])
    return layer if before is None else nn.Sequential(nn.ZeroPad2d(before), layer)


def _transposed_convolution(attributes, weight, bias):
    if "output_shape" in attributes:
        raise UnsupportedError("output_shape")
    before, padding = paddings(attributes)
    if before is not None:
        raise UnsupportedError("uneven padding")
    groups = _groups(attributes, weight)
    with torch.device("meta"):
        layer = nn.ConvTranspose2d(
            weight.shape[0],
            weight.shape[1] * groups,
            tuple(weight.shape[2:]),
            pair(attributes, "strides"),
            padding,
            pair(attributes, "output_padding", 0),
            groups,
            bias is not None,
            pair(attributes, "dilations"),
            dtype=torch.float32,
        )
    _assign(layer, weight, bias, weight.shape[1] * groups)
    return layer


def _gemm(attributes, weight, bias):
    if attributes.get("transA", 0):
        raise UnsupportedError("transA")
    if weight.ndim != 2:
        raise UnsupportedError(f"weights of shape {tuple(weight.shape)}")
    weight = weight if attributes.get("transB", 0) else weight.T
    weight = weight * attributes.get("alpha", 1.0)
    bias = None if bias is None else bias * attributes.get("beta", 1.0)
    return _linear(weight, bias)


def _linear(weight, bias):
    if bias is not None:  # (N,), (1, N), and one number for all; (M, 1) tells pictures apart
        if bias.numel() not in (1, weight.shape[0]) or bias.shape[-1:] not in ((), (bias.numel(),)):
            raise UnsupportedError(f"a bias of shape {tuple(bias.shape)}")
        bias = bias.reshape(-1).expand(weight.shape[0])
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=torch.float32)
    _assign(layer, weight, bias, weight.shape[0])
    return layer


class _Normalization(_BatchNorm):
    """A batch normalization of maps or vectors: a module, so that its layer's output is found."""

    def _check_input_dim(self, x):
        pass


def _batch_normalization(attributes, tensors):
    """Make the module; None where the operator must do it."""
    if attributes.get("training_mode", 0) or any(t is None for t in tensors):
        return None
    if any(not t.is_floating_point() or t.shape != tensors[0].shape for t in tensors):
        return None
    with torch.device("meta"):
        layer = _Normalization(len(tensors[0]), eps=attributes.get("epsilon", 1e-5))
    weight, bias, layer.running_mean, layer.running_var = (t.contiguous().clone() for t in tensors)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = nn.Parameter(bias, requires_grad=False)
    layer.num_batches_tracked = torch.tensor(0)
    return layer.eval()


def _layer_normalization(attributes, tensors):
    """Make the module, for the last axis alone; None where the operator must do it."""
    if attributes.get("axis", -1) != -1 or any(t is None for t in tensors):
        return None
    weight, bias = (*tensors, None)[:2]
    if any(not t.is_floating_point() or t.shape != weight.shape for t in tensors):
        return None
    if weight.ndim != 1 or len(weight) < 2:  # one number may stand for all
        return None
    with torch.device("meta"):
        layer = nn.LayerNorm(
            len(weight), attributes.get("epsilon", 1e-5), bias=bias is not None, dtype=torch.float32
        )
    _assign(layer, weight, bias, len(weight))
    return layer


NORMALIZATIONS = {
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
}


def _assign(layer, weight, bias, outputs):
    layer.weight = nn.Parameter(weight.contiguous().clone(), requires_grad=False)
    if bias is not None:
        if bias.shape != (outputs,):
            raise UnsupportedError(f"a bias of shape {tuple(bias.shape)} for {outputs} outputs")
        layer.bias = nn.Parameter(bias.contiguous().clone(), requires_grad=False)


def _groups(attributes, weight):
    groups = attributes.get("group", 1)
    if weight.ndim != 4:
        raise UnsupportedError(f"kernel of shape {tuple(weight.shape)}")
    if groups < 1 or weight.shape[0] % groups or weight.numel() == 0:
        raise UnsupportedError(f"{groups} groups of a kernel of shape {tuple(weight.shape)}")
    return groups


def pair(attributes: dict, name: str, default: int = 1) -> tuple[int, int]:
    """Return an attribute of two whole numbers, for height and width.

    Parameters
    ----------
    attributes : dict
        A node's.
    name : str
        Of the attribute.
    default : int, default=1
        What it is where the node does not say; and the smallest that is accepted.

    Returns
    -------
    (int, int)
        Height, width.
    """
    values = tuple(attributes.get(name, (default, default)))
    if len(values) != 2 or not all(default <= value < 2**16 for value in values):
        raise UnsupportedError(f"{name}={list(values)[:8]}")
    return values


def paddings(
    attributes: dict,
) -> tuple[tuple[int, int, int, int] | None, tuple[int, int]]:
    """Return padding as F.pad takes it, where it is uneven, and as a layer takes it."""
    if attributes.get("auto_pad", "NOTSET") == "VALID":
        return None, (0, 0)
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise UnsupportedError(f"auto_pad={attributes['auto_pad']}")
    pads = attributes.get("pads", (0, 0, 0, 0))
    if len(pads) != 4 or not all(0 <= pad < 2**16 for pad in pads):
        raise UnsupportedError(f"pads={list(pads)[:8]}")
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return None, (top, left)
    return (left, right, top, bottom), (0, 0)
