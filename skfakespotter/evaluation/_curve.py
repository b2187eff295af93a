"""Curve: the scores of fitted detectors under attacks, as numbers.

The pictures are perturbed before the estimator sees them, as an attacker would do it; each
picture gets the same perturbation for every estimator and split, so that scores are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import check_scoring
from sklearn.utils.parallel import Parallel, delayed

from skfakespotter.evaluation._attacked import Attacked
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._metrics import positive_label
from skfakespotter.perturbations import BATCH_SIZE, check_attacks

CLEAN = ("clean", None)  # key of the unperturbed pictures
PERCENTILES = (2.5, 97.5)  # ends of the 95 % bootstrap intervals under attack


@dataclass(frozen=True, eq=False)
class AttackScores:
    """Scores of one detector under attacks; fields as in ``RobustnessCurve``, which draws them."""

    clean_score: float
    columns: dict[str, list]
    scores: dict[tuple[str, Any], NDArray]
    y_true: NDArray
    scoring: str
    bootstraps: NDArray | None = None


def score_under_attacks(
    folds: list[tuple[Any, NDArray]],
    X: Any,
    y: NDArray,
    groups: ArrayLike | None = None,
    *,
    attacks: Mapping[str, list] | None = None,
    scoring: str | Callable = "roc_auc",
    pos_label: Any = None,
    n_bootstraps: int = 0,
    random_state: int = 0,
    batch_size: int = BATCH_SIZE,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> AttackScores:
    """Score fitted detectors on pictures, and on the same pictures attacked.

    Parameters
    ----------
    folds : list of (fitted classifier, ndarray of int)
        Each detector and the positions of the pictures it is asked about.
    X : list or ndarray
        Pictures, checked.
    y : ndarray of shape (n,)
        Labels.
    groups, attacks, scoring, pos_label, n_bootstraps, random_state, batch_size, n_jobs, verbose
        See :func:`skfakespotter.robustness_curve`.

    Returns
    -------
    AttackScores
        Scores and drops.
    """
    pos_label = positive_label(y, pos_label)
    for estimator, _ in folds:
        _check_classes(estimator, pos_label)
    scorer = check_scoring(folds[0][0], scoring=scoring)
    grids = {CLEAN[0]: [(CLEAN[1], None)], **check_attacks(attacks, random_state)}
    items = [
        Attacked(folds, X, pos_label, batch_size, (name, intensity), attack)
        for name, levels in grids.items()
        for intensity, attack in levels
    ]
    fake = (y == pos_label).astype(int)
    samples = list(_samples(fake, groups, n_bootstraps, random_state))
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    done = parallel(delayed(_score)(item, fake, scorer, samples) for item in items)
    values = np.array([scores for scores, _ in done])  # (1 + attacks, 1 + resamples)
    soft = {item.key: response for item, (_, response) in zip(items, done, strict=True)}
    return AttackScores(
        clean_score=float(values[0, 0]),
        columns=_columns([item.key for item in items[1:]], values),
        scores={key: response for key, response in soft.items() if response is not None},
        y_true=fake,
        scoring=scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score"),
        bootstraps=values[:, 1:] if n_bootstraps else None,
    )


def _samples(
    fake: NDArray, groups: ArrayLike | None, n_bootstraps: int, random_state: int
) -> Iterator[NDArray]:
    """Yield positions of pictures: all of them, then each resample."""
    everything, group = np.arange(len(fake)), number_groups(groups, len(fake))
    yield everything
    for chunk, _ in resample(fake == 1, group, n_bootstraps, random_state):
        for weights in chunk:
            yield np.repeat(everything, weights.astype(int))


def _columns(keys: list[tuple[str, Any]], values: NDArray) -> dict[str, list]:
    score, drop = values[1:], values[0] - values[1:]
    columns = {
        "attack": [attack for attack, _ in keys],
        "intensity": [intensity for _, intensity in keys],
        "score": score[:, 0].tolist(),
        "drop": drop[:, 0].tolist(),
    }
    if values.shape[1] > 1:
        for name, resampled in (("score", score[:, 1:]), ("drop", drop[:, 1:])):
            low, high = np.percentile(resampled, PERCENTILES, axis=1)
            columns |= {f"{name}_low": low.tolist(), f"{name}_high": high.tolist()}
    return columns


def _score(
    item: Attacked, y: NDArray, scorer: Callable, samples: list[NDArray]
) -> tuple[list[float], NDArray | None]:
    scores = [scorer(item, rows, y[rows]) for rows in samples]
    return scores, item.responses.get("decision_function", item.responses.get("predict_proba"))


def _check_classes(estimator: Any, pos_label: Any) -> None:
    classes = getattr(estimator, "classes_", None)
    if classes is None or len(classes) != 2 or pos_label not in list(classes):
        shown = None if classes is None else list(classes)
        raise ValueError(
            f"estimator.classes_ is {shown}: expected a fitted classifier of two classes, one of "
            f"them {pos_label!r}."
        )
