"""Explanations: all parts add up to the score, and point where the evidence lies."""

import dataclasses

import numpy as np
import pytest
from skimage.data import astronaut
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skfakespotter import (
    ExpertStack,
    ImageError,
    NeuronCoverageTransformer,
    explain,
    list_detectors,
    load_detector,
    make_fakespotter,
    make_pictures,
)
from skfakespotter.explanation import layer_evidence, spread


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
    [LogisticRegression(), SVC(kernel="linear"), ExpertStack([("one", LogisticRegression())])],
    ids=["logistic regression", "linear SVC", "stack"],
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


def test_the_expansion_is_the_derivative(toy_data):
    """Move the counts a little: the score moves as the weights say."""
    from skfakespotter.explanation._linear import linear_form

    detector = toy(SVC(C=10), toy_data, granularity="channel")
    form_at, (coverage, _) = linear_form(detector)
    counts = coverage.transform(toy_data[0][:1]).astype(float)
    step = np.random.default_rng(0).normal(0, 1e-3, counts.shape)
    rest = detector[2:]
    moved = (rest.decision_function(counts + step) - rest.decision_function(counts - step)) / 2
    np.testing.assert_allclose(moved, step @ form_at(counts).weights, rtol=1e-2)


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
    import torch

    layer = torch.nn.Conv2d(3, 1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    dark = np.zeros((8, 32, 32, 3), np.uint8)
    dark[:, :8, :8] = 200
    coverage = NeuronCoverageTransformer(
        torch.nn.Sequential(layer), granularity="channel", device="cpu"
    ).fit(dark)
    found = layer_evidence(coverage, np.array([0.5]), dark[:1])["0"][0]
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
    with pytest.raises(ImageError, match="no face that the face detector finds"):
        explain("stylegan", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ImageError, match="there is no face 7"):
        explain("stylegan", astronaut(), face=7)
