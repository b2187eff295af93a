"""CachedStatistics: statistics of pictures from a cache, computing only what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.cache._cache import CoverageCache
from skfakespotter.cache._contents import stable_draw
from skfakespotter.cache._group import RecordGroup
from skfakespotter.cache._lookup import Lookup
from skfakespotter.coverage import (
    DirectStatistics,
    ExactSums,
    PartialResult,
    Window,
    hull,
    no_window,
    pilot_size,
    window_for,
)
from skfakespotter.images import ImageError

MOST_PILOT = 2048  # pictures that pass twice, to place the window


@dataclass(frozen=True)
class CachedStatistics:
    """The statistics of :class:`DirectStatistics`, remembered.

    Parameters
    ----------
    direct : DirectStatistics
        What computes what is not in the cache.
    cache : CoverageCache
        Where to look first, and to keep what was computed.
    window : (ndarray, ndarray), default=None
        What new records keep, a bound below and above each threshold. None: some of the
        pictures are computed first, and their sums place it.
    """

    direct: DirectStatistics
    cache: CoverageCache
    window: Window | None = None

    def sums(self, X: Any) -> Iterator[PartialResult]:
        """Sum as :meth:`Statistics.sums` says: what was computed first, then what was found."""
        return self._lookup(X, self.window).parts()

    def counts(
        self, X: Any, thresholds: NDArray, granularity: str, seen: ExactSums | None = None
    ) -> Iterator[PartialResult]:
        """Count as :meth:`Statistics.counts` says: what was computed first, then what was found."""
        window = self.window or self._window_at(thresholds, seen)
        return self._lookup(X, window, thresholds, granularity).parts()

    def for_tasks(
        self, X: Any, thresholds: NDArray | None = None, seen: ExactSums | None = None
    ) -> CachedStatistics:
        """Return these statistics with a window, which no task could place alone."""
        window = self.window
        if window is None and thresholds is not None:
            window = self._window_at(thresholds, seen)
        elif window is None:
            window = window_for(self.pilot(X), self.direct.neurons_per_threshold, len(X))
        return replace(self, direct=self.direct.for_tasks(X), window=window)

    def pilot(self, X: Any) -> ExactSums:
        """Sum over a few pictures, from which the window is placed.

        Which ones is decided by their names or pixels, so that overlapping training sets,
        in this process or another, choose the same.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.

        Returns
        -------
        ExactSums
            Of the pilot's pictures.
        """
        X = _on_host(X)
        n_pilot = min(pilot_size(len(X)), MOST_PILOT)
        chosen = np.sort(np.argsort([stable_draw(X[i], i) for i in range(len(X))])[:n_pilot])
        few = X[chosen] if isinstance(X, np.ndarray) else [X[i] for i in chosen]
        width = len(self.direct.neurons_per_threshold)
        found = ExactSums(width)
        try:
            for part in self._lookup(few, no_window(width)).parts():
                found.add(part.values)
        except ImageError as error:
            raise error.at(int(chosen[error.index or 0]), error.path) from error
        return found

    def _lookup(self, X: Any, window: Window | None, *asked: Any) -> Lookup:
        return Lookup(
            self.direct, self.cache, self.group(), _on_host(X), window, self.pilot, *asked
        )

    def group(self) -> RecordGroup:
        """Return the records of this network and these options."""
        return self.cache.group(self.direct.facts())

    def _window_at(self, thresholds: NDArray, seen: ExactSums | None) -> Window:
        """Return a window that holds the thresholds, and those of other folds."""
        around = (thresholds.astype(np.float32),) * 2
        if seen is None:
            return around
        return hull([around, window_for(seen, self.direct.neurons_per_threshold, seen.n_pictures)])


def _on_host(X: Any) -> Any:
    """Return tensors as arrays: a cache knows what it has seen by the bytes."""
    return X.cpu().numpy() if hasattr(X, "detach") else X
