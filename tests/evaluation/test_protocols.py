"""Who is trained on what: groups apart, known separations, and results that save and draw."""

import csv
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from skfakespotter.evaluation import (
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._protocols import (
    cross_generator,
    detection_learning_curve,
    leave_one_generator_out,
    within_pair,
)
from skfakespotter.images import check_images, load_image

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make_pair(n=200, shift=1.5, seed=0, axis=0):
    """n photographs and their n edited copies, `shift` standard deviations apart on one axis."""
    rng = np.random.default_rng(seed)
    y, groups = np.repeat([0, 1], n), np.tile(np.arange(n), 2)
    X = rng.normal(size=(2 * n, 3))
    X[:, axis] += shift * y
    return X, y, groups


class Recorder(ClassifierMixin, BaseEstimator):
    """Column 0 of X is the group; scoring fails on a group seen in training."""

    def fit(self, X, y):
        self.classes_, self.seen_ = np.unique(y), set(np.asarray(X)[:, 0])
        return self

    def decision_function(self, X):
        assert not self.seen_ & set(X[:, 0]), "a group stands on both sides"
        return X[:, 1]


def test_within_pair_finds_the_known_separation():
    X, y, groups = make_pair(n=400)
    result = within_pair(LogisticRegression(), X, y, groups=groups)
    known = norm.cdf(1.5 / np.sqrt(2))  # AUC of two unit normals 1.5 apart: 0.856
    assert result.fold_auc.mean() == pytest.approx(known, abs=0.02)
    auc = result.report(n_bootstraps=300)["AUC"]
    assert auc.low < known < auc.high
    assert auc.value == pytest.approx(roc_auc_score(y, result.scores), abs=1e-12)


def test_within_pair_agrees_with_cross_val_score():
    X, y, groups = make_pair()
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=7)
    expected = cross_val_score(
        LogisticRegression(), X, y, groups=groups, cv=folds, scoring="roc_auc"
    )
    result = within_pair(LogisticRegression(), X, y, groups=groups, cv=4, random_state=7)
    np.testing.assert_allclose(result.fold_auc, expected)
    for fold, (_, test) in enumerate(folds.split(X, y, groups)):
        assert (result.folds[test] == fold).all()


def test_groups_never_stand_on_both_sides():
    X, y, groups = make_pair()
    X[:, 0] = groups
    result = within_pair(Recorder(), X, y, groups=groups)
    assert result.threshold == 0
    np.testing.assert_array_equal(result.scores, X[:, 1])
    detection_learning_curve(Recorder(), X, y, groups=groups, train_sizes=[20, 100])
    with pytest.raises(AssertionError, match="both sides"):
        within_pair(Recorder(), X, y)


def test_a_leak_by_group_is_not_rewarded():
    rng = np.random.default_rng(0)
    group_y = rng.integers(0, 2, 60)
    groups = np.repeat(np.arange(60), 5)  # five near-copies of each item, labels without a rule
    X = rng.normal(size=(60, 3))[groups] + 0.01 * rng.normal(size=(300, 3))
    model = KNeighborsClassifier(3)
    assert within_pair(model, X, group_y[groups]).fold_auc.mean() > 0.95
    apart = within_pair(model, X, group_y[groups], groups=groups)
    assert apart.fold_auc.mean() == pytest.approx(0.5, abs=0.15)


def test_permuted_labels_score_one_half():
    X, y, _ = make_pair(n=500)
    y = np.random.default_rng(0).permutation(y)
    result = within_pair(LogisticRegression(), X, y)
    assert result.fold_auc.mean() == pytest.approx(0.5, abs=0.06)


def test_folds_are_seeded_and_cover_every_item_once():
    X, y, groups = make_pair(60)
    first = within_pair(LogisticRegression(), X, y, groups=groups)
    again = within_pair(LogisticRegression(), X, y, groups=groups, n_jobs=2)
    other = within_pair(LogisticRegression(), X, y, groups=groups, random_state=1)
    np.testing.assert_array_equal(first.folds, again.folds)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.folds != other.folds).any()
    assert sorted(set(first.folds.tolist())) == [0, 1, 2, 3, 4]
    assert np.isfinite(first.scores).all()


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()])
@pytest.mark.parametrize(
    ("names", "pos_label"),
    [(("real", "fake"), None), (("photo", "GAN"), "GAN"), ((True, False), False)],
)
def test_the_positive_class_scores_higher(model, names, pos_label):
    X, y, _ = make_pair(shift=3)
    named = np.array(names)[y]
    result = within_pair(model, X, named, pos_label=pos_label)
    assert roc_auc_score(y, result.scores) > 0.95  # "fake" < "real" sorts first
    np.testing.assert_allclose(result.scores, within_pair(model, X, y).scores, atol=1e-4)
    assert result.report(n_bootstraps=0)["accuracy"].value > 0.9


def test_estimator_is_left_unfitted():
    X, y, _ = make_pair(50)
    model = LogisticRegression()
    within_pair(model, X, y)
    assert not hasattr(model, "classes_")


def test_pictures_series_and_lists(tmp_path):
    rng = np.random.default_rng(0)
    paths, y = [], np.tile(["real", "fake"], 12)
    for i, label in enumerate(y):
        gray = rng.integers(0, 100, (24, 24)) + (120 if label == "fake" else 0)
        paths.append(str(tmp_path / f"{i}.jpg"))
        Image.fromarray(gray.astype(np.uint8)).save(paths[-1])

    def brightness(X):
        return np.array([[load_image(x).mean()] for x in check_images(X)])

    model = make_pipeline(FunctionTransformer(brightness), StandardScaler(), LogisticRegression())
    from_list = within_pair(model, paths, y, cv=3)
    assert (from_list.fold_auc == 1).all()
    index = np.arange(100, 124)
    series = within_pair(model, pd.Series(paths, index), pd.Series(y, index), cv=3)
    arrays = within_pair(model, [load_image(path) for path in paths], y, cv=3)
    np.testing.assert_array_equal(series.scores, from_list.scores)
    np.testing.assert_array_equal(arrays.scores, from_list.scores)
    sets = {"a": (paths[:12], y[:12]), "b": (pd.Series(paths[12:]), y[12:])}
    assert leave_one_generator_out(model, sets, n_bootstraps=0).reports["a"]["AUC"].value == 1


def test_cross_generator_matrix():
    sets = {
        "a": make_pair(shift=3, seed=0)[:2],
        "b": make_pair(shift=3, seed=1)[:2],  # same cue as a
        "c": make_pair(shift=3, seed=2, axis=1)[:2],  # another cue
    }
    result = cross_generator(LogisticRegression(), sets, n_bootstraps=50)
    known = norm.cdf(3 / np.sqrt(2))  # 0.983
    expected = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    np.testing.assert_allclose(result.matrix[expected], known, atol=0.02)
    np.testing.assert_allclose(result.matrix[~expected], 0.5, atol=0.2)
    model = LogisticRegression().fit(*sets["c"])
    direct = roc_auc_score(sets["a"][1], model.predict_proba(sets["a"][0])[:, 1])
    assert result.reports["c", "a"]["AUC"].value == pytest.approx(direct, abs=1e-12)
    within = within_pair(LogisticRegression(), *sets["b"]).report(n_bootstraps=50)
    assert result.reports["b", "b"].to_dict() == within.to_dict()
    frame = result.to_frame()
    assert list(frame.columns) == ["train", "test", "auc", "low", "high", "n_train"]
    pivot = frame.pivot(index="train", columns="test", values="auc").loc[result.names, result.names]
    np.testing.assert_array_equal(pivot, result.matrix)
    assert (frame["low"] < frame["auc"]).all()
    assert frame["n_train"].tolist() == [320, 400, 400, 400, 320, 400, 400, 400, 320]


def test_shared_photographs_are_left_out_of_training():
    X, y, groups = make_pair(100)
    X[:, 0] = groups
    shared = X.copy()
    shared[:, 0] = groups + 60  # photographs 60 to 99 stand in both sets
    apart = X.copy()
    apart[:, 0] = groups + 1000
    sets = {
        "eyeglasses": (X, y, groups),
        "mouth": (shared, y, groups + 60),
        "other": (apart, y),  # without groups: shares none
    }
    with pytest.raises(AssertionError, match="both sides"):  # the third has no groups within
        cross_generator(Recorder(), {name: (X, y) for name, (X, y, *_) in sets.items()})
    sets["other"] = (apart, y, groups + 1000)
    result = cross_generator(Recorder(), sets, n_bootstraps=0)
    # of 200 items the 80 shared ones are left out of one fold in five, 16 on average
    assert result.n_train["eyeglasses", "mouth"] == result.n_train["mouth", "eyeglasses"] == 184
    assert result.n_train["eyeglasses", "other"] == 200
    left_out = leave_one_generator_out(Recorder(), sets, n_bootstraps=0)
    assert left_out.n_train == {"eyeglasses": 384, "mouth": 384, "other": 400}


def test_edits_of_the_same_photographs_are_tested_fold_by_fold():
    X, y, groups = make_pair(100)
    X[:, 0] = groups
    edits = np.column_stack([groups, X[:, 1] + 5 * y, y])
    sets = {"eyeglasses": (X, y, groups), "mouth": (edits, y, groups)}
    result = cross_generator(Recorder(), sets, n_bootstraps=0)
    assert set(result.n_train.values()) == {160}
    direct = roc_auc_score(y, edits[:, 1])
    assert result.reports["eyeglasses", "mouth"]["AUC"].value == pytest.approx(direct, abs=1e-12)
    left_out = leave_one_generator_out(Recorder(), sets, n_bootstraps=0)
    assert left_out.reports["mouth"]["AUC"].value == pytest.approx(direct, abs=1e-12)
    # the diagonal is the special case of a set that shares all groups with itself
    twin = {"a": (X, y, groups), "b": (X, y, groups)}
    matrix = cross_generator(LogisticRegression(), twin, n_bootstraps=0).matrix
    np.testing.assert_allclose(matrix, matrix[0, 0], atol=1e-12)


def test_reports_draw_by_group():
    X, y, groups = make_pair(50)
    assert within_pair(LogisticRegression(), X, y, groups=groups).report().n_groups == 50
    sets = {"a": (X, y, groups), "b": (X, y, groups + 50)}
    assert {r.n_groups for r in cross_generator(LogisticRegression(), sets).reports.values()} == {
        50
    }


def test_string_groups_are_compared_by_value():
    X, y, groups = make_pair(50)
    sets = {
        "a": (X, y, [f"photo {g}" for g in groups]),
        "b": (X, y, [f"photo {g + 40}" for g in groups]),
        "c": (X, y),
    }
    result = cross_generator(LogisticRegression(), sets, n_bootstraps=0)
    assert result.n_train["a", "b"] == 96  # 100 less the 20 shared ones in one fold of five
    assert result.n_train["a", "c"] == result.n_train["c", "a"] == 100


def test_leave_one_generator_out_trains_on_the_others():
    sets = {name: make_pair(shift=3, seed=i, axis=i // 3)[:2] for i, name in enumerate("abcd")}
    result = leave_one_generator_out(LogisticRegression(), sets, n_bootstraps=50)
    X = np.concatenate([sets[name][0] for name in "acd"])
    y = np.concatenate([sets[name][1] for name in "acd"])
    model = LogisticRegression().fit(X, y)
    direct = roc_auc_score(sets["b"][1], model.predict_proba(sets["b"][0])[:, 1])
    assert result.reports["b"]["AUC"].value == pytest.approx(direct, abs=1e-12)
    assert result.reports["d"]["AUC"].value < 0.7  # no other set holds its cue
    frame = result.to_frame()
    assert list(frame.columns) == ["test", "auc", "low", "high", "n_train"]
    assert frame["test"].tolist() == list("abcd")
    assert (frame["n_train"] == 1200).all()


def test_leave_one_generator_out_joins_frames():
    sets = {name: make_pair(60, seed=i)[:2] for i, name in enumerate("ab")}
    frames = {name: (pd.DataFrame(X, columns=list("xyz")), y) for name, (X, y) in sets.items()}
    arrays = leave_one_generator_out(LogisticRegression(), sets, n_bootstraps=0)
    named = leave_one_generator_out(LogisticRegression(), frames, n_bootstraps=0)
    assert named.reports["a"]["AUC"] == pytest.approx(arrays.reports["a"]["AUC"], nan_ok=True)


def test_learning_curve_rises_to_the_known_separation():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 1000)
    X = rng.normal(size=(2000, 20))
    X[:, :5] += 0.6 * y[:, None]
    sizes = [10, 80, 1600]
    result = detection_learning_curve(LogisticRegression(), X, y, train_sizes=sizes, n_repeats=2)
    assert result.scores.shape == (3, 2, 5)
    means = result.scores.mean(axis=(1, 2))
    assert means[0] + 0.05 < means[1] < means[2] - 0.05
    known = norm.cdf(0.6 * np.sqrt(5) / np.sqrt(2))  # 0.83, the best any detector reaches
    assert known - 0.05 < means[2] < known + 0.03
    assert (result.scores[:, 0] != result.scores[:, 1]).any()  # repeats draw folds anew
    whole = within_pair(LogisticRegression(tol=1e-8), X, y)
    curve = detection_learning_curve(LogisticRegression(tol=1e-8), X, y, train_sizes=[1600])
    np.testing.assert_allclose(curve.scores[0, 0], whole.fold_auc, atol=1e-3)  # the same folds


class Sizes(DummyClassifier):
    """Keeps what each fit was given."""

    fits = []  # noqa: RUF012

    def fit(self, X, y):
        Sizes.fits.append((X[:, 0].tolist(), np.mean(y)))
        return super().fit(X, y)


def test_learning_curve_draws_nested_stratified_items():
    Sizes.fits = []
    y = np.repeat([0, 1], [150, 50])
    X = np.arange(200.0)[:, None]
    result = detection_learning_curve(Sizes(strategy="prior"), X, y, train_sizes=[40, 8, 160])
    assert result.train_sizes.tolist() == [8, 40, 160]
    small, middle, large = (Sizes.fits[start : start + 5] for start in (0, 5, 10))
    for (few, share), (some, more_share), (most, _) in zip(small, middle, large, strict=True):
        assert (len(few), len(some), len(most)) == (8, 40, 160)
        assert set(few) < set(some) < set(most)
        assert share == more_share == 0.25
    np.testing.assert_allclose(result.scores, 0.5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([10, 500], r"train_sizes is \[10, 500\]: expected whole numbers from 2 to 320"),
        ([1], "expected whole numbers from 2 to 320"),
        ([], "expected whole numbers from 2 to 320"),
    ],
)
def test_training_sizes_are_checked(sizes, message):
    X, y, _ = make_pair()
    with pytest.raises(ValueError, match=message):
        detection_learning_curve(LogisticRegression(), X, y, train_sizes=sizes)


def test_training_sizes_too_small_for_two_classes():
    X, y = np.zeros((200, 1)), np.repeat([0, 1], [180, 20])
    with pytest.raises(ValueError, match="first 3 training items hold fewer than two classes"):
        detection_learning_curve(LogisticRegression(), X, y, train_sizes=[3])
    with pytest.raises(ValueError, match=r"\[0.5\]: expected whole numbers"):
        detection_learning_curve(LogisticRegression(), X, y, train_sizes=[0.5])


def test_within_pair_says_when_groups_are_few():
    X, y, _ = make_pair(40)
    with pytest.warns(UserWarning, match="6 groups hold real items and 6 hold fakes: figures of"):
        within_pair(LogisticRegression(), X, y, groups=np.arange(len(y)) % 6, cv=2)


def test_within_pair_refuses_what_it_cannot_measure():
    X, y, groups = make_pair(20)
    with pytest.raises(TypeError, match="LinearRegression has neither predict_proba nor"):
        within_pair(LinearRegression(), X, y)
    with pytest.raises(ValueError, match=r"labels are \[0\]: expected two classes"):
        within_pair(LogisticRegression(), X, 0 * y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        within_pair(LogisticRegression(), X, y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        within_pair(LogisticRegression(), X, y, groups=groups[:-1])
    with pytest.raises(ValueError, match=r"with cv=2 folds.*fewer than two classes"):
        within_pair(LogisticRegression(), X, y, groups=y, cv=2)
    with pytest.raises(ValueError, match="'cv' parameter of within_pair must be"):
        within_pair(LogisticRegression(), X, y, cv=1)


@pytest.mark.parametrize("protocol", [cross_generator, leave_one_generator_out])
def test_sets_are_checked(protocol):
    X, y, _ = make_pair(20)
    model = LogisticRegression()
    with pytest.raises(ValueError, match="sets is a list: expected a dict of two or more"):
        protocol(model, [(X, y), (X, y)])
    with pytest.raises(ValueError, match=r"sets is \['a'\]: expected a dict of two or more"):
        protocol(model, {"a": (X, y)})
    with pytest.raises(ValueError, match=r"sets\['b'\]: expected a tuple"):
        protocol(model, {"a": (X, y), "b": X})
    with pytest.raises(ValueError, match=r"sets\['b'\]: labels are \[0\]"):
        protocol(model, {"a": (X, y), "b": (X, 0 * y)})
    with pytest.raises(ValueError, match=r"sets\['b'\] has the labels \['fake', 'real'\]"):
        protocol(model, {"a": (X, y), "b": (X, np.array(["real", "fake"])[y])})


def test_sharing_groups_may_leave_one_class():
    X, y, groups = make_pair(20)
    one = np.where(y, 0, 100 + groups)  # all fakes are edits of photograph 0
    sets = {"a": (X, y, one), "b": (X, y, groups)}
    with pytest.raises(ValueError, match="'a' without the groups of 'b' would hold fewer than two"):
        cross_generator(LogisticRegression(), sets)
    sets = {"b": (X, y, groups), "a": (X, y, one)}
    with pytest.raises(ValueError, match="'a' without the groups of 'b' would hold fewer"):
        leave_one_generator_out(LogisticRegression(), sets)


def results():
    X, y, groups = make_pair(40)
    sets = {"a": (X, y, groups), "b": (X + 0.1, y)}
    model = LogisticRegression()
    return {
        "within": within_pair(model, X, y, groups=groups),
        "cross": cross_generator(model, sets, n_bootstraps=20),
        "left out": leave_one_generator_out(model, sets, n_bootstraps=20),
        "curve": detection_learning_curve(model, X, y, n_repeats=2),
    }


@pytest.mark.parametrize("name", ["within", "cross", "left out", "curve"])
def test_results_save_without_loss_and_draw_themselves(name, tmp_path, monkeypatch):
    result = results()[name]
    frame = result.to_frame()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pandas", None)
        result.to_csv(tmp_path / "result.csv")
        with pytest.raises(ImportError, match=r"skfakespotter\[pandas\]"):
            result.to_frame()
    with open(tmp_path / "result.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(frame.columns)
    assert rows == [[str(value) for value in row] for row in frame.itertuples(index=False)]
    figure, ax = plt.subplots()
    display = result.plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert result.plot().ax_ is not ax


def test_learning_curve_frame():
    result = results()["curve"]
    frame = result.to_frame()
    assert list(frame.columns) == ["n_train", "repeat", "fold", "auc"]
    mean = frame.groupby("n_train")["auc"].mean()
    assert mean.index.tolist() == [4, 8, 16, 32, 64]
    np.testing.assert_allclose(mean, result.scores.mean(axis=(1, 2)))


def test_matrix_display_prints_every_value_legibly():
    matrix = [[0.5, 1.0, 0.3], [0.756, np.nan, 0.9]]
    display = ScoreMatrixDisplay(matrix, ["a", "b", "c"], row_names=["x", "y"]).plot()
    printed = [[text.get_text() for text in row] for row in display.text_]
    assert printed == [["0.50", "1.00", "0.30"], ["0.76", "", "0.90"]]
    assert display.text_[0, 0].get_color() == "white"  # on the dark end of the colors
    assert display.text_[0, 1].get_color() == "black"
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["x", "y"]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("tested on", "trained on")
    with pytest.raises(ValueError, match=r"matrix has shape \(2, 3\): expected \(3, 3\)"):
        ScoreMatrixDisplay(matrix, ["a", "b", "c"])


def test_training_size_display_draws_mean_and_spread_and_shares_axes():
    scores = np.array([[0.6, 0.8], [0.8, 1.0]])
    first = TrainingSizeDisplay([100, 400], scores).plot(name="coverage")
    np.testing.assert_allclose(first.line_.get_ydata(), [0.7, 0.9])
    band = first.fill_between_.get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [0.6, 1.0])
    second = TrainingSizeDisplay([50, 100], scores).plot(first.ax_, name="embedding")
    assert second.ax_ is first.ax_
    assert second.line_.get_color() != first.line_.get_color()
    assert second.line_.get_marker() != first.line_.get_marker()
    third = TrainingSizeDisplay([50, 100], scores).plot(first.ax_, color="k")
    assert third.line_.get_color() == "k"
    assert first.ax_.get_xticks().tolist() == [50, 100, 400]
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert legend == ["coverage", "embedding"]
    with pytest.raises(ValueError, match=r"scores has shape \(2,\): expected \(2, n_repeats\)"):
        TrainingSizeDisplay([1, 2], [0.5, 0.6])


def test_interval_display_draws_the_ends():
    display = ScoreIntervalDisplay(["a", "b"], [0.8, 0.9], [0.7, 0.85], [0.85, 0.95]).plot()
    (bars,) = display.errorbar_[2]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.7, 0.85], [0.85, 0.95]])
    assert display.ax_.yaxis_inverted()


def test_matplotlib_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"skfakespotter\[plot\]"):
        ScoreMatrixDisplay([[0.5]], ["a"]).plot()
