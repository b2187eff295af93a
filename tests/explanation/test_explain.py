"""Explanations: all parts add up to the score, and point where the evidence lies."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from skfakespotter import (
    ExpertStack,
    FakeSpotterClassifier,
    ImageError,
    NeuronCoverageTransformer,
    explain,
    list_detectors,
    load_detector,
    make_fakespotter,
    make_pictures,
)
from skfakespotter.backbones import Backbone
from skfakespotter.coverage import NeuronMonitor
from skfakespotter.explanation import layer_evidence, spread
from skfakespotter.images import MissingFaceError


@pytest.fixture(scope="module")
def toy_data():
    return make_pictures(60, size=32, strength=4, random_state=0)


def toy(classifier, toy_data, **params):
    detector = make_fakespotter(
        "toy_image", align=False, classifier=classifier, device="cpu", **params
    )
    return detector.fit(*toy_data)


def adds_up(found):
    parts = found.map.sum() + found.remainder
    assert parts == pytest.approx(found.score, abs=1e-6)
    assert sum(found.layers.values()) + found.constant == pytest.approx(found.score, abs=1e-6)


@pytest.mark.parametrize("name", list_detectors())
def test_the_map_adds_up_to_the_score_for_every_detector_that_ships(name):
    detector = load_detector(name)
    found = explain(detector, astronaut())
    adds_up(found)
    expected = detector.decision_function([astronaut()])[0]
    assert found.score == pytest.approx(expected, abs=1e-4)
    assert found.map.shape == (75, 75)
    assert list(found.layers) == detector.layers["names"]
    assert found.exact
    # photographs lie about the constant, or the zero lines would not be theirs
    real = np.concatenate(list(detector.calibration.real.values()))
    assert abs(found.constant - np.median(real)) < 0.5 * real.std()


@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(),
        SVC(kernel="linear"),
        RidgeClassifier(),
        ExpertStack([("one", LogisticRegression())]),
    ],
    ids=["logistic regression", "linear SVC", "ridge", "stack"],
)
@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_linear_pipelines_are_exact(classifier, granularity, toy_data):
    detector = toy(classifier, toy_data, granularity=granularity)
    found = explain(detector, toy_data[0][0])
    adds_up(found)
    assert found.exact
    expected = detector.decision_function(toy_data[0][:1])[0]
    assert found.score == pytest.approx(expected, abs=1e-4)


def test_the_recommended_pipeline_is_exact(toy_data):
    detector = toy(None, toy_data, preset="recommended", random_state=0)
    found = explain(detector, toy_data[0][0])
    adds_up(found)
    expected = detector.decision_function(toy_data[0][:1])[0]
    assert found.score == pytest.approx(expected, abs=1e-4)


def test_a_curved_score_is_expanded_and_says_so(toy_data):
    detector = toy(SVC(C=10), toy_data, granularity="channel")
    found = explain(detector, toy_data[0][0])
    adds_up(found)
    assert not found.exact
    expected = detector.decision_function(toy_data[0][:1])[0]
    assert found.score == pytest.approx(expected, abs=1e-4)


def test_the_papers_net_is_expanded_and_says_so(toy_data):
    net = FakeSpotterClassifier((8, 8, 8, 8), lr=1e-2, max_epochs=5, device="cpu", random_state=0)
    detector = toy(net, toy_data)
    found = explain(detector, toy_data[0][0])
    adds_up(found)
    assert not found.exact
    real, fake = detector.predict_proba(toy_data[0][:1])[0]
    assert found.score == pytest.approx(np.log(fake / real), abs=1e-4)


class Tokens(nn.Module):
    """Patches of 4 x 4 pixels as tokens, in a tuple, maybe with a class token before them."""

    def __init__(self, n_class):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, n_class, 6))
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.block = nn.TransformerEncoderLayer(6, 2, 8)  # takes the tokens first
        self.pair = Pair()
        self.mix = nn.Linear(6, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x, _ = self.pair(self.block(x.transpose(0, 1)).transpose(0, 1))
        return self.mix(x)[:, 0]


class Pair(nn.Module):
    def forward(self, x):
        return 2 * x, None


def tokens_backbone(n_class=1, size=(32, 32)):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Tokens(n_class).eval().requires_grad_(False)
    return Backbone("tokens", network, input_size=size, mean=127.5, scale=64.0)


NETWORKS = {"map": "toy_image", "tokens": tokens_backbone()}
GROUPS = [
    {"granularity": "layer"},
    {"granularity": "channel", "output": "fraction"},
    {"threshold": "channel-mean"},
    {"threshold": "channel-mean", "granularity": "channel"},
    {"threshold": 0.1, "granularity": "channel", "rectify": True},
]


def detector_of(toy_data, backbone, **options):
    coverage = NeuronCoverageTransformer(backbone, device="cpu", **options)
    return make_pipeline(coverage, StandardScaler(), LogisticRegression()).fit(*toy_data)


def explains(detector, picture, atol=1e-4):
    found = explain(detector, picture)
    adds_up(found)
    assert found.score == pytest.approx(detector.decision_function([picture])[0], abs=atol)
    return found


@pytest.mark.parametrize("options", GROUPS, ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_any_threshold_and_granularity(toy_data, network, options):
    found = explains(detector_of(toy_data, NETWORKS[network], **options), toy_data[0][0])
    assert np.abs(found.map).max() > 0


@pytest.mark.parametrize(
    ("tokens", "shapes"),
    [
        ("all", {"patches": (8, 8), "block": (8, 8), "pair": (8, 8), "mix": (8, 8)}),
        ("patches", {"patches": (8, 8), "block": (8, 8), "pair": (8, 8), "mix": (8, 8)}),
        ("class", {"patches": (8, 8)}),
        ("mean", {"patches": (8, 8)}),
    ],
)
def test_tokens_have_a_map_of_the_patches(toy_data, tokens, shapes):
    layers = ["patches", "block", "pair", "mix"]
    detector = detector_of(toy_data, NETWORKS["tokens"], layers=layers, tokens=tokens)
    found = explains(detector, toy_data[0][0])
    assert {name: of.shape for name, of in found.layer_maps.items()} == shapes
    assert list(found.layers) == layers


@pytest.mark.parametrize(("n_class", "size"), [(1, (32, 24)), (0, (32, 32)), (5, (32, 32))])
def test_other_numbers_of_tokens(toy_data, n_class, size):
    """Faces that are no square; no class token; registers, whose number nobody can tell."""
    detector = detector_of(toy_data, tokens_backbone(n_class, size), layers=["patches", "mix"])
    picture = toy_data[0][0][: size[0], : size[1]]
    found = explains(detector, picture)
    mapped = {name: of.shape for name, of in found.layer_maps.items()}
    shape = size[0] // 4, size[1] // 4
    assert mapped == {"patches": shape} | ({} if n_class == 5 else {"mix": shape})


def test_the_class_token_has_no_place():
    """Bright patches are active, and so is the class token, whose evidence is not on the map."""
    network = Tokens(1).requires_grad_(False)
    for layer in (network.patches, network.mix):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    network.token.fill_(1e6)
    network.block = nn.Identity()
    faces = np.zeros((2, 32, 32, 3), np.uint8)
    faces[:, 8:16, 24:] = 200
    coverage = NeuronCoverageTransformer(
        Backbone("bright", network, input_size=(32, 32)), layers="mix", threshold=1.0, device="cpu"
    ).fit(faces)
    places, rest = layer_evidence(coverage, np.full(5, 0.5), faces)["mix"]
    expected = np.zeros((8, 8))
    expected[2:4, 6:] = 2.5
    np.testing.assert_array_equal(places, [expected] * 2)
    assert rest.tolist() == [2.5, 2.5]


def test_a_layer_that_runs_at_two_sizes_has_no_map(toy_data):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, stride=2)

        def forward(self, x):
            return self.conv(self.conv(x))

    torch.manual_seed(0)
    network = Backbone("twice", Twice().eval(), input_size=(32, 32), mean=127.5, scale=64.0)
    found = explains(detector_of(toy_data, network, granularity="channel"), toy_data[0][0])
    assert not found.layer_maps
    assert found.remainder == found.score


def test_half_precision(toy_data):
    detector = detector_of(toy_data, "toy_image", precision="bfloat16", granularity="channel")
    explains(detector, toy_data[0][0])


def test_a_network_that_overflows_is_not_explained(toy_data):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1800, 1))
    backbone = Backbone("overflowing", network.eval(), input_size=(32, 32), mean=0.0, scale=64.0)
    detector = detector_of(toy_data, backbone)
    with torch.no_grad():
        network[2].weight.fill_(torch.inf)
    detector[0].backbone_fingerprint_ = backbone.fingerprint
    with pytest.raises(ValueError, match="output is not finite"):
        explain(detector, toy_data[0][0])


def test_photographs_are_no_crops(toy_data):
    """What the transformer refuses is refused here too."""
    detector = toy(LogisticRegression(), toy_data)
    detector[1].crops_ = (32, 32)
    with pytest.raises(ImageError, match="expected a face cropped to 32x32"):
        explain(detector, astronaut())


@pytest.mark.parametrize(
    ("classifier", "n_passed"), [(None, [2]), (LogisticRegression(), [1]), (SVC(), [1, 1])]
)
def test_nothing_crosses_the_network_in_vain(toy_data, monkeypatch, classifier, n_passed):
    """A face and its mirror image, once; twice for the counts about which a score is expanded."""
    detector = "stylegan" if classifier is None else toy(classifier, toy_data)
    passed, collect = [], NeuronMonitor._collect
    monkeypatch.setattr(
        NeuronMonitor,
        "_collect",
        lambda m, x, *a, **k: passed.append(len(x)) or collect(m, x, *a, **k),
    )
    explain(detector, astronaut() if classifier is None else toy_data[0][0])
    assert passed == n_passed


def test_labels_in_words_point_the_same_way(toy_data):
    X, y = toy_data
    names = np.array(["real", "fake"])[y]
    words = make_fakespotter(
        "toy_image", align=False, classifier=LogisticRegression(), device="cpu"
    ).fit(X, names)
    numbers = toy(LogisticRegression(), toy_data)
    assert explain(words, X[0]).score == pytest.approx(explain(numbers, X[0]).score, abs=1e-3)


def test_evidence_lies_where_the_neurons_are(toy_data):
    """A network of one convolution that looks for bright pixels, and a bright corner."""
    layer = nn.Conv2d(3, 1, 1, bias=False)
    nn.init.ones_(layer.weight)
    dark = np.zeros((8, 32, 32, 3), np.uint8)
    dark[:, :8, :8] = 200
    coverage = NeuronCoverageTransformer(
        nn.Sequential(layer), granularity="channel", device="cpu"
    ).fit(dark)
    found = layer_evidence(coverage, np.array([0.5]), dark[:1])["0"].map[0]
    assert found.shape == (32, 32)
    assert found[:8, :8].tolist() == np.full((8, 8), 0.5).tolist()
    assert found.sum() == 0.5 * 64


def test_mirrored_copies(toy_data):
    """Averaged with its mirror image, a symmetric picture explains itself as before."""
    detector = toy(LogisticRegression(), toy_data, granularity="channel")
    half = toy_data[0][0][:, :16]
    symmetric = np.hstack([half, half[:, ::-1]])
    plain, both = (explain(detector, symmetric, flip=flip) for flip in (False, True))
    adds_up(both)
    assert both.score == pytest.approx(plain.score, abs=1e-6)
    np.testing.assert_allclose(both.map, (plain.map + plain.map[:, ::-1]) / 2, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (72, 72), (75, 75), (150, 150)])
def test_spreading_keeps_the_sum(shape):
    values = np.random.default_rng(0).normal(size=shape)
    assert spread(values, (75, 75)).sum() == pytest.approx(values.sum())


def test_spreading_keeps_the_place():
    values = np.zeros((5, 5))
    values[1, 3] = 1.0
    row, column = np.unravel_index(spread(values, (75, 75)).argmax(), (75, 75))
    assert (row // 15, column // 15) == (1, 3)


def test_zero_lines_move_to_the_constant(toy_data):
    detector = load_detector("stylegan")
    without = dataclasses.replace(detector, baselines={})
    one, two = explain(detector, astronaut()), explain(without, astronaut())
    assert one.score == pytest.approx(two.score, abs=1e-6)
    assert two.constant == pytest.approx(detector.intercept)


def test_what_cannot_be_explained_says_so(toy_data):
    forest = toy(RandomForestClassifier(5, random_state=0), toy_data)
    with pytest.raises(TypeError, match="step RandomForestClassifier, through which"):
        explain(forest, toy_data[0][0])
    with pytest.raises(ImageError, match="there is no face 7"):
        explain("stylegan", astronaut(), face=7)


def test_a_picture_without_a_face_is_named(tmp_path):
    path = tmp_path / "black.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    with pytest.raises(MissingFaceError, match=r"black.png'\): has no face that the face detector"):
        explain("stylegan", path)
