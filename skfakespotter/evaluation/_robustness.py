"""Robustness: scores of a detector on attacked pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval
from sklearn.utils.parallel import Parallel

from skfakespotter._params import checked
from skfakespotter._typing import Labels, Pictures
from skfakespotter.evaluation._curve import AttackScores, score_under_attacks
from skfakespotter.evaluation._folds import make_splitter
from skfakespotter.evaluation._results import RobustnessCurve
from skfakespotter.evaluation._shared_fitting import cross_fit
from skfakespotter.images import check_images
from skfakespotter.perturbations import BATCH_SIZE

_OPTIONS = {
    "n_bootstraps": [Interval(Integral, 0, None, closed="left")],
    "random_state": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "verbose": ["verbose"],
}


@checked(**_OPTIONS)
def robustness_curve(
    estimator: Any,
    X: Pictures,
    y: Labels,
    *,
    attacks: Mapping[str, list] | None = None,
    scoring: str | Callable = "roc_auc",
    pos_label: Any = None,
    groups: ArrayLike | None = None,
    n_bootstraps: int = 0,
    random_state: int = 0,
    batch_size: int = BATCH_SIZE,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> RobustnessCurve | dict[Any, RobustnessCurve]:
    """Score one fitted detector on pictures and on the same pictures attacked.

    The estimator is not fitted again. Memory holds one batch of perturbed pictures.

    Parameters
    ----------
    estimator : fitted classifier, or dict of them
        Takes pictures; two classes. Detectors in a dict are scored on the same perturbed
        pictures; steps that they share (the same fitted object, or an equal one that learns
        nothing, such as :class:`~skfakespotter.FaceAligner`) run once.
    X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
        Pictures that the estimator was not trained on.
    y : array-like of shape (n,)
        Their labels; both classes present.
    attacks : dict or None, default=None
        None: the four attacks of :func:`~skfakespotter.perturbations.paper_attacks`. Else name
        -> list, weak to strong, of transformers (chains are pipelines of them) or of
        (intensity, transformer) pairs.
    scoring : str or callable, default="roc_auc"
        A scorer of scikit-learn, larger = better. It sees the labels as 1 (fake) and 0.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    groups : array-like of shape (n,), default=None
        Pictures of one group are resampled together.
    n_bootstraps : int, default=0
        Resamples for 95 % percentile intervals, the same ones for every attack and detector;
        about 1 ms each for every attack and intensity, with ``scoring="roc_auc"`` far less.
        0: no intervals.
    random_state : int, default=0
        Seed of the resamples, and of noise without a seed of its own.
    batch_size : int, default=128
        Pictures perturbed and passed to the estimator at a time.
    n_jobs : int, default=None
        Attacks scored in parallel, in processes (joblib). Leave it at None for an estimator
        that uses the processors itself.
    verbose : int, default=0
        Progress of joblib.

    Returns
    -------
    RobustnessCurve or dict of RobustnessCurve
        Scores and drops; of a dict of detectors, by name.

    Raises
    ------
    ImageError
        When a picture cannot be used, before or after the attack (for example because no face
        is found any more). It names the picture and the attack. Strong attacks sometimes hide a
        face: ``FaceAligner(on_missing="center")`` scores such pictures too.
    ValueError
        When labels, classes of the estimator, ``pos_label`` or ``scoring`` do not fit.

    See Also
    --------
    robustness_cross_val : Scores out of fold, without a separate test set.

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter", IJCAI 2020, section 4.4 and Figure 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter.perturbations import GaussianBlur
    >>> from skfakespotter import robustness_curve
    >>> X = np.random.default_rng(0).normal(128, 2, (40, 20, 20, 3)).round().astype(np.uint8)
    >>> X[20:, ::2] += 20  # fakes have stripes
    >>> y = np.repeat([0, 1], 20)
    >>> spread = FunctionTransformer(lambda X: np.std(X, axis=(1, 2)))
    >>> model = make_pipeline(spread, LogisticRegression()).fit(X, y)
    >>> blurs = [GaussianBlur(0.2), GaussianBlur(2.0, kernel_size=9)]
    >>> curve = robustness_curve(model, X, y, attacks={"blur": blurs}, scoring="accuracy")
    >>> curve.clean_score, curve.columns["score"], curve.mean_drop
    (1.0, [1.0, 0.5], {'blur': 25.0, 'average': 25.0})
    """
    X, y = check_images(X), np.asarray(y)
    check_consistent_length(X, y, groups)
    options = {
        "attacks": attacks,
        "scoring": scoring,
        "pos_label": pos_label,
        "n_bootstraps": n_bootstraps,
        "random_state": random_state,
        "batch_size": batch_size,
        "n_jobs": n_jobs,
        "verbose": verbose,
    }
    detectors = estimator if isinstance(estimator, Mapping) else {None: estimator}
    scores = score_under_attacks([(detectors, np.arange(len(X)))], X, y, groups, **options)
    return _curves(scores, estimator)


@checked(n_attacked=[Interval(Integral, 2, None, closed="left"), None], **_OPTIONS)
def robustness_cross_val(
    estimator: Any,
    X: Pictures,
    y: Labels,
    *,
    groups: ArrayLike | None = None,
    cv: int | BaseCrossValidator | Iterable = 5,
    attacks: Mapping[str, list] | None = None,
    scoring: str | Callable = "roc_auc",
    pos_label: Any = None,
    n_attacked: int | None = None,
    n_bootstraps: int = 0,
    random_state: int = 0,
    batch_size: int = BATCH_SIZE,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> RobustnessCurve | dict[Any, RobustnessCurve]:
    """Fit on the clean training folds and score on the attacked held-out folds.

    One fit for each fold; every attack is scored on the same held-out pictures. The scores of
    all folds are pooled before the scorer sees them, so the folds' scores must share a scale
    (those of one estimator fitted to folds of one set nearly do).

    Parameters
    ----------
    estimator : classifier, or dict of them
        Takes pictures; cloned for each fold. Of Pipelines by name, first steps that are equal
        run once: finding the face, perturbing copies, counting neurons.
    X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
        Pictures.
    y : array-like of shape (n,)
        Their labels.
    groups : array-like of shape (n,), default=None
        Pictures of one group stay on one side of each split and are resampled together.
    cv : int, splitter or iterable, default=5
        An int is a number of shuffled, stratified folds, disjoint in ``groups`` when given.
        Every picture must be held out exactly once.
    attacks : dict or None, default=None
        As in :func:`robustness_curve`, like all that follow.
    scoring : str or callable, default="roc_auc"
        Scorer.
    pos_label : label, default=None
        The label of fakes.
    n_attacked : int, default=None
        Attack this many pictures, half real and half fake, drawn with ``random_state``. The
        others are only trained on and scored without an attack. None attacks all.
    n_bootstraps : int, default=0
        Resamples for intervals.
    random_state : int, default=0
        Seed of the folds too.
    batch_size : int, default=128
        Pictures at a time.
    n_jobs : int, default=None
        Folds fitted, then attacks scored, in parallel processes.
    verbose : int, default=0
        Progress of joblib.

    Returns
    -------
    RobustnessCurve or dict of RobustnessCurve
        Scores and drops, in the order of ``X``; of a dict of detectors, by name.

    Raises
    ------
    ImageError
        When a picture cannot be used.
    ValueError
        When a picture is never held out or held out twice, or as in :func:`robustness_curve`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter import robustness_cross_val
    >>> X = np.random.default_rng(0).normal(128, 2, (40, 20, 20, 3)).round().astype(np.uint8)
    >>> X[20:, ::2] += 20
    >>> y = np.repeat(["real", "fake"], 20)
    >>> spread = FunctionTransformer(lambda X: np.std(X, axis=(1, 2)))
    >>> curve = robustness_cross_val(make_pipeline(spread, LogisticRegression()), X, y)
    >>> curve.clean_score, curve.mean_drop["jpeg"]
    (1.0, 0.0)
    """
    X, y = check_images(X), np.asarray(y)
    check_consistent_length(X, y, groups)
    if isinstance(cv, Integral):
        cv = make_splitter(groups, int(cv), random_state)
    splits = list(check_cv(cv, y, classifier=True).split(np.zeros(len(y)), y, groups))
    held_out = np.concatenate([test for _, test in splits])
    if not np.array_equal(np.sort(held_out), np.arange(len(X))):
        raise ValueError("cv does not hold out every picture exactly once: pass a partition.")
    detectors = estimator if isinstance(estimator, Mapping) else {None: estimator}
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    fitted = cross_fit(detectors, X, y, [train for train, _ in splits], parallel)
    options = {
        "attacks": attacks,
        "scoring": scoring,
        "pos_label": pos_label,
        "n_attacked": n_attacked,
        "n_bootstraps": n_bootstraps,
        "random_state": random_state,
        "batch_size": batch_size,
        "n_jobs": n_jobs,
        "verbose": verbose,
    }
    folds = [(fold, test) for fold, (_, test) in zip(fitted, splits, strict=True)]
    return _curves(score_under_attacks(folds, X, y, groups, **options), estimator)


def _curves(scores: dict[Any, AttackScores], estimator: Any) -> Any:
    """Return one curve for one detector, or a dict of curves for a dict of detectors."""
    curves = {name: RobustnessCurve(**vars(of_one)) for name, of_one in scores.items()}
    return curves if isinstance(estimator, Mapping) else curves[None]
