"""DeLong's test: the AUCs of several detectors on the same items, and how they vary together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def delong_covariance(fake: NDArray, scores: NDArray) -> tuple[NDArray, NDArray]:
    """Compute AUCs and their covariances, of items that are independent.

    Parameters
    ----------
    fake : ndarray of shape (n,), bool
        Class of each item; two or more of each.
    scores : ndarray of shape (n_detectors, n)
        Larger means more fake.

    Returns
    -------
    auc : ndarray of shape (n_detectors,)
        Areas under the ROC curve.
    covariance : ndarray of shape (n_detectors, n_detectors)
        Of the areas.

    Notes
    -----
    A fake's component is the share of real items that it scores above (ties count half), a
    real item's the share of fakes that score above it: S = S_fakes / m + S_reals / n with the
    sample covariances of the components [1]_. All come from ranks [2]_.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the Areas under Two or
       More Correlated Receiver Operating Characteristic Curves", Biometrics 44, 1988.
    .. [2] X. Sun and W. Xu, "Fast Implementation of DeLong's Algorithm", IEEE Signal
       Processing Letters 21, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation._delong import delong_covariance
    >>> fake = np.array([True, True, False, False])
    >>> auc, covariance = delong_covariance(fake, np.array([[0.9, 0.4, 0.6, 0.1]]))
    >>> auc, covariance
    (array([0.75]), array([[0.125]]))
    """
    n_fake, n_real = int(fake.sum()), int((~fake).sum())
    among_all = rankdata(scores, axis=1)
    above_real = (among_all[:, fake] - rankdata(scores[:, fake], axis=1)) / n_real
    above_fake = (among_all[:, ~fake] - rankdata(scores[:, ~fake], axis=1)) / n_fake
    of_fakes, of_reals = np.atleast_2d(np.cov(above_real)), np.atleast_2d(np.cov(above_fake))
    return above_real.mean(axis=1), of_fakes / n_fake + of_reals / n_real


def adjust_holm(p_values: NDArray) -> NDArray:
    """Adjust p-values for their number, by Holm's step-down method [1]_.

    Parameters
    ----------
    p_values : ndarray of shape (n,)
        Of n comparisons.

    Returns
    -------
    ndarray of shape (n,)
        At 0.05, the chance of one false alarm or more among all is at most 5 %.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
       Journal of Statistics 6, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation._delong import adjust_holm
    >>> adjust_holm(np.array([0.01, 0.04, 0.03])).round(2)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
