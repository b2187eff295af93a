"""Conformal p-values: counted by hand, and kept as promised."""

import numpy as np
import pytest

from skfakespotter.detectors import Calibration


@pytest.fixture
def calibration():
    return Calibration(
        {"a": np.float32([1, 2, 3, 4]), "b": np.float32([1, 1, 2])}, np.float32([2, 3, 5, 6])
    )


def test_p_values_by_hand(calibration):
    """Of a, two of four are 3 or more: (1 + 2) / 5; of b, none: 1 / 4."""
    of_sources = calibration.p_values(3.0)
    assert float(of_sources["a"]) == pytest.approx(3 / 5)
    assert float(of_sources["b"]) == pytest.approx(1 / 4)
    assert float(calibration.p_value(3.0)) == pytest.approx(3 / 5)
    assert calibration.worst_source(3.0) == "a"


def test_nothing_is_rarer_than_the_photographs_measured(calibration):
    assert float(calibration.p_value(1e9)) == pytest.approx(1 / 4)
    assert calibration.threshold(0.1) == np.inf  # four photographs cannot promise 10 %


@pytest.mark.parametrize("sizes", [(99, 250), (99, 250, 150, 400)], ids=["two", "four sources"])
def test_threshold_and_p_value_agree(sizes):
    rng = np.random.default_rng(0)
    sources = {str(n): np.sort(rng.normal(size=n)).astype(np.float32) for n in sizes}
    calibration = Calibration(sources, np.sort(rng.normal(2, 1, 500)).astype(np.float32))
    scores = np.sort(rng.normal(1, 2, 2000)).astype(np.float32)
    for fpr in (0.01, 0.05, 0.3):
        above = scores > np.float32(calibration.threshold(fpr))
        np.testing.assert_array_equal(above, calibration.p_value(scores) <= fpr + 1e-12)
    assert (np.diff(calibration.p_value(scores)) <= 0).all()


def test_the_margin_by_hand():
    """At 0.5 three of seven scores may be as high: the limits are 4, 5 and 9.

    Their mean is 6, their standard deviation the root of (4 + 1 + 9) / 2 = 7, and 2.92 the 95 %
    quantile of Student's t with two degrees of freedom: 6 + 2.91999 * sqrt(7) * sqrt(4 / 3).
    """
    real = {name: np.arange(7, dtype=np.float32) + shift for name, shift in
            (("a", 1), ("b", 2), ("c", 6))}  # fmt: skip
    calibration = Calibration(real, np.zeros(1, np.float32))
    assert calibration.threshold(0.5) == pytest.approx(14.9206, abs=1e-3)
    assert float(calibration.p_value(14.92)) > 0.5
    assert float(calibration.p_value(14.93)) == pytest.approx(0.5)


def test_a_source_that_nobody_measured_keeps_the_promise():
    """Sources differ by a normal shift: of new ones, nineteen of twenty stay below the promise."""
    rng, broken, without = np.random.default_rng(0), [], []
    for _ in range(200):
        shifts = rng.normal(size=6)
        *old, new = (np.sort(rng.normal(shift, 1, 400)).astype(np.float32) for shift in shifts)
        calibration = Calibration(dict(enumerate(old)), np.zeros(1, np.float32))
        broken.append((new > calibration.threshold(0.05)).mean() > 0.05)
        worst = max(np.quantile(of_source, 0.95) for of_source in old)
        without.append((new > worst).mean() > 0.05)
    assert 0.01 < np.mean(broken) < 0.1
    assert np.mean(without) > 0.12  # one in six is beyond the worst of five


def test_recall_by_hand(calibration):
    """At 0.5 the limit is 3, the second highest of a: 5 and 6 of four fakes are above it."""
    assert calibration.threshold(0.5) == 3.0
    assert calibration.recall(0.5) == 0.5


def test_the_promise_is_kept_on_new_photographs():
    """Averaged over calibrations, at most the promised share of new photographs is flagged."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(200):
        old = {"a": np.sort(rng.normal(size=150)), "b": np.sort(rng.normal(0.5, 1, 150))}
        limit = Calibration(old, np.zeros(1)).threshold(0.05)
        shares.append((rng.normal(0.5, 1, 500) > limit).mean())
    assert 0.03 < np.mean(shares) <= 0.055


@pytest.mark.parametrize("fpr", [0, 1, -0.1, float("nan")])
def test_rates_outside_are_refused(calibration, fpr):
    with pytest.raises(
        ValueError, match=r"The 'fpr' parameter of .*threshold must be a float in the range \(0"
    ):
        calibration.threshold(fpr)
