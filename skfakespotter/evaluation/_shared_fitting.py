"""Shared fitting: detectors fitted and asked as one, steps that they have in common run once.

Finding the face and running the network cost nearly everything, and detectors that are compared
mostly differ in what comes after. Pipelines are walked step by step; detectors whose next step
is equal share it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from pickle import PicklingError
from typing import Any

import joblib
import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed

from skfakespotter._base import StatelessPictureTransformer
from skfakespotter.evaluation._scoring import fake_response
from skfakespotter.faces import FaceAligner
from skfakespotter.perturbations import AugmentedClassifier, naming, takes_groups

Detectors = Mapping[Any, Any]  # classifiers by name


def cross_fit(
    detectors: Detectors, X: Any, y: NDArray, trains: list[NDArray], parallel: Parallel
) -> list[dict[Hashable, Any]]:
    """Fit clones of all detectors on each training set.

    First steps that learn nothing and look at one picture at a time run once for all training
    sets.

    Parameters
    ----------
    detectors : dict of classifier
        By name.
    X : sequence of n items
        What the detectors take.
    y : ndarray of shape (n,)
        Labels.
    trains : list of ndarray of int
        Positions of each training set.
    parallel : Parallel
        Training sets are fitted at once.

    Returns
    -------
    list of dict
        For each training set, the fitted detectors by name.
    """
    fitted: list[dict[Hashable, Any]] = [{} for _ in trains]
    rest = dict(detectors)
    for names in _groups(rest, _picture_step):
        step, tails = _cut(rest, names)
        parts = cross_fit(tails, _apply(step, X, parallel), y, trains, parallel)
        for whole, part in zip(fitted, parts, strict=True):
            whole |= {name: _join(detectors[name], step, part[name]) for name in names}
        rest = {name: detector for name, detector in rest.items() if name not in names}
    if rest:
        done = parallel(
            delayed(fit_together)(rest, _safe_indexing(X, train), y[train]) for train in trains
        )
        for whole, part in zip(fitted, done, strict=True):
            whole |= part
    return [{name: whole[name] for name in detectors} for whole in fitted]


def fit_together(detectors: Detectors, X: Any, y: NDArray) -> dict[Hashable, Any]:
    """Fit clones of all detectors on the same items.

    Parameters
    ----------
    detectors : dict of classifier
        By name.
    X : sequence of n items
        What the detectors take.
    y : ndarray of shape (n,)
        Labels.

    Returns
    -------
    dict of classifier
        Fitted; equal first steps are one object.
    """
    fitted, rest = {}, dict(detectors)
    for names in _groups(rest, _augmentation):
        augmented = {name: clone(rest.pop(name)) for name in names}
        with augmented[names[0]].augmented(X, y) as (X_all, y_all, _):
            inner = fit_together({n: a.estimator for n, a in augmented.items()}, X_all, y_all)
        for name, classifier in augmented.items():
            classifier.estimator_ = inner[name]
            fitted[name] = classifier
    for names in _groups(rest, _first_step):
        step, tails = _cut(rest, names)
        step = clone(step)
        inner = fit_together(tails, step.fit_transform(X, y), y)
        fitted |= {name: _join(rest.pop(name), step, inner[name]) for name in names}
    fitted |= {name: clone(detector).fit(X, y) for name, detector in rest.items()}
    return fitted


def respond_together(
    fitted: Detectors, methods: Mapping[Hashable, str], X: Any, positive: Any
) -> dict[Hashable, NDArray]:
    """Ask fitted detectors about the same items.

    Parameters
    ----------
    fitted : dict of classifier
        By name, of :func:`fit_together` or otherwise fitted.
    methods : dict of str
        By name, ``"predict"``, ``"predict_proba"`` or ``"decision_function"``.
    X : sequence of n items
        What the detectors take.
    positive : label
        The label of fakes.

    Returns
    -------
    dict of ndarray of shape (n,)
        What each says of the fakes; see :func:`fake_response`.
    """
    responses: dict[Hashable, NDArray] = {}
    rest = {
        name: detector.estimator_ if isinstance(detector, AugmentedClassifier) else detector
        for name, detector in fitted.items()
    }
    for names in _groups(rest, _fitted_step):
        step, tails = _cut(rest, names)
        responses |= respond_together(tails, methods, step.transform(X), positive)
        for name in names:
            del rest[name]
    for name, detector in rest.items():
        responses[name] = fake_response(detector, methods[name], X, positive)
    return responses


def _apply(step: Any, X: Any, parallel: Parallel) -> Any:
    """Apply a step that looks at one picture at a time, several parts of the pictures at once."""
    n_jobs = effective_n_jobs(parallel.n_jobs)
    if n_jobs == 1:
        return step.fit(X).transform(X)
    rows = np.array_split(np.arange(len(X)), min(len(X), 4 * n_jobs))
    parts = parallel(delayed(_transform)(clone(step), X, part) for part in rows)
    return (
        np.concatenate(parts)
        if isinstance(parts[0], np.ndarray)
        else [item for part in parts for item in part]
    )


def _transform(step: Any, X: Any, rows: NDArray) -> Any:
    with naming(X, rows):
        part = _safe_indexing(X, rows)
        return step.fit(part).transform(part)


def _groups(detectors: Detectors, key: Callable[[Any], Hashable]) -> list[list[Hashable]]:
    """List the names of detectors with equal keys; a detector whose key is None has no place."""
    groups = defaultdict(list)
    for name, detector in detectors.items():
        if (found := key(detector)) is not None:
            groups[found].append(name)
    return list(groups.values())


def _place(detector: Any) -> int:
    """Return the place of the first step of a plain Pipeline that can be shared; -1 without."""
    if not _is_plain(detector) or detector.memory or detector.transform_input:
        return -1
    steps = [step for _, step in detector.steps[:-1]]
    return next((i for i, step in enumerate(steps) if step not in (None, "passthrough")), -1)


def _is_plain(detector: Any) -> bool:
    """Tell a pipeline that does no more than its steps; another subclass might."""
    if type(detector) is Pipeline or not isinstance(detector, Pipeline):
        return type(detector) is Pipeline
    from skfakespotter.pipeline import FakeSpotterPipeline  # which imports torch

    return type(detector) is FakeSpotterPipeline


def _first_step(detector: Any) -> Hashable:
    """Return a digest of the step; None where there is none, or it cannot be told from others."""
    if (place := _place(detector)) < 0:
        return None
    try:
        return joblib.hash(detector.steps[place][1])
    except (PicklingError, TypeError, AttributeError):  # a lambda, an open file, ...
        return None


def _picture_step(detector: Any) -> Hashable:
    """Return the digest of a step that learns nothing and looks at one picture at a time."""
    if (place := _place(detector)) < 0:
        return None
    alone = isinstance(detector.steps[place][1], StatelessPictureTransformer | FaceAligner)
    return _first_step(detector) if alone else None


def _fitted_step(detector: Any) -> Hashable:
    """Return what a fitted step is known by: an equal one may have learned something else."""
    if (place := _place(detector)) < 0:
        return None
    return _picture_step(detector) or id(detector.steps[place][1])


def _augmentation(detector: Any) -> Hashable:
    """Return a digest of how an AugmentedClassifier makes its copies.

    One whose estimator is told the groups is fitted by itself.
    """
    if type(detector) is not AugmentedClassifier or takes_groups(detector.estimator):
        return None
    own = detector.get_params(deep=False)
    return joblib.hash({name: value for name, value in own.items() if name != "estimator"})


def _cut(detectors: Detectors, names: list[Hashable]) -> tuple[Any, dict[Hashable, Any]]:
    """Return the step that detectors share, and what comes after it in each."""
    after = {name: detectors[name].steps[_place(detectors[name]) + 1 :] for name in names}
    tails = {n: steps[0][1] if len(steps) == 1 else Pipeline(steps) for n, steps in after.items()}
    first = detectors[names[0]]
    return first.steps[_place(first)][1], tails


def _join(detector: Any, step: Any, tail: Any) -> Pipeline:
    """Return the Pipeline of a detector with its step and its tail fitted."""
    place, steps = _place(detector), list(detector.steps)
    steps[place] = steps[place][0], step
    after = [(steps[-1][0], tail)] if place == len(steps) - 2 else tail.steps
    return Pipeline([*steps[: place + 1], *after], verbose=detector.verbose)
