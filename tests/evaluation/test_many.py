"""Several detectors under attack at once: as each alone, paired, on the pictures chosen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from skfakespotter import (
    GaussianBlur,
    make_fakespotter,
    make_pictures,
    robustness_cross_val,
    robustness_curve,
)

ATTACKS = {"blur": [GaussianBlur(1.0), GaussianBlur(3.0)]}
CLASSIFIERS = {"svc": SVC(), "lr": LogisticRegression(), "net": None}
CLEAN = ("clean", None)


@pytest.fixture(scope="module")
def pictures():
    X, y = make_pictures(60, size=32, random_state=0)
    noise = np.random.default_rng(0).normal(0, 60, X.shape)
    return np.clip(X + noise, 0, 255).astype(np.uint8), y, np.arange(60) // 2


def make_detectors():
    return {
        name: make_fakespotter("toy_image", align=False, classifier=classifier, random_state=0)
        for name, classifier in CLASSIFIERS.items()
    }


@pytest.fixture(scope="module")
def curves(pictures):
    X, y, groups = pictures
    options = {"attacks": ATTACKS, "n_attacked": 20, "n_bootstraps": 50}
    return robustness_cross_val(make_detectors(), X, y, groups=groups, cv=3, **options), options


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_detector_among_others_scores_as_it_does_alone(pictures, curves, name):
    X, y, groups = pictures
    together, options = curves
    alone = robustness_cross_val(make_detectors()[name], X, y, groups=groups, cv=3, **options)
    np.testing.assert_array_equal(together[name].bootstraps, alone.bootstraps)
    for key, scores in alone.scores.items():
        np.testing.assert_allclose(together[name].scores[key], scores, err_msg=str(key))


def test_only_the_chosen_pictures_are_attacked(pictures, curves):
    _, y, _ = pictures
    for curve in curves[0].values():
        rows = curve.attacked
        assert np.bincount(y[rows]).tolist() == [10, 10]
        assert np.isfinite(curve.scores[CLEAN]).all()
        others = np.setdiff1d(np.arange(60), rows)
        for number, key in enumerate(("blur", level) for level in (1.0, 3.0)):
            scores = curve.scores[key]
            assert np.isnan(scores[others]).all()
            auc = roc_auc_score(y[rows], scores[rows])
            assert curve.columns["score"][number] == pytest.approx(auc)
        assert curve.clean_score == pytest.approx(roc_auc_score(y[rows], curve.scores[CLEAN][rows]))


def test_a_fold_without_an_attacked_picture(pictures):
    X, y, _ = pictures
    detector = make_detectors()["lr"]
    curve = robustness_cross_val(detector, X, y, cv=5, attacks=ATTACKS, n_attacked=4)
    assert np.isfinite(curve.scores["blur", 1.0][curve.attacked]).all()
    assert np.isfinite(curve.scores[CLEAN]).all()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_resamples_of_the_auc_are_those_of_scikit_learns_scorer(pictures, curves, name):
    X, y, groups = pictures
    together, options = curves

    def auc(estimator, X, y):
        soft = getattr(estimator, "decision_function", None)
        return roc_auc_score(y, soft(X) if soft else estimator.predict_proba(X)[:, 1])

    slow = robustness_cross_val(
        make_detectors()[name], X, y, groups=groups, cv=3, scoring=auc, **options
    )
    np.testing.assert_allclose(together[name].bootstraps, slow.bootstraps)


def test_fitted_detectors_by_name(pictures):
    X, y, _ = pictures
    fitted = {name: detector.fit(X[:40], y[:40]) for name, detector in make_detectors().items()}
    together = robustness_curve(fitted, X[40:], y[40:], attacks=ATTACKS, scoring="accuracy")
    for name, detector in fitted.items():
        alone = robustness_curve(detector, X[40:], y[40:], attacks=ATTACKS, scoring="accuracy")
        assert together[name].columns == alone.columns
