"""Labels and scores: what can be measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._labels import positive_label
from skfakespotter._typing import Labels


def check_scores(y_true: Labels, y_score: ArrayLike, pos_label: Any) -> tuple[NDArray, NDArray]:
    """Check labels and scores.

    Parameters
    ----------
    y_true, y_score, pos_label
        See :func:`detection_report`.

    Returns
    -------
    fake : ndarray of shape (n_samples,), bool
        Which items are fake.
    score : ndarray of shape (n_samples,), float64
        Their scores.

    Raises
    ------
    ValueError
        For labels of other than two classes, or scores that are not finite.
    """
    y_true, score = column_or_1d(y_true), np.asarray(y_score, dtype=np.float64)
    if score.ndim != 1:
        raise ValueError(
            f"y_score has shape {score.shape}: expected (n_samples,), one score per item, "
            "such as predict_proba(X)[:, 1]."
        )
    check_consistent_length(y_true, score)
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise ValueError(f"y_score[{bad[0]}] is {score[bad[0]]}: expected finite numbers.")
    return y_true == positive_label(y_true, pos_label), score
