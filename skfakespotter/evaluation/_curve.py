"""Curve: the scores of fitted detectors under attacks, as numbers.

The pictures are perturbed before the estimator sees them, as an attacker would do it; each
picture gets the same perturbation for every estimator and split, so that scores are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import check_scoring
from sklearn.utils.parallel import Parallel, delayed

from skfakespotter._labels import positive_label
from skfakespotter._typing import Items
from skfakespotter.evaluation._attacked_detector import SOFT, Attacked, Responses
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._shared_fitting import Detectors
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
    attacked: NDArray
    bootstraps: NDArray | None = None


def score_under_attacks(
    folds: Sequence[tuple[Detectors, NDArray]],
    X: Items,
    y: NDArray,
    groups: ArrayLike | None = None,
    *,
    attacks: Mapping[str, list] | None = None,
    scoring: str | Callable = "roc_auc",
    pos_label: Any = None,
    n_attacked: int | None = None,
    n_bootstraps: int = 0,
    random_state: int = 0,
    batch_size: int = BATCH_SIZE,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> dict[Hashable, AttackScores]:
    """Score fitted detectors on pictures, and on the same pictures attacked.

    Parameters
    ----------
    folds : list of (dict of fitted classifier, ndarray of int)
        Detectors by name, and the positions of the pictures they are asked about.
    X : list or ndarray
        Pictures, checked.
    y : ndarray of shape (n,)
        Labels.
    groups, attacks, scoring, pos_label, n_bootstraps, random_state, batch_size, n_jobs, verbose
        See :func:`skfakespotter.robustness_curve`.
    n_attacked : int, default=None
        See :func:`skfakespotter.robustness_cross_val`.

    Returns
    -------
    dict of AttackScores
        Scores and drops of each detector.
    """
    pos_label = positive_label(y, pos_label)
    for estimator in (detector for fitted, _ in folds for detector in fitted.values()):
        _check_classes(estimator, pos_label)
    scorers = {name: check_scoring(d, scoring=scoring) for name, d in folds[0][0].items()}
    fake = (y == pos_label).astype(int)
    attacked = _choose(fake, n_attacked, random_state)
    parts = [(fitted, np.intersect1d(rows, attacked)) for fitted, rows in folds]
    some = [(fitted, rows) for fitted, rows in parts if len(rows)]
    options = X, pos_label, batch_size
    items = [Responses(folds, *options, CLEAN, None)] + [
        Responses(some, *options, (name, intensity), attack)
        for name, levels in check_attacks(attacks, random_state).items()
        for intensity, attack in levels
    ]
    weights = _weights(fake[attacked], groups, attacked, n_bootstraps, random_state)
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    by_auc = isinstance(scoring, str) and scoring == "roc_auc"
    task = delayed(_score)
    done = parallel(task(item, fake, attacked, scorers, weights, by_auc) for item in items)
    keys = [item.key for item in items]
    result = {}
    for name in scorers:
        values = np.array([scores[name] for scores, _ in done])  # (1 + attacks, 1 + resamples)
        soft = {key: responses[name] for key, (_, responses) in zip(keys, done, strict=True)}
        result[name] = AttackScores(
            clean_score=float(values[0, 0]),
            columns=_columns(keys[1:], values),
            scores={key: response for key, response in soft.items() if response is not None},
            y_true=fake,
            scoring=scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score"),
            attacked=attacked,
            bootstraps=values[:, 1:] if n_bootstraps else None,
        )
    return result


def _choose(fake: NDArray, n_attacked: int | None, random_state: int) -> NDArray:
    """Return the positions of the pictures to attack: all, or half of them real and half fake."""
    if n_attacked is None or n_attacked >= len(fake):
        return np.arange(len(fake))
    rng = np.random.default_rng(random_state)
    half = n_attacked // 2
    chosen = [rng.permutation(np.flatnonzero(fake == label))[:half] for label in (0, 1)]
    return np.sort(np.concatenate(chosen))


def _weights(
    fake: NDArray,
    groups: ArrayLike | None,
    attacked: NDArray,
    n_bootstraps: int,
    random_state: int,
) -> NDArray:
    """Return how often each attacked picture counts: once, then in each resample."""
    group = number_groups(None if groups is None else np.asarray(groups)[attacked], len(fake))
    drawn = [chunk for chunk, _ in resample(fake == 1, group, n_bootstraps, random_state)]
    return np.concatenate([np.ones((1, len(fake))), *drawn])


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
    item: Responses,
    fake: NDArray,
    attacked: NDArray,
    scorers: dict[Hashable, Callable],
    weights: NDArray,
    by_auc: bool,
) -> tuple[dict[Hashable, list[float]], dict[Hashable, NDArray | None]]:
    """Return the scores of each detector, of the pictures and of resamples, and its responses."""
    scores = {}
    # those that can be asked for decision values come first: what is asked of them tells what
    # the scorer wants of the others
    for name in sorted(scorers, key=lambda n: not hasattr(item.detectors[n], SOFT[0])):
        stand_in = Attacked(item, name)
        first = scorers[name](stand_in, attacked, fake[attacked])
        soft = item.soft(name)
        if by_auc and soft is not None:
            # a thousand weightings by one matrix product instead of a millisecond each
            figures = weighted_figures(fake[attacked] == 1, soft[attacked], 0.0, weights[1:])
            resampled = figures[:, FIGURES.index("AUC")].tolist() if len(figures) else []
        else:
            rows = (np.repeat(attacked, counts.astype(int)) for counts in weights[1:])
            resampled = [scorers[name](stand_in, drawn, fake[drawn]) for drawn in rows]
        scores[name] = [first, *resampled]
    return scores, {name: item.soft(name) for name in scorers}


def _check_classes(estimator: Any, pos_label: Any) -> None:
    classes = getattr(estimator, "classes_", None)
    if classes is None or len(classes) != 2 or pos_label not in list(classes):
        shown = None if classes is None else list(classes)
        raise ValueError(
            f"estimator.classes_ is {shown}: expected a fitted classifier of two classes, one of "
            f"them {pos_label!r}."
        )
