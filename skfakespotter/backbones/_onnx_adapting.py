"""Adapting a node: the opset and constant inputs say what operators take from attributes."""

from __future__ import annotations

from typing import Any

import torch

from skfakespotter.backbones._onnx_layers import UnsupportedError


def adapt(
    step: Any, number: int, constants: dict[str, torch.Tensor], opset: int, batch: int | None
) -> None:
    """Put into a step's attributes what the opset or constant inputs say, in place.

    Parameters
    ----------
    step : _Step
        Of the network.
    number : int
        Of its node in the file.
    constants : dict of str to Tensor
        Known values by name; constants of its own may be added.
    opset : int
        Of the file.
    batch : int or None
        The fixed batch size that the file was made for.

    Raises
    ------
    UnsupportedError
        When an input that must be constant is not.
    """
    if step.operator == "Reshape" and batch:
        _free_batch(step, number, constants, batch)
    elif step.operator == "Resize":
        _adapt_resize(step, number, constants, opset, batch)
    elif step.operator == "Softmax" and opset < 13:
        step.attributes["flattens"] = True
    elif step.operator == "Split":
        step.attributes["outputs"] = len(step.outputs)
    elif step.operator == "Clip" and len(step.inputs) > 1:
        _take_numbers(step, {1: "min", 2: "max"}, constants)
    elif step.operator == "Pad" and len(step.inputs) > 2:
        _take_numbers(step, {2: "value"}, constants)


def _take_numbers(step, names, constants):
    """Turn inputs that are one number each into attributes, which no device waits for."""
    for position, name in names.items():
        if _take(step, position, name, constants):
            step.attributes[name] = step.attributes[name].item()
    while not step.inputs[-1]:
        step.inputs.pop()


def _take(step, position, name, constants):
    """Turn a constant input into an attribute; tell whether the node has it."""
    given = position < len(step.inputs) and step.inputs[position]
    if given:
        if given not in constants:
            raise UnsupportedError(f"its {name} is not constant")
        step.attributes[name] = constants[given]
        step.inputs[position] = ""
    return bool(given)


def _free_batch(step, number, constants, batch):
    """Let a Reshape keep any batch size where the file has its own, fixed one."""
    shape = constants.get(step.inputs[1])
    zeros = step.attributes.get("allowzero", 0) and shape is not None and 0 in shape[1:]
    if shape is not None and len(shape) and shape[0] == batch and not zeros:
        step.attributes["allowzero"] = 0
        step.inputs[1] += f":{number}"  # another node may use the same constant
        constants[step.inputs[1]] = torch.cat([shape.new_zeros(1), shape[1:]])


def _adapt_resize(step, number, constants, opset, batch):
    """Take the scales as numbers, and let the sizes keep any batch size."""
    if opset < 11:  # there was no other variant, and no region before the scales
        step.attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        step.inputs.insert(1, "")
    step.inputs[1:2] = [""]  # the region, of which no supported variant takes notice
    if _take(step, 2, "scales", constants):
        step.attributes["scales"] = step.attributes["scales"].flatten().tolist()
    sizes = constants.get(step.inputs[3]) if len(step.inputs) > 3 else None
    if batch and sizes is not None and len(sizes) == 4 and sizes[0] == batch:
        step.attributes["axes"] = [1, 2, 3]
        step.inputs[3] += f":{number}"
        constants[step.inputs[3]] = sizes[1:]
