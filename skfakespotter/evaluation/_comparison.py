"""Comparison: many detectors on the same items and folds, with paired tests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.parallel import Parallel

from skfakespotter._params import checked
from skfakespotter._typing import Items, Labels
from skfakespotter.evaluation._bootstrap import number_groups, warn_of_few
from skfakespotter.evaluation._delong import delong_covariance
from skfakespotter.evaluation._differences import (
    Differences,
    bootstrap_covariance,
    find_differences,
)
from skfakespotter.evaluation._figures import FIGURES
from skfakespotter.evaluation._folds import make_folds
from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._plot import ScoreIntervalDisplay
from skfakespotter.evaluation._report import DetectionReport
from skfakespotter.evaluation._results import Result
from skfakespotter.evaluation._scoring import soft_method
from skfakespotter.evaluation._sets import check_set
from skfakespotter.evaluation._shared_fitting import cross_fit, respond_together
from skfakespotter.images import is_path


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResult(Result):
    """Detectors compared on the same items; what :func:`compare` returns.

    ``to_frame()`` and ``to_csv(path)`` have the predictions, one row per item and detector:
    item, picture (the path, of files), label, group, detector, fold, score. Others can analyze
    them without this package. ``differences`` has the pairs, ``reports`` all figures, ``plot()``
    draws the figure of each detector with its interval, and ``str`` is a table in words.

    Parameters
    ----------
    y_true : ndarray of shape (n,)
        Labels as they were given.
    scores : dict of str to ndarray of shape (n,)
        By detector, larger means more fake.
    folds : ndarray of shape (n,), int
        Fold in which an item was tested, from 0; -1 where scores were given.
    groups : ndarray of shape (n,) or None
        Groups as they were given.
    figure : str
        The figure that is compared.
    reports : dict of str to DetectionReport
        All figures of each detector.
    differences : Differences
        Of all pairs.
    test : {"delong", "bootstrap"}
        Where intervals and p-values of the differences are from.
    pictures : list of str, default=None
        Paths of the items, where they are files.
    """

    y_true: NDArray
    scores: dict[str, NDArray]
    folds: NDArray
    groups: NDArray | None
    figure: str
    reports: dict[str, DetectionReport]
    differences: Differences
    test: str
    pictures: list[str] | None = None

    def __str__(self) -> str:
        width = max(map(len, self.reports)) + 2
        lines = [f"{self.figure:<{width}}{'value':>8}{'low':>8}{'high':>8}"]
        for name, report in self.reports.items():
            value, low, high = report[self.figure]
            lines.append(f"{name:<{width}}{value:>8.3f}{low:>8.3f}{high:>8.3f}")
        lines += ["", f"differences ({self.test}; p adjusted for {len(self.differences)} pairs)"]
        for row in self.differences:
            lines.append(
                f"{f'{row.a} - {row.b}':<{2 * width + 1}}{row.difference:>+8.3f}{row.low:>+8.3f}"
                f"{row.high:>+8.3f}  p = {row.p_adjusted:.3g}"
            )
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> ScoreIntervalDisplay:
        """Draw the figure of each detector with its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ScoreIntervalDisplay
            The drawing.
        """
        value, low, high = zip(*(r[self.figure] for r in self.reports.values()), strict=True)
        display = ScoreIntervalDisplay(list(self.reports), value, low, high, score_name=self.figure)
        return display.plot(ax)

    def _columns(self) -> dict[str, list]:
        names, n = list(self.scores), len(self.y_true)
        columns: dict[str, list] = {"item": list(range(n)) * len(names)}
        if self.pictures is not None:
            columns["picture"] = self.pictures * len(names)
        columns["label"] = self.y_true.tolist() * len(names)
        if self.groups is not None:
            columns["group"] = self.groups.tolist() * len(names)
        columns["detector"] = [name for name in names for _ in range(n)]
        columns["fold"] = self.folds.tolist() * len(names)
        return columns | {"score": [s for name in names for s in self.scores[name].tolist()]}

    def _summary(self) -> dict[str, str]:
        figures = {name: f"{r[self.figure].value:.3f}" for name, r in self.reports.items()}
        return {"figure": repr(self.figure), **figures, "test": repr(self.test)}


@checked(
    detectors=[Mapping],
    cv=[Interval(Integral, 2, None, closed="left")],
    figure=[StrOptions(set(FIGURES))],
    test=[StrOptions({"auto", "delong", "bootstrap"})],
    n_bootstraps=[Interval(Integral, 2, None, closed="left")],
    confidence_level=[Interval(Real, 0, 1, closed="neither")],
    random_state=[Interval(Integral, 0, None, closed="left")],
    n_jobs=[Integral, None],
)
def compare(
    detectors: Mapping[str, Any],
    X: Items,
    y: Labels,
    *,
    groups: ArrayLike | None = None,
    cv: int = 5,
    figure: str = "AUC",
    test: str = "auto",
    pos_label: Any = None,
    n_bootstraps: int = 1000,
    confidence_level: float = 0.95,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> ComparisonResult:
    """Compare detectors on the same items: figures, differences, paired tests.

    Every detector is fitted on the same folds and scored on the same held-out items. Equal first
    steps (finding faces, one network) run once. Differences are tested pair by pair on the same
    items, with p-values corrected for the number of pairs.

    Parameters
    ----------
    detectors : mapping of str to classifier or array-like of shape (n,)
        Two or more. Clones of a classifier are fitted; an array holds scores made elsewhere,
        of items that its detector was not trained on (larger means more fake).
    X : sequence of n items
        What the classifiers take; None where all detectors are arrays. Paths of files are kept
        with the predictions.
    y : array-like of shape (n,)
        Labels of two classes.
    groups : array-like of shape (n,), default=None
        Items of one group stay on one side of each split and are resampled together.
    cv : int, default=5
        Folds, shuffled and stratified.
    figure : str, default="AUC"
        What is compared: one of the eleven of :func:`detection_report`. Those that need a
        threshold take 0.5 for probabilities and given scores, 0 for decision values.
    test : {"auto", "delong", "bootstrap"}, default="auto"
        "delong" [1]_ is for the AUC of independent items; "bootstrap" draws whole groups.
        Both compare the difference with its standard deviation (a normal approximation, from
        ranks or over resamples). "auto" takes the first where it is allowed.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    n_bootstraps : int, default=1000
        Resamples behind the intervals.
    confidence_level : float, default=0.95
        Of the intervals, in (0, 1).
    random_state : int, default=0
        Seed of folds and resamples.
    n_jobs : int, default=None
        Folds fitted at once, as in scikit-learn.

    Returns
    -------
    ComparisonResult
        ``differences``, ``reports``, ``scores``, ``to_frame()``, ``to_csv(path)``, ``plot()``.

    Raises
    ------
    ValueError
        For fewer than two detectors, lengths that differ, or ``test="delong"`` with groups or
        another figure than the AUC.
    TypeError
        For a classifier without scores.

    Notes
    -----
    The test accounts for the variation between items, not between training sets: it does not tell
    whether a detector leads on other training data. Intervals are not corrected for the number of
    pairs.

    References
    ----------
    .. [1] E. R. DeLong et al., "Comparing the Areas under Two or More Correlated Receiver
       Operating Characteristic Curves", Biometrics 44, 1988.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import compare
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> X = rng.normal(size=(200, 2)) + 1.5 * y[:, None]
    >>> guesses = rng.random(200)
    >>> result = compare({"linear": LogisticRegression(), "guess": guesses}, X, y)
    >>> result.differences["linear", "guess"].p_adjusted < 0.001
    True
    """
    if len(detectors) < 2:
        raise ValueError(f"detectors holds {list(detectors)}: expected two or more, by name.")
    y, groups, positive = check_set(y if X is None else X, y, groups, pos_label)
    test = _choose_test(test, figure, groups)
    fake = y == positive
    scores, thresholds, folds = _scores(
        detectors, X, y, groups, cv, positive, random_state, Parallel(n_jobs=n_jobs)
    )
    options = {
        "groups": groups,
        "n_bootstraps": n_bootstraps,
        "confidence_level": confidence_level,
        "random_state": random_state,
        "pos_label": positive,
    }
    reports = {
        name: detection_report(y, own, threshold=thresholds[name], **options)
        for name, own in scores.items()
    }
    if test == "delong":
        tested = delong_covariance(fake, np.array(list(scores.values())))
    else:
        group = number_groups(groups, len(fake))
        warn_of_few(fake, group, "comparisons", stacklevel=3)
        tested = bootstrap_covariance(
            fake, scores, thresholds, group, figure, n_bootstraps, random_state
        )
    return ComparisonResult(
        y_true=y,
        scores=scores,
        folds=folds,
        groups=groups,
        figure=figure,
        reports=reports,
        differences=find_differences(list(scores), *tested, confidence_level),
        test=test,
        pictures=_name_pictures(X),
    )


def _name_pictures(X: Any) -> list[str] | None:
    items = X.tolist() if isinstance(X, np.ndarray) and X.ndim == 1 else X
    files = isinstance(items, (list, tuple)) and len(items) > 0 and all(map(is_path, items))
    return [os.fspath(item) for item in items] if files else None


def _choose_test(test: str, figure: str, groups: Any) -> str:
    allowed = figure == "AUC" and groups is None
    if test == "delong" and not allowed:
        why = "items of one group are not independent" if groups is not None else f"not {figure}"
        raise ValueError(f"test is 'delong', which is for the AUC of independent items: {why}.")
    return ("delong" if allowed else "bootstrap") if test == "auto" else test


def _scores(
    detectors: Mapping[str, Any],
    X: Items,
    y: NDArray,
    groups: NDArray | None,
    cv: int,
    positive: Any,
    random_state: int,
    parallel: Parallel,
) -> tuple[dict[str, NDArray], dict[str, float], NDArray]:
    """Return scores and thresholds of all detectors, and the fold of each item."""
    scores, thresholds = {}, {}
    for name, given in detectors.items():
        if not hasattr(given, "fit"):
            scores[name], thresholds[name] = np.asarray(given, dtype=np.float64), 0.5
            check_consistent_length(y, scores[name])
    to_fit = {name: detector for name, detector in detectors.items() if name not in scores}
    fold_of = np.full(len(y), -1)
    if to_fit:
        if X is None:
            raise ValueError(f"X is None: expected the items that {list(to_fit)} are fitted on.")
        folds = make_folds(y, groups, cv, random_state)
        fitted = cross_fit(to_fit, X, y, [train for train, _ in folds], parallel)
        asked = {name: soft_method(detector) for name, detector in fitted[0].items()}
        scores |= {name: np.empty(len(y)) for name in to_fit}
        thresholds |= {str(name): threshold for name, (_, threshold) in asked.items()}
        methods = {name: method for name, (method, _) in asked.items()}
        for number, ((_, test), own) in enumerate(zip(folds, fitted, strict=True)):
            fold_of[test] = number
            for key, part in respond_together(
                own, methods, _safe_indexing(X, test), positive
            ).items():
                scores[str(key)][test] = part
    return {name: scores[name] for name in detectors}, thresholds, fold_of
