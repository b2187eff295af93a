"""Displays of scores: what is drawn is what scikit-learn and the report compute."""

import matplotlib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve, roc_curve

from skfakespotter import (
    DetectionCurveDisplay,
    ReliabilityDisplay,
    ScoreDistributionDisplay,
    detection_report,
    within_pair,
)

matplotlib.use("Agg")

pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture(scope="module")
def scored():
    """Return labels, scores with ties, and groups of two."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    score = np.round(1 / (1 + np.exp(-rng.normal(2 * y - 1, 1.2))), 2)
    return y, score, np.repeat(np.arange(100), 2)


@pytest.mark.parametrize("kind", ["roc", "precision-recall"])
def test_curve_is_that_of_scikit_learn(scored, kind):
    y, score, groups = scored
    display = DetectionCurveDisplay.from_predictions(
        y, score, kind=kind, groups=groups, n_bootstraps=200
    )
    if kind == "roc":
        x, height, _ = roc_curve(y, score, drop_intermediate=False)
    else:
        height, x, _ = precision_recall_curve(y, score)
        x, height = x[-2::-1], height[-2::-1]  # from the highest score on
    np.testing.assert_allclose(display.line_.get_xdata(), x, atol=1e-12)
    np.testing.assert_allclose(display.line_.get_ydata(), height, atol=1e-12)
    report = detection_report(y, score, groups=groups, n_bootstraps=200)
    assert display.figure == pytest.approx(report["AUC" if kind == "roc" else "AP"])
    assert display.ax_.get_aspect() == 1.0
    assert "ositive label" not in display.line_.get_label()


def test_band_holds_the_curve_and_is_wider_by_group(scored):
    y, score, _ = scored
    y, score = np.repeat(y[:50], 4), np.repeat(score[:50], 4)  # every item four times
    by_group = DetectionCurveDisplay.from_predictions(
        y, score, groups=np.repeat(range(50), 4), n_bootstraps=300
    )
    copies = DetectionCurveDisplay.from_predictions(y, score, n_bootstraps=300)
    width = [np.mean(display.high - display.low) for display in (by_group, copies)]
    assert width[0] > 1.5 * width[1]  # copies are no evidence of their own
    height = np.interp(np.linspace(0, 1, 201), by_group.x, by_group.y)
    inside = (by_group.low <= height + 1e-9) & (height <= by_group.high + 1e-9)
    assert inside.mean() > 0.95


def test_a_worse_precision_where_fakes_are_rare(scored):
    y, score, _ = scored
    keep = (y == 0) | (np.arange(len(y)) % 8 == 1)
    kind = "precision-recall"
    display = DetectionCurveDisplay.from_predictions(y[keep], score[keep], kind=kind)
    guessing = next(line for line in display.ax_.lines if line.get_label() == "guessing")
    assert guessing.get_ydata()[0] == pytest.approx(y[keep].mean())


def test_curves_of_two_detectors_share_axes(scored):
    y, score, _ = scored
    first = DetectionCurveDisplay.from_predictions(y, score, name="a", n_bootstraps=0)
    second = DetectionCurveDisplay.from_predictions(
        y, -score, name="b", n_bootstraps=0, ax=first.ax_
    )
    assert first.band_ is None
    assert first.line_.get_color() != second.line_.get_color()
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert len(labels) == 3  # guessing is drawn once
    assert labels[0].startswith("a: AUC 0.")


def test_curve_refuses_what_the_report_refuses(scored):
    y, score, _ = scored
    with pytest.raises(ValueError, match="expected two classes"):
        DetectionCurveDisplay.from_predictions([1, 1], [0.1, 0.2])
    for options in ({"kind": "det"}, {"n_bootstraps": -1}, {"confidence_level": 95}):
        with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter of Detection"):
            DetectionCurveDisplay.from_predictions(y, score, **options)
    with pytest.raises(ValueError, match="The 'kind' parameter of DetectionCurveDisplay"):
        DetectionCurveDisplay([0, 1], [0, 1], kind="det")


def test_within_pair_draws_its_curve():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 3)) + y[:, None]
    result = within_pair(LogisticRegression(), X, y, cv=3)
    display = result.plot(n_bootstraps=50)
    assert display.figure[0] == pytest.approx(result.report(n_bootstraps=0)["AUC"].value)


def test_distribution_counts_shares_of_each_class():
    y = np.array([0] * 30 + [1] * 10)
    score = np.r_[np.full(24, 0.1), np.full(6, 0.9), np.full(8, 0.9), 0.1, 0.1]
    display = ScoreDistributionDisplay.from_predictions(y, score, threshold=0.5, name="a pair")
    assert display.ax_.get_title() == "a pair"
    assert display.line_.get_label().endswith("80 % of fakes found, 20 % of real called fake")
    heights = [stairs.get_data().values.max() for stairs in display.stairs_]
    assert heights == pytest.approx([80, 80])
    assert display.ax_.get_xlabel() == "P(fake)"


def test_distribution_of_decision_values_has_no_threshold_of_its_own():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    model = LogisticRegression().fit(y[:, None] + rng.normal(size=(40, 1)), y)
    display = ScoreDistributionDisplay([-3.0, -1.0], [0.0, 2.0]).plot(bins=5)
    assert display.line_ is None
    assert display.ax_.get_xlim() == (-3, 2)
    assert display.ax_.get_xlabel() == "score"
    of_model = ScoreDistributionDisplay.from_estimator(model, np.zeros((4, 1)), [0, 1, 0, 1])
    assert of_model.ax_.get_title() == "LogisticRegression"


def test_reliability_by_hand():
    y = [0, 1, 1, 1] * 10 + [0, 0, 0, 1] * 10
    score = [0.75] * 40 + [0.25] * 40
    display = ReliabilityDisplay.from_predictions(y, score, strategy="uniform", name="perfect")
    assert display.probability.tolist() == [0.25, 0.75]
    assert display.share.tolist() == [0.25, 0.75]
    assert display.error == pytest.approx(0)
    # Wilson's interval of 10 in 40, from the published formula
    np.testing.assert_allclose([display.low[0], display.high[0]], [0.14187, 0.40194], atol=1e-4)
    grouped = ReliabilityDisplay.from_predictions(y, score, groups=np.repeat(range(20), 4))
    assert (grouped.high - grouped.low > display.high - display.low).all()


def test_reliability_wants_probabilities():
    with pytest.raises(ValueError, match="reaches from -1 to 2: expected probabilities"):
        ReliabilityDisplay.from_predictions([0, 1], [-1, 2])
    for options in ({"strategy": "equal"}, {"n_bins": 0}, {"confidence_level": 1}):
        with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter of Reliab"):
            ReliabilityDisplay.from_predictions([0, 1], [0.1, 0.2], **options)
