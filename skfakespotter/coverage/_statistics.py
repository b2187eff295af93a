"""Statistics: what the transformer asks of pictures, whatever computes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from numpy.typing import NDArray

from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._equations import ExactSums
from skfakespotter.coverage._results import PartialResult


class Statistics(Protocol):
    """What the transformer needs to know of pictures, wherever it comes from."""

    @property
    def direct(self) -> DirectStatistics:
        """The network that computes what is not known."""

    def sums(self, X: Any) -> Iterator[PartialResult]:
        """Sum the outputs of the neurons; the inner sum of equation 1.

        Parameters
        ----------
        X : list, ndarray or Tensor
            Checked pictures, or numbers (n, n_features).

        Yields
        ------
        PartialResult
            With ``values`` of shape (k, n_layers) or (k, n_channels), float64, in any order.
            Pictures without a face that may be left out are not among them.

        Raises
        ------
        ValueError
            When an output is not finite; it names the layers.
        """

    def counts(
        self, X: Any, thresholds: NDArray, granularity: str, seen: ExactSums | None = None
    ) -> Iterator[PartialResult]:
        """Count the neurons above the thresholds; equation 2.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        thresholds : ndarray of shape (n_layers,) or (n_channels,)
            One per layer, or per channel.
        granularity : {"layer", "channel"}
            One count per layer, or per channel.
        seen : ExactSums, default=None
            Of the training pictures: the thresholds of other training sets, such as folds, lie
            nearby, and a cache keeps what counts at them need.

        Yields
        ------
        PartialResult
            With ``values`` of shape (k, n_layers) or (k, n_channels), float32, in any order.

        Raises
        ------
        ValueError
            When the network's output is not finite; it names the pictures. Not where results
            stay on a device: there the counts are NaN.
        """

    def for_tasks(
        self, X: Any, thresholds: NDArray | None = None, seen: ExactSums | None = None
    ) -> Statistics:
        """Return what joblib's tasks are to use, each of which will see only a part of ``X``.

        Parameters
        ----------
        X, thresholds, seen
            As for the methods that the tasks will call.

        Returns
        -------
        Statistics
            Small in a pickle.
        """
