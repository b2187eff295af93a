"""Detectors fitted and asked together give what each gives alone, and common steps run once."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.parallel import Parallel

from skfakespotter import (
    AugmentedClassifier,
    GaussianBlur,
    JPEGCompression,
    make_fakespotter,
    make_pictures,
)
from skfakespotter._base import StatelessPictureTransformer
from skfakespotter.evaluation._shared_fitting import cross_fit, fit_together, respond_together

CALLS = []


class Counted(TransformerMixin, BaseEstimator):
    """Means and spreads of the channels, scaled by those of the training pictures."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        CALLS.append(("fit", self.scale))
        self.mean_ = np.mean(X)
        return self

    def transform(self, X):
        CALLS.append(("transform", len(X)))
        X = np.asarray(X, float)
        return np.hstack([X.mean((1, 2)) / self.mean_, X.std((1, 2)) / self.mean_]) * self.scale


class Halved(StatelessPictureTransformer):
    """Every second pixel."""

    def transform(self, X):
        CALLS.append(("halve", len(X)))
        return np.asarray(X)[:, ::2, ::2]


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(40, size=32, random_state=0)


def detectors():
    front = Halved(), Counted()
    return {
        "svc": make_pipeline(*front, StandardScaler(), SVC()),
        "lr": make_pipeline(*front, StandardScaler(), LogisticRegression()),
        "short": make_pipeline("passthrough", *front, SVC()),
        "other": make_pipeline(Halved(), Counted(2.0), LogisticRegression()),
        "lambda": make_pipeline(FunctionTransformer(lambda X: np.mean(X, (1, 2))), SVC()),
        "nested": Pipeline([("a", Halved()), ("b", make_pipeline(Counted(), SVC()))]),
    }


METHODS = dict.fromkeys(detectors(), "decision_function")


def test_each_detector_answers_as_if_it_were_alone(pictures):
    X, y = pictures
    fitted = fit_together(detectors(), X[:30], y[:30])
    found = respond_together(fitted, METHODS, X[30:], 1)
    for name, detector in detectors().items():
        alone = detector.fit(X[:30], y[:30]).decision_function(X[30:])
        np.testing.assert_allclose(found[name], alone, err_msg=name)
        np.testing.assert_allclose(fitted[name].decision_function(X[30:]), alone, err_msg=name)
        assert [n for n, _ in fitted[name].steps] == [n for n, _ in detector.steps]


def test_equal_steps_run_once(pictures, calls):
    X, y = pictures
    fitted = fit_together(detectors(), X, y)
    assert [call for call in calls if call[0] == "halve"] == [("halve", 40)]
    assert [call for call in calls if call[0] == "fit"] == [("fit", 1.0), ("fit", 2.0)]
    calls.clear()
    respond_together(fitted, METHODS, X, 1)
    assert [call for call in calls if call[0] == "halve"] == [("halve", 40)]


def test_what_learns_nothing_runs_once_for_all_folds(pictures, calls):
    X, y = pictures
    trains = [np.arange(40) % 4 != fold for fold in range(4)]
    trains = [np.flatnonzero(train) for train in trains]
    folds = cross_fit(detectors(), X, y, trains, Parallel())
    assert [call for call in calls if call[0] == "halve"] == [("halve", 40)]
    for train, fitted in zip(trains, folds, strict=True):
        found = respond_together(fitted, METHODS, X, 1)
        for name, detector in detectors().items():
            alone = detector.fit(X[train], y[train]).decision_function(X)
            np.testing.assert_allclose(found[name], alone, err_msg=name)


def test_perturbed_copies_are_made_once_and_equal_those_made_alone(pictures):
    X, y = pictures
    attacks = {"jpeg": [JPEGCompression(30)], "blur": [GaussianBlur(2.0)]}
    made = {
        name: AugmentedClassifier(
            make_pipeline(Counted(), StandardScaler(), classifier), attacks=attacks, random_state=0
        )
        for name, classifier in (("svc", SVC()), ("lr", LogisticRegression()))
    }
    fitted = fit_together(made, X, y)
    assert [call for call in CALLS if call[0] == "fit"] == [("fit", 1.0)]
    methods = {"svc": "decision_function", "lr": "predict_proba"}
    found = respond_together(fitted, methods, X, 1)
    np.testing.assert_allclose(found["svc"], made["svc"].fit(X, y).decision_function(X))
    np.testing.assert_allclose(found["lr"], made["lr"].fit(X, y).predict_proba(X)[:, 1])


def test_coverage_is_counted_once_for_all_classifiers(pictures):
    X, y = pictures
    made = {
        name: make_fakespotter("toy_image", align=False, classifier=classifier)
        for name, classifier in (("svc", SVC()), ("lr", LogisticRegression()))
    }
    fitted = fit_together(made, X, y)
    assert fitted["svc"]["coverage"] is fitted["lr"]["coverage"]
    assert fitted["svc"]["classifier"] is not fitted["lr"]["classifier"]
    assert fitted["lr"]["align"] == "passthrough"
