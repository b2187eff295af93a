"""Thresholds for a rate of false alarms, and how many real pictures back such a rate."""

from __future__ import annotations

from numbers import Real
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta
from sklearn.metrics import roc_curve
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._typing import Labels
from skfakespotter.evaluation._bootstrap import number_groups
from skfakespotter.evaluation._labels import check_scores


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
    >>> from skfakespotter.evaluation._thresholds import upper_rate
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
