"""Metrics: the eight figures of the paper and three more, each with a bootstrap interval.

One rule everywhere: an item is called fake when ``score >= threshold``.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._typing import Labels, RandomState
from skfakespotter.evaluation._bootstrap import number_groups, resample, warn_of_few
from skfakespotter.evaluation._labels import check_scores
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
