"""Robustness: how a detector's score falls as pictures are attacked, attack by attack.

The pictures are perturbed before the estimator sees them, as an attacker would do it; each
picture gets the same perturbation for every estimator and split, so that scores are paired.
"""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.parallel import Parallel, delayed

from skfakespotter.evaluation._attacked import Attacked
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._folds import make_splitter
from skfakespotter.evaluation._metrics import positive_label
from skfakespotter.evaluation._results import PERCENTILES, RobustnessCurve
from skfakespotter.images import check_images
from skfakespotter.perturbations._levels import BATCH_SIZE, check_attacks

CLEAN = ("clean", None)  # key of the unperturbed pictures


def robustness_curve(
    estimator,
    X,
    y,
    *,
    attacks=None,
    scoring="roc_auc",
    pos_label=None,
    groups=None,
    n_bootstraps=0,
    random_state=0,
    batch_size=BATCH_SIZE,
    n_jobs=None,
    verbose=0,
):
    """Score one fitted detector on pictures and on the same pictures attacked.

    The estimator is not fitted again. Perturbed pictures are held a batch at a time.

    Parameters
    ----------
    estimator : fitted classifier
        Takes pictures; two classes.
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
        Resamples for 95 % percentile intervals, the same ones for every attack, about 1 ms each
        for every attack and intensity. 0: no intervals.
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
    RobustnessCurve
        Scores and drops.

    Raises
    ------
    ImageError
        When a picture cannot be used, before or after the attack (for example because no face
        is found any more). It names the picture and the attack. Strong attacks hide a face now
        and then: ``FaceAligner(on_missing="center")`` scores such pictures too.
    ValueError
        When labels, classes of the estimator, ``pos_label`` or ``scoring`` do not fit.

    See Also
    --------
    robustness_cross_val : The same out of fold, when there is no separate test set.

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
    >>> from skfakespotter.evaluation._robustness import robustness_curve
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
    return _curve(
        [(estimator, np.arange(len(X)))],
        X,
        y,
        groups,
        attacks=attacks,
        scoring=scoring,
        pos_label=pos_label,
        n_bootstraps=n_bootstraps,
        random_state=random_state,
        batch_size=batch_size,
        parallel=Parallel(n_jobs=n_jobs, verbose=verbose),
    )


def robustness_cross_val(
    estimator,
    X,
    y,
    *,
    groups=None,
    cv=5,
    attacks=None,
    scoring="roc_auc",
    pos_label=None,
    n_bootstraps=0,
    random_state=0,
    batch_size=BATCH_SIZE,
    n_jobs=None,
    verbose=0,
):
    """Fit on the clean training folds and score on the attacked held-out folds.

    One fit for each fold; every attack is scored on the same held-out pictures. The scores of
    all folds are pooled before the scorer sees them, so the folds' scores must share a scale
    (those of one estimator fitted to folds of one set nearly do).

    Parameters
    ----------
    estimator : classifier
        Takes pictures; cloned for each fold.
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
    RobustnessCurve
        Scores and drops over all pictures, in the order of ``X``.

    Raises
    ------
    ImageError
        When a picture cannot be used.
    ValueError
        When a picture is held out never or twice, or as in :func:`robustness_curve`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter.evaluation._robustness import robustness_cross_val
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
        cv = make_splitter(groups, cv, random_state)
    splits = list(check_cv(cv, y, classifier=True).split(np.zeros(len(y)), y, groups))
    held_out = np.concatenate([test for _, test in splits])
    if not np.array_equal(np.sort(held_out), np.arange(len(X))):
        raise ValueError("cv does not hold out every picture exactly once: pass a partition.")
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    fitted = parallel(delayed(_fit)(estimator, X, y, train) for train, _ in splits)
    return _curve(
        [(fold, test) for fold, (_, test) in zip(fitted, splits, strict=True)],
        X,
        y,
        groups,
        attacks=attacks,
        scoring=scoring,
        pos_label=pos_label,
        n_bootstraps=n_bootstraps,
        random_state=random_state,
        batch_size=batch_size,
        parallel=parallel,
    )


def _curve(
    folds,
    X,
    y,
    groups,
    *,
    attacks,
    scoring,
    pos_label,
    n_bootstraps,
    random_state,
    batch_size,
    parallel,
):
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
    samples = _samples(fake, groups, n_bootstraps, random_state)
    done = parallel(delayed(_score)(item, fake, scorer, samples) for item in items)
    values = np.array([scores for scores, _ in done])  # (1 + attacks, 1 + resamples)
    soft = {item.key: response for item, (_, response) in zip(items, done, strict=True)}
    return RobustnessCurve(
        clean_score=float(values[0, 0]),
        columns=_columns([item.key for item in items[1:]], values),
        scores={key: response for key, response in soft.items() if response is not None},
        y_true=fake,
        scoring=scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score"),
        bootstraps=values[:, 1:] if n_bootstraps else None,
    )


def _samples(fake, groups, n_bootstraps, random_state):
    """List positions of pictures: all of them, then each resample."""
    everything, group = np.arange(len(fake)), number_groups(groups, len(fake))
    chunks = resample(fake == 1, group, n_bootstraps, random_state)
    counts = [weights.astype(int) for chunk, _ in chunks for weights in chunk]
    return [everything, *(np.repeat(everything, count) for count in counts)]


def _columns(keys, values):
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


def _score(item, y, scorer, samples):
    scores = [scorer(item, rows, y[rows]) for rows in samples]
    return scores, item.responses.get("decision_function", item.responses.get("predict_proba"))


def _fit(estimator, X, y, rows):
    return clone(estimator).fit(_safe_indexing(X, rows), y[rows])


def _check_classes(estimator, pos_label):
    classes = getattr(estimator, "classes_", None)
    if classes is None or len(classes) != 2 or pos_label not in list(classes):
        shown = None if classes is None else list(classes)
        raise ValueError(
            f"estimator.classes_ is {shown}: expected a fitted classifier of two classes, one of "
            f"them {pos_label!r}."
        )
