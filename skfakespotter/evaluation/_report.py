"""Report: eleven figures of a detector with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfakespotter._tables import Table
from skfakespotter.evaluation._figures import FIGURES, weighted_figures


class Figure(NamedTuple):
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class DetectionReport(Table):
    """Figures of a detector with confidence intervals; what :func:`detection_report` returns.

    ``report["AUC"]`` is a named tuple ``(value, low, high)``, ``str(report)`` a table in words,
    and ``to_frame()`` has one row a figure: ``figure``, ``value``, ``low``, ``high``.

    Parameters
    ----------
    figures : dict of str to Figure
        In the order of the paper, then EER, MCC and ECE.
    threshold : float
        Scores at or above it were called fake.
    n_samples, n_positive, n_groups : int
        Items, fakes among them, and units that were resampled: groups, or else items.
    n_bootstraps : int
        Resamples behind the intervals.
    n_redrawn : int
        Resamples that held one class only and were drawn again.
    confidence_level : float
        Of the intervals, in (0, 1).

    Examples
    --------
    >>> from skfakespotter import detection_report
    >>> report = detection_report([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], n_bootstraps=0)
    >>> report["AUC"].value, report["FPR"].value
    (0.75, 0.5)
    """

    figures: dict[str, Figure]
    threshold: float
    n_samples: int
    n_positive: int
    n_groups: int
    n_bootstraps: int
    n_redrawn: int
    confidence_level: float

    def __getitem__(self, name: str) -> Figure:
        if name not in self.figures:
            raise KeyError(f"no figure {name!r}: expected one of {', '.join(self.figures)}")
        return self.figures[name]

    def __repr__(self) -> str:
        value, low, high = self["AUC"]
        return f"DetectionReport(AUC={value:.3f} [{low:.3f}, {high:.3f}], n={self.n_samples})"

    def __str__(self) -> str:
        groups = f" in {self.n_groups:,} groups" if self.n_groups != self.n_samples else ""
        level = f"{100 * self.confidence_level:g} % intervals from {self.n_bootstraps:,} resamples"
        rows = [f"{'figure':<10}{'value':>8}{'low':>8}{'high':>8}"]
        rows += [
            f"{name:<10}{value:>8.3f}{low:>8.3f}{high:>8.3f}"
            for name, (value, low, high) in self.figures.items()
        ]
        return "\n".join(
            [
                f"{self.n_samples:,} items ({self.n_positive:,} fake){groups}, "
                f"threshold {self.threshold:g}",
                f"{level} ({self.n_redrawn:,} redrawn)" if self.n_redrawn else level,
                "",
                *rows,
            ]
        )

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return the figures as plain numbers, ready for JSON.

        Returns
        -------
        dict of str to dict
            ``{"precision": {"value": ..., "low": ..., "high": ...}, ...}``.
        """
        return {name: figure._asdict() for name, figure in self.figures.items()}

    def _columns(self) -> dict[str, list]:
        value, low, high = zip(*self.figures.values(), strict=True)
        names = {"figure": list(self.figures)}
        return names | {"value": list(value), "low": list(low), "high": list(high)}


def measure(
    fake: NDArray,
    score: NDArray,
    threshold: float,
    resamples: Iterable[tuple[NDArray, int]],
    confidence_level: float,
) -> tuple[dict[str, Figure], int]:
    """Compute all figures and their percentile intervals.

    Parameters
    ----------
    fake, score, threshold
        See :func:`skfakespotter.evaluation.weighted_figures`.
    resamples : iterable of (ndarray of shape (n_rows, n), int)
        From :func:`skfakespotter.evaluation.resample`.
    confidence_level : float
        Of the intervals.

    Returns
    -------
    figures : dict of str to Figure
        In the order of ``FIGURES``; ends are NaN without resamples.
    n_redrawn : int
        Resamples drawn again.
    """
    (values,) = weighted_figures(fake, score, threshold, np.ones((1, len(fake))))
    rows, n_redrawn = [], 0
    for weights, lacking in resamples:
        rows.append(weighted_figures(fake, score, threshold, weights))
        n_redrawn += lacking
    resampled = np.concatenate(rows) if rows else np.full((1, len(FIGURES)), np.nan)
    return with_ends(values, resampled, confidence_level), n_redrawn


def with_ends(values: NDArray, resampled: NDArray, confidence_level: float) -> dict[str, Figure]:
    """Join figures with the ends of their percentile intervals.

    Parameters
    ----------
    values : ndarray of shape (11,)
        Figures.
    resampled : ndarray of shape (n_resamples, 11)
        The same of each resample; rows of NaN are passed over.
    confidence_level : float
        Of the intervals.

    Returns
    -------
    dict of str to Figure
        In the order of ``FIGURES``.
    """
    tail = (1 - confidence_level) / 2
    known = resampled[~np.isnan(resampled).all(axis=1)]
    low, high = (
        np.quantile(known, [tail, 1 - tail], axis=0)
        if len(known)
        else np.full((2, len(FIGURES)), np.nan)
    )
    ends = zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Figure(*end) for name, end in zip(FIGURES, ends, strict=True)}
