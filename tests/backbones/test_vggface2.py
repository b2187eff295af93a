"""VGGFace2's networks against Caffe's description of them, written out here again."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from weight_files import python2_pickle, write_keras

from skfakespotter import NeuronCoverageTransformer, load_backbone, make_pictures
from skfakespotter.backbones import WeightsError, monitored_layers, place
from skfakespotter.backbones.vggface2 import (
    VGGFace2Net,
    published_names,
    random_network,
    read_network,
    vggface2_resnet50,
    vggface2_senet50,
)

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
SPEC = "skfakespotter.backbones.vggface2:vggface2_resnet50"


def convolutions(squeeze):
    """Yield (torchvision's conv and bn, Caffe's name, kernel shape) in Caffe's order."""
    yield "conv1", "bn1", "conv1/7x7_s2", (64, 3, 7, 7)
    inputs = 64
    for stage, (width, n_blocks) in enumerate(STAGES, 1):
        for block in range(n_blocks):
            ours, caffe = f"layer{stage}.{block}", f"conv{stage + 1}_{block + 1}"
            outputs = 4 * width
            yield f"{ours}.conv1", f"{ours}.bn1", f"{caffe}_1x1_reduce", (width, inputs, 1, 1)
            yield f"{ours}.conv2", f"{ours}.bn2", f"{caffe}_3x3", (width, width, 3, 3)
            yield f"{ours}.conv3", f"{ours}.bn3", f"{caffe}_1x1_increase", (outputs, width, 1, 1)
            if squeeze:
                hidden = outputs // 16
                yield f"{ours}.conv4", None, f"{caffe}_1x1_down", (hidden, outputs, 1, 1)
                yield f"{ours}.conv5", None, f"{caffe}_1x1_up", (outputs, hidden, 1, 1)
            if block == 0:
                skip = f"{ours}.downsample."
                yield f"{skip}0", f"{skip}1", f"{caffe}_1x1_proj", (outputs, inputs, 1, 1)
            inputs = outputs


def caffe_weights(squeeze):
    """Draw weights, in Caffe's names, that keep activations near 1."""
    generator = torch.Generator().manual_seed(0)

    def uniform(n, low, high):
        return low + (high - low) * torch.rand(n, generator=generator)

    weights = {}
    for _, bn, name, shape in convolutions(squeeze):
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        weights[f"{name}.weight"] = deviation * torch.randn(shape, generator=generator)
        n = shape[0]
        if bn is None:
            weights[f"{name}.bias"] = uniform(n, -1, 1)
            continue
        weights[f"{name}/bn.weight"] = uniform(n, 0.3, 0.9)
        weights[f"{name}/bn.bias"] = uniform(n, -0.2, 0.2)
        weights[f"{name}/bn.running_mean"] = uniform(n, -0.3, 0.3)
        weights[f"{name}/bn.running_var"] = uniform(n, 0.5, 2)
    weights["classifier.weight"] = torch.randn(8631, 2048, generator=generator) / 45
    weights["classifier.bias"] = uniform(8631, -1, 1)
    return weights


def caffe_forward(x, weights, squeeze):
    """Run the published prototxt, layer by layer; give every layer's (normalized) output."""
    outputs = {}

    def conv(name, x, stride=1, padding=0):
        x = F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, padding)
        if f"{name}/bn.weight" in weights:
            kinds = ("running_mean", "running_var", "weight", "bias")
            mean, var, scale, shift = (weights[f"{name}/bn.{k}"].view(-1, 1, 1) for k in kinds)
            x = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        outputs[name] = x
        return x

    x = conv("conv1/7x7_s2", x, 2, 3).clamp(min=0)
    # without padding, Caffe's pooling has a last, narrower window: 112 -> 56
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for stage, (_, n_blocks) in enumerate(STAGES, 2):
        for block in range(1, n_blocks + 1):
            name, stride = f"conv{stage}_{block}", 2 if stage > 2 and block == 1 else 1
            y = conv(f"{name}_1x1_reduce", x, stride).clamp(min=0)
            y = conv(f"{name}_3x3", y, 1, 1).clamp(min=0)
            y = conv(f"{name}_1x1_increase", y)
            if squeeze:
                gate = conv(f"{name}_1x1_down", F.adaptive_avg_pool2d(y, 1)).clamp(min=0)
                y = y / (1 + (-conv(f"{name}_1x1_up", gate)).exp())
            x = (y + (conv(f"{name}_1x1_proj", x, stride) if block == 1 else x)).clamp(min=0)
    assert x.shape[1:] == (2048, 7, 7)
    x = x.sum((2, 3)) / 49
    outputs["classifier"] = x @ weights["classifier.weight"].T + weights["classifier.bias"]
    return outputs


def in_torchvision_names(weights, squeeze):
    names = {"classifier": "fc"}
    for conv, bn, caffe, _ in convolutions(squeeze):
        names |= {caffe: conv, f"{caffe}/bn": bn}
    split = {key: key.rpartition(".") for key in weights}
    return {f"{names[layer]}.{kind}": weights[key] for key, (layer, _, kind) in split.items()}


def write_python2_pickle(path, weights, squeeze):
    """The PyTorch port's files: torchvision's names, BGR."""
    named = in_torchvision_names(weights, squeeze)
    path.write_bytes(python2_pickle({key: t.numpy() for key, t in named.items()}))


def write_oxford_export(path, weights, squeeze):
    """Oxford's exports: Caffe's names with underscores, RGB, the classifier a convolution."""
    named = {key.replace("/", "_"): tensor for key, tensor in weights.items()}
    for key in [key for key in named if key.endswith("running_var")]:
        named[key.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    named["conv1_7x7_s2.weight"] = named["conv1_7x7_s2.weight"].flip(1).contiguous()
    named["classifier.weight"] = named["classifier.weight"][:, :, None, None]
    torch.save(named, path, _use_new_zipfile_serialization=False)


def write_keras_file(path, weights, squeeze):
    """keras-vggface's files: Caffe's names, kernels (h, w, in, out), BGR."""
    kinds = {"running_mean": "moving_mean", "running_var": "moving_variance", "bias": "bias"}
    layers = {}
    for key, tensor in weights.items():
        layer, _, kind = key.rpartition(".")
        normalization = layer.endswith("/bn")
        kind = (
            {"weight": "gamma", "bias": "beta"}.get(kind, kinds.get(kind))
            if normalization
            else ({"weight": "kernel", "bias": "bias"}[kind])
        )
        order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
        layers.setdefault(layer, {})[kind] = tensor.permute(order).numpy()
    write_keras(pytest.importorskip("h5py"), path, layers, whole_model=False)


@pytest.fixture(scope="module", params=[False, True], ids=["resnet50", "senet50"])
def squeeze(request):
    return request.param


@pytest.fixture(scope="module")
def published(squeeze):
    return caffe_weights(squeeze)


@pytest.fixture(scope="module")
def backbone():
    """The seeded paper's network, made once."""
    return vggface2_resnet50("random")


@pytest.mark.parametrize("write", [write_python2_pickle, write_oxford_export, write_keras_file])
def test_published_layouts_load_to_equal_weights(tmp_path, published, squeeze, write):
    architecture = "senet50" if squeeze else "resnet50"
    path = tmp_path / "weights"
    write(path, published, squeeze)
    network = read_network(path, architecture, fold=False)
    expected = in_torchvision_names(published, squeeze)
    state = network.state_dict()
    assert {key for key in state if "num_batches" not in key} == set(expected)
    for key, tensor in expected.items():
        assert torch.equal(state[key], tensor), key
    path.unlink()  # 165 MB


def test_layers_agree_with_caffes_description(published, squeeze):
    """The folded convolution gives what the normalization gives, in every layer."""
    state = in_torchvision_names(published, squeeze)
    network = VGGFace2Net(squeeze).requires_grad_(False).eval()
    network.load_state_dict(state, strict=False)  # without num_batches_tracked
    x = 60 * torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = caffe_forward(x, published, squeeze)
    names = {conv: caffe for conv, _, caffe, _ in convolutions(squeeze)} | {"fc": "classifier"}
    plain = network(x)
    torch.testing.assert_close(plain, expected["classifier"], rtol=1e-4, atol=1e-4)

    found = {}
    layers = monitored_layers(network.fold())
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
    network(x)
    assert list(found) == list(layers) == list(names)
    for name, output in found.items():
        reference = expected[names[name]]
        assert output.shape == reference.shape
        error = (output - reference).abs().max() / reference.abs().max()
        assert error < 2e-5, (name, error)


def test_number_of_layers_and_units(squeeze):
    with torch.device("meta"):
        network = VGGFace2Net(squeeze).eval()
    units = {}
    for name, layer in monitored_layers(network).items():
        layer.register_forward_hook(
            lambda _, __, out, name=name: units.update({name: out[0].numel()})
        )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    stem_and_classes = 64 * 112**2 + 8631
    per_side = {1: 56, 2: 28, 3: 14, 4: 7}
    blocks = sum(
        n * 6 * width * per_side[i] ** 2 + 4 * width * per_side[i] ** 2
        for i, (width, n) in enumerate(STAGES, 1)
    )  # 1 + 1 + 4 widths per block, and the projection of the first
    gates = sum(n * (4 * width + width // 4) for width, n in STAGES) if squeeze else 0
    assert sum(units.values()) == stem_and_classes + blocks + gates
    assert (len(units), sum(units.values())) == ((86, 10_611_815) if squeeze else (54, 10_595_767))


def test_equations_1_and_2_against_a_literal_reference(backbone):
    X, _ = make_pictures(4, size=256, random_state=0)
    coverage = NeuronCoverageTransformer(backbone, device="cpu", batch_size=4).fit(X)
    counts = coverage.transform(X)
    assert counts.shape == (4, 54)
    assert coverage.n_neurons_.sum() == 10_595_767

    pixels = torch.from_numpy(X[:, 16:240, 16:240, ::-1].copy()).float()  # center, BGR
    x = (pixels - torch.tensor([91.4953, 103.8827, 131.0912])).permute(0, 3, 1, 2)
    network = place(
        backbone, torch.device("cpu"), (3, 224, 224)
    ).module  # the same kernels, so that counts are equal
    outputs = {}
    handles = [
        layer.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
        for name, layer in monitored_layers(network).items()
    ]
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    assert len(outputs) == 54
    for name, output in outputs.items():
        column = coverage.layer_names_.index(name)
        values = output.numpy()
        threshold = values.astype(np.float64).mean()  # equation 1
        tolerance = 1e-6 * float(values.std())
        assert coverage.thresholds_[column] == pytest.approx(threshold, abs=tolerance)
        exceeding = values > np.float32(coverage.thresholds_[column])
        expected = [np.count_nonzero(picture) for picture in exceeding]  # equation 2
        assert counts[:, column].tolist() == expected, name


class TestInput:
    def test_bgr_and_mean(self, backbone):
        red = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
        red[:, 0] = 200
        x = backbone.preprocess(red)
        np.testing.assert_allclose(x[0, :, 0, 0], [-91.4953, -103.8827, 200 - 131.0912], rtol=1e-6)

    @pytest.mark.parametrize("shape", [(256, 256), (512, 512), (300, 400), (500, 333)])
    def test_shorter_side_256_then_center_224(self, backbone, shape):
        picture = np.asarray(
            Image.fromarray(make_pictures(2, size=64, random_state=0)[0][0]).resize(shape[::-1])
        )
        ratio = 256 / min(shape)
        resized = Image.fromarray(picture).resize(
            (round(shape[1] * ratio), round(shape[0] * ratio)), Image.Resampling.BICUBIC
        )
        left, top = ((side - 224) // 2 for side in resized.size)
        expected = np.asarray(resized)[top : top + 224, left : left + 224].astype(int)
        taken = {}
        network = place(backbone, torch.device("cpu"), (3, 224, 224)).module
        hook = network.conv1.register_forward_pre_hook(lambda _, inputs: taken.update(x=inputs[0]))
        NeuronCoverageTransformer(backbone, layers="conv1", device="cpu").fit([picture])
        hook.remove()
        mean = torch.tensor(backbone.mean).view(-1, 1, 1)
        found = (taken["x"][0] + mean).flip(0).permute(1, 2, 0).numpy()
        # up to the half pixel that rounding moves the crop
        assert np.abs(found - expected).mean() < (0.01 if shape[0] == shape[1] else 3)

    def test_crop_counts_in_the_fingerprint(self, backbone):
        other = type(backbone)(
            backbone.name,
            backbone.module,
            input_size=(224, 224),
            mean=backbone.mean,
            channel_order="BGR",
        )
        assert other.fingerprint != backbone.fingerprint


class TestWeights:
    def test_random_is_seeded_and_leaves_the_generator(self, backbone):
        before = torch.random.get_rng_state()
        again = random_network()
        assert torch.equal(torch.random.get_rng_state(), before)
        for key, tensor in backbone.module.state_dict().items():
            assert torch.equal(again.state_dict()[key], tensor), key
        assert not torch.equal(random_network(seed=1).conv1.weight, again.conv1.weight)

    def test_senet(self):
        senet = vggface2_senet50("random")
        assert repr(senet).startswith("<Backbone 'vggface2_senet50': 86 conv and fc layers")

    def test_environment_variable_and_file_and_folder(self, tmp_path, monkeypatch):
        path = tmp_path / "senet50_scratch_dag.pth"
        torch.save(hollow(squeeze=True), path)
        monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(tmp_path))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
        monkeypatch.setenv("APPDATA", str(tmp_path / "none"))
        spec = SPEC.replace("resnet50", "senet50")
        by_variable = load_backbone(spec)
        monkeypatch.delenv("SKFAKESPOTTER_WEIGHTS")
        by_file, by_folder = (
            load_backbone(spec, weights=path),
            load_backbone(spec, weights=tmp_path),
        )
        assert by_variable.fingerprint == by_file.fingerprint == by_folder.fingerprint
        with pytest.raises(FileNotFoundError, match=r"resnet50_ft_weight\.pkl.*VGGFace2-pytorch"):
            vggface2_resnet50()
        with pytest.raises(FileNotFoundError, match=r"resnet50_ft_weight\.pkl"):
            vggface2_resnet50(tmp_path)

    def test_published_names(self):
        assert published_names("senet50") == [
            "senet50_ft_weight.pkl",
            "senet50_ft_dag.pth",
            "rcmalli_vggface_tf_senet50.h5",
            "senet50_scratch_weight.pkl",
            "senet50_scratch_dag.pth",
        ]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"layer3.0.conv2.weight": None}, r"'layer3\.0\.conv2\.weight': missing"),
            ({"fc.weight": (10, 2048)}, r"'fc\.weight': has the shape \(10, 2048\)"),
            ({"layer1.0.conv4.weight": (16, 256, 1, 1)}, r"'layer1\.0\.conv4\.weight': unexpected"),
        ],
    )
    def test_wrong_files_name_the_key(self, tmp_path, changes, message):
        state = {**hollow(names="torchvision"), **{k: s and hole(s) for k, s in changes.items()}}
        path = tmp_path / "net.pth"
        torch.save({key: tensor for key, tensor in state.items() if tensor is not None}, path)
        with pytest.raises(WeightsError, match=rf"net\.pth', layer {message}"):
            vggface2_resnet50(path)

    def test_wrong_key_of_an_export_in_its_own_name(self, tmp_path):
        state = hollow()
        del state["conv4_6_1x1_increase_bn.running_var"]
        torch.save(state, tmp_path / "net.pth")
        with pytest.raises(WeightsError, match=r"'conv4_6_1x1_increase_bn\.running_var': missing"):
            vggface2_resnet50(tmp_path / "net.pth")

    def test_the_twin_is_refused(self, tmp_path):
        torch.save(hollow(squeeze=True), tmp_path / "net.pth")
        with pytest.raises(WeightsError, match=r"conv2_1_1x1_down\.weight': unexpected"):
            vggface2_resnet50(tmp_path / "net.pth")
        torch.save(hollow(), tmp_path / "net.pth")
        with pytest.raises(WeightsError, match=r"conv2_1_1x1_down\.weight': missing"):
            vggface2_senet50(tmp_path / "net.pth")

    def test_other_files(self, tmp_path):
        path = tmp_path / "resnet50_ft_weight.pkl"
        path.write_bytes(b"<html>Quota exceeded</html>")
        with pytest.raises(WeightsError, match=r"resnet50_ft_weight\.pkl': is an HTML page"):
            vggface2_resnet50(tmp_path)
        path.write_bytes(python2_pickle({"layer1.0.bn1.bias": np.ones(64, "f4")}))
        with pytest.raises(WeightsError, match=r"weight\.pkl', layer 'conv1\.weight': missing"):
            vggface2_resnet50(tmp_path)


def hole(shape):
    """A tensor of any shape that takes four bytes in a file."""
    return torch.ones(shape, dtype=torch.float16)


def hollow(squeeze=False, names="oxford"):
    """A state dict of the right keys and shapes, in half precision: small files."""
    state = {}
    for conv, bn, caffe, shape in convolutions(squeeze):
        export = caffe.replace("/", "_")
        conv, bn = (export, bn and f"{export}_bn") if names == "oxford" else (conv, bn)
        state[f"{conv}.weight"] = hole(shape)
        if bn is None:
            state[f"{conv}.bias"] = hole(shape[:1])
        else:
            kinds = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{bn}.{kind}": hole(shape[:1]) for kind in kinds}
    last = "classifier" if names == "oxford" else "fc"
    shape = (8631, 2048, 1, 1) if names == "oxford" else (8631, 2048)
    return state | {f"{last}.weight": hole(shape), f"{last}.bias": hole((8631,))}
