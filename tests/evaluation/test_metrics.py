"""The eleven figures: against scikit-learn, hand computation, and brute-force resampling."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as skm
from sklearn.calibration import calibration_curve

from skfakespotter._labels import positive_label
from skfakespotter.evaluation import Figure
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._thresholds import choose_threshold, upper_rate

# scores 0.9 0.8 0.7 0.6 0.55 0.4 0.2 0.1, labels from the highest down: F F R F R R F R
LABELS = np.array([1, 1, 0, 1, 0, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.4, 0.2, 0.1])


# what rests on so few items is hand-computed here
FEW = pytest.mark.filterwarnings("ignore:.*are not to be trusted:UserWarning")
FEW_REALS = pytest.mark.filterwarnings("ignore:.*do not support max_fpr:UserWarning")


def make_scores(n=300, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    score = 1 / (1 + np.exp(-rng.normal(1.5 * y - 0.7)))
    return y, np.round(score, 1) if ties else score


def sklearn_figures(y, score, threshold, weights=None):
    called, options = (score >= threshold).astype(int), {"sample_weight": weights}
    tn, fp, fn, tp = skm.confusion_matrix(y, called, **options).ravel()
    return {
        "precision": skm.precision_score(y, called, zero_division=0, **options),
        "recall": skm.recall_score(y, called, **options),
        "F1": skm.f1_score(y, called, **options),
        "accuracy": skm.accuracy_score(y, called, **options),
        "AP": skm.average_precision_score(y, score, **options),
        "AUC": skm.roc_auc_score(y, score, **options),
        "FPR": fp / (fp + tn),
        "FNR": fn / (fn + tp),
        "MCC": skm.matthews_corrcoef(y, called, **options),
    }


def brute_eer(y, score, weights=None):
    fpr, tpr, _ = skm.roc_curve(y, score, sample_weight=weights, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)
    # the ROC curve as a function of arc position, so that vertical steps are kept
    position = np.linspace(0, 1, len(fpr))
    f, t = np.interp(grid, position, fpr), np.interp(grid, position, tpr)
    return f[np.argmin(np.abs(f - (1 - t)))]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.999999])
def test_values_agree_with_scikit_learn(ties, threshold):
    y, score = make_scores(ties=ties)
    report = detection_report(y, score, threshold=threshold, n_bootstraps=0)
    for name, expected in sklearn_figures(y, score, threshold).items():
        assert report[name].value == pytest.approx(expected, abs=1e-12), name
    assert report["EER"].value == pytest.approx(brute_eer(y, score), abs=1e-4)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_rows_agree_with_scikit_learn(ties):
    y, score = make_scores(ties=ties)
    weights = np.random.default_rng(1).multinomial(300, np.full(300, 1 / 300), size=20)
    table = weighted_figures(y == 1, score, 0.5, weights.astype(float))
    assert table.shape == (20, len(FIGURES))
    for row, weight in zip(table, weights, strict=True):
        ours = dict(zip(FIGURES, row, strict=True))
        for name, expected in sklearn_figures(y, score, 0.5, weight).items():
            assert ours[name] == pytest.approx(expected, abs=1e-12), name
        assert ours["EER"] == pytest.approx(brute_eer(y, score, weight), abs=1e-4)


def test_a_weight_is_a_repetition():
    y, score = make_scores(60)
    weight = np.random.default_rng(2).integers(0, 4, 60)
    repeated = detection_report(np.repeat(y, weight), np.repeat(score, weight), n_bootstraps=0)
    row = weighted_figures(y == 1, score, 0.5, weight[None].astype(float))[0]
    np.testing.assert_allclose(row, [figure.value for figure in repeated.figures.values()])


def test_hand_computed_values():
    report = detection_report(LABELS, SCORES, n_bootstraps=0)  # calls the first five fake
    expected = {
        "precision": 3 / 5,
        "recall": 3 / 4,
        "F1": 2 / 3,
        "accuracy": 5 / 8,
        "AP": (1 + 1 + 3 / 4 + 4 / 7) / 4,
        "AUC": (4 + 4 + 3 + 1) / 16,  # reals under each fake
        "FPR": 1 / 2,
        "FNR": 1 / 4,
        "EER": 1 / 4,
        "MCC": (3 * 2 - 2 * 1) / np.sqrt(5 * 4 * 4 * 3),
    }
    assert tuple(report.figures) == (*expected, "ECE") == FIGURES
    for name, value in expected.items():
        assert report[name].value == pytest.approx(value, abs=1e-15), name


def test_eer_interpolates_between_points():
    # ROC (0, 0), (0, 1/2), (1, 1): FPR = FNR on the second stretch, x = 1 - (1/2 + x/2)
    report = detection_report([1, 1, 0], [0.9, 0.3, 0.3], n_bootstraps=0)
    assert report["EER"].value == pytest.approx(1 / 3)
    assert detection_report([1, 0], [0.9, 0.3], n_bootstraps=0)["EER"].value == 0
    assert detection_report([0, 1], [0.9, 0.3], n_bootstraps=0)["EER"].value == 1


def test_calibration_error():
    # bins 0.1-0.2 (two items: 0 and 1, mean score 0.15), 0.7-0.8 (both fake, mean score 0.75)
    report = detection_report([0, 1, 1, 1], [0.12, 0.18, 0.74, 0.76], n_bootstraps=0)
    assert report["ECE"].value == pytest.approx((0.35 + 0.25) / 2)
    y, score = make_scores(500)
    observed, predicted = calibration_curve(y, score, n_bins=10)
    counts = np.histogram(score, bins=10, range=(0, 1))[0]
    expected = np.sum(counts[counts > 0] * np.abs(observed - predicted)) / 500
    ours = detection_report(y, score, n_bootstraps=0)["ECE"].value
    assert ours == pytest.approx(expected, abs=1e-12)


def test_calibration_error_needs_scores_in_the_unit_interval():
    y, score = make_scores(100)
    report = detection_report(y, 2 * score - 1, threshold=0, n_bootstraps=50)
    assert np.isnan(report["ECE"]).all()
    assert not np.isnan(report["AUC"]).any()


def test_intervals_agree_with_resampling_by_scikit_learn():
    y, score = make_scores(200)
    report = detection_report(y, score, n_bootstraps=2000, random_state=0)
    rng = np.random.default_rng(5)
    draws = (rng.integers(0, 200, 200) for _ in range(1000))
    aucs = [skm.roc_auc_score(y[draw], score[draw]) for draw in draws]
    np.testing.assert_allclose(report["AUC"][1:], np.quantile(aucs, [0.025, 0.975]), atol=0.008)
    # FPR is a binomial share: its half-width is close to 1.96 sqrt(p (1 - p) / n)
    value, low, high = report["FPR"]
    half = 1.96 * np.sqrt(value * (1 - value) / np.sum(y == 0))
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    for value, low, high in report.figures.values():
        assert low <= value <= high or report["ECE"].value == value  # ECE is biased upwards


def test_groups_are_drawn_whole():
    y, score = make_scores(150)
    alone = detection_report(y, score)
    groups = np.repeat(np.arange(150), 4)
    y, score = y[groups], score[groups]
    grouped = detection_report(y, score, groups=[f"photo {g}" for g in groups])
    ungrouped = detection_report(y, score)
    assert grouped.n_groups == 150
    assert ungrouped.n_groups == grouped.n_samples == 600
    assert grouped["AUC"].value == pytest.approx(alone["AUC"].value)

    def width(report):
        return report["AUC"].high - report["AUC"].low

    assert width(grouped) == pytest.approx(width(alone), rel=0.15)
    assert width(ungrouped) == pytest.approx(width(alone) / 2, rel=0.15)  # 1 / sqrt(4 copies)


@FEW
def test_one_class_resamples_are_drawn_again():
    y, score = np.array([1] + [0] * 9), np.linspace(1, 0, 10)
    report = detection_report(y, score, n_bootstraps=1000)
    # share without the one fake: 0.9 ** 10 = 0.349, so 0.349 / 0.651 = 535 more are drawn
    assert report.n_redrawn == pytest.approx(535, abs=100)
    assert report["AUC"] == (1, 1, 1)
    assert "redrawn" in str(report)


def test_resampling_is_seeded_and_independent_of_chunks(monkeypatch):
    y, score = make_scores(80)
    first = detection_report(y, score, n_bootstraps=300, random_state=3).to_dict()
    assert first == detection_report(y, score, n_bootstraps=300, random_state=3).to_dict()
    assert first != detection_report(y, score, n_bootstraps=300, random_state=4).to_dict()
    monkeypatch.setattr("skfakespotter.evaluation._bootstrap._CHUNK", 80 * 7)
    chunked = detection_report(y, score, n_bootstraps=300, random_state=3)
    for name, figure in first.items():
        assert chunked[name]._asdict() == pytest.approx(figure), name


def test_confidence_level_widens_the_intervals():
    y, score = make_scores()
    wide = detection_report(y, score, confidence_level=0.99)["AUC"]
    narrow = detection_report(y, score, confidence_level=0.5)["AUC"]
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize(
    ("labels", "pos_label"),
    [
        (np.where(LABELS, "fake", "real"), None),
        (np.where(LABELS, "fake", "real").astype(object), None),
        (np.where(LABELS, "GAN", "photo"), "GAN"),
        (LABELS.astype(bool), None),
        (1 - LABELS, 0),
        (2 * LABELS - 1, 1),
    ],
)
@FEW
@FEW_REALS
def test_labels_may_be_named_otherwise(labels, pos_label):
    expected = detection_report(LABELS, SCORES, n_bootstraps=20).to_dict()
    named = detection_report(labels, SCORES, n_bootstraps=20, pos_label=pos_label)
    assert named.to_dict() == expected
    assert choose_threshold(labels, SCORES, pos_label=pos_label) == 0.8


def test_report_shows_itself():
    y, score = make_scores(40)
    report = detection_report(y, score, groups=np.arange(40) // 2, n_bootstraps=100)
    lines = str(report).splitlines()
    assert lines[0] == f"40 items ({y.sum()} fake) in 20 groups, threshold 0.5"
    assert lines[1] == "95 % intervals from 100 resamples"
    assert [line.split()[0] for line in lines[4:]] == list(FIGURES)
    assert len({len(line) for line in lines[3:]}) == 1
    assert isinstance(report["AUC"], Figure)
    assert json.loads(json.dumps(report.to_dict()))["AUC"]["low"] == report["AUC"].low
    frame = report.to_frame()
    assert list(frame.columns) == ["figure", "value", "low", "high"]
    assert tuple(frame.set_index("figure").loc["MCC"]) == report["MCC"]
    value, low, high = report["AUC"]
    assert repr(report) == f"DetectionReport(AUC={value:.3f} [{low:.3f}, {high:.3f}], n=40)"
    assert (report.threshold, report.n_samples, report.n_positive) == (0.5, 40, y.sum())
    with pytest.raises(KeyError, match="no figure 'auc': expected one of precision"):
        report["auc"]


def test_pandas_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"skfakespotter\[pandas\]"):
        detection_report(LABELS, SCORES, n_bootstraps=0).to_frame()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_true": [1] * 8}, r"labels are \[1\]: expected two classes"),
        ({"y_true": list("abcdefgh")}, r"'e', \.\.\.\]: expected two classes"),
        ({"y_true": ["real"] * 4 + ["gan"] * 4}, "pass the label of fakes as pos_label"),
        ({"pos_label": 2}, r"pos_label=2 and labels \[0, 1\]"),
        ({"y_score": [0.5] * 5 + [np.nan] + [0.5] * 2}, r"y_score\[5\] is nan"),
        ({"y_score": [0.5, np.inf] + [0.5] * 6}, r"y_score\[1\] is inf"),
        ({"y_score": np.zeros((8, 2))}, r"y_score has shape \(8, 2\)"),
        ({"y_score": [0.5] * 7}, "inconsistent numbers of samples"),
        ({"groups": [0] * 7}, "inconsistent numbers of samples"),
        ({"groups": [0] * 8}, "groups holds one group"),
        ({"threshold": np.nan}, "threshold is NaN"),
        ({"n_bootstraps": -1}, "n_bootstraps"),
        ({"confidence_level": 1.0}, "confidence_level"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        detection_report(**{"y_true": LABELS, "y_score": SCORES, **arguments})


@FEW
def test_nothing_called_fake():
    report = detection_report(LABELS, SCORES, threshold=np.inf, n_bootstraps=10)
    assert report["precision"] == report["recall"] == report["MCC"] == (0, 0, 0)
    assert report["FNR"].value == 1


@pytest.mark.parametrize(
    ("max_fpr", "expected"), [(0, 0.8), (0.25, 0.6), (0.3, 0.6), (0.5, 0.55), (0.75, 0.2), (1, 0.1)]
)
@FEW_REALS
def test_threshold_for_a_false_positive_rate(max_fpr, expected):
    assert choose_threshold(LABELS, SCORES, max_fpr=max_fpr) == expected
    report = detection_report(LABELS, SCORES, threshold=expected, n_bootstraps=0)
    assert report["FPR"].value <= max_fpr


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("max_fpr", [0.01, 0.05, 0.2])
@FEW_REALS
def test_threshold_is_the_smallest_score_that_keeps_the_rate(ties, max_fpr):
    y, score = make_scores(ties=ties)
    threshold = choose_threshold(y, score, max_fpr=max_fpr)
    kept = [t for t in np.unique(score) if np.mean(score[y == 0] >= t) <= max_fpr]
    assert threshold == min(kept, default=np.inf)


@FEW_REALS
def test_threshold_when_a_real_item_scores_highest():
    assert choose_threshold([0, 1, 0], [0.9, 0.5, 0.1], max_fpr=0.1) == np.inf
    with pytest.raises(ValueError, match="max_fpr"):
        choose_threshold(LABELS, SCORES, max_fpr=1.5)


def test_threshold_says_how_many_reals_a_rate_needs():
    y = np.repeat([0, 1], [50, 5])
    scores = np.arange(55.0)
    message = r"50 real .* max_fpr=0.01: .* as high as 5.8 % \(95 % confidence\); 299 of them"
    with pytest.warns(UserWarning, match=message):
        choose_threshold(y, scores, max_fpr=0.01)
    with pytest.warns(UserWarning, match=r"10 real items \(or groups of them\) do not"):
        choose_threshold(y, scores, max_fpr=0.2, groups=np.arange(55) // 5)  # 10 of 5 reals each
    choose_threshold(y, scores, max_fpr=0.06)
    enough = np.repeat([0, 1], [299, 1])
    choose_threshold(enough, np.arange(300.0), max_fpr=0.01)
    with pytest.warns(UserWarning, match="298 real"):
        choose_threshold(enough[1:], np.arange(299.0), max_fpr=0.01)


def test_threshold_with_confidence_is_that_of_an_exact_binomial_bound():
    """The bound is the rate at which so few false alarms happen once in twenty times."""
    y, scores = np.repeat([0, 1], [100, 1]), np.arange(101.0)
    threshold = choose_threshold(y, scores, max_fpr=0.08, confidence_level=0.95)
    n_alarms = int(np.sum(scores[:100] >= threshold))
    assert n_alarms == 3
    for alarms, allowed in ((3, True), (4, False)):
        bound = upper_rate(alarms, 100)
        assert binom.cdf(alarms, 100, bound) == pytest.approx(0.05)
        assert (bound <= 0.08) == allowed
    # all of one group alike: 20 groups of 5, of which none may be called fake
    groups = np.append(np.arange(100) // 5, 20)
    grouped = choose_threshold(y, scores, max_fpr=0.15, confidence_level=0.95, groups=groups)
    assert grouped == 100
    assert upper_rate(20, 20) == 1


@FEW_REALS
def test_threshold_with_confidence_may_call_nothing_fake():
    assert choose_threshold([0, 0, 1], [0.1, 0.2, 0.3], max_fpr=0.1, confidence_level=0.9) == np.inf


def test_threshold_with_confidence_keeps_its_promise():
    """Of 300 validation sets of 100 reals, few give a threshold whose true rate is over 10 %."""
    rng, over = np.random.default_rng(0), {None: 0, 0.95: 0}
    y = np.repeat([0, 1], [100, 10])
    for _ in range(300):
        scores = rng.random(110)  # of reals uniform: the true rate is 1 - threshold
        for level in over:
            over[level] += choose_threshold(y, scores, max_fpr=0.1, confidence_level=level) < 0.9
    assert over[0.95] / 300 <= 0.06
    assert over[None] / 300 > 0.3


def test_few_groups_are_said():
    y, score = make_scores(120)
    group = np.arange(120) % 2
    with pytest.warns(UserWarning, match="2 groups hold real items and 2 hold fakes: intervals"):
        detection_report(y, score, groups=group, n_bootstraps=20)
    with pytest.warns(UserWarning, match="5 items hold real items and 30 hold fakes"):
        detection_report(np.repeat([0, 1], [5, 30]), np.arange(35) / 35, n_bootstraps=5)
    detection_report(y, score, groups=group, n_bootstraps=0)
    detection_report(y, score, groups=np.arange(120) % 12, n_bootstraps=20)


def test_calibration_error_at_both_ends_and_on_the_edges_of_bins():
    """Bins of ten: 0 and 0.1 in the first, 1.0 in the last; hand-computed."""
    y = np.array([0, 1, 0, 1, 1, 0])
    score = np.array([0.0, 0.1, 1.0, 1.0, 0.95, 0.5])
    # bin 1: |0 + 1 - 0.1|; bin 5: |0 - 0.5|; bin 10: |2 - 2.95|; over six items
    expected = (0.9 + 0.5 + 0.95) / 6
    report = detection_report(y, score, n_bootstraps=0)
    assert report["ECE"].value == pytest.approx(expected, abs=1e-12)
    assert np.isnan(detection_report(y, score + 1e-6, n_bootstraps=0)["ECE"].value)


def test_threshold_of_single_precision_scores_holds_on_them():
    y, score = make_scores()
    score = score.astype(np.float32)
    threshold = choose_threshold(y, score, max_fpr=0.05)
    assert np.mean(score[y == 0] >= threshold) <= 0.05


def test_positive_label():
    assert positive_label([0, 1, 1]) == 1
    assert positive_label(["a", "b"], pos_label="a") == "a"
    with pytest.raises(ValueError, match="pos_label=None and labels"):
        positive_label([-1, 1])
