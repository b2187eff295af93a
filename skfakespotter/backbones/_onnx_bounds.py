"""Bounds: what a graph would take, found out by running it on shapes alone.

A file of a few hundred bytes may describe a picture of a million pixels squared, or double
a constant forty times. Torch's "meta" device computes shapes without values, so that
nothing is allocated before it is known how much it would be.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.func import functional_call

from skfakespotter.backbones._onnx_attention import attention_cost
from skfakespotter.backbones._onnx_layers import UnsupportedError
from skfakespotter.backbones._onnx_operators import OPERATORS, einsum_work
from skfakespotter.backbones._onnx_shapes import VALUES

# What these give has the shape of what they are given; torch takes a millisecond to say so.
UNARY = {"Abs", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish"}
UNARY |= {"Identity", "LeakyRelu", "Mish", "Neg", "Relu", "Sigmoid", "Softplus", "Sqrt", "Tanh"}
MOST_VALUES = 2**27  # at a time, for two pictures: 512 MiB
MOST_WORK = 2**38  # multiplications for two pictures; a ViT-L at 224 pixels takes 2**37


def apply(operator: str, attributes: dict, given: list) -> tuple[torch.Tensor, ...]:
    """Run an operator on tensors, and whole numbers on the host, on one device.

    Parameters
    ----------
    operator : str
        A name in ``OPERATORS``.
    attributes : dict
        Of the node.
    given : list of Tensor or None
        Inputs. Those that are no shape follow the first that is not on the CPU.

    Returns
    -------
    tuple of Tensor
        Outputs.
    """
    values = VALUES.get(operator, ())
    device = next((x.device for x in given if x is not None and x.device.type != "cpu"), None)
    if device is not None:
        given = [
            x if x is None or i in values or x.device == device else x.to(device)
            for i, x in enumerate(given)
        ]
    found = OPERATORS[operator](attributes, *given)
    return found if isinstance(found, tuple) else (found,)


def check_constant(operator: str, attributes: dict, given: list, left: int) -> int:
    """Raise unless an operator on constants gives at most ``left`` values; return how many."""
    values = VALUES.get(operator, ())
    shapes = [x if x is None or i in values else x.to("meta") for i, x in enumerate(given)]
    found = apply(operator, attributes, shapes)
    size = sum(math.prod(x.shape) for x in found)
    size += _scratch(operator, attributes, shapes, found)
    if size > left:
        raise UnsupportedError(f"{size} values computed from constants; expected at most {left}")
    return size


class StepError(ValueError):
    """A node that does not run; its cause says why."""


def trace(network: Any, shape: tuple[int, int, int, int]) -> dict[str, torch.Tensor]:
    """Run a network on shapes alone.

    Parameters
    ----------
    network : OnnxNetwork
        On the CPU.
    shape : (int, int, int, int)
        Of the pictures.

    Returns
    -------
    dict of str to Tensor
        Every value by name: on the device "meta", or on the CPU where it is whole numbers
        that the shape alone decides.

    Raises
    ------
    UnsupportedError
        When the input itself is too large.
    StepError
        When a node does not fit it, or all would take too much memory or time; it holds the
        node.
    """
    if math.prod(shape) > MOST_VALUES:
        raise UnsupportedError(f"{tuple(shape)} is too large an input")
    values = {network.input_name: torch.empty(shape, device="meta")}
    live, work, everything = math.prod(shape), 0, dict(values)
    for step in network._steps:
        given = [network.value(name, values) if name else None for name in step.inputs]
        try:
            found = _run(network, step, given)
            live += sum(x.numel() for x in found)
            work += _work(network, step, given, found)
            if (
                live + _scratch(step.operator, step.attributes, given, found) > MOST_VALUES
                or work > MOST_WORK
            ):
                raise UnsupportedError("needs too much memory or time")
        except Exception as error:  # torch raises several types for shapes that do not fit
            raise StepError(step) from error
        new = dict(zip(step.outputs, found, strict=False))
        values |= new
        everything |= new
        for name in step.finished:
            live -= values.pop(name).numel() if name in values else 0
    return everything


def _run(network, step, given):
    if step.operator in UNARY and given[0].is_meta:
        return (given[0],)
    if step.layer is None:
        shapes = any(x is not None and x.is_meta for x in given)
        if not shapes:
            check_constant(step.operator, step.attributes, given, MOST_VALUES)
        buffers = [x.to("meta") if x is not None and x.is_floating_point() else x for x in given]
        return apply(step.operator, step.attributes, buffers if shapes else given)
    layer = network.get_submodule(step.layer)
    weights = {k: torch.empty_like(v, device="meta") for k, v in layer.state_dict().items()}
    return (functional_call(layer, weights, tuple(given)),)


def _scratch(operator, attributes, given, found):
    """Return how many values an operator holds for a moment, beside what it is given and gives."""
    if operator == "Attention":
        return attention_cost(attributes, *given)[0]
    if operator == "Resize" and attributes.get("antialias", 0):  # widths, then heights
        return math.prod(given[0].shape[:3]) * found[0].shape[3]
    return 0


def _work(network, step, given, found):
    size = sum(x.numel() for x in found)
    if step.layer is not None:
        layer = network.get_submodule(step.layer)
        largest = max(p.numel() // p.shape[0] for p in layer.parameters())
        return size * largest
    if step.operator == "MatMul":
        return size * given[0].shape[-1]
    if step.operator == "Einsum":
        return einsum_work(step.attributes, *given)
    if step.operator == "Attention":
        return attention_cost(step.attributes, *given)[1]
    return size * math.prod(step.attributes.get("kernel_shape", (1,)))
