"""ONNX files of vision transformers, written by torch's current exporter, and their operators."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone, WeightsError, monitored_layers
from skfakespotter.backbones.onnx import OnnxNetwork, onnx_backbone

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


class Block(nn.Module):
    """A block of a vision transformer as timm writes it: one matrix for q, k and v."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.fused = heads, fused

    def forward(self, x):
        n, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1) @ v
        x = x + self.proj(y.transpose(1, 2).reshape(n, tokens, width))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 24))
        self.positions = nn.Parameter(torch.randn(1, 17, 24))
        self.blocks = nn.Sequential(*[Block(24, 3, fused) for _ in range(2)])
        self.norm = nn.LayerNorm(24)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.norm(self.blocks(x))[:, 0]


@pytest.mark.parametrize("fused", [False, True])
def test_a_vision_transformer_gives_the_originals_outputs_and_counts(tmp_path, fused):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = VisionTransformer(fused).eval()
    path = tmp_path / "vit.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 32, 32),),
            path,
            dynamo=True,
            verbose=False,
            dynamic_shapes={"x": {0: torch.export.Dim("n")}},
        )
    backbone = onnx_backbone(path)
    x = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(x), network(x), rtol=1e-4, atol=1e-5)
    assert len(monitored_layers(backbone.module)) == 9  # the patches, and four in each block
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    twin = Backbone("twin", network, input_size=(32, 32), mean=127.5, scale=127.5)
    found = NeuronCoverageTransformer(backbone).fit_transform(pictures)
    expected = NeuronCoverageTransformer(twin).fit_transform(pictures)
    assert np.abs(found - expected).max() <= 2


SHAPES = {
    "starts": np.array([1, 0]), "ends": np.array([-1, 2**40]), "axes": np.array([2, 1]),
    "steps": np.array([2, 1]), "from": np.array([-1]), "to": np.array([-100]),
    "last": np.array([3]), "back": np.array([-2]), "wide": np.array([2, 3, 9, 8]),
    "one": np.array([1]), "sizes": np.array([1, 2]), "twice": np.array([1, 2, 1, 1]),
    "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "axis": np.array([0]),
}  # fmt: skip
VALUES = {
    "gain": np.linspace(0.5, 1.5, 8, dtype=np.float32),
    "shift": np.linspace(-1, 1, 8, dtype=np.float32),
    "row": np.arange(8, dtype=np.float32)[None],
    "mask": np.arange(8) % 3 == 0,
    "zero": np.float32(0),
    "gaps": np.array([[0, np.nan, np.inf, -np.inf, 1, 2, np.inf, 3]], np.float32),
    **SHAPES,
}
OPERATORS = {
    "layer norm": ("LayerNormalization", ["x", "gain", "shift"], {"axis": -1, "epsilon": 1e-3}),
    "layer norm of two axes": ("LayerNormalization", ["x", "gain"], {"axis": 2}),
    "gelu": ("Gelu", ["x"], {}),
    "gelu by tanh": ("Gelu", ["x"], {"approximate": "tanh"}),
    "erf": ("Erf", ["x"], {}),
    "slice": ("Slice", ["x", "starts", "ends", "axes", "steps"], {}),
    "slice backwards": ("Slice", ["x", "from", "to", "last", "back"], {}),
    "slice first axes": ("Slice", ["x", "one", "wide1"], {}),
    "expand": ("Expand", ["row", "wide"], {}),
    "where": ("Where", ["mask", "x", "zero"], {}),
    "pad": ("Pad", ["x", "pads"], {}),
    "tile": ("Tile", ["x", "twice"], {}),
    "gather negative": ("Gather", ["x", "from"], {"axis": 2}),
    "flatten from 0": ("Flatten", ["x"], {"axis": 0}),
    "flatten from the end": ("Flatten", ["x"], {"axis": -1}),
    "cast to int32": ("Cast", ["x"], {"to": TensorProto.INT32}),
    "cast to int64": ("Cast", ["x"], {"to": TensorProto.INT64}),
    "cast to bool": ("Cast", ["x"], {"to": TensorProto.BOOL}),
    "max": ("Max", ["x", "row", "zero"], {}),
    "reduce max": ("ReduceMax", ["x", "axes"], {"keepdims": 0}),
    "reciprocal": ("Reciprocal", ["x"], {}),
    "not a number": ("IsNaN", ["gaps"], {}),
    "infinite": ("IsInf", ["gaps"], {}),
    "minus infinity": ("IsInf", ["gaps"], {"detect_positive": 0}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_agrees_with_onnx(tmp_path, name):
    operator, inputs, attributes = OPERATORS[name]
    constants = {**VALUES, "wide1": np.array([2])}
    nodes = [helper.make_node(operator, inputs, ["y"], **attributes)]
    if operator in ("Cast", "IsNaN", "IsInf"):
        nodes[0].output[0] = "whole"
        nodes.append(helper.make_node("Cast", ["whole"], ["y"], to=TensorProto.FLOAT))
    check(tmp_path, nodes, inputs, constants)


def check(folder, nodes, names, constants, opset=20):
    tensors = [numpy_helper.from_array(np.asarray(constants[k]), k) for k in names if k != "x"]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 9, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    if "x" not in names:  # what is computed of constants alone is added to the picture
        nodes = [*nodes, helper.make_node("Add", ["y", "x"], ["z"])]
        y = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [x], [y], tensors)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), folder / "node.onnx")
    given = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32) * 3
    expected = ReferenceEvaluator(str(folder / "node.onnx")).run(None, {"x": given})[0]
    found = OnnxNetwork(folder / "node.onnx")(torch.from_numpy(given)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_split_has_several_outputs(tmp_path):
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("Concat", ["b", "a"], ["y"], axis=1),
    ]
    check(tmp_path, nodes, ["x", "sizes"], VALUES)


@pytest.mark.parametrize("inputs", [["t"], ["t", "axis"]])
def test_squeeze(tmp_path, inputs):
    """All axes of length one, or the one that is named."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["t"]),
        helper.make_node("Squeeze", inputs, ["y"]),
    ]
    check(tmp_path, nodes, ["x", "axis"], VALUES)


def test_squeeze_of_a_longer_axis_is_refused(tmp_path):
    node = helper.make_node("Squeeze", ["x", "one"], ["y"], name="it")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [node], "g", [x], [y], [numpy_helper.from_array(SHAPES["one"], "one")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.graph.output[0].type.tensor_type.shape.dim.add()
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match=r"net\.onnx.*at node 'it' \(Squeeze\): axes=\[1\]"):
        onnx_backbone(tmp_path / "net.onnx")
