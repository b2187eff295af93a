"""Moments: sums that merge exactly, in any order."""

import numpy as np

_SCALE = 1074  # every finite float64 is a whole multiple of 2**-1074


class ExactMoments:
    """Mean of float64 vectors without rounding error until the last division.

    Every float64 is a whole multiple of 2**-1074, so a sum kept as an int is exact and does
    not depend on the order: shards merged in any order give the mean of all, bit for bit.
    The squares, which only say how wide a window to keep, are plain floats.

    Parameters
    ----------
    width : int
        Length of the vectors.

    Attributes
    ----------
    n : int
        Vectors seen.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.coverage._moments import ExactMoments
    >>> ExactMoments(1).add(np.array([[1e16], [1.0], [-1e16]])).mean()
    array([0.33333333])
    """

    def __init__(self, width):
        self.n = 0
        self._totals = [0] * width
        self._centre, self._squares = np.zeros(width), np.zeros(width)

    def add(self, rows):
        """Add vectors.

        Parameters
        ----------
        rows : ndarray of shape (k, width), float64
            Finite numbers.

        Returns
        -------
        self : ExactMoments
            With ``k`` vectors more.
        """
        if self.n == 0 and len(rows):
            self._centre = rows[0].copy()  # squares about a typical value do not cancel
        for column, values in enumerate(rows.T.tolist()):
            self._totals[column] += sum(map(_as_int, values))
        self._squares = self._squares + np.square(rows - self._centre).sum(0)
        self.n += len(rows)
        return self

    def merged(self, other):
        """Give the moments of both sets of vectors together.

        Parameters
        ----------
        other : ExactMoments
            Of vectors of the same length.

        Returns
        -------
        ExactMoments
            A new one.
        """
        if not (self.n and other.n):
            return self if self.n else other
        both = ExactMoments(len(self._totals))
        both.n, both._centre = self.n + other.n, self._centre
        both._totals = [a + b for a, b in zip(self._totals, other._totals, strict=True)]
        shift = other._centre - self._centre
        both._squares = self._squares + other._squares
        both._squares += shift * (2 * other.n * (other.mean() - other._centre) + other.n * shift)
        return both

    def mean(self, divisor=1):
        """Give the mean, divided by whole numbers, each correctly rounded once.

        Parameters
        ----------
        divisor : int or ndarray of shape (width,), default=1
            Divides the means.

        Returns
        -------
        ndarray of shape (width,), float64
            Means.
        """
        divisors = np.broadcast_to(divisor, len(self._totals)).tolist()
        return np.array(
            [t / (self.n * d << _SCALE) for t, d in zip(self._totals, divisors, strict=True)]
        )

    def std(self):
        """Give the standard deviation, with n - 1 degrees of freedom; 0 below two vectors.

        Returns
        -------
        ndarray of shape (width,), float64
            Standard deviations.
        """
        if self.n < 2:
            return np.zeros(len(self._totals))
        spread = self._squares - self.n * np.square(self.mean() - self._centre)
        return np.sqrt(np.maximum(spread, 0) / (self.n - 1))

    def __getstate__(self):
        # 2**-1074 leaves hundreds of zero bits at the end, which a pickle need not carry
        zeros = [max((t & -t).bit_length() - 1, 0) for t in self._totals]
        totals = [(t >> z, z) for t, z in zip(self._totals, zeros, strict=True)]
        return {**self.__dict__, "_totals": totals}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._totals = [t << z for t, z in state["_totals"]]


def _as_int(value):
    numerator, denominator = value.as_integer_ratio()
    return numerator << (_SCALE + 1 - denominator.bit_length())
