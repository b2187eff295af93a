"""Protocols: train on some items and test on others, without splitting a group.

Every protocol takes any scikit-learn classifier, or a Pipeline that ends in one, and fits
clones of it. Scores are P(fake) from ``predict_proba``, or else ``decision_function``.
A group must stay on one side of a split: a photograph and its edited copies, a person, a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._typing import Items, Labels
from skfakespotter.evaluation._bootstrap import number_groups, warn_of_few
from skfakespotter.evaluation._folds import check_both_classes, make_folds, shuffle_stratified
from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._report import DetectionReport
from skfakespotter.evaluation._results import (
    CrossGeneratorResult,
    LearningCurveResult,
    LeaveOneOutResult,
    WithinPairResult,
)
from skfakespotter.evaluation._scoring import fit_and_score
from skfakespotter.evaluation._sets import Sets, check_set, check_sets, pool_sets, split_sets

_FOLDS = {
    "cv": [Interval(Integral, 2, None, closed="left")],
    "random_state": [Interval(Integral, 0, None, closed="left")],
    "n_jobs": [Integral, None],
}
_CELLS = {**_FOLDS, "n_bootstraps": [Interval(Integral, 0, None, closed="left")]}


@checked(**_FOLDS)
def within_pair(
    estimator: Any,
    X: Items,
    y: Labels,
    *,
    groups: ArrayLike | None = None,
    cv: int = 5,
    pos_label: Any = None,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> WithinPairResult:
    """Cross-validate a detector on one pair, real against fake, without splitting a group.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a Pipeline that ends in one. Clones are fitted.
    X : sequence of n_samples items
        Whatever the estimator takes: pictures, or features (n_samples, n_features).
    y : array-like of shape (n_samples,)
        Labels of two classes.
    groups : array-like of shape (n_samples,), default=None
        Items of one group are tested in the same fold.
    cv : int, default=5
        Folds: shuffled StratifiedGroupKFold, or StratifiedKFold without groups.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    random_state : int, default=0
        Seed of the folds; the same seed, labels and groups give the same folds.
    n_jobs : int, default=None
        Folds fitted at once, as in scikit-learn.

    Returns
    -------
    WithinPairResult
        Out-of-fold scores, AUC of each fold, ``report()``, ``to_frame()`` with the columns
        item, label, group, fold, score, ``to_csv(path)`` and ``plot()``.

    Raises
    ------
    ValueError
        For labels of other than two classes, or a fold that holds one class only.
    TypeError
        For an estimator without ``predict_proba`` and ``decision_function``.

    Warns
    -----
    UserWarning
        When fewer than ten groups hold a class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import within_pair
    >>> y = np.repeat([0, 1], 30)
    >>> X = np.random.default_rng(0).normal(size=(60, 2)) + 2 * y[:, None]
    >>> result = within_pair(LogisticRegression(), X, y, groups=np.arange(60) % 30)
    >>> bool(result.report(n_bootstraps=0)["AUC"].value > 0.95)
    True
    """
    y, groups, positive = check_set(X, y, groups, pos_label)
    folds = make_folds(y, groups, cv, random_state)
    if groups is not None:
        warn_of_few(y == positive, number_groups(groups, len(y)), "figures of folds")
    parts, threshold = fit_and_score(estimator, X, y, folds, positive, n_jobs)
    scores, fold_of = np.empty(len(y)), np.empty(len(y), dtype=int)
    for fold, ((_, test), part) in enumerate(zip(folds, parts, strict=True)):
        scores[test], fold_of[test] = part, fold
    return WithinPairResult(
        y_true=y,
        scores=scores,
        folds=fold_of,
        fold_auc=np.array([roc_auc_score(y[t] == positive, scores[t]) for _, t in folds]),
        groups=groups,
        threshold=threshold,
        pos_label=positive,
    )


@checked(**_CELLS)
def cross_generator(
    estimator: Any,
    sets: dict[str, tuple],
    *,
    cv: int = 5,
    pos_label: Any = None,
    n_bootstraps: int = 1000,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> CrossGeneratorResult:
    """Train on each set and test on every other; on the diagonal, cross-validate.

    Off the diagonal the detector is fitted on all of the training set and tested on all of
    the other, unless they share groups (edits of the same photographs). Then the other set
    is tested fold by fold, as on the diagonal, and training items whose group occurs in
    the fold under test are left out. Two sets share a group when they use the same name for it.
    Give the groups of unrelated sets different names, such as ``"pggan/00017"``, or pass no
    groups.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a Pipeline that ends in one. Clones are fitted.
    sets : dict of str to tuple
        ``{name: (X, y)}`` or ``{name: (X, y, groups)}``, two or more, all with the same
        two labels. See :func:`within_pair` for X, y and groups.
    cv : int, default=5
        Folds on the diagonal, which holds :func:`within_pair` with all folds together,
        and between sets that share groups.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    n_bootstraps : int, default=1000
        Resamples for the intervals of each cell; 0 leaves them NaN.
    random_state : int, default=0
        Seed of folds and resamples.
    n_jobs : int, default=None
        Fits at once, as in scikit-learn.

    Returns
    -------
    CrossGeneratorResult
        ``matrix`` (AUC), ``reports`` with all figures of each cell, ``to_frame()`` with the
        columns train, test, auc, low, high, n_train, ``to_csv(path)`` and ``plot()``.

    Raises
    ------
    ValueError
        For fewer than two sets, labels that differ, or a training set that is left without one of
        the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import cross_generator
    >>> y, noise = np.repeat([0, 1], 30), np.random.default_rng(0).normal(size=(60, 2))
    >>> sets = {"a": (noise + 3 * y[:, None], y), "b": (noise - 3 * y[:, None], y)}
    >>> cross_generator(LogisticRegression(), sets, n_bootstraps=0).matrix.round()
    array([[1., 0.],
           [0., 1.]])
    """
    sets, positive = check_sets(sets, pos_label)
    cells = {(a, b): ([a], b) for a in sets for b in sets if a != b}
    cells |= {(a, a): ([a], a) for a in sets}
    options = {"cv": cv, "n_bootstraps": n_bootstraps, "random_state": random_state}
    reports, n_train = _measure(estimator, sets, cells, positive, n_jobs, **options)
    return CrossGeneratorResult(names=list(sets), reports=reports, n_train=n_train)


@checked(**_CELLS)
def leave_one_generator_out(
    estimator: Any,
    sets: dict[str, tuple],
    *,
    cv: int = 5,
    pos_label: Any = None,
    n_bootstraps: int = 1000,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LeaveOneOutResult:
    """Train on all sets but one and test on that one, for each in turn.

    Where the sets share groups, the one left out is tested fold by fold and the items of
    the fold's groups are not trained on, as in :func:`cross_generator`. Sets count by size.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a Pipeline that ends in one. Clones are fitted.
    sets : dict of str to tuple
        ``{name: (X, y)}`` or ``{name: (X, y, groups)}``, two or more, all with the same
        two labels.
    cv : int, default=5
        Folds of a set that shares groups with others.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    n_bootstraps : int, default=1000
        Resamples for the intervals; 0 leaves them NaN.
    random_state : int, default=0
        Seed of folds and resamples.
    n_jobs : int, default=None
        Fits at once, as in scikit-learn.

    Returns
    -------
    LeaveOneOutResult
        ``reports`` with all figures of each set, ``to_frame()`` with the columns test, auc,
        low, high, n_train, ``to_csv(path)`` and ``plot()``.

    Raises
    ------
    ValueError
        As :func:`cross_generator`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import leave_one_generator_out
    >>> y, rng = np.repeat([0, 1], 30), np.random.default_rng(0)
    >>> sets = {name: (rng.normal(size=(60, 2)) + 3 * y[:, None], y) for name in "abc"}
    >>> leave_one_generator_out(LogisticRegression(), sets, n_bootstraps=0).n_train
    {'a': 120, 'b': 120, 'c': 120}
    """
    sets, positive = check_sets(sets, pos_label)
    cells = {name: ([other for other in sets if other != name], name) for name in sets}
    options = {"cv": cv, "n_bootstraps": n_bootstraps, "random_state": random_state}
    reports, n_train = _measure(estimator, sets, cells, positive, n_jobs, **options)
    return LeaveOneOutResult(reports=reports, n_train=n_train)


@checked(**_FOLDS, n_repeats=[Interval(Integral, 1, None, closed="left")])
def detection_learning_curve(
    estimator: Any,
    X: Items,
    y: Labels,
    *,
    groups: ArrayLike | None = None,
    train_sizes: Sequence[int] | None = None,
    cv: int = 5,
    n_repeats: int = 1,
    pos_label: Any = None,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LearningCurveResult:
    """Measure AUC against the number of training items, without splitting a group.

    In each fold the training side is shuffled once, classes interleaved in its own
    proportion, and a detector is fitted on the first items, so that smaller training sets
    are part of larger ones. The test fold is always whole. Items are counted one by one:
    a small training set may hold one picture of a group without its partner.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a Pipeline that ends in one. Clones are fitted.
    X : sequence of n_samples items
        Whatever the estimator takes: pictures, or features (n_samples, n_features).
    y : array-like of shape (n_samples,)
        Labels of two classes.
    groups : array-like of shape (n_samples,), default=None
        Items of one group are on the same side of every split.
    train_sizes : sequence of int, default=None
        Numbers of training items. None: the largest number that every fold has, and its
        half, quarter, eighth and sixteenth.
    cv : int, default=5
        Folds.
    n_repeats : int, default=1
        How often the folds are drawn again.
    pos_label : label, default=None
        The label of fakes; see :func:`within_pair`.
    random_state : int, default=0
        Repeat ``i`` uses the seed ``random_state + i`` for its folds and its order.
    n_jobs : int, default=None
        Fits at once, as in scikit-learn.

    Returns
    -------
    LearningCurveResult
        ``train_sizes``, ``scores`` (n_sizes, n_repeats, n_folds), ``to_frame()`` with the
        columns n_train, repeat, fold, auc, ``to_csv(path)`` and ``plot()``.

    Raises
    ------
    ValueError
        When a size is more than a fold has, or so small that a class is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import detection_learning_curve
    >>> y = np.repeat([0, 1], 50)
    >>> X = np.random.default_rng(0).normal(size=(100, 2)) + y[:, None]
    >>> detection_learning_curve(LogisticRegression(), X, y).train_sizes
    array([ 5, 10, 20, 40, 80])
    """
    y, groups, positive = check_set(X, y, groups, pos_label)
    folds = [
        (shuffle_stratified(y, train, random_state + repeat), test)
        for repeat in range(n_repeats)
        for train, test in make_folds(y, groups, cv, random_state + repeat)
    ]
    sizes = _check_sizes(train_sizes, min(len(train) for train, _ in folds))
    for train, _ in folds:
        first = train[: sizes[0]]
        check_both_classes(y[first], f"train_sizes: the first {len(first)} training items")
    splits = [(train[:size], test) for size in sizes for train, test in folds]
    parts, _ = fit_and_score(estimator, X, y, splits, positive, n_jobs)
    scores = [
        roc_auc_score(y[test] == positive, part)
        for (_, test), part in zip(splits, parts, strict=True)
    ]
    return LearningCurveResult(
        train_sizes=np.array(sizes), scores=np.reshape(scores, (len(sizes), n_repeats, cv))
    )


def _measure(
    estimator: Any,
    sets: Sets,
    cells: dict[Any, tuple[list[str], str]],
    positive: Any,
    n_jobs: int | None,
    *,
    cv: int,
    n_bootstraps: int,
    random_state: int,
) -> tuple[dict[Any, DetectionReport], dict[Any, int]]:
    """Figures and mean number of training items of cells ``{key: (training sets, test set)}``."""
    pool = pool_sets(sets)
    splits = {key: split_sets(sets, pool, *cell, cv, random_state) for key, cell in cells.items()}
    flat = [split for own in splits.values() for split in own]
    parts, threshold = fit_and_score(estimator, pool.X, pool.y, flat, positive, n_jobs)
    scored, reports = iter(parts), {}
    for key, (_, testing) in cells.items():
        scores = np.empty(len(pool.y))
        for _, test in splits[key]:
            scores[test] = next(scored)
        _, y, groups = sets[testing]
        reports[key] = detection_report(
            y,
            scores[pool.rows[testing]],
            threshold=threshold,
            pos_label=positive,
            groups=groups,
            n_bootstraps=n_bootstraps,
            random_state=random_state,
        )
    n_train = {key: round(np.mean([len(train) for train, _ in own])) for key, own in splits.items()}
    return reports, n_train


def _check_sizes(train_sizes: Sequence[int] | None, most: int) -> list[int]:
    halves = {max(2, most // 2**halvings) for halvings in range(5)}
    sizes = sorted(halves if train_sizes is None else set(train_sizes))
    whole = all(isinstance(size, Integral) for size in sizes)
    if not sizes or not whole or sizes[0] < 2 or sizes[-1] > most:
        raise ValueError(f"train_sizes is {sizes}: expected whole numbers from 2 to {most}.")
    return [int(size) for size in sizes]
