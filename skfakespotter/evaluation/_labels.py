"""Labels and scores: which label means fake, and what can be measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import unique_labels

from skfakespotter._typing import Labels


def positive_label(y: ArrayLike, pos_label: Any = None) -> Any:
    """Return which of two labels means fake.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.

    Returns
    -------
    label
        ``pos_label``, 1 or ``"fake"``.

    Raises
    ------
    ValueError
        When ``y`` does not hold two labels, or which one means fake is not clear.

    Examples
    --------
    >>> from skfakespotter.evaluation import positive_label
    >>> positive_label(["real", "fake", "fake"])
    'fake'
    """
    labels = unique_labels(y).tolist()
    if len(labels) != 2:
        shown = f"{labels[:5]}"[:-1] + (", ...]" if len(labels) > 5 else "]")
        raise ValueError(f"labels are {shown}: expected two classes, real and fake.")
    if pos_label is None and set(labels) == {0, 1}:
        return 1
    wanted = "fake" if pos_label is None else pos_label
    if wanted not in labels:
        raise ValueError(
            f"pos_label={pos_label!r} and labels {labels}: pass the label of fakes as pos_label "
            "(None stands for 1 where the labels are {0, 1}, else for 'fake')."
        )
    return wanted


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
