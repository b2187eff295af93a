"""Differences: how detectors compare pair by pair, tested on the same items."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from skfakespotter._tables import Table
from skfakespotter.evaluation._bootstrap import resample
from skfakespotter.evaluation._delong import adjust_holm
from skfakespotter.evaluation._figures import FIGURES, weighted_figures


class Difference(NamedTuple):
    """How one detector compares with another.

    Attributes
    ----------
    a, b : str
        Names of the detectors.
    difference, low, high : float
        Figure of ``a`` minus that of ``b``, and the ends of its interval.
    p_value : float
        Two-sided p-value of no difference, for this comparison alone.
    p_adjusted : float
        The p-value corrected for all comparisons by Holm's method.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float


class Differences(Table):
    """The differences of all pairs of detectors: ``to_frame()``, ``to_csv(path)``, iteration.

    Parameters
    ----------
    rows : list of Difference
        One per pair.
    """

    def __init__(self, rows: list[Difference]) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, pair: tuple[str, str]) -> Difference:
        for row in self.rows:
            if (row.a, row.b) == tuple(pair):
                return row
        raise KeyError(f"no comparison of {pair!r}: expected one of {[r[:2] for r in self.rows]}")

    def _columns(self) -> dict[str, list]:
        return {name: [getattr(row, name) for row in self.rows] for name in Difference._fields}


def find_differences(
    names: list[str], values: NDArray, covariance: NDArray, confidence_level: float
) -> Differences:
    """Test every pair by the normal distribution, and correct for their number.

    Parameters
    ----------
    names : list of str
        Detectors.
    values : ndarray of shape (n_detectors,)
        Their figures.
    covariance : ndarray of shape (n_detectors, n_detectors)
        Of the figures, from :func:`delong_covariance` or :func:`bootstrap_covariance`.
    confidence_level : float
        Of the intervals.

    Returns
    -------
    Differences
        Of all pairs, in the order of the names.
    """
    a, b = np.array(list(combinations(range(len(names)), 2))).T
    gaps = values[a] - values[b]
    own = np.diag(covariance)
    spread = np.sqrt(np.maximum(own[a] + own[b] - 2 * covariance[a, b], 0))
    safe = np.where(spread > 0, spread, 1)
    p_values = np.where(spread > 0, 2 * norm.sf(np.abs(gaps) / safe), np.where(gaps == 0, 1.0, 0.0))
    half = norm.isf((1 - confidence_level) / 2) * spread
    columns = gaps, gaps - half, gaps + half, p_values, adjust_holm(p_values)
    return Differences(
        [
            Difference(names[i], names[j], *map(float, row))
            for i, j, *row in zip(a, b, *columns, strict=True)
        ]
    )


def bootstrap_covariance(
    fake: NDArray,
    scores: Mapping[str, NDArray],
    thresholds: Mapping[str, float],
    group: NDArray,
    figure: str,
    n_bootstraps: int,
    random_state: int,
) -> tuple[NDArray, NDArray]:
    """Return a figure of each detector, and the covariance over resamples of whole groups.

    Parameters
    ----------
    fake : ndarray of shape (n,)
        Class of each item.
    scores, thresholds : dict
        By detector.
    group : ndarray of shape (n,), int
        Items that are drawn together.
    figure : str
        Which one.
    n_bootstraps, random_state : int
        Number of resamples, and their seed.

    Returns
    -------
    values : ndarray of shape (n_detectors,)
        Of all items.
    covariance : ndarray of shape (n_detectors, n_detectors)
        Over the resamples.
    """
    column = FIGURES.index(figure)

    def measure(weights: NDArray) -> NDArray:
        parts = [
            weighted_figures(fake, own, thresholds[name], weights)[:, column]
            for name, own in scores.items()
        ]
        return np.array(parts)

    chunks = resample(fake, group, n_bootstraps, random_state)
    resampled = np.concatenate([measure(weights) for weights, _ in chunks], axis=1)
    return measure(np.ones((1, len(fake))))[:, 0], np.cov(resampled)
