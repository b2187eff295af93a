"""Weights of clips, so that every class and every method has the same say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._typing import Labels


def balanced_weights(target: Labels, method: Any = None) -> NDArray[np.float64]:
    """Weigh clips so that real and fake count the same, and so does each method among the fakes.

    Parameters
    ----------
    target : array-like of shape (n_clips,)
        Labels, of two classes.
    method : array-like of shape (n_clips,), default=None
        What made each clip, such as ``load_clips(...).method``; None: classes alone count.

    Returns
    -------
    ndarray of shape (n_clips,)
        Weights of mean 1, for ``VideoScorer.fit(..., sample_weight=)``.

    Examples
    --------
    >>> from skfakespotter.video import balanced_weights
    >>> balanced_weights([0, 0, 1, 1, 1], ["real", "real", "A", "A", "B"])
    array([1.25 , 1.25 , 0.625, 0.625, 1.25 ])
    """
    target = np.asarray(column_or_1d(target))
    method = target if method is None else np.asarray(column_or_1d(method))
    check_consistent_length(target, method)
    weights = np.zeros(len(target))
    classes = np.unique(target)
    for label in classes:
        methods, inverse, counts = np.unique(
            method[target == label], return_inverse=True, return_counts=True
        )
        share = len(target) / (len(classes) * len(methods))
        weights[target == label] = share / counts[inverse]
    return weights


def share_weights(sample_weight: Any, of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share each clip's weight among what comes from it.

    Parameters
    ----------
    sample_weight : array-like of shape (n_clips,)
        Weights of the clips.
    of : ndarray of shape (n_items,)
        The clip that each face or window comes from.

    Returns
    -------
    ndarray of shape (n_items,)
        Weights of mean 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.video._weights import share_weights
    >>> share_weights([1.0, 1.0], np.array([0, 0, 0, 1]))
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    shared = np.asarray(sample_weight, float)[of] / np.bincount(of)[of]
    return shared / shared.mean()
