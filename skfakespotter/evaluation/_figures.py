"""Figures: the eight of the paper and three more, for many weightings of the items at once.

scikit-learn computes one weighting a call; a bootstrap needs a thousand. One matrix product
gives the counts of all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# fmt: off
FIGURES = (
    "precision", "recall", "F1", "accuracy", "AP", "AUC", "FPR", "FNR",  # the paper's
    "EER", "MCC", "ECE",
)
# fmt: on
N_BINS = 10  # of the expected calibration error


def weighted_figures(fake: NDArray, score: NDArray, threshold: float, weights: NDArray) -> NDArray:
    """Compute all figures once for each row of item weights.

    Parameters
    ----------
    fake : ndarray of shape (n,), bool
        Class of each item.
    score : ndarray of shape (n,), float64
        Larger means more fake.
    threshold : float
        Scores at or above it are called fake.
    weights : ndarray of shape (n_rows, n), float64
        Not negative; in each row, both classes have some. 2 counts an item twice.

    Returns
    -------
    ndarray of shape (n_rows, 11), float64
        Columns in the order of ``FIGURES``.
    """
    by_name = {
        **_decision_figures(fake, score >= threshold, weights),
        **_ranking_figures(fake, score, weights),
        "ECE": _calibration_error(fake, score, weights),
    }
    return np.column_stack([by_name[name] for name in FIGURES])


def _ratio(part: NDArray, whole: NDArray) -> NDArray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def _decision_figures(fake: NDArray, called: NDArray, weights: NDArray) -> dict[str, NDArray]:
    tp, fn = weights @ (fake & called), weights @ (fake & ~called)
    fp, tn = weights @ (~fake & called), weights @ (~fake & ~called)
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": tp / (tp + fn),
        "F1": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
        "FPR": fp / (fp + tn),
        "FNR": fn / (tp + fn),
        "MCC": _ratio(tp * tn - fp * fn, np.sqrt(spread)),
    }


def _ranking_figures(fake: NDArray, score: NDArray, weights: NDArray) -> dict[str, NDArray]:
    """AP, AUC and EER from cumulative weights at each distinct score, highest first."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]), -1))  # of each run of ties
    weights, fake = weights[:, order], fake[order]
    tp = np.pad(np.cumsum(weights * fake, axis=1)[:, last], ((0, 0), (1, 0)))
    fp = np.pad(np.cumsum(weights * ~fake, axis=1)[:, last], ((0, 0), (1, 0)))
    tpr, fpr = tp / tp[:, -1:], fp / fp[:, -1:]
    # EER: gap = FPR - FNR rises from -1 to 1; interpolate where it first reaches 0
    gap, row = fpr + tpr - 1, np.arange(len(tp))
    after = np.argmax(gap >= 0, axis=1)
    before = after - 1
    step = gap[row, before] / (gap[row, before] - gap[row, after])
    return {
        "AP": np.sum(np.diff(tpr) * _ratio(tp, tp + fp)[:, 1:], axis=1),
        "AUC": np.trapezoid(tpr, fpr, axis=1),
        "EER": fpr[row, before] + step * (fpr[row, after] - fpr[row, before]),
    }


def _calibration_error(fake: NDArray, score: NDArray, weights: NDArray) -> NDArray:
    """ECE = sum over bins of |sum of w (y - p)| / sum of w."""
    if score.min() < 0 or score.max() > 1:
        return np.full(len(weights), np.nan)
    bins = np.searchsorted(np.linspace(0, 1, N_BINS + 1)[1:-1], score)
    surplus = (bins[:, None] == np.arange(N_BINS)) * (fake - score)[:, None]
    return np.abs(weights @ surplus).sum(axis=1) / weights.sum(axis=1)
