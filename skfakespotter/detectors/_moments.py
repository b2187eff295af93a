"""Moments: all that a linear discriminant needs of faces; those of parts add up to the whole's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

PENALTY = 1.0  # of the squared weights, in variances of the counts
ROUNDING = 1e-6  # of a mean: a count that varies by less is constant


@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and scatter of the counts of some faces.

    What is left out of a fit, a fold or a source, costs a sum of parts and not another pass
    over the faces.

    Parameters
    ----------
    n : float
        Faces, by weight.
    mean : ndarray of shape (n_features,), float64
        Mean counts.
    scatter : ndarray of shape (n_features, n_features), float32
        Sum of the products of the differences to the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.detectors._moments import Moments
    >>> both = Moments.of([[1.0], [3.0]]) + Moments.of([[8.0]])
    >>> both.n, both.mean.tolist(), both.scatter.round(3).tolist()  # 9 + 1 + 16
    (3.0, [4.0], [[26.0]])
    """

    n: float
    mean: NDArray[np.float64]
    scatter: NDArray[np.float32]

    @classmethod
    def of(cls, counts: ArrayLike, weight: ArrayLike = 1.0) -> Moments:
        """Compute the moments of faces.

        Parameters
        ----------
        counts : array-like of shape (n, n_features)
            Counts of one face or more.
        weight : float or array-like of shape (n,), default=1.0
            Of each face.

        Returns
        -------
        Moments
            Of these faces.
        """
        counts = np.asarray(counts, np.float32)
        weight = np.broadcast_to(np.asarray(weight, np.float64), len(counts))
        mean = weight @ counts.astype(np.float64) / weight.sum()
        apart = counts - mean.astype(np.float32)
        apart *= np.sqrt(weight).astype(np.float32)[:, None]
        return cls(float(weight.sum()), mean, apart.T @ apart)

    def __add__(self, other: Moments) -> Moments:
        n, step = self.n + other.n, other.mean - self.mean
        apart = (step * np.sqrt(self.n * other.n / n)).astype(np.float32)
        scatter = np.outer(apart, apart)
        scatter += self.scatter
        scatter += other.scatter
        return Moments(n, self.mean + step * (other.n / n), scatter)

    @classmethod
    def total(cls, parts: Iterable[Moments]) -> Moments:
        """Add up moments.

        Parameters
        ----------
        parts : iterable of Moments
            One or more.

        Returns
        -------
        Moments
            Of all faces.
        """
        return reduce(add, parts)


def discriminate(
    real: Moments, fake: Moments, *, penalty: float = PENALTY, n_channels: Any = None
) -> tuple[NDArray[np.float64], float]:
    r"""Fit a linear discriminant with a penalty that gives every layer the same say.

    The weights are :math:`(W + \lambda V)^{-1} (\mu_1 - \mu_0)`, with the mean :math:`W` of the
    covariances of the two classes. :math:`V` is diagonal: the variance of a count times the
    channels of its layer, in units of their mean. So the late layers, which have most of the
    channels and see the person, do not outvote the early ones, which see traces.

    Parameters
    ----------
    real, fake : Moments
        Of photographs and of fakes.
    penalty : float, default=1.0
        :math:`\lambda`.
    n_channels : array-like of shape (n_layers,), default=None
        Channels of each layer, which add up to the features. None: all features are alike.

    Returns
    -------
    weights : ndarray of shape (n_features,), float64
        Of the counts.
    intercept : float
        Added to their weighted sum: 0 is in the middle of the two means.

    References
    ----------
    J. Friedman, "Regularized Discriminant Analysis", JASA 84, 1989.
    """
    within = (real.scatter / np.float32(real.n) + fake.scatter / np.float32(fake.n)) / 2
    variances, step = np.diag(within).astype(np.float64), fake.mean - real.mean
    constant = variances <= np.square(ROUNDING * real.mean)  # a count that tells nothing
    variances[constant], step[constant] = 1.0, 0.0
    n_channels = np.ones(len(variances)) if n_channels is None else np.asarray(n_channels)
    share = np.repeat(n_channels * len(n_channels) / n_channels.sum(), n_channels.astype(int))
    unit = np.sqrt(variances * share)  # in which the penalty is the same for all
    within /= np.outer(unit, unit).astype(np.float32)
    within[np.diag_indices_from(within)] += np.float32(penalty)
    found = scipy.linalg.solve(
        within, (step / unit).astype(np.float32), assume_a="pos", overwrite_a=True
    )
    weights = found.astype(np.float64) / unit
    return weights, float(-weights @ (real.mean + fake.mean) / 2)
