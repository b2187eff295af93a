"""Folds: which items are trained on and which are tested, groups on one side only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def make_splitter(
    groups: ArrayLike | None, n_splits: int, random_state: int = 0
) -> StratifiedGroupKFold | StratifiedKFold:
    """Return the splitter of all protocols: shuffled, stratified, disjoint in groups if any.

    Parameters
    ----------
    groups : array-like or None
        None: items are independent.
    n_splits : int
        Folds, 2 or more.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    StratifiedGroupKFold or StratifiedKFold
        The splitter.
    """
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    return kind(n_splits=n_splits, shuffle=True, random_state=random_state)


def make_folds(
    y: NDArray, groups: NDArray | None, cv: int, random_state: int = 0
) -> list[tuple[NDArray, NDArray]]:
    """List the folds as (training items, test items), with both classes on each side.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels.
    groups : ndarray of shape (n,) or None
        Groups.
    cv : int
        Folds.
    random_state : int, default=0
        Seed.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Positions, rising.

    Raises
    ------
    ValueError
        When a side holds one class only.
    """
    splitter = make_splitter(groups, cv, random_state)
    folds = list(splitter.split(np.zeros(len(y)), y, groups))
    for side in (side for fold in folds for side in fold):
        check_both_classes(y[side], f"with cv={cv} folds, one side of a split would")
    return folds


def check_both_classes(y: NDArray, what: str) -> None:
    """Raise unless ``y`` holds two labels.

    Parameters
    ----------
    y : ndarray
        Labels.
    what : str
        Who holds them, for the message.

    Raises
    ------
    ValueError
        When there are fewer.
    """
    if len(np.unique(y)) < 2:
        raise ValueError(f"{what} hold fewer than two classes ({len(y)} items).")


def shuffle_stratified(y: NDArray, items: NDArray, seed: int) -> NDArray:
    """Shuffle so that every beginning holds the classes in the proportion of the whole.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels of all items.
    items : ndarray of int
        Positions to shuffle.
    seed : int
        Seed.

    Returns
    -------
    ndarray of int
        ``items`` in the new order.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation._folds import shuffle_stratified
    >>> y = np.array([0, 0, 0, 0, 1, 1])
    >>> y[shuffle_stratified(y, np.arange(6), seed=0)]
    array([0, 1, 0, 0, 1, 0])
    """
    items = np.random.default_rng(seed).permutation(items)
    place = np.empty(len(items))
    for label in np.unique(y):
        members = np.flatnonzero(y[items] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return items[np.argsort(place, kind="stable")]
