"""Calibration: what the scores of photographs and fakes that a detector never saw allow to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked

CONFIDENCE = 0.95  # that a source nobody has measured keeps the promise
FPR_BOUNDS = Interval(Real, 0, 1, closed="neither")  # of a promised false-positive rate
FEW = 3  # sources, below which nothing is known of how sources differ


@dataclass(frozen=True, eq=False)
class Calibration:
    r"""Scores of real photographs, source by source, and of fakes, none of them trained on.

    For a face with score :math:`s` and a source with the calibration scores
    :math:`s_1, \dots, s_n`, the conformal p-value is

    .. math:: p(s) = \frac{1 + |\{i : s_i \geq s\}|}{n + 1}

    For a photograph that is exchangeable with the source's, :math:`P(p \leq \alpha) \leq
    \alpha`. Nobody knows which source a picture comes from, so the worst one, the largest p,
    is what counts.

    The picture may come from a source that nobody has measured. From three sources on, the
    limits :math:`q_1, \dots, q_K` that photographs of the sources exceed at a rate
    :math:`\alpha` are taken as a sample, and a new source's limit is predicted to lie, with 95 %
    confidence, below

    .. math:: \bar q + t_{0.95, K - 1} \, s_q \sqrt{1 + 1 / K}

    A score has a p-value of at most :math:`\alpha` only if it is above this, too.

    Parameters
    ----------
    real : mapping of str to ndarray of shape (n,)
        Scores of the real photographs of each source, rising.
    fake : ndarray of shape (n,)
        Scores of the fakes of the detector's family, rising.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005.
    S. Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023.
    G. Hahn and W. Meeker, "Statistical Intervals", 1991 (prediction bound of a new value).

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.detectors import Calibration
    >>> calibration = Calibration({"a": np.arange(9.0), "b": np.arange(19.0)}, np.arange(5.0, 15.0))
    >>> calibration.p_value(8.0).tolist()  # (1 + 1) / 10 in a, (1 + 11) / 20 in b
    0.6
    >>> calibration.worst_source(8.0)
    'b'
    >>> calibration.threshold(0.1)
    17.0
    """

    real: Mapping[str, NDArray[np.float32]]
    fake: NDArray[np.float32]

    def p_values(self, scores: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Compute the p-value of each score against each source.

        Parameters
        ----------
        scores : array-like of float
            Scores; larger means more fake.

        Returns
        -------
        dict of str to ndarray
            Values in (0, 1], in the shape of ``scores``.
        """
        # in the type that is stored, or a score would differ from its own copy by rounding
        scores = np.asarray(scores, np.float32)
        return {
            source: (1.0 + len(of_source) - np.searchsorted(of_source, scores, "left"))
            / (len(of_source) + 1)
            for source, of_source in self.real.items()
        }

    def p_value(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Compute the p-value of each score against the worst source, measured or not.

        Parameters
        ----------
        scores : array-like of float
            Scores; larger means more fake.

        Returns
        -------
        ndarray
            Values in (0, 1], in the shape of ``scores``.
        """
        measured = np.max(list(self.p_values(scores).values()), axis=0)
        if len(self.real) < FEW:
            return measured
        rates, limits = self._unmeasured
        n_below = np.searchsorted(limits[::-1], np.asarray(scores, np.float32), "left")
        unmeasured = np.append(rates, 1.0)[len(rates) - n_below]
        return np.maximum(measured, unmeasured)

    def worst_source(self, score: float) -> str:
        """Name the source whose photographs are most often as suspicious as this score.

        Parameters
        ----------
        score : float
            A score.

        Returns
        -------
        str
            The source of the largest p-value.
        """
        of_sources = self.p_values(score)
        return max(of_sources, key=lambda source: float(of_sources[source]))

    @checked(fpr=[FPR_BOUNDS])
    def threshold(self, fpr: float) -> float:
        """Find the lowest score that photographs of no source exceed more often than promised.

        Parameters
        ----------
        fpr : float
            Promised false-positive rate on the worst source, in (0, 1).

        Returns
        -------
        float
            A score above it has ``p_value`` of at most ``fpr``; infinity where some source has
            too few photographs to promise so little.

        Raises
        ------
        ValueError
            When ``fpr`` is outside (0, 1).
        """
        measured = max(_limit(of_source, fpr) for of_source in self.real.values())
        if len(self.real) < FEW:
            return measured
        rates, limits = self._unmeasured
        kept = limits[rates <= fpr + 1e-9]
        return max(measured, float(kept[-1]) if len(kept) else np.inf)

    def recall(self, fpr: float) -> float:
        """Measure the share of the family's fakes above the threshold.

        Parameters
        ----------
        fpr : float
            Promised false-positive rate, in (0, 1).

        Returns
        -------
        float
            From 0 to 1.
        """
        above = self.fake > np.float32(self.threshold(fpr))
        return float(above.mean())

    @cached_property
    def _unmeasured(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Rates, rising, and the falling limits that a new source exceeds at these rates."""
        n = min(map(len, self.real.values()))
        rates = np.arange(1, n + 1) / (n + 1)
        of_sources = np.array([[_limit(of, rate) for rate in rates] for of in self.real.values()])
        n_sources = len(of_sources)
        factor = t.ppf(CONFIDENCE, n_sources - 1) * np.sqrt(1 + 1 / n_sources)
        limits = of_sources.mean(0) + factor * of_sources.std(0, ddof=1)
        falling = np.maximum.accumulate(limits[::-1])[::-1]  # or a higher score could be commoner
        return rates, falling.astype(np.float32)


def _limit(of_source: NDArray[np.float32], fpr: float) -> float:
    """Return the lowest score that at most the promised share of a source exceeds."""
    allowed = int(np.floor(fpr * (len(of_source) + 1) + 1e-9)) - 1  # may be as high
    return float(np.inf if allowed < 0 else of_source[len(of_source) - 1 - allowed])
