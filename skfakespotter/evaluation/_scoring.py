"""Scoring: what a classifier says of items, turned so that a larger number means more fake."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from skfakespotter._typing import Items


def fake_response(estimator: Any, method: str, X: Any, positive: Any) -> NDArray:
    """Return what a classifier of two classes says of the fakes, by one of its methods.

    Parameters
    ----------
    estimator : fitted classifier
        With ``classes_``.
    method : {"predict", "predict_proba", "decision_function"}
        What to call.
    X : sequence of n items
        What the estimator takes.
    positive : label
        The label of fakes.

    Returns
    -------
    ndarray of shape (n,)
        1 or 0, P(fake), or decision values that rise towards the fakes.
    """
    response = np.asarray(getattr(estimator, method)(X))
    if method == "predict":
        return (response == positive).astype(int)
    column = list(estimator.classes_).index(positive)
    if method == "predict_proba":
        return response[:, column]
    return response if column == 1 else -response


def soft_method(estimator: Any) -> tuple[str, float]:
    """Return how to ask a classifier for scores, and where its own decision lies.

    Parameters
    ----------
    estimator : fitted classifier
        With ``predict_proba`` or ``decision_function``.

    Returns
    -------
    method : str
        The first of the two that it has.
    threshold : float
        0.5 for probabilities, else 0.

    Raises
    ------
    TypeError
        For an estimator without either.
    """
    for method, threshold in (("predict_proba", 0.5), ("decision_function", 0.0)):
        if hasattr(estimator, method):
            return method, threshold
    raise TypeError(
        f"estimator {type(estimator).__name__} has neither predict_proba nor "
        "decision_function: expected a classifier with scores."
    )


def fit_and_score(
    estimator: Any,
    X: Items,
    y: NDArray,
    splits: list[tuple[NDArray, NDArray]],
    positive: Any,
    n_jobs: int | None = None,
) -> tuple[list[NDArray], float]:
    """Fit a clone on one side of each split and score the other side.

    Splits of the same training items share one fit.

    Parameters
    ----------
    estimator : classifier
        Left unfitted. Scores are from ``predict_proba``, or else ``decision_function``.
    X : sequence of n items
        What the estimator takes.
    y : ndarray of shape (n,)
        Labels.
    splits : list of (ndarray of int, ndarray of int)
        Positions of training and of test items.
    positive : label
        The label of fakes.
    n_jobs : int, default=None
        Fits at once.

    Returns
    -------
    scores : list of ndarray
        For each split, the scores of its test items.
    threshold : float
        Where the estimator's own decision lies: 0.5 for probabilities, else 0.

    Raises
    ------
    TypeError
        For an estimator without scores.
    """
    fits: dict[bytes, list[int]] = {}
    for place, (train, _) in enumerate(splits):
        fits.setdefault(train.tobytes(), []).append(place)
    outputs = Parallel(n_jobs=n_jobs)(
        delayed(_score_fit)(
            estimator, X, y, splits[places[0]][0], [splits[place][1] for place in places], positive
        )
        for places in fits.values()
    )
    scores: list[NDArray] = [np.empty(0)] * len(splits)
    for places, (parts, _) in zip(fits.values(), outputs, strict=True):
        for place, part in zip(places, parts, strict=True):
            scores[place] = part
    return scores, outputs[0][1]


def _score_fit(
    estimator: Any, X: Any, y: NDArray, train: NDArray, tests: list[NDArray], positive: Any
) -> tuple[list[NDArray], float]:
    fitted = clone(estimator).fit(_safe_indexing(X, train), y[train])
    method, threshold = soft_method(fitted)
    parts = [fake_response(fitted, method, _safe_indexing(X, test), positive) for test in tests]
    return parts, threshold
