"""Metrics: the eight figures of the paper and three more, each with a bootstrap interval.

One rule everywhere: an item is called fake when ``score >= threshold``.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, overload
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta
from sklearn.metrics import roc_curve
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import unique_labels

from skfakespotter._params import checked
from skfakespotter._typing import Labels, RandomState
from skfakespotter.evaluation._bootstrap import number_groups, resample, warn_of_few
from skfakespotter.evaluation._report import DetectionReport, measure
from skfakespotter.evaluation._subgroups import SubgroupReport, measure_subgroups


@overload
def detection_report(
    y_true: Labels,
    y_score: ArrayLike,
    *,
    threshold: float = ...,
    pos_label: Any = ...,
    groups: ArrayLike | None = ...,
    by: None = None,
    n_bootstraps: int = ...,
    confidence_level: float = ...,
    random_state: RandomState = ...,
) -> DetectionReport: ...


@overload
def detection_report(
    y_true: Labels,
    y_score: ArrayLike,
    *,
    threshold: float = ...,
    pos_label: Any = ...,
    groups: ArrayLike | None = ...,
    by: ArrayLike | Mapping[str, ArrayLike],
    n_bootstraps: int = ...,
    confidence_level: float = ...,
    random_state: RandomState = ...,
) -> SubgroupReport: ...


@checked(
    threshold=[Real],
    n_bootstraps=[Interval(Integral, 0, None, closed="left")],
    confidence_level=[Interval(Real, 0, 1, closed="neither")],
    random_state=["random_state"],
)
def detection_report(
    y_true: Labels,
    y_score: ArrayLike,
    *,
    threshold: float = 0.5,
    pos_label: Any = None,
    groups: ArrayLike | None = None,
    by: ArrayLike | Mapping[str, ArrayLike] | None = None,
    n_bootstraps: int = 1000,
    confidence_level: float = 0.95,
    random_state: RandomState = 0,
) -> DetectionReport | SubgroupReport:
    """Measure a detector: eleven figures, each with a percentile bootstrap interval.

    The paper's eight [1]_ come first: precision, recall, F1, accuracy, AP (average
    precision), AUC (under the ROC curve), FPR and FNR (false-positive and false-negative
    rate). Then EER, the error rate where FPR = FNR on the linearly joined ROC curve; MCC,
    Matthews' correlation; and ECE, the expected calibration error [2]_ of the score read
    as P(fake), over ten bins of equal width as in
    :func:`sklearn.calibration.calibration_curve`. ECE is NaN unless all scores lie in
    [0, 1]; its interval lies high, even above its value, since noise in a bin only adds to
    it. A ratio with denominator 0 counts as 0: precision when nothing is called fake.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of two classes, both present.
    y_score : array-like of shape (n_samples,)
        Scores; larger means more fake. Finite.
    threshold : float, default=0.5
        Scores at or above it are called fake. Use 0 for most ``decision_function``
        scores, or :func:`choose_threshold` on validation scores, never on these.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    groups : array-like of shape (n_samples,), default=None
        Items of one group (photograph, person, video) are drawn together [3]_. Without
        it, intervals of dependent items are too narrow.
    by : array-like of shape (n_samples,), or mapping of str to such, default=None
        Attributes of the items (generator, source, width of the face,
        :func:`picture_attributes`), one value each: every figure is then given by subgroup
        as well. Numbers of more than ten values are cut into thirds; NaN and None are
        "unknown".
    n_bootstraps : int, default=1000
        Resamples. 0 leaves the intervals NaN.
    confidence_level : float, default=0.95
        In (0, 1).
    random_state : int, RandomState or None, default=0
        Seed of the resampling.

    Returns
    -------
    DetectionReport or SubgroupReport
        The figures and how they were made; with ``by``, those of all items and of each
        subgroup. A resample that holds one class only is drawn again, and ``n_redrawn``
        counts them.

    Raises
    ------
    ValueError
        For one class only, more than two, a score that is not finite (its index is
        named), one group only, or lengths that differ.

    Warns
    -----
    UserWarning
        When fewer than ten groups (without ``groups``, items) hold a class: two groups give
        an interval of no width, and a few give one that is too narrow [4]_.

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter: A Simple yet Robust Baseline for Spotting
       AI-Synthesized Fake Faces", IJCAI 2020, arXiv:1909.06122, Table 2.
    .. [2] M. P. Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian
       Binning", AAAI 2015.
    .. [3] C. A. Field and A. H. Welsh, "Bootstrapping clustered data", JRSS B 69, 2007.
    .. [4] A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-Based Improvements for
       Inference with Clustered Errors", Review of Economics and Statistics 90, 2008.

    Examples
    --------
    >>> from skfakespotter import detection_report
    >>> labels = ["real", "real", "fake", "fake"] * 10
    >>> print(detection_report(labels, [0.1, 0.6, 0.4, 0.9] * 10, n_bootstraps=200))
    40 items (20 fake), threshold 0.5
    95 % intervals from 200 resamples
    <BLANKLINE>
    figure       value     low    high
    precision    0.500   ...
    """
    fake, score = check_scores(y_true, y_score, pos_label)
    if np.isnan(threshold):
        raise ValueError("threshold is NaN: expected a number.")
    check_consistent_length(y_true, groups)
    group = number_groups(groups, len(fake))
    if n_bootstraps and group.max():
        warn_of_few(fake, group, "intervals")
    resamples = resample(fake, group, n_bootstraps, random_state)
    figures, n_redrawn = measure(fake, score, threshold, resamples, confidence_level)
    report = DetectionReport(
        figures=figures,
        threshold=float(threshold),
        n_samples=len(fake),
        n_positive=int(fake.sum()),
        n_groups=int(group.max()) + 1,
        n_bootstraps=int(n_bootstraps),
        n_redrawn=n_redrawn,
        confidence_level=float(confidence_level),
    )
    if by is None:
        return report
    resamples = resample(fake, group, n_bootstraps, random_state)
    return measure_subgroups(report, fake, score, by, resamples)


@checked(
    max_fpr=[Interval(Real, 0, 1, closed="both")],
    confidence_level=[Interval(Real, 0, 1, closed="neither"), None],
)
def choose_threshold(
    y_true: Labels,
    y_score: ArrayLike,
    *,
    max_fpr: float = 0.05,
    confidence_level: float | None = None,
    groups: ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Choose the threshold that keeps false alarms at or under a rate on validation scores.

    Pass scores of items that were used neither to fit the detector nor to report on
    it. A threshold chosen on test labels makes every figure at that threshold too good.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels of the validation items.
    y_score : array-like of shape (n_samples,)
        Their scores; larger means more fake. Finite.
    max_fpr : float, default=0.05
        Largest share of real items that may be called fake, in [0, 1].
    confidence_level : float, default=None
        None compares the rate seen among the real items with ``max_fpr``: on new items the
        rate is as often higher as lower. A number in (0, 1), such as 0.95, compares the upper
        end of the one-sided interval of Clopper and Pearson [1]_: the rate on new items is
        then at most ``max_fpr`` with this probability.
    groups : array-like of shape (n_samples,), default=None
        Items of one group (frames of a video) count as one item where the real items are
        counted.
    pos_label : label, default=None
        The label of fakes; see :func:`detection_report`.

    Returns
    -------
    float
        The smallest of the scores at which the false-positive rate of the rule
        ``score >= threshold`` (or its upper bound) is at most ``max_fpr``; infinity (call
        nothing fake) where it is higher even at the highest score.

    Raises
    ------
    ValueError
        For one class only, more than two, or a score that is not finite.

    Warns
    -----
    UserWarning
        When there are too few real items for ``max_fpr``: even if none of them is called
        fake, the rate may well be higher. 59 support 5 %, 299 support 1 %, at 95 %.

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits
       illustrated in the case of the binomial", Biometrika 26, 1934.

    Examples
    --------
    >>> from skfakespotter import choose_threshold
    >>> labels = [0] * 100 + [1]
    >>> scores = [k / 100 for k in range(100)] + [1.0]
    >>> choose_threshold(labels, scores, max_fpr=0.05)
    0.95
    >>> choose_threshold(labels, scores, max_fpr=0.05, confidence_level=0.95)
    0.99
    """
    fake, score = check_scores(y_true, y_score, pos_label)
    check_consistent_length(y_true, groups)
    n_real = len(np.unique(number_groups(groups, len(fake))[~fake]))
    _warn_of_few_reals(n_real, max_fpr, confidence_level or 0.95)
    fpr, _, thresholds = roc_curve(fake, score, drop_intermediate=False)
    if confidence_level is not None:
        fpr = upper_rate(fpr * n_real, n_real, confidence_level)
        fpr[0] = 0.0  # at infinity nothing is called fake
    return float(thresholds[fpr <= max_fpr][-1])


def upper_rate(n_false: ArrayLike, n: int, confidence_level: float = 0.95) -> NDArray:
    """Return the rate that ``n_false`` out of ``n`` items let hardly exceed.

    Parameters
    ----------
    n_false : array-like of float
        False alarms seen; of groups, their mean share times ``n``.
    n : int
        Items.
    confidence_level : float, default=0.95
        How sure the bound is, one-sided.

    Returns
    -------
    ndarray of float
        Upper ends of Clopper and Pearson's interval.

    Examples
    --------
    >>> from skfakespotter.evaluation._metrics import upper_rate
    >>> upper_rate([0, 2], 50).round(4)
    array([0.0582, 0.1206])
    """
    n_false = np.asarray(n_false, dtype=np.float64)
    left = np.maximum(n - n_false, np.finfo(float).tiny)  # of n out of n the bound is 1
    return np.where(n_false < n, beta.ppf(confidence_level, n_false + 1, left), 1.0)


def _warn_of_few_reals(n_real: int, max_fpr: float, confidence_level: float) -> None:
    bound = float(upper_rate(0, n_real, confidence_level))
    if bound <= max_fpr:
        return
    needed = ""
    if max_fpr > 0:
        n_needed = int(np.ceil(np.log1p(-confidence_level) / np.log1p(-max_fpr)))
        needed = f"; {n_needed} of them would do"
    warn(
        f"{n_real} real items (or groups of them) do not support max_fpr={max_fpr:g}: even if "
        f"none is called fake, the rate may be as high as {100 * bound:.2g} % "
        f"({100 * confidence_level:g} % confidence){needed}.",
        stacklevel=4,
    )


def positive_label(y: ArrayLike, pos_label: Any = None) -> Any:
    """Return which of two labels means fake.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.

    Returns
    -------
    label
        ``pos_label``, 1 or ``"fake"``.

    Raises
    ------
    ValueError
        When ``y`` does not hold two labels, or which one means fake is not clear.

    Examples
    --------
    >>> from skfakespotter.evaluation import positive_label
    >>> positive_label(["real", "fake", "fake"])
    'fake'
    """
    labels = unique_labels(y).tolist()
    if len(labels) != 2:
        shown = f"{labels[:5]}"[:-1] + (", ...]" if len(labels) > 5 else "]")
        raise ValueError(f"labels are {shown}: expected two classes, real and fake.")
    if pos_label is None and set(labels) == {0, 1}:
        return 1
    wanted = "fake" if pos_label is None else pos_label
    if wanted not in labels:
        raise ValueError(
            f"pos_label={pos_label!r} and labels {labels}: pass the label of fakes as pos_label "
            "(None stands for 1 where the labels are {0, 1}, else for 'fake')."
        )
    return wanted


def check_scores(y_true: Labels, y_score: ArrayLike, pos_label: Any) -> tuple[NDArray, NDArray]:
    """Check labels and scores.

    Parameters
    ----------
    y_true, y_score, pos_label
        See :func:`detection_report`.

    Returns
    -------
    fake : ndarray of shape (n_samples,), bool
        Which items are fake.
    score : ndarray of shape (n_samples,), float64
        Their scores.

    Raises
    ------
    ValueError
        For labels of other than two classes, or scores that are not finite.
    """
    y_true, score = column_or_1d(y_true), np.asarray(y_score, dtype=np.float64)
    if score.ndim != 1:
        raise ValueError(
            f"y_score has shape {score.shape}: expected (n_samples,), one score per item, "
            "such as predict_proba(X)[:, 1]."
        )
    check_consistent_length(y_true, score)
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise ValueError(f"y_score[{bad[0]}] is {score[bad[0]]}: expected finite numbers.")
    return y_true == positive_label(y_true, pos_label), score
