"""ONNX files of vision transformers, written by torch's current exporter, and their operators."""

import re
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


@pytest.mark.parametrize(("fused", "opset"), [(False, None), (True, None), (True, 23)])
def test_a_vision_transformer_gives_the_originals_outputs_and_counts(tmp_path, fused, opset):
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
            opset_version=opset,
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
    norms = NeuronCoverageTransformer(backbone, layers="LayerNorm", tokens="class")
    expected = NeuronCoverageTransformer(twin, layers="LayerNorm", tokens="class")
    found, expected = norms.fit_transform(pictures), expected.fit_transform(pictures)
    assert found.shape == (6, 5)  # two in each block, and the last
    assert np.abs(found - expected).max() <= 2
    assert all("norm" in name for name in norms.layer_names_)


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
    "three": np.array([1, 2, 0.5], np.float32),
    "minus3": np.array([-1, 0.5, 0], np.float32),
    "square": np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8),
    "places2": np.array([[0, 2], [1, 0], [-1, -1]]),
    "places4": np.array([[0, 2, 8, 7], [1, 0, 0, 0], [-1, -1, -9, 3]]),
    "rows": np.arange(12).reshape(2, 3, 2, 1) % 9,
    "wide_rows": np.array([[[0, 5]], [[2, -1]]]),
    "parts": np.linspace(-1, 1, 216, dtype=np.float32).reshape(3, 9, 8),
    "seen": np.arange(81).reshape(9, 9) % 4 > 0,
    "bias": np.linspace(-1, 1, 243, dtype=np.float32).reshape(3, 9, 9),
    "new_size": np.array([2, 3, 13, 5]),
    "small_size": np.array([2, 3, 4, 3]),
    "two_sizes": np.array([4, 15]),
    "twice_as_high": np.array([1, 1, 2, 1.25], np.float32),
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
    "mish": ("Mish", ["x"], {}),
    "instance norm": ("InstanceNormalization", ["x", "three", "minus3"], {"epsilon": 1e-3}),
    "group norm": ("GroupNormalization", ["x", "three", "minus3"], {"num_groups": 3}),
    "one group": ("GroupNormalization", ["x", "three", "minus3"], {"num_groups": 1}),
    "einsum": ("Einsum", ["x", "x"], {"equation": "B G I D, B G J D -> B G I J"}),
    "einsum of one": ("Einsum", ["x"], {"equation": "bchw->bwc"}),
    "einsum with weights": ("Einsum", ["x", "square"], {"equation": "bchw,wv->bvhc"}),
    "gather parts": ("GatherND", ["x", "places2"], {}),
    "gather values": ("GatherND", ["x", "places4"], {}),
    "gather in each row": ("GatherND", ["x", "rows"], {"batch_dims": 2}),
    "gather in each picture": ("GatherND", ["x", "wide_rows"], {"batch_dims": 1}),
    "scatter parts": ("ScatterND", ["x", "places2", "parts"], {}),
    "scatter values": ("ScatterND", ["x", "places4", "three"], {}),
    "attention": ("Attention", ["x", "x", "x"], {}),
    "attention by scale": ("Attention", ["x", "x", "x"], {"scale": 0.3}),
    "causal attention": ("Attention", ["x", "x", "x"], {"is_causal": 1}),
    "masked attention": ("Attention", ["x", "x", "x", "seen"], {}),
    "biased attention": ("Attention", ["x", "x", "x", "bias"], {}),
    **{
        f"resize {mode} {coordinates} {sizes}": (
            "Resize",
            ["x", "", "", sizes] if "size" in sizes else ["x", "", sizes],
            {"mode": mode, "coordinate_transformation_mode": coordinates, **more},
        )
        for mode, coordinates, more in (
            ("nearest", "asymmetric", {"nearest_mode": "floor"}),
            ("nearest", "half_pixel", {"nearest_mode": "round_prefer_ceil"}),
            ("linear", "half_pixel", {}),
            ("linear", "align_corners", {}),
            ("cubic", "pytorch_half_pixel", {}),
            ("cubic", "align_corners", {}),
        )
        for sizes in ("new_size", "twice_as_high")
    },
    "resize linear smoothed": (
        "Resize",
        ["x", "", "", "small_size"],
        {"mode": "linear", "antialias": 1, "exclude_outside": 1},
    ),
    "resize cubic smoothed": (
        "Resize",
        ["x", "", "", "small_size"],
        {"mode": "cubic", "antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5},
    ),
    "resize two axes": (
        "Resize",
        ["x", "", "", "two_sizes"],
        {"mode": "linear", "axes": [2, 3]},
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_agrees_with_onnx(tmp_path, name):
    operator, inputs, attributes = OPERATORS[name]
    constants = {**VALUES, "wide1": np.array([2])}
    nodes = [helper.make_node(operator, inputs, ["y"], **attributes)]
    if operator in ("Cast", "IsNaN", "IsInf"):
        nodes[0].output[0] = "whole"
        nodes.append(helper.make_node("Cast", ["whole"], ["y"], to=TensorProto.FLOAT))
    check(tmp_path, nodes, inputs, constants, opset=23)


def check(folder, nodes, names, constants, opset=20):
    """Compare with the reference what the nodes make of a picture ``x``."""
    tensors = {name: constants[name] for name in names if name not in ("x", "")}
    if "x" not in names:  # what is computed of constants alone is added to the picture
        nodes = [*nodes, helper.make_node("Add", ["y", "x"], ["z"])]
    path = save(folder, nodes, tensors, opset, output=nodes[-1].output[0])
    given = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32) * 3
    expected = ReferenceEvaluator(str(path)).run(None, {"x": given})[0]
    found = OnnxNetwork(path)(torch.from_numpy(given)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def save(folder, nodes, tensors, opset=20, batch="n", output="y"):
    """Write a graph from pictures ``x`` of 9 by 8 pixels."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 9, 8])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["any"])  # nobody heeds it
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], tensors)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, folder / "node.onnx")
    return folder / "node.onnx"


def test_attention_of_heads_side_by_side(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "rows3"], ["t"]),
        helper.make_node("Attention", ["t", "t", "t"], ["y"], q_num_heads=4, kv_num_heads=4),
    ]
    check(tmp_path, nodes, ["x", "rows3"], {**VALUES, "rows3": np.array([0, 27, 8])}, opset=23)


def test_size(tmp_path):
    nodes = [
        helper.make_node("Size", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "f"], ["y"]),
    ]
    check(tmp_path, nodes, ["x"], VALUES)


def test_resize_of_old_and_for_one_picture(tmp_path):
    """At opset 10 the scales come second; a file for one picture has sizes for one."""
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32)
    expected = x.repeat(2, 2).repeat(3, 3)
    old = helper.make_node("Resize", ["x", "scales"], ["y"], mode="nearest")
    scales = {"scales": np.float32([1, 1, 2, 3])}
    path = save(tmp_path, [old], scales, opset=10)
    np.testing.assert_array_equal(OnnxNetwork(path)(torch.from_numpy(x)), expected)
    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    one = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **asymmetric)
    path = save(tmp_path, [one], {"sizes": np.array([1, 3, 18, 24])}, batch=1)
    np.testing.assert_array_equal(OnnxNetwork(path)(torch.from_numpy(x)), expected)


REFUSED = {
    "Resize": [
        ({}, "mode=nearest with coordinates half_pixel round_prefer_floor"),
        ({"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, "asymmetric"),
        ({"mode": "cubic", "cubic_coeff_a": -0.5}, "cubic_coeff_a=-0.5"),
        ({"mode": "linear", "exclude_outside": 1}, "exclude_outside=1"),
    ],
    "Attention": [({"softcap": 2.0}, "softcap=2.0")],
    "Einsum": [
        ({"equation": "...h,...w->...hw"}, "the equation '...h,...w->...hw'"),
        ({"equation": "nchw,nchh->nchw"}, "an axis 'h' of 9 and 8"),
    ],
    "ScatterND": [({"reduction": "add"}, "reduction=add")],
}
REFUSED = [(operator, *case) for operator, cases in REFUSED.items() for case in cases]


@pytest.mark.parametrize(("operator", "attributes", "message"), REFUSED)
def test_variants_that_would_be_computed_otherwise_are_refused(
    tmp_path, operator, attributes, message
):
    given = {"Resize": ["", "", "new_size"], "Attention": ["x", "x"], "Einsum": ["x"]}
    inputs = ["x", *given.get(operator, ["places2", "parts"])]
    node = helper.make_node(operator, inputs, ["y"], name="it", **attributes)
    path = save(tmp_path, [node], {k: VALUES[k] for k in inputs if k in VALUES}, opset=23)
    with pytest.raises(WeightsError, match=rf"'it' \({operator}\): .*{re.escape(message)}"):
        onnx_backbone(path)


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
    path = save(tmp_path, [node], {"one": SHAPES["one"]})
    with pytest.raises(WeightsError, match=r"node\.onnx.*at node 'it' \(Squeeze\): axes=\[1\]"):
        onnx_backbone(path)
