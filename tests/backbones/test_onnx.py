"""ONNX files: against onnx's own reference evaluator, and the torch network they came from."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter.backbones import Backbone, WeightsError, monitored_layers
from skfakespotter.backbones.onnx import OnnxNetwork, onnx_backbone, register_onnx

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

SIZE = (48, 40)


class Block(nn.Module):
    """A residual block as iresnet has it: batch norm first, PReLU, a skip that may reduce."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + self.downsample(x)


class FaceNet(nn.Module):
    """Small, with the operators of today's face-recognition networks."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.prelu = nn.PReLU(8)
        self.blocks = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.depthwise = nn.Conv2d(16, 16, 3, 2, 1, groups=16)
        self.bn2 = nn.BatchNorm2d(16)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(16 * 6 * 5, 32)
        self.features = nn.BatchNorm1d(32)

    def forward(self, x):
        x = self.blocks(self.prelu(self.bn1(self.conv1(x))))
        x = self.bn2(F.max_pool2d(F.relu(self.depthwise(x)), 2))
        return self.features(self.fc(self.dropout(x).flatten(1)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = FaceNet()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0, 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """The same network: batch norms folded by the exporter, kept, and for one picture only."""
    folder = tmp_path_factory.mktemp("onnx")
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    variants = {
        "folded": {"dynamic_axes": {"x": {0: "n"}}},
        "kept": {"dynamic_axes": {"x": {0: "n"}}, **kept},
        "single": {},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter deprecates itself
        for name, options in variants.items():
            x = torch.zeros(1, 3, *SIZE)
            path = folder / f"{name}.onnx"
            torch.onnx.export(network, (x,), path, dynamo=False, input_names=["x"], **options)
    return {name: folder / f"{name}.onnx" for name in variants}


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (12, *SIZE, 3), dtype=np.uint8)


def folded(network):
    """The torch network with each batch norm after a convolution folded, as exporters do."""
    import copy

    network = copy.deepcopy(network)

    def fold(parent, conv, bn):
        setattr(parent, conv, fuse_conv_bn_eval(getattr(parent, conv), getattr(parent, bn)))
        setattr(parent, bn, nn.Identity())

    fold(network, "conv1", "bn1")
    for block in network.blocks:
        fold(block, "conv1", "bn2")
        fold(block, "conv2", "bn3")
        if not isinstance(block.downsample, nn.Identity):
            fold(block.downsample, "0", "1")
    return network


def save(path, nodes, shape, constants=(), opset=17):
    """Write a graph of the given nodes from ``x`` to ``y``."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


# --- the same coverage as the torch network -------------------------------------------


@pytest.mark.parametrize("variant", ["folded", "kept", "single"])
@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_same_coverage_as_the_torch_network(network, exported, pictures, variant, granularity):
    """Equal but for 5 neurons in a million, at the threshold, that rounding may flip."""
    original = network if variant == "kept" else folded(network)
    twin = Backbone("twin", original, input_size=SIZE, mean=127.5, scale=127.5)
    options = {"granularity": granularity, "batch_size": 5}
    expected = NeuronCoverageTransformer(twin, **options)
    found = NeuronCoverageTransformer(onnx_backbone(exported[variant]), **options)
    counts, reference = found.fit_transform(pictures), expected.fit_transform(pictures)
    # both have eight layers; the skip of a block may come before or after its main path
    distance = np.abs(expected.thresholds_ - found.thresholds_[:, None])
    order = distance.argmin(1)
    assert distance.min(1).max() < 1e-5
    assert sorted(order) == list(range(8))
    np.testing.assert_array_equal(found.n_neurons_, expected.n_neurons_[order])
    if granularity == "channel":
        starts = np.cumsum([0, *expected.n_channels_])
        reference = np.hstack([reference[:, starts[i] : starts[i + 1]] for i in order])
    else:
        reference = reference[:, order]
    flipped = np.abs(counts - reference).sum()
    assert flipped <= max(1, 5e-6 * len(pictures) * found.n_neurons_.sum())


def test_descriptor_and_input_format(network, exported):
    backbone = onnx_backbone(exported["folded"])
    assert backbone.input_size == SIZE
    assert (backbone.mean, backbone.scale, backbone.template) == (127.5, 127.5, "arcface")
    x = torch.randn(3, 3, *SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(x), network(x), rtol=1e-4, atol=1e-5)
    assert len(monitored_layers(backbone.module)) == 8


def test_activations_are_freed_after_their_last_use(exported):
    network = OnnxNetwork(exported["folded"])
    freed = [name for step in network._steps for name in step.finished]
    made = {name for step in network._steps for name in step.outputs}
    assert made - set(freed) == {*network._outputs}
    assert len(freed) == len(set(freed))


def test_all_outputs_at_any_size(tmp_path):
    """A face detector: a fixed batch and size, initializers among the inputs, two heads."""
    constants = {"w": W, "t": RNG.normal(size=(6, 2, 2, 2)).astype(np.float32), "k": SHORT}
    tensors = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    shapes = {"x": (10, 3, 32, 32)} | {name: v.shape for name, v in constants.items()}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w", "k"], ["c"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("ConvTranspose", ["c", "t"], ["up"], strides=[2, 2]),
        helper.make_node("Sigmoid", ["up"], ["heat"]),
    ]
    shapes = {"heat": (10, 2, 32, 32), "c": (10, 6, 16, 16), "k": (6,)}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    onnx.save(model, tmp_path / "detector.onnx")
    network = OnnxNetwork(tmp_path / "detector.onnx", all_outputs=True)
    x = RNG.normal(size=(3, 3, 64, 96)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x, **constants})
    with torch.inference_mode():
        found = network(torch.from_numpy(x))
    assert isinstance(found, tuple)
    assert [tuple(part.shape) for part in found] == [(3, 2, 64, 96), (3, 6, 32, 48), (6,)]
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-4, atol=1e-5)
    first = OnnxNetwork(tmp_path / "detector.onnx")(torch.from_numpy(x))
    torch.testing.assert_close(first, found[0])
    assert len(monitored_layers(network)) == 2


def test_new_exporter_and_external_weights(network, tmp_path):
    pytest.importorskip("onnxscript")
    path = tmp_path / "dynamo.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, *SIZE),),
            path,
            dynamo=True,
            verbose=False,
            dynamic_shapes={"x": {0: torch.export.Dim("n")}},
        )
    x = torch.randn(3, 3, *SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(onnx_backbone(path).module(x), network(x), rtol=1e-4, atol=1e-5)


# --- by name --------------------------------------------------------------------------


def test_registered_file_pickles_small(exported, pictures):
    register_onnx("small_onnx", exported["folded"], overwrite=True, template="sphereface")
    backbone = load_backbone("small_onnx")
    assert backbone.name == "small_onnx"
    assert backbone.template == "sphereface"
    stored = pickle.dumps(backbone)
    assert len(stored) < 500
    assert pickle.loads(stored) is backbone
    coverage = NeuronCoverageTransformer("small_onnx").fit(pictures)
    again = pickle.loads(pickle.dumps(coverage))
    np.testing.assert_array_equal(again.transform(pictures), coverage.transform(pictures))
    other = load_backbone("small_onnx", weights=exported["kept"])
    assert other.fingerprint != backbone.fingerprint
    with pytest.raises(ValueError, match="an ONNX file has no untrained network"):
        load_backbone("small_onnx", weights="random")


def test_unregistered_backbone_pickles_whole(exported):
    backbone = onnx_backbone(exported["folded"])
    again = pickle.loads(pickle.dumps(backbone))
    assert again.fingerprint == backbone.fingerprint
    x = torch.randn(1, 3, *SIZE)
    torch.testing.assert_close(again.module(x), backbone.module(x))


def test_fingerprint_sees_the_graph(tmp_path):
    """Two graphs with the same layers and weights, wired differently."""
    weights = {"w": np.ones((4, 3, 1, 1), np.float32)}
    conv = helper.make_node("Conv", ["x", "w"], ["c"], name="conv")
    paths = [
        save(
            tmp_path / f"{op}.onnx",
            [conv, helper.make_node(op, ["c"], ["y"])],
            ["n", 3, 8, 8],
            weights,
        )
        for op in ("Relu", "Tanh")
    ]
    assert len({onnx_backbone(path).fingerprint for path in paths}) == 2


# --- operators, against onnx's reference ----------------------------------------------

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 3, 3, 3)).astype(np.float32)
SHORT = RNG.normal(size=(6,)).astype(np.float32)
MATRIX = RNG.normal(size=(8, 5)).astype(np.float32)
INTS = {name: np.array(v, np.int64) for name, v in (("a1", [1]), ("a23", [2, 3]), ("m1", [0, -1]))}
OPERATORS = {
    "conv": ("Conv", ["x", "w", "b"], {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    "uneven conv": ("Conv", ["x", "w"], {"pads": [0, 1, 2, 0]}),
    "dilated conv": ("Conv", ["x", "w"], {"dilations": [2, 2], "auto_pad": "VALID"}),
    "transposed conv": ("ConvTranspose", ["x", "t", "b"], {"strides": [2, 2], "pads": [1] * 4}),
    "matmul": ("MatMul", ["x", "matrix"], {}),
    "max pool": ("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    "average pool": ("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "padded average": ("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1] * 4}),
    "global average": ("GlobalAveragePool", ["x"], {}),
    "global max": ("GlobalMaxPool", ["x"], {}),
    "prelu": ("PRelu", ["x", "slope"], {}),
    "one slope": ("PRelu", ["x", "half"], {}),
    "slope per column": ("PRelu", ["x", "row"], {}),
    "slope per row": ("PRelu", ["x", "column"], {}),
    "leaky": ("LeakyRelu", ["x"], {"alpha": 0.3}),
    "leaky by default": ("LeakyRelu", ["x"], {}),
    "elu by default": ("Elu", ["x"], {}),
    "elu": ("Elu", ["x"], {"alpha": 0.7}),
    "clip": ("Clip", ["x", "low", "high"], {}),
    "clip above": ("Clip", ["x", "", "high"], {}),
    "hard sigmoid": ("HardSigmoid", ["x"], {"alpha": 0.3}),
    "hard sigmoid by default": ("HardSigmoid", ["x"], {}),
    "hard swish": ("HardSwish", ["x"], {}),
    "sigmoid": ("Sigmoid", ["x"], {}),
    "subtract": ("Sub", ["x", "half"], {}),
    "divide": ("Div", ["half", "x"], {}),
    "power": ("Pow", ["x", "two"], {}),
    "batch norm": ("BatchNormalization", ["x", "c", "c", "c", "c2"], {"epsilon": 1e-3}),
    "flatten": ("Flatten", ["x"], {"axis": 2}),
    "flatten all but": ("Flatten", ["x"], {}),
    "reshape": ("Reshape", ["x", "m1"], {}),
    "transpose": ("Transpose", ["x"], {"perm": [0, 2, 3, 1]}),
    "unsqueeze": ("Unsqueeze", ["x", "a1"], {}),
    "reduce mean": ("ReduceMean", ["x"], {"axes": [2, 3], "keepdims": 0}),
    "reduce L2": ("ReduceL2", ["x"], {"axes": [1]}),
    "reduce sum": ("ReduceSum", ["x", "a23"], {"keepdims": 0}),
    "normalize": ("LpNormalization", ["x"], {"axis": 1, "p": 2}),
    "softmax": ("Softmax", ["x"], {"axis": 1}),
    "softmax by default": ("Softmax", ["x"], {}),
    "normalize by default": ("LpNormalization", ["x"], {}),
    "layer norm": ("LayerNormalization", ["x", "row", "half"], {"axis": 3}),
    "layer norm by default": ("LayerNormalization", ["x", "row"], {}),
    "remainder": ("Mod", ["x", "half"], {"fmod": 1}),
    "batch norm by default": ("BatchNormalization", ["x", "c", "c", "c", "c2"], {}),
    "gather": ("Gather", ["x", "a1"], {"axis": 3}),
    "concat": ("Concat", ["x", "x"], {"axis": 1}),
    "cast": ("Cast", ["x"], {"to": TensorProto.FLOAT}),
    "dropout": ("Dropout", ["x"], {}),
}
CONSTANTS = {
    "w": W,
    "b": SHORT,
    "t": W.transpose(1, 0, 2, 3),
    "matrix": MATRIX,
    "slope": np.array([0.1, 0.2, 0.3], np.float32)[:, None, None],
    "row": np.linspace(0, 1, 8, dtype=np.float32),
    "column": np.linspace(0, 1, 9, dtype=np.float32)[:, None],
    "half": np.array([0.5], np.float32),
    "two": np.array(2, np.float32),
    "low": np.array(-0.5, np.float32),
    "high": np.array(0.8, np.float32),
    "c": np.array([0.3, -0.2, 0.1], np.float32),
    "c2": np.array([0.5, 1.0, 2.0], np.float32),
    **INTS,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_agrees_with_onnx(tmp_path, name):
    operator, inputs, attributes = OPERATORS[name]
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    constants = {key: CONSTANTS[key] for key in inputs if key in CONSTANTS}
    path = save(tmp_path / "node.onnx", [node], [2, 3, 9, 8], constants)
    x = RNG.normal(size=(2, 3, 9, 8)).astype(np.float32)
    if name == "power":
        x = np.abs(x)
    expected = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    with torch.inference_mode():
        found = OnnxNetwork(path)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [None, 1, 2, -1])
def test_softmax_of_old_runs_over_all_axes_from_its_own_on(tmp_path, axis):
    node = helper.make_node("Softmax", ["x"], ["y"], **({} if axis is None else {"axis": axis}))
    path = save(tmp_path / "old.onnx", [node], [2, 3, 9, 8], opset=11)
    x = RNG.normal(size=(2, 3, 9, 8)).astype(np.float32)
    split = 1 if axis is None else axis % 4
    rows = np.exp(x.reshape(int(np.prod(x.shape[:split])), -1).astype(float))
    expected = (rows / rows.sum(1, keepdims=True)).reshape(x.shape)
    found = OnnxNetwork(path)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_grouped_transposed_convolution(tmp_path):
    """By hand, because onnx's reference knows no groups here: each group goes by itself."""
    node = helper.make_node("ConvTranspose", ["x", "t"], ["y"], group=3, strides=[2, 1])
    kernels = CONSTANTS["t"]
    path = save(tmp_path / "grouped.onnx", [node], [2, 3, 9, 8], {"t": kernels})
    x = RNG.normal(size=(2, 3, 9, 8)).astype(np.float32)
    expected = np.zeros((2, 18, 2 * 8 + 3, 7 + 3), np.float32)
    for channel in range(3):
        for row in range(9):
            for column in range(8):
                place = expected[:, 6 * channel : 6 * channel + 6]
                place[:, :, 2 * row : 2 * row + 3, column : column + 3] += (
                    x[:, channel, row, column][:, None, None, None] * kernels[channel]
                )
    found = OnnxNetwork(path)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_uneven_max_pool(tmp_path):
    """By hand, because onnx's reference swaps rows and columns here."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    path = save(tmp_path / "pool.onnx", [node], [1, 3, 9, 8])
    x = -np.abs(RNG.normal(size=(1, 3, 9, 8))).astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=-np.inf)
    shifted = [padded[:, :, i : i + 9, j : j + 8] for i in (0, 1) for j in (0, 1)]
    found = OnnxNetwork(path)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(found, np.max(shifted, 0))


def test_gemm_options(tmp_path):
    matrix = RNG.normal(size=(192, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], alpha=0.5, beta=2.0),
    ]
    constants = {"w": matrix, "b": np.ones(1, np.float32)}
    path = save(tmp_path / "gemm.onnx", nodes, ["n", 3, 8, 8], constants)
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected = 0.5 * x.reshape(2, -1) @ matrix + 2
    with torch.inference_mode():
        found = onnx_backbone(path).module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bias_added_to_a_product_belongs_to_the_layer(tmp_path):
    """What torch exports a Linear as, on inputs of more than two dimensions."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="/fc/MatMul"),
        helper.make_node("Add", ["b", "p"], ["q"]),
        helper.make_node("Relu", ["q"], ["y"]),
    ]
    path = save(tmp_path / "fc.onnx", nodes, ["n", 3, 8, 8], {"w": MATRIX, "b": MATRIX[0]})
    layers = monitored_layers(OnnxNetwork(path))
    assert list(layers) == ["fc_MatMul"]
    np.testing.assert_array_equal(layers["fc_MatMul"].bias, MATRIX[0])
    x = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(OnnxNetwork(path)(torch.from_numpy(x)), expected, atol=1e-5)


def test_shape_computed_in_the_graph(tmp_path):
    """x.reshape(len(x), -1) as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    constants = {"axis": np.array([0]), "rest": np.array([-1])}
    path = save(tmp_path / "shape.onnx", nodes, ["n", 3, 8, 8], constants)
    assert OnnxNetwork(path)(torch.zeros(4, 3, 8, 8)).shape == (4, 192)


# --- files that are refused -----------------------------------------------------------


def test_broken_files_are_refused(tmp_path, exported):
    text, empty, cut = (tmp_path / f"{name}.onnx" for name in ("text", "empty", "cut"))
    text.write_text("<html>Sign in to download</html>")
    empty.write_bytes(b"")
    cut.write_bytes(exported["folded"].read_bytes()[:3000])
    for path in (text, empty, cut):
        with pytest.raises(WeightsError, match=rf"{path.name}.*is no ONNX file, or is truncated"):
            onnx_backbone(path)
    with pytest.raises(WeightsError, match=r"none\.onnx.*cannot be read"):
        onnx_backbone(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("node", "shape", "message"),
    [
        (("Det", ["x"], {}), ["n", 3, 8, 8], r"'it' \(Det\): this operator is not supp"),
        (("Conv", ["x", "x"], {}), ["n", 3, 8, 8], r"\(Conv\): its weights are not constant"),
        (("Conv", ["x", "w"], {"auto_pad": "SAME_UPPER"}), ["n", 3, 8, 8], r"auto_pad=SAME"),
        (("Relu", ["x"], {}), ["n", 8, 8, 3], r"expected one input of shape \(n, 3, h, w\)"),
        (("Relu", ["x"], {}), ["n", 3, "h", "w"], r"pass input_size="),
        (("Softmax", ["x"], {"axis": 0}), ["n", 3, 8, 8], r"other results for two pictures"),
        (("Reshape", ["x", "bad"], {}), ["n", 3, 8, 9], r"does not run on \(2, 3, 8, 9\)"),
    ],
)
def test_networks_that_cannot_serve_are_refused(tmp_path, node, shape, message):
    operator, inputs, attributes = node
    made = helper.make_node(operator, inputs, ["y"], name="it", **attributes)
    path = save(tmp_path / "bad.onnx", [made], shape, {"w": W, "bad": np.array([5, 7])})
    with pytest.raises(WeightsError, match=message):
        onnx_backbone(path)


def test_missing_package_is_named(monkeypatch, exported):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install \"skfakespotter\[onnx\]\""):
        onnx_backbone(exported["folded"])


# --- files that change ----------------------------------------------------------------


def export(path, seed):
    weights = np.random.default_rng(seed).normal(size=(4, 3, 1, 1)).astype(np.float32)
    conv = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    save(path, [conv], ["n", 3, 8, 8], {"w": weights})
    return weights


def weights_of(backbone):
    return load_backbone(backbone).module.conv.weight.numpy()


def test_a_file_exported_again_is_read_again(tmp_path):
    """Under the same path and with the same size, three times within a moment."""
    path = tmp_path / "net.onnx"
    register_onnx("renewed", path, overwrite=True)
    for seed in range(3):
        weights = export(path, seed)
        np.testing.assert_array_equal(weights_of(f"onnx:{path}"), weights)
        np.testing.assert_array_equal(weights_of("renewed"), weights)
        assert load_backbone(f"onnx:{path}") is load_backbone(f"onnx:{path}")


def test_weights_beside_the_file_are_read_again(tmp_path):
    path = tmp_path / "net.onnx"
    for seed in range(2):
        weights = export(path, seed)
        model = onnx.load(path)
        options = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
        (tmp_path / "net.data").unlink(missing_ok=True)
        onnx.save(model, path, **options)
        np.testing.assert_array_equal(weights_of(f"onnx:{path}"), weights)
    assert load_backbone(f"onnx:{path}").module.files_beside == ["net.data"]


def test_a_relative_path_is_of_the_working_folder(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (export(tmp_path / name / "net.onnx", i) for i, name in enumerate("ab"))
    monkeypatch.chdir(tmp_path / "a")
    np.testing.assert_array_equal(weights_of("onnx:net.onnx"), first)
    stored = pickle.dumps(load_backbone("onnx:net.onnx"))
    monkeypatch.chdir(tmp_path / "b")
    np.testing.assert_array_equal(weights_of("onnx:net.onnx"), second)
    np.testing.assert_array_equal(pickle.loads(stored).module.conv.weight, first)
