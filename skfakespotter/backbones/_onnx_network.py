"""An ONNX graph as a torch network, run node by node, with real torch layers to monitor."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._onnx_adapting import adapt
from skfakespotter.backbones._onnx_bounds import apply, check_constant, trace
from skfakespotter.backbones._onnx_files import (
    attributes_of,
    input_of,
    names_beside,
    read_beside,
    read_model,
    to_tensor,
)
from skfakespotter.backbones._onnx_layers import UnsupportedError, make_layer
from skfakespotter.backbones._onnx_operators import OPERATORS
from skfakespotter.backbones._pickles import shorten

FOLDED = 2**26  # values computed from constants, at least; or twice what the file holds
ADVICE = (
    "Export the network again, from torch with torch.onnx.export(..., dynamo=True, "
    "opset_version=20), and let no optimizer change it; or take the torch network itself, as "
    "skfakespotter.backbones.Backbone(name, network, input_size=...)"
)


@dataclass
class _Step:
    """One node: a layer by name, or an operator with its attributes."""

    name: str
    operator: str
    attributes: dict
    inputs: list
    outputs: list
    layer: str | None = None
    finished: tuple = ()  # values that no later step needs
    in_place: bool = False  # a Relu that overwrites what a layer gave


class OnnxNetwork(nn.Module):
    """An ONNX graph, run node by node; what has weights of its own is a torch layer.

    The sizes that the file states for its input and outputs bind nobody: a graph of
    convolutions alone takes pictures of any size, whatever the file says.

    Parameters
    ----------
    path : path
        The file.
    all_outputs : bool, default=False
        Return a tuple of all the graph's outputs; otherwise the first one alone.

    Raises
    ------
    WeightsError
        When the file is broken or holds what is not supported; it names the node.
    """

    def __init__(self, path: str | os.PathLike, all_outputs: bool = False) -> None:
        super().__init__()
        model = read_model(path)
        self.files_beside = sorted(names_beside(model))
        read_beside(path, model)
        self._digest = hashlib.sha256(model.SerializeToString()).hexdigest()
        self.input_name, self.batch, self.input_size = input_of(model.graph, path)
        self._outputs = [value.name for value in model.graph.output]
        self._all_outputs = all_outputs
        if not all_outputs:
            del self._outputs[1:]
        builder = _Builder(self, path, model, self.batch)
        self._steps, self._constants = builder.steps, builder.constants
        self._buffer_names: dict[str, str] = {}
        self._finish(path)
        self.requires_grad_(False).eval()

    def forward(self, x: torch.Tensor) -> Any:
        """Map (n, 3, h, w) to the graph's first output, or to the tuple of all."""
        values = {self.input_name: x}
        for step in self._steps:
            given: list[Any] = [self.value(k, values) if k else None for k in step.inputs]
            if step.in_place:
                values[step.outputs[0]] = values[step.inputs[0]].relu_()
            elif step.layer is None:
                found = apply(step.operator, step.attributes, given)
                values.update(zip(step.outputs, found, strict=False))
            else:
                values[step.outputs[0]] = self.get_submodule(step.layer)(*given)
            for name in step.finished:
                values.pop(name, None)
        found = tuple(self.value(name, values) for name in self._outputs)
        return found if self._all_outputs else found[0]

    def extra_repr(self) -> str:
        """Tell apart graphs with the same layers, for the fingerprint's sake."""
        return f"sha256={self._digest}"

    def value(self, name: str, values: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return what has this name: a value computed so far, or a constant."""
        if name in values:
            return values[name]
        buffer = self._buffer_names.get(name)
        return self._constants[name] if buffer is None else self.get_buffer(buffer)

    def overwrite(self) -> None:
        """Let each Relu overwrite its input where nothing else needs it.

        A fifth faster on a CPU, where new memory costs more than the zeros. Not for a network
        whose layers are watched: what they gave would be gone.
        """
        layers = {step.outputs[0] for step in self._steps if step.layer}
        for step in self._steps:
            given = step.inputs[0] if step.operator == "Relu" else None
            step.in_place = given in layers and given in step.finished

    def specialize(self, size: tuple[int, int]) -> None:
        """Compute beforehand what depends on the pictures' size alone, such as shapes.

        Parameters
        ----------
        size : (int, int)
            Height and width of all pictures from now on.

        Raises
        ------
        UnsupportedError, StepError
            As for :func:`trace`.
        """
        shapes = {k: v for k, v in trace(self, (2, 3, *size)).items() if not v.is_meta}
        # what is the same for three pictures as for two holds for any number
        other = trace(self, (3, 3, *size)) if shapes else {}
        known = {name: value for name, value in shapes.items() if torch.equal(value, other[name])}
        self._steps = [s for s in self._steps if s.layer or not known.keys() >= set(s.outputs)]
        self._constants |= known
        self._free()

    def _finish(self, path):
        """Make buffers of the constants in use, and free every value after its last use."""
        if not self._outputs or self._outputs[0] in (self.input_name, *self._constants):
            raise WeightsError(path, "computes nothing of its input")
        known = {self.input_name, *self._constants}.union(*(step.outputs for step in self._steps))
        if missing := [name for name in self._outputs if name not in known]:
            raise WeightsError(path, f"never computes its output {shorten(missing[0])!r}")
        self._free()
        for number, (name, tensor) in enumerate(self._constants.items()):
            if tensor.is_floating_point():  # whole numbers are shapes, which stay on the host
                # names of layers do not begin with "_"
                self._buffer_names[name] = f"_constant_{number}"
                self.register_buffer(f"_constant_{number}", tensor)
        for name in self._buffer_names:
            del self._constants[name]

    def _free(self):
        """Find the last use of every value, and drop constants that nothing uses."""
        used = {name for step in self._steps for name in step.inputs}.union(self._outputs)
        self._constants = {k: v for k, v in self._constants.items() if k in used}
        seen = set(self._outputs)
        for step in reversed(self._steps):
            step.finished = tuple({*step.inputs, *step.outputs} - seen)
            seen.update(step.inputs)


class _Builder:
    """Turns the nodes of a graph into steps and constants; layers become the network's."""

    def __init__(self, network, path, model, batch):
        self.network, self.batch = network, batch
        self.steps: list[_Step] = []
        self.constants: dict[str, torch.Tensor] = {}
        self.names: Counter[str] = Counter()
        self.opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")])
        for tensor in model.graph.initializer:
            try:
                self.constants[tensor.name] = to_tensor(tensor)
            except Exception as error:  # a broken tensor makes onnx raise several types
                raise WeightsError(path, _line(error), shorten(tensor.name)) from error
        held = sum(tensor.numel() for tensor in self.constants.values())
        self.left = max(FOLDED, 2 * held)
        for number, node in enumerate(model.graph.node):
            try:
                self._add(node, number)
            except Exception as error:  # hostile attributes make torch raise several types
                raise WeightsError(path, f"{label(node.name, node.op_type)}: {_line(error)}") from (
                    error
                )
        self._merge_biases()

    def _add(self, node, number):
        known = node.op_type in OPERATORS or node.op_type in ("Conv", "ConvTranspose")
        if not known or node.domain not in ("", "ai.onnx"):  # others name theirs alike
            raise UnsupportedError(f"this operator{_domain(node)} is not supported. {ADVICE}")
        step = _Step(node.name, node.op_type, attributes_of(node), [*node.input], [*node.output])
        if not step.outputs:
            raise UnsupportedError("no outputs")
        if len([name for name in node.output if name]) > 1 and node.op_type not in (
            "Split",
            "Dropout",
        ):
            raise UnsupportedError("several outputs")
        adapt(step, number, self.constants, self.opset, self.batch)
        layer, rest = make_layer(step.operator, step.inputs, step.attributes, self.constants)
        if layer is not None:
            step.layer, step.inputs = self._name(node, number), rest
            self.network.add_module(step.layer, layer)
        if layer is None and all(name in self.constants for name in step.inputs if name):
            self._fold(step)
        else:
            self.steps.append(step)

    def _fold(self, step):
        given = [self.constants[name] if name else None for name in step.inputs]
        self.left -= check_constant(step.operator, step.attributes, given, self.left)
        found = apply(step.operator, step.attributes, given)
        self.constants.update(zip(step.outputs, found, strict=False))

    def _name(self, node, number):
        name = re.sub(r"\W+", "_", node.name).strip("_")[:200] or f"{node.op_type}_{number}"
        self.names[name] += 1
        if self.names[name] > 1:
            name = f"{name}__{self.names[name]}"
        return f"{name}_" if hasattr(self.network, name) else name

    def _merge_biases(self):
        """Move the constant that the next node adds to a product into its Linear."""
        users: dict[str, list[_Step]] = {}
        for step in self.steps:
            for name in set(step.inputs):
                users.setdefault(name, []).append(step)
        merged = set()
        for step in self.steps:
            after = users.get(step.outputs[0], [])
            if step.operator != "MatMul" or not step.layer or len(after) != 1:
                continue
            if after[0].operator != "Add" or step.outputs[0] in self.network._outputs:
                continue
            layer = self.network.get_submodule(step.layer)
            others = [name for name in after[0].inputs if name != step.outputs[0]]
            bias = self.constants.get(others[0]) if others else None
            if bias is not None and bias.shape == (layer.out_features,):
                layer.bias = nn.Parameter(bias, requires_grad=False)
                step.outputs = after[0].outputs
                merged.add(id(after[0]))
        self.steps = [step for step in self.steps if id(step) not in merged]


def label(name: str, operator: str) -> str:
    """Name a node as messages do."""
    return f"node {shorten(name)!r} ({shorten(operator)})"


def _domain(node):
    return f" of {shorten(node.domain)!r}" if node.domain else ""


def _line(error):
    return str(error).strip().split("\n")[0][:500] or type(error).__name__
