"""The two equations of the paper, and the exact sums that the first one needs.

References
----------
R. Wang et al., "FakeSpotter: A Simple yet Robust Baseline for Spotting AI-Synthesized Fake
Faces", IJCAI 2020, section 3.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

UNIT = 1074  # every finite float64 is a whole multiple of 2**-1074


def threshold(sums: ExactSums, n_neurons: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the threshold of each layer; equation 1.

    .. math:: \xi_l = \frac{1}{|N| |T|} \sum_{n \in N, t \in T} \delta(n, t)

    Parameters
    ----------
    sums : ExactSums
        Of the outputs of each layer's neurons, one vector per training picture.
    n_neurons : int or array-like of shape (width,)
        Neurons of each layer.

    Returns
    -------
    ndarray of shape (width,), float64
        Mean outputs, each rounded once.

    Examples
    --------
    Two pictures, one layer of three neurons:

    >>> import numpy as np
    >>> from skfakespotter.coverage import ExactSums, threshold
    >>> threshold(ExactSums(1).add(np.array([[4.0], [5.0]])), 3)
    array([1.5])
    """
    divisors = np.broadcast_to(n_neurons, len(sums.totals)).tolist()
    pairs = zip(sums.totals, divisors, strict=True)
    return np.array([total / (n * sums.n_pictures << UNIT) for total, n in pairs])


def exceeds(values: Any, xi: Any, out: Any = None) -> Any:
    r"""Mark the neurons whose output exceeds the threshold; the condition of equation 2.

    .. math:: MNC(l, t) = |\{n \in l : \delta(n, t) > \xi_l\}|

    Parameters
    ----------
    values : Tensor or ndarray, float32
        Outputs of neurons.
    xi : float, Tensor or ndarray
        The threshold, compared as float32.
    out : Tensor or ndarray, default=None
        Where to write the marks, in its own dtype.

    Returns
    -------
    Tensor or ndarray
        True or 1 above the threshold, False or 0 at it and below.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.coverage import exceeds
    >>> exceeds(np.float32([1, 2, 3]), np.float32(2)).sum()
    np.int64(1)
    """
    return (torch.gt if isinstance(values, torch.Tensor) else np.greater)(values, xi, out=out)


def softly_exceeds(values: torch.Tensor, xi: Any, slope: float) -> torch.Tensor:
    r"""Relax the condition of equation 2, so that a count has a gradient.

    .. math:: \sigma\left(a \, \frac{\delta(n, t) - \xi_l}{s_l}\right)

    with the standard deviation :math:`s_l` of the layer's distances to the threshold, through
    which no gradient flows. As the slope :math:`a` grows this becomes :func:`exceeds`.

    Parameters
    ----------
    values : Tensor
        Outputs of a layer's neurons, for all pictures of a batch.
    xi : float or Tensor
        The threshold.
    slope : float
        Per standard deviation.

    Returns
    -------
    Tensor
        From 0 to 1, in the shape of ``values``.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage import softly_exceeds
    >>> softly_exceeds(torch.tensor([1.0, 2.0, 3.0]), 2.0, 1.0)
    tensor([0.2689, 0.5000, 0.7311])
    """
    apart = values - xi
    spread = apart.detach().std().clamp_min(1e-12)
    return torch.sigmoid(slope * apart / spread)


class ExactSums:
    """Sums of float64 vectors without rounding, in any order.

    A float64 is a whole multiple of 2**-1074, so a sum kept as a whole number is exact:
    shards merged in any order give the same sums, bit for bit. The squares, which only say
    how wide a window is kept around a threshold, are plain floats.

    Parameters
    ----------
    width : int
        Length of the vectors.

    Attributes
    ----------
    n_pictures : int
        Vectors seen.
    totals : list of int
        Sum of each column, in units of 2**-1074.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.coverage import ExactSums
    >>> ExactSums(1).add(np.array([[1e16], [1.0], [-1e16]])).totals == [2**1074]
    True
    """

    def __init__(self, width: int) -> None:
        self.n_pictures, self.totals = 0, [0] * width
        self._center, self._squares = np.zeros(width), np.zeros(width)

    def add(self, rows: NDArray[np.float64]) -> ExactSums:
        """Add vectors.

        Parameters
        ----------
        rows : ndarray of shape (k, width), float64
            Finite numbers; fewer than 2**31 at a time.

        Returns
        -------
        ExactSums
            This object.
        """
        if self.n_pictures == 0 and len(rows):
            self._center = rows[0].copy()  # squares about a typical value do not cancel
        fractions, exponents = np.frexp(rows)
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        for exponent in np.unique(exponents[mantissas != 0]).tolist():
            here = np.where(exponents == exponent, mantissas, 0)
            # in halves, whose sums fit into 64 bits
            halves = (here >> 32).sum(0).tolist(), (here & 0xFFFFFFFF).sum(0).tolist()
            sums = [(high << 32) + low for high, low in zip(*halves, strict=True)]
            shift = UNIT + exponent - 53  # below 0 for numbers whose last bits are 0
            self.totals = [
                total + (part << shift if shift >= 0 else part >> -shift)
                for total, part in zip(self.totals, sums, strict=True)
            ]
        self._squares = self._squares + np.square(rows - self._center).sum(0)
        self.n_pictures += len(rows)
        return self

    def merged(self, other: ExactSums) -> ExactSums:
        """Return the sums of both sets of vectors together.

        Parameters
        ----------
        other : ExactSums
            Of vectors of the same length.

        Returns
        -------
        ExactSums
            A new one.
        """
        if not (self.n_pictures and other.n_pictures):
            return self if self.n_pictures else other
        both = ExactSums(len(self.totals))
        both.n_pictures, both._center = self.n_pictures + other.n_pictures, self._center
        both.totals = [a + b for a, b in zip(self.totals, other.totals, strict=True)]
        shift, n = other._center - self._center, other.n_pictures
        both._squares = self._squares + other._squares
        both._squares += shift * (2 * n * (threshold(other, 1) - other._center) + n * shift)
        return both

    def std(self) -> NDArray[np.float64]:
        """Return the standard deviation of the vectors.

        Returns
        -------
        ndarray of shape (width,), float64
            With n - 1 degrees of freedom; 0 below two vectors.
        """
        if self.n_pictures < 2:
            return np.zeros(len(self.totals))
        mean = threshold(self, 1)
        spread = self._squares - self.n_pictures * np.square(mean - self._center)
        return np.sqrt(np.maximum(spread, 0) / (self.n_pictures - 1))

    def __getstate__(self) -> dict[str, Any]:
        # the unit leaves hundreds of zero bits at the end, which a pickle need not carry
        zeros = [max((t & -t).bit_length() - 1, 0) for t in self.totals]
        totals = [(t >> z, z) for t, z in zip(self.totals, zeros, strict=True)]
        return {**self.__dict__, "totals": totals}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.totals = [t << z for t, z in state["totals"]]
