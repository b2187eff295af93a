"""ONNX files of strangers: refused by name before anything is read or allocated."""

import os

import numpy as np
import pytest
import torch

from skfakespotter.backbones import WeightsError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from skfakespotter.backbones.onnx import onnx_backbone  # noqa: E402

WEIGHTS = np.ones((4, 3, 1, 1), np.float32)


def write(path, nodes, tensors, shape=("n", 3, 8, 8), opset=13, ir_version=8):
    """Write a graph as it is, without a look at whether it makes sense."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", "k"))],
        [t if isinstance(t, TensorProto) else numpy_helper.from_array(*t) for t in tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    path.write_bytes(model.SerializeToString())
    return path


def conv(**attributes):
    return helper.make_node("Conv", ["x", "w"], ["z"], name="conv", **attributes)


RELU = helper.make_node("Relu", ["z"], ["y"], name="relu")


def outside(location, offset=None, length=None):
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(4, 3, 1, 1))
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
    return tensor


@pytest.mark.parametrize(
    "entry",
    [
        ("../outside.bin",),
        ("../../../../../../etc/hostname",),
        ("/etc/hostname",),
        ("link.bin",),
        ("folder/hostname",),
        ("pipe",),
        ("own.bin", -48, 48),
        ("own.bin", 0, 1 << 40),
        ("own.bin", "abc"),
        ("",),
    ],
    ids=str,
)
def test_weights_outside_the_folder_are_not_read(tmp_path, entry):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(b"a" * 48)
    (folder / "own.bin").write_bytes(b"a" * 48)
    os.symlink("/etc/hostname", folder / "link.bin")
    os.symlink("/etc", folder / "folder")
    os.mkfifo(folder / "pipe")
    path = write(folder / "m.onnx", [conv(), RELU], [outside(*entry)])
    with pytest.raises(WeightsError, match=r"m\.onnx|pipe.*no regular file"):
        onnx_backbone(path)


def test_weights_in_its_own_folder_are_read(tmp_path):
    (tmp_path / "own.bin").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    path = write(tmp_path / "m.onnx", [conv(), RELU], [outside("own.bin", 0, 48)])
    assert onnx_backbone(path).module.conv.weight.flatten().tolist() == list(range(12))


def product(i):
    return helper.make_node("Mul", ["a", "b"], [f"k{i}"], name=f"product{i}")


def doubled(i):
    return helper.make_node("Concat", [f"k{i}"] * 2, [f"k{i + 1}"], axis=0, name=f"twice{i}")


@pytest.mark.parametrize(
    ("nodes", "constants", "shape"),
    [
        ([conv(), RELU], [], ("n", 3, 10**6, 10**6)),
        ([conv(pads=[30_000] * 4), RELU], [], ("n", 3, 8, 8)),
        (
            [conv(), product(0), helper.make_node("Add", ["z", "k0"], ["y"])],
            [(np.ones((10**5, 1), np.float32), "a"), (np.ones((1, 10**5), np.float32), "b")],
            ("n", 3, 8, 8),
        ),
        (
            [conv(), *map(doubled, range(40)), RELU],
            [(np.ones(1, np.float32), "k0")],
            ("n", 3, 8, 8),
        ),
    ],
    ids=["input", "padding", "product", "doubling"],
)
def test_what_would_take_gigabytes_is_refused(tmp_path, nodes, constants, shape):
    path = write(tmp_path / "m.onnx", nodes, [(WEIGHTS, "w"), *constants], shape)
    assert path.stat().st_size < 2 * 10**6
    with pytest.raises(WeightsError, match=r"m\.onnx"):
        onnx_backbone(path)


LARGE = {
    "scores": helper.make_node("Attention", ["t", "t", "t"], ["y"], name="it"),
    "heads side by side": helper.make_node(
        "Attention", ["u", "u", "u"], ["y"], name="it", q_num_heads=3, kv_num_heads=3
    ),
    "outer product": helper.make_node(
        "Einsum", ["u", "u"], ["y"], name="it", equation="nab,ncd->nabcd"
    ),
    "contraction": helper.make_node(
        "Einsum", ["u", "v"], ["y"], name="it", equation="nab,cb->nac"
    ),
    "scales": helper.make_node("Resize", ["x", "", "scales"], ["y"], name="it", mode="linear"),
    "sizes": helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], name="it", mode="linear", axes=[2, 3]
    ),
    "smoothed": helper.make_node(
        "Resize", ["t", "", "", "flat"], ["y"],
        name="it", mode="linear", antialias=1, exclude_outside=1, axes=[2, 3],
    ),
    "places": helper.make_node("GatherND", ["x", "many"], ["y"], name="it", batch_dims=0),
}  # fmt: skip
WIDE = {
    "tall": np.array([0, 1, 49152, 1]),
    "side": np.array([0, 16384, 3]),
    "scales": np.float32([1, 1, 1e3, 1e3]),
    "sizes": np.array([10**5, 10**5]),
    "flat": np.array([1, 2**15]),
    "many": np.zeros((2**14, 1), np.int64),
    "v": np.ones((2**14, 3), np.float32),
}


@pytest.mark.parametrize("name", LARGE)
def test_an_operator_that_would_take_gigabytes_is_refused(tmp_path, name):
    nodes = [
        helper.make_node("Reshape", ["x", "tall"], ["t"]),
        helper.make_node("Reshape", ["x", "side"], ["u"]),
        LARGE[name],
    ]
    tensors = [(value, key) for key, value in WIDE.items()]
    path = write(tmp_path / "m.onnx", nodes, tensors, ("n", 3, 128, 128), opset=23)
    with pytest.raises(WeightsError, match=r"m\.onnx.*node 'it'.*needs too much memory or time"):
        onnx_backbone(path)


def test_attention_among_constants_is_bounded_too(tmp_path):
    """Its weights are 10**10, though it is given and gives 10**5 values."""
    nodes = [
        helper.make_node("Attention", ["q", "q", "q"], ["a"], name="it"),
        helper.make_node("Add", ["x", "a"], ["y"]),
    ]
    q = np.ones((1, 1, 10**5, 1), np.float32)
    path = write(tmp_path / "m.onnx", nodes, [(q, "q")], opset=23)
    with pytest.raises(WeightsError, match=r"m\.onnx.*node 'it'.*values computed from constants"):
        onnx_backbone(path)


def test_numbers_made_of_a_shape_are_bounded(tmp_path):
    """They stay on the host, and are computed while the rest is bounded: 8 GB of them here."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Tile", ["s", "times"], ["t"], name="it"),
        helper.make_node("ReduceMax", ["t"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, [(np.array([2**28]), "times")])
    with pytest.raises(WeightsError, match=r"m\.onnx.*node 'it' \(Tile\): 1073741824 values"):
        onnx_backbone(path)


def test_an_operator_of_another_domain_is_not_taken_for_onnxs(tmp_path):
    node = helper.make_node("Gelu", ["z"], ["y"], name="it", domain="com.example")
    graph = onnx.load(write(tmp_path / "m.onnx", [conv(), node], [(WEIGHTS, "w")], opset=20))
    graph.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(graph, tmp_path / "m.onnx")
    message = r"'it' \(Gelu\): this operator of 'com.example' is not supported. Export .* again"
    with pytest.raises(WeightsError, match=message):
        onnx_backbone(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "node",
    [
        conv(strides=[0, 0]),
        conv(strides=[1, 1, 1]),
        conv(pads=[1, 1]),
        conv(pads=[-3] * 4),
        conv(group=0),
        conv(group=7),
        conv(dilations=[0, 0]),
    ],
    ids=["no stride", "three strides", "two pads", "negative pads", "no group", "7 groups", "none"],
)
def test_attributes_that_make_no_sense_are_named(tmp_path, node):
    path = write(tmp_path / "m.onnx", [node, RELU], [(WEIGHTS, "w")])
    with pytest.raises(WeightsError, match=r"m\.onnx.*conv"):
        onnx_backbone(path)


@pytest.mark.parametrize("versions", [{"opset": 9_999}, {"ir_version": 9_999}], ids=str)
def test_a_newer_file_says_so(tmp_path, versions):
    path = write(tmp_path / "m.onnx", [conv(), RELU], [(WEIGHTS, "w")], **versions)
    with pytest.raises(WeightsError, match=r"m\.onnx.*9999|m\.onnx.*9,999"):
        onnx_backbone(path)


# ---- sound files that were refused ---------------------------------------------------------


def test_a_gemms_bias_may_be_a_row(tmp_path):
    weight = np.arange(12, dtype=np.float32).reshape(4, 3)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], name="fc", transB=1),
    ]
    bias = np.float32([[1, 2, 3, 4]])
    path = write(tmp_path / "m.onnx", nodes, [(weight, "w"), (bias, "b")])
    x = torch.ones(2, 3, 8, 8)
    found = onnx_backbone(path).module(x)
    np.testing.assert_allclose(found.numpy(), [weight.sum(1) + bias[0]] * 2)


def test_prelu_slopes_may_be_a_vector(tmp_path):
    """One slope a channel, broadcast from the right as the standard says: (c, 1, 1) or (c,)."""
    slope = np.float32([0.5])
    nodes = [conv(), helper.make_node("PRelu", ["z", "s"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [(-WEIGHTS, "w"), (slope, "s")])
    found = onnx_backbone(path).module(torch.ones(1, 3, 8, 8))
    assert found.shape == (1, 4, 8, 8)
    assert set(found.flatten().tolist()) == {-1.5}


@pytest.mark.parametrize(("side", "per"), [(8, 1), (4, 3)])  # 4 columns: the standard counts
def test_prelu_slopes_are_of_channels_where_columns_do_not_fit(tmp_path, side, per):
    slope = np.float32([0.1, 0.2, 0.3, 0.4])
    nodes = [conv(), helper.make_node("PRelu", ["z", "s"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, [(-WEIGHTS, "w"), (slope, "s")])
    found = onnx_backbone(path).module(torch.ones(1, 3, side, side))
    shape = [1, 1, 1, 1]
    shape[per] = 4
    expected = np.broadcast_to(-3 * slope.reshape(shape), found.shape)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_batch_norm_that_trains_is_refused(tmp_path):
    ones = np.ones(4, np.float32)
    nodes = [conv(), helper.make_node("BatchNormalization", ["z", *"sbmv"], ["y"], training_mode=1)]
    constants = [(WEIGHTS, "w"), *((ones, name) for name in "sbmv")]
    path = write(tmp_path / "m.onnx", nodes, constants, opset=15)
    with pytest.raises(WeightsError, match=r"BatchNormalization.*training_mode"):
        onnx_backbone(path)
