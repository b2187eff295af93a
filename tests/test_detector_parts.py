"""Detectors taken apart: the parts decide as the whole, and the expansion is the derivative."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import (
    AugmentedClassifier,
    ExpertStack,
    FaceAligner,
    FakeSpotterClassifier,
    GaussianBlur,
    NeuronCoverageTransformer,
    make_pictures,
)
from skfakespotter._detector_parts import take_apart

LINEAR, CURVED = LogisticRegression(), SVC(C=10)
NET = FakeSpotterClassifier((8, 8, 8, 8), lr=1e-2, max_epochs=5, device="cpu", random_state=0)
SCALED = make_pipeline(StandardScaler(with_mean=False), LINEAR)


def coverage(**options):
    return NeuronCoverageTransformer("toy_image", device="cpu", **options)


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(60, size=32, strength=4, random_state=0)


def counts_of(parts, X):
    """Counts of each channel, whatever the features are."""
    X, direct = parts.coverage.direct_statistics(X)
    return np.concatenate(
        [p.values for p in direct.counts(X, parts.coverage.thresholds_, "channel")]
    )


def decides_alike(detector, X, atol=1e-4):
    parts = take_apart(detector)
    decisions = parts.decide(torch.from_numpy(counts_of(parts, X))).numpy()
    np.testing.assert_allclose(decisions, detector.decision_function(X), rtol=1e-4, atol=atol)
    return parts


@pytest.mark.parametrize("with_std", [True, False])
@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("output", ["count", "fraction"])
def test_scaling_is_that_of_the_pipeline(pictures, granularity, output, with_mean, with_std):
    X, y = pictures
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std)
    counted = coverage(granularity=granularity, output=output)
    # its intercept makes up for the means, which logistic regression avoids
    detector = make_pipeline(counted, scaler, RidgeClassifier()).fit(X, y)
    parts = decides_alike(detector, X)
    assert parts.decision.is_linear


@pytest.mark.parametrize(
    ("classifier", "is_linear"),
    [
        (LinearDiscriminantAnalysis(), True),
        (SVC(kernel="linear"), True),
        (ExpertStack([("one", LINEAR)]), True),
        (ExpertStack([("one", SCALED), ("two", SVC(kernel="linear"))]), True),
        (CURVED, False),
        (ExpertStack([("one", LINEAR), ("two", CURVED)]), False),
    ],
    ids=["LDA", "linear SVC", "stack", "experts with scalers", "RBF SVC", "curved stack"],
)
def test_classifiers(pictures, classifier, is_linear):
    detector = make_pipeline(coverage(), StandardScaler(), clone(classifier)).fit(*pictures)
    assert decides_alike(detector, pictures[0]).decision.is_linear == is_linear


def test_the_papers_net_decides_by_log_odds(pictures):
    X, y = pictures
    detector = make_pipeline(coverage(), StandardScaler(), clone(NET)).fit(X, y)
    parts = take_apart(detector)
    odds = np.log(detector.predict_proba(X)[:, 1] / detector.predict_proba(X)[:, 0])
    decisions = parts.decide(torch.from_numpy(counts_of(parts, X)))
    np.testing.assert_allclose(decisions, odds, atol=1e-4)


def test_what_is_around_a_pipeline(pictures):
    X, y = pictures
    inner = make_pipeline(coverage(granularity="channel"), StandardScaler(), clone(LINEAR))
    augmented = AugmentedClassifier(inner, random_state=0).fit(X, y)
    for detector in (
        Pipeline([("align", "passthrough"), ("all", augmented)]),
        FrozenEstimator(augmented),
        ExpertStack([("whole", inner)], cv=2).fit(X, y),
    ):
        assert decides_alike(detector, X).coverage.granularity == "channel"
    inner.fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(inner), ensemble=False).fit(X, y)
    counts = torch.from_numpy(counts_of(take_apart(inner), X))
    decisions = take_apart(calibrated).decide(counts)
    np.testing.assert_allclose(decisions, inner.decision_function(X), rtol=1e-4, atol=1e-4)


def test_fake_is_positive_whatever_it_is_called(pictures):
    X, y = pictures
    named = make_pipeline(coverage(), StandardScaler(), clone(LINEAR))
    named.fit(X, np.where(y == 1, "fake", "real"))
    parts = take_apart(named)
    decisions = parts.decide(torch.from_numpy(counts_of(parts, X)))
    np.testing.assert_allclose(decisions, -named.decision_function(X), rtol=1e-4, atol=1e-4)
    named.fit(X, np.where(y == 1, "b", "a"))
    with pytest.raises(ValueError, match="pos_label=None and labels"):
        take_apart(named)


@pytest.mark.parametrize("classifier", [LINEAR, CURVED, NET], ids=["linear", "RBF SVC", "net"])
@pytest.mark.parametrize("options", [{}, {"granularity": "channel", "output": "fraction"}])
def test_the_expansion_is_the_derivative(pictures, classifier, options):
    detector = make_pipeline(coverage(**options), StandardScaler(), clone(classifier))
    detector.fit(*pictures)
    parts = take_apart(detector)
    at = counts_of(parts, pictures[0][:1])[0].astype(float)
    weights, intercept = parts.expand(at)
    assert weights @ at + intercept == pytest.approx(
        parts.decide(torch.from_numpy(at[None])).item()
    )
    step = np.random.default_rng(0).normal(0, 1e-4, at.shape)
    up, down = (parts.decide(torch.from_numpy((at + s)[None])).item() for s in (step, -step))
    assert (up - down) / 2 == pytest.approx(step @ weights, rel=1e-2)
    if parts.decision.is_linear:
        everywhere, constant = parts.expand()
        np.testing.assert_allclose(everywhere, weights)
        assert constant == pytest.approx(intercept)


def test_the_cropping_is_the_aligners(pictures):
    detector = make_pipeline(coverage(), clone(LINEAR)).fit(*pictures)
    aligner = FaceAligner(detector=Path("faces.onnx"), padding=0.5)
    parts = take_apart(Pipeline([("align", aligner), *detector.steps]))
    assert parts.cropping == aligner.cropping
    assert parts.cropping.detector == "faces.onnx"


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([coverage(), RandomForestClassifier(5, random_state=0)], "RandomForestClassifier"),
        ([coverage(), PCA(2), LINEAR], "PCA"),
        ([coverage(), SVC(kernel="poly")], "SVC"),
        ([GaussianBlur(1.0), coverage(), LINEAR], "GaussianBlur"),
    ],
)
def test_what_cannot_be_taken_apart_is_named(pictures, steps, name):
    detector = clone(make_pipeline(*steps)).fit(*pictures)
    with pytest.raises(TypeError, match=f"a step {name}, through which a score cannot"):
        take_apart(detector)


def test_an_unfitted_detector_says_so():
    with pytest.raises(NotFittedError):
        take_apart(make_pipeline(coverage(), LogisticRegression()))
