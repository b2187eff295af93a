"""compare: DeLong against its definition, the bootstrap against it, Holm by hand."""

import csv

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skfakespotter import compare, within_pair
from skfakespotter.evaluation._delong import adjust_holm, delong_covariance
from skfakespotter.evaluation._folds import make_folds


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [90, 70])
    X = rng.normal(size=(160, 3)) + y[:, None] * [1.4, 0.7, 0.0]
    return X, y


def kernel(fake, real):
    return np.mean((fake > real) + 0.5 * (fake == real))


def test_delong_is_the_covariance_of_placements(table):
    """By the definition: a double loop over pairs, with ties."""
    X, y = table
    scores, fake = np.round(X.T, 1), y == 1
    auc, covariance = delong_covariance(fake, scores)
    for own, value in zip(scores, auc, strict=True):
        assert value == pytest.approx(roc_auc_score(y, own))
    of_fakes = np.array([[kernel(f, own[~fake]) for f in own[fake]] for own in scores])
    of_reals = np.array([[kernel(own[fake], r) for r in own[~fake]] for own in scores])
    np.testing.assert_allclose(covariance, np.cov(of_fakes) / 70 + np.cov(of_reals) / 90)


def test_delong_by_hand():
    """Fakes 3 and 1, reals 2 and 0: placements (1, .5) and (.5, 1), variance .125 each, / 2."""
    auc, covariance = delong_covariance(np.array([1, 1, 0, 0], bool), np.array([[3.0, 1, 2, 0]]))
    assert (auc[0], covariance[0, 0]) == (0.75, 0.125)


def test_false_alarms_of_delong_are_as_rare_as_it_says():
    rng, alarms = np.random.default_rng(1), 0
    y = np.repeat([0, 1], 40)
    for _ in range(400):
        shared = rng.normal(size=80) + y
        scores = shared + rng.normal(size=(2, 80))  # equally good, correlated
        auc, covariance = delong_covariance(y == 1, scores)
        deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        alarms += 2 * norm.sf(abs(auc[0] - auc[1]) / deviation) < 0.05
    assert 0.02 < alarms / 400 < 0.09


def test_holm_by_hand():
    # smallest times 4, next times 3, never falling: .02, .06, .06 (not .04), .5
    adjusted = adjust_holm(np.array([0.02, 0.005, 0.5, 0.02]))
    np.testing.assert_allclose(adjusted, [0.06, 0.02, 0.5, 0.06])
    np.testing.assert_allclose(adjust_holm(np.array([0.4, 0.9])), [0.8, 0.9])


def test_scores_are_those_of_within_pair_on_the_same_folds(table):
    X, y = table
    detectors = {"linear": LogisticRegression(), "machine": SVC()}
    result = compare(detectors, X, y, cv=4, random_state=3, n_bootstraps=50)
    for name, detector in detectors.items():
        alone = within_pair(detector, X, y, cv=4, random_state=3)
        np.testing.assert_allclose(result.scores[name], alone.scores)
        np.testing.assert_array_equal(result.folds, alone.folds)
        assert result.reports[name]["AUC"] == alone.report(n_bootstraps=50, random_state=3)["AUC"]
        assert result.reports[name].threshold == alone.threshold
    folds = make_folds(y, None, 4, 3)
    again = cross_val_predict(SVC(), X, y, cv=folds, method="decision_function")
    np.testing.assert_allclose(result.scores["machine"], again)


def test_bootstrap_and_delong_agree_on_independent_items(table):
    X, y = table
    scores = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
    delong = compare(scores, None, y, n_bootstraps=2000)
    drawn = compare(scores, None, y, test="bootstrap", n_bootstraps=2000)
    assert (delong.test, drawn.test) == ("delong", "bootstrap")
    for one, other in zip(delong.differences, drawn.differences, strict=True):
        assert one.difference == pytest.approx(other.difference)
        assert (one.high - one.low) == pytest.approx(other.high - other.low, rel=0.1)
    assert [(d.a, d.b) for d in delong.differences] == [("a", "b"), ("a", "c"), ("b", "c")]
    p_values = np.array([d.p_value for d in delong.differences])
    np.testing.assert_allclose([d.p_adjusted for d in delong.differences], adjust_holm(p_values))
    assert delong.differences["a", "c"].p_adjusted < 1e-6


def test_groups_widen_what_copies_would_narrow(table):
    X, y = table
    copies = {"a": np.repeat(X[:, 0], 4), "b": np.repeat(X[:, 1], 4)}
    alone = compare({"a": X[:, 0], "b": X[:, 1]}, None, y, test="bootstrap")
    options = {"groups": np.repeat(np.arange(160), 4)}
    grouped = compare(copies, None, np.repeat(y, 4), **options)
    naive = compare(copies, None, np.repeat(y, 4))
    width = {k: r.differences["a", "b"] for k, r in (("1", alone), ("g", grouped), ("4", naive))}
    width = {k: d.high - d.low for k, d in width.items()}
    assert width["g"] == pytest.approx(width["1"], rel=0.15)
    assert width["4"] == pytest.approx(width["1"] / 2, rel=0.15)
    assert grouped.test == "bootstrap"


def test_a_detector_does_not_differ_from_itself(table):
    X, y = table
    for test in ("delong", "bootstrap"):
        options = {"test": test, "n_bootstraps": 20}
        (row,) = compare({"a": X[:, 0], "b": X[:, 0]}, None, y, **options).differences
        assert row[2:] == (0, 0, 0, 1, 1)


class Counting(TransformerMixin, BaseEstimator):
    n_calls = 0

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        Counting.n_calls += len(X)
        return X

    def __sklearn_is_fitted__(self):
        return True


def test_equal_first_steps_run_once(table):
    X, y = table
    detectors = {
        str(C): make_pipeline(Counting(), LogisticRegression(C=C)) for C in (0.01, 1.0, 100.0)
    }
    Counting.n_calls = 0
    compare(detectors, X, y, cv=2, n_bootstraps=5)
    assert Counting.n_calls == 2 * 160  # each item trained on once and tested once


def test_predictions_are_one_tidy_table(table, tmp_path):
    X, y = table
    labels = np.where(y == 1, "fake", "real")
    groups = np.arange(160) % 80
    result = compare(
        {"linear": LogisticRegression(), "given": X[:, 1]}, X, labels, groups=groups, n_bootstraps=5
    )
    frame = result.to_frame()
    assert list(frame.columns) == ["item", "label", "group", "detector", "fold", "score"]
    assert len(frame) == 320
    given = frame[frame.detector == "given"]
    np.testing.assert_array_equal(given.score, X[:, 1])
    assert frame.groupby("group").fold.nunique().eq(1).all()
    result.differences.to_csv(tmp_path / "differences.csv")
    with open(tmp_path / "differences.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["p_adjusted"]) == result.differences["linear", "given"].p_adjusted


def test_shows_itself(table):
    X, y = table
    result = compare({"a": X[:, 0], "bb": X[:, 1]}, None, y, n_bootstraps=50)
    auc = roc_auc_score(y, X[:, 0])
    assert repr(result).startswith(f"ComparisonResult(figure='AUC', a={auc:.3f}, bb=0.")
    assert f"a   {auc:>8.3f}" in str(result)
    assert "differences (delong; p adjusted for 1 pairs)" in str(result)
    display = result.plot()
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == ["a", "bb"]


def test_another_figure_is_compared_by_resampling(table):
    X, y = table
    scores = {"a": 1 / (1 + np.exp(-X[:, 0] + 0.7)), "b": 1 / (1 + np.exp(-X[:, 2]))}
    result = compare(scores, None, y, figure="accuracy", n_bootstraps=200)
    accuracies = [np.mean((score >= 0.5) == y) for score in scores.values()]
    assert result.test == "bootstrap"
    assert result.differences["a", "b"].difference == pytest.approx(-np.diff(accuracies)[0])


def test_refuses(table):
    X, y = table
    with pytest.raises(ValueError, match=r"detectors holds \['a'\]: expected two or more"):
        compare({"a": X[:, 0]}, None, y)
    with pytest.raises(ValueError, match=r"X is None: expected the items that \['b'\]"):
        compare({"a": X[:, 0], "b": SVC()}, None, y)
    with pytest.raises(ValueError, match=r"'delong'.*items of one group are not independent"):
        compare({"a": X[:, 0], "b": X[:, 1]}, None, y, groups=y, test="delong")
    with pytest.raises(ValueError, match=r"'delong'.*: not accuracy"):
        compare({"a": X[:, 0], "b": X[:, 1]}, None, y, figure="accuracy", test="delong")
    with pytest.raises(ValueError, match="'figure' parameter of compare must be"):
        compare({"a": X[:, 0], "b": X[:, 1]}, None, y, figure="auc")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare({"a": X[:, 0], "b": X[:-1, 1]}, None, y)
    with pytest.raises(TypeError, match="LinearRegression has neither"):
        compare({"a": LinearRegression(), "b": X[:, 1]}, X, y)
    with pytest.raises(KeyError, match="no comparison of"):
        compare({"a": X[:, 0], "b": X[:, 1]}, None, y, n_bootstraps=5).differences["b", "a"]


def test_predictions_name_the_files(table, tmp_path):
    y, files = table[1], [tmp_path / f"{i}.jpg" for i in range(160)]
    scores = {"a": table[0][:, 0], "b": table[0][:, 1]}
    compare(scores, files, y, n_bootstraps=10).to_csv(tmp_path / "predictions.csv")
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [rows[i]["picture"] for i in (3, 163)] == [str(files[3])] * 2
    assert (rows[163]["detector"], float(rows[163]["score"])) == ("b", table[0][3, 1])
    assert "picture" not in compare(scores, None, y, n_bootstraps=10).to_frame()
