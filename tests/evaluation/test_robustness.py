import csv
import os

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfakespotter._prefetch import iter_images
from skfakespotter.evaluation import RobustnessDisplay
from skfakespotter.evaluation._curve import CLEAN
from skfakespotter.evaluation._robustness import robustness_cross_val, robustness_curve
from skfakespotter.images import ImageError, check_images
from skfakespotter.perturbations._attacks import paper_attacks
from skfakespotter.perturbations._augmentation import AugmentedClassifier
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
)

ATTACKS = {
    "blur": [GaussianBlur(0.5), GaussianBlur(2.0)],
    "chain": [("q50 + noise", make_pipeline(JPEGCompression(50), GaussianNoise(0.01)))],
}


def describe(X):
    def one(image):
        pixels = image.astype(float)
        return [pixels.std(), np.abs(np.diff(pixels, axis=0)).mean(), pixels[..., 0].mean()]

    return np.array(list(iter_images(check_images(X), one)))


def detector():
    return make_pipeline(FunctionTransformer(describe), LogisticRegression())


@pytest.fixture(scope="module")
def faces():
    """Sixty pictures: real ones, fakes that are a little smoother, in pairs."""
    rng = np.random.default_rng(0)
    real = ndimage.gaussian_filter(rng.normal(128, 60, (30, 24, 24, 3)), (0, 0.5, 0.5, 0))
    fake = ndimage.gaussian_filter(real, (0, 0.28, 0.28, 0))
    X = np.concatenate([real, fake]).clip(0, 255).astype(np.uint8)
    return X, np.repeat(["real", "fake"], 30), np.tile(np.arange(30), 2)


class TestCurve:
    def test_against_a_plain_loop(self, faces):
        X, y, _ = faces
        model = detector().fit(X[::2], y[::2])
        X, y = X[1::2], y[1::2]
        curve = robustness_curve(model, X, y, attacks=ATTACKS, random_state=3)
        steps = [
            ("blur", 0.5, GaussianBlur(0.5)),
            ("blur", 2.0, GaussianBlur(2.0)),
            (
                "chain",
                "q50 + noise",
                make_pipeline(JPEGCompression(50), GaussianNoise(0.01, random_state=3)),
            ),
        ]
        clean = roc_auc_score(y == "fake", model.predict_proba(X)[:, 0])
        assert 0.6 < clean < 1
        assert curve.clean_score == pytest.approx(clean, abs=1e-12)
        for row, (attack, intensity, transformer) in enumerate(steps):
            fakeness = -model.decision_function(transformer.transform(X))  # classes: fake, real
            score = roc_auc_score(y == "fake", fakeness)
            np.testing.assert_allclose(curve.scores[attack, intensity], fakeness, atol=1e-9)
            assert curve.columns["attack"][row] == attack
            assert curve.columns["intensity"][row] == intensity
            assert curve.columns["score"][row] == pytest.approx(score, abs=1e-12)
            assert curve.columns["drop"][row] == pytest.approx(clean - score, abs=1e-12)
        assert curve.y_true.tolist() == (y == "fake").tolist()
        np.testing.assert_allclose(curve.scores[CLEAN], -model.decision_function(X))

    def test_labels_of_any_kind_give_the_same(self, faces):
        X, y, _ = faces
        for scoring in ("roc_auc", "average_precision", "f1", "neg_brier_score", "accuracy"):
            results = [
                robustness_curve(
                    detector().fit(X, labels),
                    X,
                    labels,
                    attacks=ATTACKS,
                    scoring=scoring,
                    pos_label=pos_label,
                ).columns["score"]
                for labels, pos_label in (
                    (y, None),
                    ((y == "fake").astype(int), None),
                    (y == "fake", None),
                    (np.where(y == "fake", "a", "b"), "a"),
                    (np.where(y == "fake", 2, 1), 2),
                )
            ]
            np.testing.assert_allclose(results, [results[0]] * 5, rtol=1e-5)

    def test_average_precision_is_of_the_fakes(self, faces):
        X, y, _ = faces
        X, y = X[:45], y[:45]
        model = detector().fit(X, y)
        curve = robustness_curve(model, X, y, attacks=ATTACKS, scoring="average_precision")
        by_hand = average_precision_score(y == "fake", model.predict_proba(X)[:, 0])
        assert curve.clean_score == pytest.approx(by_hand, abs=1e-12)

    def test_estimator_with_probabilities_alone_and_own_scorer(self, faces):
        X, y, _ = faces
        forest = RandomForestClassifier(20, random_state=0)
        model = make_pipeline(FunctionTransformer(describe), forest).fit(X, y)

        def share(y_true, y_score):
            assert set(np.unique(y_true)) == {0, 1}
            return y_score.mean()

        scorer = make_scorer(share, response_method="predict_proba")
        curve = robustness_curve(model, X, y, attacks=ATTACKS, scoring=scorer)
        assert curve.clean_score == pytest.approx(model.predict_proba(X)[:, 0].mean())
        labels = robustness_curve(model, X, y, attacks=ATTACKS, scoring="accuracy")
        assert labels.scores == {}

    def test_no_refit_batches_processes_and_repeats_change_nothing(self, faces, tmp_path):
        X, y, _ = faces
        paths = [tmp_path / f"{number}.png" for number in range(len(X))]
        for path, picture in zip(paths, X, strict=True):
            Image.fromarray(picture).save(path)
        model = detector().fit(X, y)
        coefficients = model[-1].coef_.copy()
        first = robustness_curve(model, X, y, attacks=ATTACKS)
        for other in (
            robustness_curve(model, paths, y, attacks=ATTACKS, batch_size=7),
            robustness_curve(model, list(X), list(y), attacks=ATTACKS, n_jobs=2),
        ):
            assert other.columns == first.columns
        order = np.random.default_rng(1).permutation(len(X))
        shuffled = robustness_curve(model, X[order], y[order], attacks=ATTACKS)
        for key, said in first.scores.items():
            np.testing.assert_allclose(shuffled.scores[key], said[order], atol=1e-9)
        np.testing.assert_array_equal(model[-1].coef_, coefficients)

    def test_default_is_the_paper_grid(self, faces):
        X, y, _ = faces
        curve = robustness_curve(detector().fit(X, y), X[25:35], y[25:35])
        keys = [(name, level) for name, grid in paper_attacks().items() for level, _ in grid]
        columns = curve.columns
        assert list(zip(columns["attack"], columns["intensity"], strict=True)) == keys

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": np.zeros(60)}, "expected two classes, real and fake"),
            ({"y": np.repeat(["x", "z"], 30)}, "pass the label of fakes as pos_label"),
            ({"y": np.repeat([0, 1], 30)}, r"estimator.classes_ is \[.*\]: expected a fitted"),
            ({"y": ["fake"]}, "inconsistent numbers of samples"),
            ({"scoring": "auc"}, "scoring"),
            ({"groups": np.zeros(60), "n_bootstraps": 5}, "groups holds one group"),
        ],
    )
    def test_refuses(self, faces, change, message):
        X, y, _ = faces
        arguments = {"y": y, "attacks": ATTACKS, **change}
        with pytest.raises(ValueError, match=message):
            robustness_curve(detector().fit(X, y), X, **arguments)

    def test_unfitted_estimator(self, faces):
        with pytest.raises(ValueError, match=r"estimator.classes_ is None"):
            robustness_curve(detector(), faces[0], faces[1])


class Strict(ClassifierMixin, BaseEstimator):
    """Refuses pictures without detail, as a face detector does."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        detail = describe(X)[:, 1]
        if (detail < 1).any():
            raise ImageError("holds no face", int(np.flatnonzero(detail < 1)[0]))
        return detail


def test_a_picture_lost_to_the_attack_is_named(tmp_path):
    stripes = np.tile(np.array([[0], [255]], np.uint8), (10, 20))
    faint = np.tile(np.array([[128], [130]], np.uint8), (10, 20))
    for number in range(6):
        Image.fromarray(faint if number == 4 else stripes).save(tmp_path / f"{number}.png")
    X = [os.fspath(tmp_path / f"{number}.png") for number in range(6)]
    attacks = {"blur": [GaussianBlur(4.0)]}
    message = r"X\[4\] \('.*4.png'\): holds no face \(under attack 'blur' at 4.0\)"
    with pytest.raises(ImageError, match=message):
        robustness_curve(Strict(), X, [0, 1] * 3, attacks=attacks, batch_size=3)
    X[5] = "gone.png"
    with pytest.raises(ImageError, match=r"X\[5\] \('gone.png'\): no such file"):
        robustness_curve(Strict(), X, [0, 1] * 3, attacks=attacks, batch_size=3)


class TestResult:
    def test_means_and_tables(self, faces, tmp_path):
        pytest.importorskip("pandas")
        X, y, _ = faces
        curve = robustness_curve(detector().fit(X, y), X, y, attacks=ATTACKS)
        frame = curve.to_frame()
        assert list(frame.columns) == ["attack", "intensity", "score", "drop"]
        blur, chain = 100 * frame["drop"][:2].mean(), 100 * frame["drop"][2]
        expected = {"blur": blur, "chain": chain, "average": (blur + chain) / 2}
        assert curve.mean_drop == pytest.approx(expected)
        assert curve.mean_drop_interval == {}
        curve.to_csv(tmp_path / "curve.csv")
        with open(tmp_path / "curve.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["intensity"] for row in rows] == ["0.5", "2.0", "q50 + noise"]
        assert [float(row["drop"]) for row in rows] == frame["drop"].tolist()

    def test_intervals_are_paired_and_by_group(self, faces):
        X, y, groups = faces
        model = detector().fit(X, y)
        attacks = {"none": [Resize(1.0)], **ATTACKS}
        arguments = {"attacks": attacks, "n_bootstraps": 40}
        curve = robustness_curve(model, X, y, groups=groups, **arguments)
        assert curve.bootstraps.shape == (5, 40)
        # by hand: with the same draws of pairs, the clean score of each resample
        rng = np.random.RandomState(0)
        for resampled in curve.bootstraps[0, :5]:
            drawn = rng.randint(30, size=30)
            rows = np.concatenate([drawn, drawn + 30])
            score = roc_auc_score(y[rows] == "fake", curve.scores[CLEAN][rows])
            assert resampled == pytest.approx(score, abs=1e-12)
        columns = curve.columns
        low, high = np.percentile(curve.bootstraps[2], [2.5, 97.5])
        assert (columns["score_low"][1], columns["score_high"][1]) == (low, high)
        drops = curve.bootstraps[0] - curve.bootstraps[3]
        assert columns["drop_high"][2] == np.percentile(drops, 97.5)
        assert columns["score_low"][0] < columns["score_high"][0]
        assert columns["drop_low"][0] == columns["drop_high"][0] == 0  # paired
        low, high = curve.mean_drop_interval["average"]
        assert low <= curve.mean_drop["average"] <= high
        ungrouped = robustness_curve(model, X, y, **arguments)
        assert ungrouped.columns["score"] == columns["score"]
        assert ungrouped.columns["score_low"] != columns["score_low"]

    def test_resamples_hold_both_classes(self, faces):
        X, y, _ = faces
        X, y = X[28:32], y[28:32]
        model = detector().fit(X, y)
        curve = robustness_curve(model, X, y, attacks=ATTACKS, n_bootstraps=50, groups=list("aabb"))
        assert np.isfinite(curve.bootstraps).all()


class Memory(ClassifierMixin, BaseEstimator):
    """Says 1 of a picture whose mean color it was trained on, else 0."""

    def fit(self, X, y):
        self.classes_, self.known_ = np.unique(y), {image.mean() for image in X}
        return self

    def decision_function(self, X):
        return np.array([float(image.mean() in self.known_) for image in X])


class TestCrossVal:
    def test_against_cross_val_predict(self, faces):
        X, y, _ = faces
        cv = StratifiedKFold(4, shuffle=True, random_state=5)
        curve = robustness_cross_val(detector(), X, y, cv=4, attacks=ATTACKS, random_state=5)
        said = cross_val_predict(detector(), X, y, cv=cv, method="decision_function")
        np.testing.assert_allclose(curve.scores[CLEAN], -said, atol=1e-9)
        assert curve.clean_score == pytest.approx(roc_auc_score(y == "fake", -said), abs=1e-12)
        blurred = np.empty(len(X))
        for train, test in cv.split(X, y):  # trained clean, tested attacked
            model = detector().fit(X[train], y[train])
            blurred[test] = -model.decision_function(GaussianBlur(2.0).transform(X[test]))
        np.testing.assert_allclose(curve.scores["blur", 2.0], blurred, atol=1e-9)

    def test_groups_stay_together(self, faces):
        X, y, groups = faces
        # each pair is one color: only a detector that saw a picture's pair knows its color
        X = np.broadcast_to(4 * groups[:, None, None, None], X.shape).astype(np.uint8)
        curve = robustness_cross_val(Memory(), X, y, groups=groups, attacks=ATTACKS)
        assert not curve.scores[CLEAN].any()
        assert robustness_cross_val(Memory(), X, y, attacks=ATTACKS).scores[CLEAN].any()
        X = faces[0]
        cv = GroupKFold(3)
        explicit = robustness_cross_val(
            detector(), X, y, groups=groups, cv=cv, attacks=ATTACKS, n_jobs=2
        )
        said = cross_val_predict(detector(), X, y, groups=groups, cv=cv, method="decision_function")
        np.testing.assert_allclose(explicit.scores[CLEAN], -said, atol=1e-9)

    def test_needs_a_partition(self, faces):
        with pytest.raises(ValueError, match="hold out every picture exactly once"):
            robustness_cross_val(detector(), faces[0], faces[1], cv=ShuffleSplit(3))

    def test_training_on_perturbed_copies_lowers_the_drop(self, faces):
        X, y, groups = faces
        attacks = {"blur": [GaussianBlur(0.5), GaussianBlur(4.0)]}
        arguments = {"groups": groups, "attacks": attacks, "scoring": "accuracy", "cv": 3}
        plain = robustness_cross_val(detector(), X, y, **arguments)
        augmented = AugmentedClassifier(detector(), attacks=attacks, n_copies=2, random_state=0)
        trained = robustness_cross_val(augmented, X, y, **arguments)
        assert trained.mean_drop["average"] < plain.mean_drop["average"]


class TestDisplay:
    @pytest.fixture(autouse=True)
    def matplotlib(self):
        plt = pytest.importorskip("matplotlib.pyplot")
        plt.switch_backend("agg")
        yield
        plt.close("all")

    def test_panels(self, faces):
        X, y, _ = faces
        model = detector().fit(X, y)
        display = RobustnessDisplay.from_estimator(model, X, y, attacks=ATTACKS, n_bootstraps=5)
        curve = robustness_curve(model, X, y, attacks=ATTACKS)
        first, second = display.axes_
        assert [axes.get_title() for axes in display.axes_] == ["Gaussian blur", "chain"]
        np.testing.assert_array_equal(display.lines_[0].get_ydata(), curve.columns["score"][:2])
        np.testing.assert_array_equal(display.lines_[1].get_ydata(), curve.columns["score"][2:])
        assert [tick.get_text() for tick in first.get_xticklabels()] == ["0.5", "2"]
        assert [tick.get_text() for tick in second.get_xticklabels()] == ["q50 + noise"]
        dashed = [line for line in second.lines if line.get_linestyle() == "--"]
        assert [line.get_ydata()[0] for line in dashed] == [curve.clean_score]
        assert first.get_ylabel() == "AUC"
        assert len(first.collections) == 1  # the interval
        display.figure_.canvas.draw()

    def test_estimators_are_compared_on_the_same_axes(self, faces):
        X, y, _ = faces
        curve = robustness_curve(detector().fit(X, y), X, y, attacks=ATTACKS)
        display = curve.plot(name="one")
        other = curve.plot(ax=display.axes_, name="two")
        assert other.figure_ is display.figure_
        assert other.lines_[0].get_color() != display.lines_[0].get_color()
        (legend,) = display.figure_.legends
        assert [text.get_text() for text in legend.get_texts()] == ["one", "two", "not attacked"]

    def test_own_axes_and_style(self, faces):
        from matplotlib.figure import Figure

        X, y, _ = faces
        attacks = {"blur": ATTACKS["blur"]}
        curve = robustness_curve(detector().fit(X, y), X, y, attacks=attacks, scoring="accuracy")
        axes = Figure().subplots()
        display = RobustnessDisplay.from_curve(curve, ax=axes, color="black")
        assert display.axes_[0] is axes
        assert display.lines_[0].get_color() == "black"
        assert axes.get_ylabel() == "accuracy"
        assert axes.get_legend() is not None

    def test_refuses_other_axes(self, faces):
        X, y, _ = faces
        model = detector().fit(X, y)
        both = robustness_curve(model, X, y, attacks=ATTACKS)
        blur = robustness_curve(model, X, y, attacks={"blur": [GaussianBlur(1.0)]})
        display = both.plot()
        with pytest.raises(ValueError, match="ax holds 2 axes: expected 1"):
            blur.plot(ax=display.axes_)
        with pytest.raises(ValueError, match=r"ax shows .* \['0.5', '2'\] where 'blur'"):
            blur.plot(ax=display.axes_[:1])
