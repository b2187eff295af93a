"""Sets: several sets of items, such as pairs of several generators, checked and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._labels import positive_label
from skfakespotter.evaluation._folds import check_both_classes, make_folds


class Pool(NamedTuple):
    """All sets one after the other.

    Attributes
    ----------
    X : sequence of n items
        What the estimator takes.
    y : ndarray of shape (n,)
        Labels.
    group : ndarray of shape (n,), int
        Equal where the groups are equal, across sets too; an item without a group has its own.
    rows : dict of str to ndarray of int
        Positions of each set.
    """

    X: Any
    y: NDArray
    group: NDArray
    rows: dict[str, NDArray]


Sets = dict[str, tuple[Any, NDArray, "NDArray | None"]]


def check_set(
    X: Any, y: ArrayLike, groups: ArrayLike | None = None, pos_label: Any = None, name: str = ""
) -> tuple[NDArray, NDArray | None, Any]:
    """Check one set of items.

    Parameters
    ----------
    X : sequence of n items
        Not looked at but for its length.
    y : array-like of shape (n,)
        Labels.
    groups : array-like of shape (n,), default=None
        Groups.
    pos_label : label, default=None
        The label of fakes; see :func:`skfakespotter.evaluation.positive_label`.
    name : str, default=""
        Of the set, for messages.

    Returns
    -------
    y : ndarray of shape (n,)
        Labels.
    groups : ndarray of shape (n,) or None
        Groups.
    positive : label
        The label of fakes.

    Raises
    ------
    ValueError
        When lengths differ or the labels are not two.
    """
    labels = column_or_1d(y)
    names = None if groups is None else column_or_1d(groups)
    try:
        check_consistent_length(X, labels, names)
        return labels, names, positive_label(labels, pos_label)
    except ValueError as error:
        raise ValueError(f"{name and f'sets[{name!r}]: '}{error}") from error


def check_sets(sets: dict[str, tuple], pos_label: Any = None) -> tuple[Sets, Any]:
    """Check two or more sets of items.

    Parameters
    ----------
    sets : dict of str to tuple
        ``{name: (X, y)}`` or ``{name: (X, y, groups)}``.
    pos_label : label, default=None
        The label of fakes.

    Returns
    -------
    sets : dict of str to (X, ndarray, ndarray or None)
        All with groups or None.
    positive : label
        The label of fakes.

    Raises
    ------
    ValueError
        For fewer than two sets, another structure, or labels that differ between sets.
    """
    if not isinstance(sets, dict) or len(sets) < 2:
        raise ValueError(
            f"sets is {f'a {type(sets).__name__}' if not isinstance(sets, dict) else list(sets)}: "
            "expected a dict of two or more, name -> (X, y) or (X, y, groups)."
        )
    checked, labels = {}, {}
    for name, parts in sets.items():
        if not isinstance(parts, tuple) or len(parts) not in (2, 3):
            raise ValueError(f"sets[{name!r}]: expected a tuple (X, y) or (X, y, groups).")
        X, y, groups = (*parts, None)[:3]
        y, groups, positive = check_set(X, y, groups, pos_label, name)
        checked[name], labels[name] = (X, y, groups), np.unique(y).tolist()
    first = next(iter(sets))
    for name in sets:
        if labels[name] != labels[first]:
            raise ValueError(
                f"sets[{name!r}] has the labels {labels[name]} and sets[{first!r}] "
                f"{labels[first]}: expected the same two in every set."
            )
    return checked, positive


def pool_sets(sets: Sets) -> Pool:
    """Join sets into one.

    Parameters
    ----------
    sets : dict of str to (X, ndarray, ndarray or None)
        From :func:`check_sets`.

    Returns
    -------
    Pool
        All items.
    """
    known: dict[Any, int] = {}
    group: list[int] = []
    rows: dict[str, NDArray] = {}
    for name, (_, y, groups) in sets.items():
        own = [(name, i) for i in range(len(y))] if groups is None else groups.tolist()
        rows[name] = len(group) + np.arange(len(y))
        group += [known.setdefault(key, len(known)) for key in own]
    X = _concatenate([X for X, _, _ in sets.values()])
    return Pool(X, np.concatenate([y for _, y, _ in sets.values()]), np.array(group), rows)


def split_sets(
    sets: Sets,
    pool: Pool,
    trainings: list[str],
    testing: str,
    cv: int,
    random_state: int = 0,
) -> list[tuple[NDArray, NDArray]]:
    """Split so that no group of a test item is trained on.

    Parameters
    ----------
    sets, pool : dict and Pool
        From :func:`check_sets` and :func:`pool_sets`.
    trainings : list of str
        Sets to train on.
    testing : str
        Set to test on.
    cv : int
        Folds of the tested set where it shares groups with the others, itself included.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Positions in the pool of training and of test items: one split, or ``cv`` of them.

    Raises
    ------
    ValueError
        When both classes are not left on each side.
    """
    train, test = np.concatenate([pool.rows[name] for name in trainings]), pool.rows[testing]
    if not np.isin(pool.group[train], pool.group[test]).any():
        return [(train, test)]
    _, y, groups = sets[testing]
    splits = []
    for _, fold in make_folds(y, groups, cv, random_state):
        left = train[~np.isin(pool.group[train], pool.group[test[fold]])]
        who = f"{' + '.join(map(repr, trainings))} without the groups of {testing!r} would"
        check_both_classes(pool.y[left], who)
        splits.append((left, test[fold]))
    return splits


def _concatenate(parts: Sequence[Any]) -> Any:
    """Join arrays, frames or sparse matrices into one, anything else (pictures) into a list."""
    if all(hasattr(part, "columns") for part in parts):
        from pandas import concat

        return concat(parts, ignore_index=True)
    if all(map(sparse.issparse, parts)):
        return sparse.vstack(parts, format="csr")
    alike = len({np.shape(part)[1:] for part in parts if isinstance(part, np.ndarray)}) == 1
    if alike and all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [item for part in parts for item in part]
