"""Calibration: what the scores of photographs and fakes that a detector never saw allow to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Calibration:
    r"""Scores of real photographs, source by source, and of fakes, none of them trained on.

    For a face with score :math:`s` and a source with the calibration scores
    :math:`s_1, \dots, s_n`, the conformal p-value is

    .. math:: p(s) = \frac{1 + |\{i : s_i \geq s\}|}{n + 1}

    For a photograph that is exchangeable with the source's, :math:`P(p \leq \alpha) \leq
    \alpha`. Nobody knows which source a picture comes from, so the worst one, the largest p,
    is what counts.

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
        """Compute the p-value of each score against its worst source.

        Parameters
        ----------
        scores : array-like of float
            Scores; larger means more fake.

        Returns
        -------
        ndarray
            Values in (0, 1], in the shape of ``scores``.
        """
        return np.max(list(self.p_values(scores).values()), axis=0)

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

    def threshold(self, fpr: float) -> float:
        """Find the lowest score that photographs of no source reach more often than promised.

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
        if not 0 < fpr < 1:
            raise ValueError(f"fpr is {fpr!r}: expected a number between 0 and 1.")
        limits = []
        for of_source in self.real.values():
            allowed = int(np.floor(fpr * (len(of_source) + 1) + 1e-9)) - 1  # may be as high
            limits.append(np.inf if allowed < 0 else of_source[len(of_source) - 1 - allowed])
        return float(max(limits))

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
