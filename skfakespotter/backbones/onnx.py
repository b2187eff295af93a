"""ONNX files as backbones: the graph runs in torch, with real torch layers to monitor.

The package ``onnx`` reads and checks the file; nothing in it is executed. The published
converters to torch need a torchvision that fits the installed torch exactly, and a runtime
would copy every activation to the host, so the few operators of face-recognition networks
are written out in ``onnx_operators``.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from skfakespotter.backbones._backbone import Backbone, WeightsError
from skfakespotter.backbones._onnx_operators import OPERATORS, UnsupportedError, make_layer
from skfakespotter.backbones._registry import register_backbone


def register_onnx(name, path, *, overwrite=False, **options):
    """Make an ONNX file available by name.

    Parameters
    ----------
    name : str
        Name, without a colon.
    path : path
        The file; ``load_backbone(name, weights=path)`` takes another one.
    overwrite : bool, default=False
        Replace a backbone of the same name; otherwise that is an error.
    **options
        To :func:`onnx_backbone`.

    Examples
    --------
    >>> from skfakespotter import list_backbones
    >>> from skfakespotter.backbones.onnx import register_onnx
    >>> register_onnx("w600k_r50", "w600k_r50.onnx", overwrite=True)
    >>> "w600k_r50" in list_backbones()
    True
    """
    factory = partial(onnx_factory, os.path.abspath(path), name=name, **options)
    register_backbone(name, factory, overwrite=overwrite)


def onnx_factory(path, weights=None, **options):
    """Build the backbone as the registry wants it: ``weights`` is None or another file."""
    if weights == "random":
        raise ValueError("weights is 'random': an ONNX file has no untrained network.")
    return onnx_backbone(weights or path, **options)


def onnx_backbone(
    path,
    *,
    name=None,
    input_size=None,
    mean=127.5,
    scale=127.5,
    channel_order="RGB",
    template="arcface",
    license="",
):
    """Build a backbone from an ONNX file.

    The defaults are those of InsightFace's recognition networks (``w600k_r50.onnx`` and its
    kin). Every convolution, and every Gemm or MatMul with constant weights, is a layer
    named after its node.

    Parameters
    ----------
    path : path
        The file; it takes one input (n, 3, h, w).
    name : str, default=None
        What to call it in messages; None takes the file's name.
    input_size : (int, int), default=None
        Height and width; None takes what the file says.
    mean, scale : float or sequence of 3 floats, default=127.5
        The network sees ``(pixels - mean) / scale``. Files that do that themselves (a Sub
        and a Mul among the first nodes) want 0 and 1.
    channel_order : "RGB" or "BGR", default="RGB"
        Order in which the network takes the channels.
    template : str, default="arcface"
        The alignment that it was trained with.
    license : str, default=""
        Of the weights.

    Returns
    -------
    Backbone
        It pickles as a whole; loaded by name (:func:`register_onnx`) it pickles small.

    Raises
    ------
    WeightsError
        When the file is missing, broken, no ONNX file, holds an operator that is not
        supported, or gives other results for a batch than for single pictures.
    ImportError
        When the extra ``onnx`` is not installed.

    Notes
    -----
    Exporters fold a batch norm into the convolution before it; then the value that the batch
    norm gives is what is monitored, as in the other backbones. The descriptor is the
    graph's first output.
    """
    network = OnnxNetwork(path)
    size = tuple(input_size) if input_size else network.input_size
    if size is None:
        raise WeightsError(path, "does not say which size it takes: pass input_size=(112, 112)")
    _check_batches(network, path, size)
    return Backbone(
        name=name or os.path.basename(path),
        module=network,
        input_size=size,
        mean=mean,
        scale=scale,
        channel_order=channel_order,
        template=template,
        license=license,
        source=os.fspath(path),
    )


@dataclass
class _Step:
    """One node: a layer by name, or an operator with its attributes."""

    operator: str
    attributes: dict
    inputs: list
    output: str
    layer: str | None = None
    finished: tuple = ()  # values that no later step needs


class OnnxNetwork(nn.Module):
    """An ONNX graph, run node by node; convolutions and Gemms are torch layers.

    The sizes that the file states for its input and outputs bind nobody: a graph of
    convolutions alone takes pictures of any size, whatever the file says.

    Parameters
    ----------
    path : path
        The file.
    all_outputs : bool, default=False
        Return a tuple of all the graph's outputs; otherwise the first one alone.
    """

    def __init__(self, path, all_outputs=False):
        super().__init__()
        model = _read(path)
        self._digest = hashlib.sha256(model.SerializeToString()).hexdigest()
        self._input, batch, self.input_size = _input_of(model.graph, path)
        self._outputs = [value.name for value in model.graph.output]
        self._all_outputs = all_outputs
        if not all_outputs:
            del self._outputs[1:]
        self._constants, self._buffer_names, self._steps = {}, {}, []
        self._load_constants(model.graph)
        for number, node in enumerate(model.graph.node):
            try:
                self._add(node, number, batch)
            except UnsupportedError as error:
                raise WeightsError(path, f"node {node.name!r} ({node.op_type}): {error}") from error
        self._finish()
        self.requires_grad_(False).eval()

    def forward(self, x):
        """Map (n, 3, h, w) to the graph's first output, or to the tuple of all."""
        values = {self._input: x}
        for step in self._steps:
            given = [self._value(name, values) if name else None for name in step.inputs]
            if step.layer is None:
                values[step.output] = OPERATORS[step.operator](step.attributes, *given)
            else:
                values[step.output] = self.get_submodule(step.layer)(*given)
            for name in step.finished:
                values.pop(name, None)
        found = tuple(self._value(name, values) for name in self._outputs)
        return found if self._all_outputs else found[0]

    def extra_repr(self):
        """Tell apart graphs with the same layers, for the fingerprint's sake."""
        return f"sha256={self._digest}"

    def _value(self, name, values):
        if name in values:
            return values[name]
        buffer = self._buffer_names.get(name)
        return self._constants[name] if buffer is None else self.get_buffer(buffer)

    def _load_constants(self, graph):
        from onnx import numpy_helper

        for tensor in graph.initializer:
            self._constants[tensor.name] = _to_tensor(numpy_helper.to_array(tensor))

    def _add(self, node, number, batch):
        step = _Step(node.op_type, _attributes(node), list(node.input), node.output[0])
        if len([name for name in node.output if name]) > 1 and node.op_type != "Dropout":
            raise UnsupportedError("several outputs")
        if node.op_type == "Reshape" and batch:
            self._free_batch(step, number, batch)
        layer, rest = make_layer(step.operator, step.inputs, step.attributes, self._constants)
        if layer is not None:
            step.layer = re.sub(r"\W+", "_", node.name).strip("_") or f"{node.op_type}_{number}"
            while hasattr(self, step.layer):
                step.layer += "_"
            self.add_module(step.layer, layer)
            step.inputs = rest
        elif node.op_type not in OPERATORS:
            raise UnsupportedError(f"not among the operators supported: {sorted(OPERATORS)}")
        if layer is None and all(name in self._constants for name in step.inputs if name):
            given = [self._constants[name] if name else None for name in step.inputs]
            self._constants[step.output] = OPERATORS[step.operator](step.attributes, *given)
        else:
            self._steps.append(step)

    def _free_batch(self, step, number, batch):
        """Let a Reshape keep any batch size where the file has its own, fixed one."""
        shape = self._constants.get(step.inputs[1])
        if shape is not None and len(shape) and shape[0] == batch:
            step.inputs[1] += f":{number}"  # another node may use the same constant
            self._constants[step.inputs[1]] = torch.cat([shape.new_zeros(1), shape[1:]])

    def _finish(self):
        """Make buffers of the constants in use, and free every value after its last use."""
        self._merge_biases()
        used = {name for step in self._steps for name in step.inputs}.union(self._outputs)
        self._constants = {k: v for k, v in self._constants.items() if k in used}
        for number, (name, tensor) in enumerate(self._constants.items()):
            if tensor.is_floating_point():  # whole numbers are shapes, which stay on the host
                self._buffer_names[name] = f"constant_{number}"
                self.register_buffer(f"constant_{number}", tensor)
        for name in self._buffer_names:
            del self._constants[name]
        seen = set(self._outputs)
        for step in reversed(self._steps):
            step.finished = tuple({*step.inputs, step.output} - seen)
            seen.update(step.inputs)

    def _merge_biases(self):
        """Give a Linear made of MatMul the constant that the next node adds to it."""
        for step in [step for step in self._steps if step.operator == "MatMul" and step.layer]:
            users = [user for user in self._steps if step.output in user.inputs]
            if len(users) != 1 or users[0].operator != "Add" or step.output in self._outputs:
                continue
            layer = self.get_submodule(step.layer)
            others = [name for name in users[0].inputs if name != step.output]
            bias = self._constants.get(others[0]) if others else None
            if bias is not None and bias.shape == (layer.out_features,):
                layer.bias = nn.Parameter(bias, requires_grad=False)
                step.output = users[0].output
                self._steps.remove(users[0])


def _read(path):
    try:
        import onnx
    except ImportError as error:
        raise ImportError('ONNX files need onnx: pip install "skfakespotter[onnx]"') from error
    try:
        model = onnx.load(os.fspath(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({error})") from error
    except Exception as error:  # protobuf and the checker raise several types
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(path, f"is no ONNX file, or is truncated ({reason})") from error
    return model


def _input_of(graph, path):
    """Give the input's name, its fixed batch size or None, its height and width or None."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in inputs]
    if len(inputs) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (0, 3):
        found = {i.name: shape for i, shape in zip(inputs, shapes, strict=True)}
        raise WeightsError(path, f"takes {found}: expected one input of shape (n, 3, h, w)")
    batch, _, height, width = shapes[0]
    return inputs[0].name, batch or None, (height, width) if height and width else None


def _attributes(node):
    from onnx import TensorProto, helper, numpy_helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for key, value in attributes.items():
        if isinstance(value, TensorProto):
            attributes[key] = _to_tensor(numpy_helper.to_array(value))
        elif isinstance(value, bytes):
            attributes[key] = value.decode()
    return attributes


def _to_tensor(array):
    tensor = torch.from_numpy(array.copy())
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_batches(network, path, size):
    """Refuse a graph that works for its own batch size alone, or mixes the pictures."""
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            both, one = network(x), network(x[:1])
    except (RuntimeError, UnsupportedError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsError(
            path, f"does not run on (2, 3, {size[0]}, {size[1]}): {reason}"
        ) from error
    if both.shape[0] != 2 or not torch.allclose(both[:1], one, rtol=1e-3, atol=1e-4):
        raise WeightsError(path, "gives other results for two pictures than for one")
