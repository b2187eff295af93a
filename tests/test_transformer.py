"""NeuronCoverageTransformer: equations 1 and 2 to the letter, a transformer's duties."""

import gc
import io
import pickle
from itertools import product

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfakespotter import FaceAligner, ImageError, NeuronCoverageTransformer
from skfakespotter._device import resolve_device
from skfakespotter._progress import track
from skfakespotter.backbones import (
    Backbone,
    load_backbone,
    monitored_layers,
    register_backbone,
)
from skfakespotter.backbones import _registry as registry
from skfakespotter.images import find_images, fit_to

# A reference that sums in another order moves an activation by some 1e-7 of its size, and so
# a neuron at the threshold to the other side: at most one per picture and layer was seen in
# 6 pictures x 30 layers x 16 options x 2 batch sizes.
FLIPS_PER_PICTURE_AND_LAYER = 2


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    monkeypatch.setattr(registry, "_LOADED", dict(registry._LOADED))


def noise(n, height=32, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def red_channel(weights=None):
    """A network of one layer that gives the red channel as it is, from 0 to 255."""
    layer = nn.Conv2d(3, 1, 1)
    layer.weight.data = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    nn.init.zeros_(layer.bias)
    return Backbone("red", nn.Sequential(layer), input_size=(16, 16))


def exact_network(seed=0):
    """Weights of small whole numbers: float32 computes it without rounding, in any order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(2)
        )
        for parameter in network.parameters():
            parameter.data = torch.randint(-2, 3, parameter.shape).float()
    return network


# ---- the equations ---------------------------------------------------------------------


def test_thresholds_and_counts_by_hand():
    # red 10 everywhere; red 10 in one half and 30 in the other: mean (10 + 20) / 2 = 15
    X = np.full((2, 16, 16, 3), 200, np.uint8)
    X[..., 0] = 10
    X[1, :8, :, 0] = 30
    transformer = NeuronCoverageTransformer(red_channel())
    assert transformer.fit_transform(X).tolist() == [[0], [128]]
    assert transformer.thresholds_.tolist() == [15]
    assert transformer.thresholds_.dtype == np.float64
    assert transformer.layer_names_ == ["0"]
    assert transformer.n_neurons_.tolist() == [256]
    assert transformer.n_channels_.tolist() == [1]
    # thresholds come from the training pictures: 20 is above 15, 10 is not
    new = np.full((1, 16, 16, 3), 20, np.uint8)
    assert transformer.transform(new).tolist() == [[256]]
    assert transformer.set_params(output="fraction").transform(X).tolist() == [[0], [0.5]]


def test_a_global_threshold_by_hand():
    X = np.zeros((2, 16, 16, 3), np.uint8)
    X[0, 0, :3, 0] = 30
    X[1, 0, :5, 0] = 31
    transformer = NeuronCoverageTransformer(red_channel(), threshold=30)
    assert transformer.fit_transform(X).tolist() == [[0], [5]]  # strictly above
    assert transformer.thresholds_.tolist() == [30]


def literal_outputs(backbone, pictures):
    """Give, for each picture alone, each layer's output as float64 (channels, units)."""
    outputs = []

    def keep(module, inputs, output):
        outputs[-1].append(output[0].double().numpy().reshape(output.shape[1], -1))

    handles = [
        layer.register_forward_hook(keep) for layer in monitored_layers(backbone.module).values()
    ]
    for picture in pictures:
        outputs.append([])
        pixels = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            backbone.module(backbone.preprocess(pixels))
    for handle in handles:
        handle.remove()
    return outputs


def literal_coverage(outputs, neuron, granularity, rectify, threshold, output):
    """Follow equations 1 and 2 to the letter; thresholds and coverage."""
    delta = [[np.maximum(v, 0) if rectify else v for v in layers] for layers in outputs]
    if neuron == "channel":
        delta = [[v.mean(1, keepdims=True) for v in layers] for layers in delta]
    thresholds, columns = [], []
    for layer in range(len(delta[0])):
        of_layer = [layers[layer] for layers in delta]
        xi = threshold
        if threshold == "mean":
            xi = sum(v.sum() for v in of_layer) / (of_layer[0].size * len(of_layer))
        above = [v > xi for v in of_layer]
        if granularity == "layer":
            column, size = [[a.sum()] for a in above], of_layer[0].size
        else:
            column, size = [a.sum(1) for a in above], of_layer[0].shape[1]
        thresholds.append(xi)
        columns.append(np.array(column) / (size if output == "fraction" else 1))
    return np.array(thresholds), np.concatenate(columns, 1)


def per_layer(transformer, counts):
    """Sum counts over the channels of each layer, if they are apart."""
    if transformer.granularity == "layer":
        return counts
    starts = np.cumsum([0, *transformer.n_channels_[:-1]])
    return np.add.reduceat(counts, starts, axis=1)


@pytest.fixture(scope="module")
def chips():
    """Four noise chips, a dark one and, where scikit-image is installed, a face."""
    pictures = [*noise(4, 150, 150), noise(1, 150, 150, seed=1)[0] // 4]
    try:
        from skimage.data import astronaut
    except ImportError:
        return np.stack(pictures)
    return np.stack([*pictures, *FaceAligner(n_jobs=1).fit_transform([astronaut()])])


@pytest.fixture(scope="module")
def chip_outputs(chips):
    return literal_outputs(load_backbone("dlib"), chips)


OPTIONS = {
    "neuron": ["unit", "channel"],
    "granularity": ["layer", "channel"],
    "rectify": [False, True],
    "threshold": ["mean", 0.05],
    "output": ["count", "fraction"],
}


@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("values", list(product(*OPTIONS.values())), ids=str)
def test_dlib_against_the_literal_reference(chips, chip_outputs, values, batch_size):
    options = dict(zip(OPTIONS, values, strict=True))
    transformer = NeuronCoverageTransformer("dlib", batch_size=batch_size, device="cpu", **options)
    coverage = transformer.fit_transform(chips)
    thresholds, expected = literal_coverage(chip_outputs, **options)
    np.testing.assert_allclose(transformer.thresholds_, thresholds, rtol=1e-5, atol=1e-7)
    assert coverage.shape == expected.shape
    assert coverage.dtype == np.float32
    assert expected.max() > 0
    if options["output"] == "fraction":
        coverage, expected = (
            c * transformer._layout.neurons_per(transformer.granularity)
            for c in (coverage, expected)
        )
    np.testing.assert_allclose(coverage, np.rint(coverage), atol=1e-2)
    flips = per_layer(transformer, np.rint(np.abs(coverage - expected)))
    assert flips.max() <= FLIPS_PER_PICTURE_AND_LAYER


def test_dlib_against_the_literal_reference_on_faces(faces_dir):
    folders = [faces_dir / "stylegan" / kind for kind in ("real", "fake")]
    files = [path for folder in folders for path in find_images(folder)[:4]]
    faces = np.asarray(FaceAligner(on_missing="center", n_jobs=1).fit_transform(files))
    outputs = literal_outputs(load_backbone("dlib"), faces)
    for granularity in ("layer", "channel"):
        transformer = NeuronCoverageTransformer(granularity=granularity, device="cpu")
        coverage = transformer.fit_transform(faces)
        _, expected = literal_coverage(outputs, "unit", granularity, False, "mean", "count")
        assert np.abs(coverage - expected).max() <= FLIPS_PER_PICTURE_AND_LAYER
        assert (coverage != expected).sum() <= len(faces)


def test_labels_are_ignored():
    X = noise(6)
    plain = NeuronCoverageTransformer("toy_image").fit_transform(X)
    for y in ([0, 1] * 3, [1] * 6, ["fake"] * 6, [np.nan] * 6):
        np.testing.assert_array_equal(
            NeuronCoverageTransformer("toy_image").fit_transform(X, y), plain
        )


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_results_do_not_depend_on_batch_size(granularity):
    X = noise(13)
    results = []
    for batch_size in (1, 2, 5, 13, 64, np.int64(7)):
        transformer = NeuronCoverageTransformer(
            exact_network(), granularity=granularity, batch_size=batch_size
        )
        results.append((transformer.fit_transform(X), transformer.thresholds_))
    for coverage, thresholds in results[1:]:
        np.testing.assert_array_equal(coverage, results[0][0])
        np.testing.assert_allclose(thresholds, results[0][1], rtol=1e-6)


def test_the_order_of_the_pictures_does_not_move_thresholds(chips):
    order = np.random.default_rng(0).permutation(len(chips))
    first = NeuronCoverageTransformer("dlib", batch_size=1, device="cpu").fit(chips)
    again = NeuronCoverageTransformer("dlib", batch_size=1, device="cpu").fit(chips[order])
    np.testing.assert_allclose(again.thresholds_, first.thresholds_, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(again.transform(chips), first.transform(chips))


def test_a_picture_is_counted_alike_alone_and_in_company():
    X = noise(9)
    transformer = NeuronCoverageTransformer(exact_network(), batch_size=4).fit(X)
    together = transformer.transform(X)
    for i in (0, 3, 4, 8):
        np.testing.assert_array_equal(transformer.transform(X[i : i + 1])[0], together[i])


def test_sums_over_the_whole_training_set_not_means_of_batches():
    # 3 pictures of red 0 and 1 of red 100, in batches of 3 and 1: 25, not (0 + 100) / 2
    X = np.zeros((4, 16, 16, 3), np.uint8)
    X[3] = 100
    assert NeuronCoverageTransformer(red_channel(), batch_size=3).fit(X).thresholds_ == [25]


# ---- options ---------------------------------------------------------------------------


def test_layers_are_chosen_in_network_order():
    X = noise(5)
    whole = NeuronCoverageTransformer("toy_image").fit(X)
    some = NeuronCoverageTransformer("toy_image", layers=["6", "0"]).fit(X)
    assert some.layer_names_ == ["0", "6"]
    np.testing.assert_array_equal(some.thresholds_, whole.thresholds_[[0, 2]])
    np.testing.assert_array_equal(some.transform(X), whole.transform(X)[:, [0, 2]])
    np.testing.assert_array_equal(some.get_feature_names_out(), ["0", "6"])


@pytest.mark.parametrize("neuron", ["unit", "channel"])
def test_fractions_are_counts_over_neurons(neuron):
    X = noise(5)
    for granularity in ("layer", "channel"):
        transformer = NeuronCoverageTransformer("toy_image", neuron=neuron, granularity=granularity)
        counts = transformer.fit_transform(X)
        fractions = transformer.set_params(output="fraction").transform(X)
        # 32 -> 15 -> 7, six and eight channels, four outputs
        units = {"unit": [15 * 15, 7 * 7, 1], "channel": [1, 1, 1]}[neuron]
        sizes = np.multiply(units, [6, 8, 4])
        assert transformer.n_neurons_.tolist() == sizes.tolist()
        per_feature = sizes if granularity == "layer" else np.repeat(units, [6, 8, 4])
        np.testing.assert_allclose(fractions, counts / per_feature, rtol=1e-6)
        assert fractions.dtype == np.float32
        assert (fractions.min(), fractions.max()) >= (0, 0)
        assert fractions.max() <= 1


def test_channels_sum_to_layers():
    X = noise(5)
    expected = NeuronCoverageTransformer("toy_image").fit_transform(X)
    transformer = NeuronCoverageTransformer("toy_image", granularity="channel")
    per_channel = transformer.fit_transform(X)
    assert per_channel.shape == (5, 6 + 8 + 4)
    np.testing.assert_array_equal(per_layer(transformer, per_channel), expected)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"neuron": "pixel"}, ValueError, "The 'neuron' parameter .* Got 'pixel' instead"),
        ({"tokens": "first"}, ValueError, "The 'tokens' parameter .* Got 'first' instead"),
        ({"granularity": "unit"}, ValueError, "The 'granularity' parameter .* Got 'unit' instead"),
        ({"output": "ratio"}, ValueError, "The 'output' parameter .* Got 'ratio' instead"),
        ({"threshold": "median"}, ValueError, "The 'threshold' parameter .* Got 'median' instead"),
        ({"threshold": None}, ValueError, "The 'threshold' parameter .* Got None instead"),
        ({"threshold": np.nan}, ValueError, "The 'threshold' parameter .* Got nan instead"),
        ({"threshold": np.inf}, ValueError, "The 'threshold' parameter .* Got inf instead"),
        ({"rectify": "no"}, ValueError, "The 'rectify' parameter .* Got 'no' instead"),
        ({"rectify": None}, ValueError, "The 'rectify' parameter .* Got None instead"),
        ({"batch_size": 0}, ValueError, r"The 'batch_size' parameter .* \[1, inf\). Got 0 instead"),
        ({"batch_size": 2.5}, ValueError, "The 'batch_size' parameter .* Got 2.5 instead"),
        ({"batch_size": "8"}, ValueError, "The 'batch_size' parameter .* Got '8' instead"),
        ({"single_pass": "yes"}, ValueError, "The 'single_pass' parameter .* Got 'yes' instead"),
        ({"exclude": "*"}, ValueError, r"exclude is '\*': it leaves no layer"),
        ({"exclude": "conv9"}, ValueError, "exclude: 'conv9' matches no part of the network"),
        ({"device": "abacus"}, ValueError, "device is 'abacus': expected 'auto', 'cpu' or"),
        ({"device": None}, ValueError, "device is None: expected 'auto', 'cpu' or"),
        ({"layers": "conv9"}, ValueError, r"layers: 'conv9' matches none of \['0', '2', '6'\]"),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"layers": 3}, TypeError, "layers is 3: expected None, names or glob patterns"),
        ({"backbone": "vgg"}, ValueError, r"backbone 'vgg' is unknown: expected one of \['dlib'"),
        ({"backbone": 3}, TypeError, "backbone is a int: expected a name from"),
        ({"backbone": nn.ReLU()}, ValueError, "the network ReLU has no convolutional"),
    ],
    ids=str,
)
def test_bad_options_are_named(option, error, message):
    transformer = NeuronCoverageTransformer(**{"backbone": "toy_image", **option})
    with pytest.raises(error, match=message):
        transformer.fit(noise(3))


def test_bad_options_are_named_in_transform():
    transformer = NeuronCoverageTransformer("toy_image").fit(noise(3))
    with pytest.raises(ValueError, match=r"The 'output' parameter .* Got 'ratio' instead"):
        transformer.set_params(output="ratio").transform(noise(3))


def test_transform_before_fit():
    for call in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(NeuronCoverageTransformer("toy_image"), call)(noise(2))


class Broken(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.good, self.bad, self.after = (nn.Conv2d(3, 3, 1) for _ in range(3))
        nn.init.constant_(self.bad.bias, value)

    def forward(self, x):
        return self.bad(self.good(x)), self.after(x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threshold", ["mean", 0.5])
def test_layers_whose_output_is_not_finite_are_named(value, threshold):
    transformer = NeuronCoverageTransformer(Broken(value), threshold=threshold)
    with pytest.raises(ValueError, match=r"output is not finite in layers \['bad'\]"):
        transformer.fit(noise(3))
    with pytest.raises(NotFittedError):  # a fit that failed leaves nothing behind
        transformer.transform(noise(3))


# ---- pictures --------------------------------------------------------------------------


def test_ragged_pictures_are_fitted_to_the_backbone(tmp_path):
    sizes = [(40, 60), (90, 33), (32, 32), (16, 200)]
    X = [noise(1, *size, seed=i)[0] for i, size in enumerate(sizes)]
    fitted = np.stack([fit_to(image, (32, 32)) for image in X])
    transformer = NeuronCoverageTransformer(Backbone("b", exact_network(), input_size=(32, 32)))
    expected = transformer.fit_transform(fitted)
    np.testing.assert_array_equal(transformer.fit_transform(X), expected)
    assert not hasattr(transformer, "input_size_")
    paths = [tmp_path / f"{i}.png" for i in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    for kind in (paths, [str(p) for p in paths], pd.Series(paths), np.array(paths, dtype=object)):
        np.testing.assert_array_equal(transformer.transform(kind), expected)


def test_every_kind_of_array_gives_one_result():
    X = noise(4)
    transformer = NeuronCoverageTransformer(Backbone("b", exact_network(), input_size=(32, 32)))
    expected = transformer.fit_transform(X)
    read_only = X.copy()
    read_only.setflags(write=False)
    kinds = {
        "read-only, as joblib's memory maps": read_only,
        "Fortran order": np.asfortranarray(X),
        "list": list(X),
        "tensor": torch.from_numpy(X).permute(0, 3, 1, 2),
        "reversed twice": np.flip(np.flip(X, 0).copy(), 0),
        "channels reversed twice": X[..., ::-1].copy()[..., ::-1],
    }
    for kind, given in kinds.items():
        np.testing.assert_array_equal(transformer.transform(given), expected, err_msg=kind)
        np.testing.assert_array_equal(clone(transformer).fit_transform(given), expected)
    np.testing.assert_array_equal(transformer.transform(X[::-1]), expected[::-1])


def test_a_bare_module_takes_the_size_of_the_first_training_picture():
    module = exact_network()
    X = [noise(1, 40, 40)[0], noise(1, 60, 90, seed=1)[0], noise(1, 20, 30, seed=2)[0]]
    transformer = NeuronCoverageTransformer(module).fit(X)
    assert transformer.input_size_ == (40, 40)
    coverage = transformer.transform(X)
    # what a picture gives does not depend on the one that comes first
    np.testing.assert_array_equal(transformer.transform(X[::-1]), coverage[::-1])
    for i in range(3):
        np.testing.assert_array_equal(transformer.transform(X[i : i + 1])[0], coverage[i])
    assert module.training
    assert not module[0]._forward_hooks


def test_bad_pictures_are_named(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    X = [noise(1)[0]] * 5
    transformer = NeuronCoverageTransformer("toy_image", batch_size=2).fit(X)
    for bad, message in [
        (tmp_path / "text.jpg", r"X\[3\] \('.*text\.jpg'\): cannot be read as a picture"),
        (tmp_path / "missing.jpg", r"X\[3\] \('.*missing\.jpg'\): no such file"),
        (np.zeros((1, 1, 3), np.uint8), r"X\[3\]: is 1x1 pixels; expected at least 16x16"),
        (np.zeros((32, 32, 3)), r"X\[3\]: is an array .*float64; expected uint8"),
    ]:
        broken = [*X[:3], bad, X[4]]
        for call in (transformer.transform, clone(transformer).fit):
            with pytest.raises(ImageError, match=message):
                call(broken)


@pytest.mark.parametrize("call", ["fit", "transform"])
def test_wrong_inputs_are_refused(call):
    transformer = NeuronCoverageTransformer("toy_image").fit(noise(2))
    with pytest.raises(TypeError, match=r"X is a single str: pass \[X\]"):
        getattr(transformer, call)("face.jpg")
    with pytest.raises(TypeError, match="X is a DataFrame"):
        getattr(transformer, call)(pd.DataFrame({"path": ["face.jpg"], "label": [1]}))
    with pytest.raises(ValueError, match="X holds no pictures"):
        getattr(transformer, call)([])
    with pytest.raises(ValueError, match="expected"):
        getattr(transformer, call)(noise(2) / 1.0)  # floating-point pixels lie in [0, 1]


# ---- arrays of numbers -----------------------------------------------------------------


def test_arrays_of_numbers_against_the_literal_reference():
    X = np.random.default_rng(0).normal(size=(20, 7))
    transformer = NeuronCoverageTransformer("toy_vector", batch_size=6)
    coverage = transformer.fit_transform(X)
    assert transformer.n_features_in_ == 7
    module = load_backbone("toy_vector").module
    basis = np.cos((np.arange(7) + 0.5)[:, None] * (np.arange(8) + 1)) / np.sqrt(7)
    first = X @ basis @ module.fc1.weight.numpy().T + module.fc1.bias.numpy()
    second = np.maximum(first, 0) @ module.fc2.weight.numpy().T + module.fc2.bias.numpy()
    np.testing.assert_allclose(transformer.thresholds_, [first.mean(), second.mean()], atol=1e-6)
    expected = [[(v > v.mean())[i].sum() for v in (first, second)] for i in range(20)]
    np.testing.assert_array_equal(coverage, expected)
    frame = pd.DataFrame(X, columns=list("abcdefg"))
    framed = clone(transformer).fit(frame)
    np.testing.assert_array_equal(framed.transform(frame), expected)
    assert framed.feature_names_in_.tolist() == list("abcdefg")
    for given in (X.astype(np.float32)[:, ::-1].copy()[:, ::-1], X.tolist()):
        np.testing.assert_array_equal(transformer.transform(given), expected)


def test_arrays_of_numbers_are_validated():
    X = np.random.default_rng(0).normal(size=(6, 4))
    transformer = NeuronCoverageTransformer("toy_vector").fit(X)
    with pytest.raises(ValueError, match=r"X has 5 features.*expecting 4 features"):
        transformer.transform(np.ones((2, 5)))
    X[2, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        transformer.transform(X)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        transformer.fit(X)
    with pytest.raises(ValueError, match="Expected 2D array"):
        transformer.fit(np.ones(3))


def test_a_module_that_takes_numbers():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 1.0]])
    X = np.array([[1.0, 2], [3, 4], [8, 9]])  # sums 3 7 17, mean 9
    transformer = NeuronCoverageTransformer(nn.Sequential(layer))
    assert transformer.fit_transform(X).tolist() == [[0], [0], [1]]
    assert transformer.thresholds_.tolist() == [9]


# ---- a transformer among others --------------------------------------------------------


def test_feature_names():
    X = noise(3)
    transformer = NeuronCoverageTransformer("toy_image", layers=["0", "6"]).fit(X)
    assert transformer.get_feature_names_out().tolist() == ["0", "6"]
    transformer = NeuronCoverageTransformer("toy_image", granularity="channel").fit(X)
    expected = [f"{layer}[{c}]" for layer, n in (("0", 6), ("2", 8), ("6", 4)) for c in range(n)]
    assert transformer.get_feature_names_out().tolist() == expected
    assert transformer.get_feature_names_out(["ignored"]).tolist() == expected
    assert len(expected) == transformer.transform(X).shape[1]


def test_set_output():
    X = noise(3)
    transformer = NeuronCoverageTransformer("toy_image", granularity="channel")
    plain = transformer.fit_transform(X)
    assert isinstance(plain, np.ndarray)
    frame = transformer.set_output(transform="pandas").transform(list(X))
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == transformer.get_feature_names_out().tolist()
    np.testing.assert_array_equal(frame.to_numpy(), plain)
    pipeline = make_pipeline(clone(transformer), StandardScaler()).set_output(transform="pandas")
    assert pipeline.fit_transform(X).columns[0] == "0[0]"
    assert isinstance(transformer.set_output(transform="default").transform(X), np.ndarray)


def test_clone_carries_parameters_only():
    params = {"layers": ["0"], "neuron": "channel", "threshold": 0.5, "batch_size": 3}
    transformer = NeuronCoverageTransformer("toy_image", **params).fit(noise(3))
    copied = clone(transformer)
    assert copied.get_params() == transformer.get_params()
    assert [name for name in vars(copied) if name.endswith("_")] == []
    with pytest.raises(NotFittedError):
        copied.transform(noise(3))


def test_fitting_does_not_change_parameters():
    layers = ["6", "0"]
    transformer = NeuronCoverageTransformer("toy_image", layers=layers)
    before = transformer.get_params()
    assert transformer.fit(noise(3)) is transformer
    assert transformer.get_params() == before
    assert transformer.layers is layers
    assert layers == ["6", "0"]


def test_fitting_again_forgets():
    transformer = NeuronCoverageTransformer("toy_image").fit(noise(4, seed=1))
    transformer.set_params(layers="6").fit(noise(4, seed=2))
    fresh = NeuronCoverageTransformer("toy_image", layers="6").fit(noise(4, seed=2))
    np.testing.assert_array_equal(transformer.thresholds_, fresh.thresholds_)
    assert transformer.layer_names_ == ["6"]


def test_tags():
    pictures = NeuronCoverageTransformer("toy_image").__sklearn_tags__()
    numbers = NeuronCoverageTransformer("toy_vector").__sklearn_tags__()
    assert (pictures.input_tags.two_d_array, pictures.input_tags.string) == (False, True)
    assert (numbers.input_tags.two_d_array, numbers.input_tags.string) == (True, False)
    assert pictures.requires_fit


# ---- saving and loading ----------------------------------------------------------------


def dumps(transformer):
    file = io.BytesIO()
    joblib.dump(transformer, file)
    return file.getvalue()


def test_a_saved_transformer_holds_no_weights(chips):
    transformer = NeuronCoverageTransformer("dlib", granularity="channel", device="cpu")
    coverage = transformer.fit_transform(chips[:2])
    for data in (dumps(transformer), pickle.dumps(transformer)):
        assert len(data) < 20_000  # the network has 22 MB
    again = joblib.load(io.BytesIO(dumps(transformer)))
    np.testing.assert_array_equal(again.transform(chips[:2]), coverage)
    by_backbone = NeuronCoverageTransformer(load_backbone("dlib"), device="cpu").fit(chips[:1])
    assert len(pickle.dumps(by_backbone)) < 20_000


def test_a_saved_module_goes_along():
    X = noise(3)
    transformer = NeuronCoverageTransformer(exact_network())
    coverage = transformer.fit_transform(X)
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(again.transform(X), coverage)


def test_other_weights_than_those_fitted_on_are_refused():
    def factory(seed):
        return lambda weights=None: Backbone("mine", exact_network(seed), input_size=(32, 32))

    register_backbone("mine", factory(0))
    X = noise(3)
    transformer = NeuronCoverageTransformer("mine")
    coverage = transformer.fit_transform(X)
    data = pickle.dumps(transformer)
    register_backbone("mine", factory(1), overwrite=True)
    for stale in (pickle.loads(data), transformer):
        with pytest.raises(ValueError, match=r"backbone 'mine' has the fingerprint \w{12}, but"):
            stale.transform(X)
    assert transformer.fit(X).transform(X).shape == coverage.shape  # fitting again is the way out
    register_backbone("mine", factory(0), overwrite=True)
    np.testing.assert_array_equal(pickle.loads(data).transform(X), coverage)


def test_a_module_trained_on_after_fitting_is_refused():
    module = exact_network()
    transformer = NeuronCoverageTransformer(module).fit(noise(3))
    with torch.no_grad():
        module[0].bias += 1
    with pytest.raises(ValueError, match="weights or input format have changed"):
        transformer.transform(noise(3))


# ---- memory, progress, device ----------------------------------------------------------


def tensors():
    gc.collect()
    return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)}


def test_no_activation_is_kept():
    X = noise(8)
    transformer = NeuronCoverageTransformer("toy_image", batch_size=3).fit(X)
    transformer.transform(X)
    before = tensors()
    transformer.fit(X)
    coverage = transformer.transform(X)
    assert tensors() <= before
    assert coverage.base is None
    assert not any(isinstance(value, torch.Tensor) for value in vars(transformer).values())


def test_the_global_rng_is_left_alone():
    state = torch.random.get_rng_state()
    registry._LOADED.clear()
    for backbone in ("toy_image", exact_network()):
        NeuronCoverageTransformer(backbone).fit_transform(noise(3))
    NeuronCoverageTransformer("toy_vector").fit_transform(np.ones((3, 2)))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_verbose_shows_a_bar_on_stderr(capsys):
    X = noise(10)
    NeuronCoverageTransformer("toy_image").fit(X).transform(X)
    assert capsys.readouterr() == ("", "")
    transformer = NeuronCoverageTransformer("toy_image", batch_size=4, verbose=1).fit(X)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "thresholds: 100%" in shown.err
    assert "10/10" in shown.err
    transformer.transform(X)
    assert "coverage: 100%" in capsys.readouterr().err


def test_track_counts_items_and_closes_its_bar_early(capsys):
    batches = track([[1, 2], [3]], 3, "count", verbose=1)
    assert next(batches) == [1, 2]
    batches.close()
    assert "count:   0%" in capsys.readouterr().err
    assert list(track(iter([[1], [2, 3]]), 3, "count", verbose=1)) == [[1], [2, 3]]
    assert "3/3" in capsys.readouterr().err


def test_devices():
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    for wrong in ("cuda:99", "abacus", "", None, "meta:x"):
        with pytest.raises(ValueError, match="expected 'auto', 'cpu' or a device available here"):
            resolve_device(wrong)
