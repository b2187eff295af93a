"""SinglePassStatistics: sums and counts of training pictures that cross the network once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._equations import ExactSums
from skfakespotter.coverage._observations import Observations
from skfakespotter.coverage._results import PartialResult
from skfakespotter.coverage._windows import no_window, pilot_size, window_for

Batch = tuple[NDArray[np.integer], Any]  # positions, and pixels or numbers
KEPT_BYTES = 2**30  # of observations; what comes after them passes twice


@dataclass
class SinglePassStatistics:
    """The statistics of :class:`DirectStatistics`, with counts from what the sums saw.

    While the sums are taken, the thresholds become known ever better. So the outputs near them
    are kept, from which the counts follow exactly. The first pictures, and those whose outputs
    find no room or lie too far from the thresholds in the end, pass twice.

    Parameters
    ----------
    direct : DirectStatistics
        The network.
    max_bytes : int, default=2**30
        Memory for the outputs kept.
    """

    direct: DirectStatistics
    max_bytes: int = KEPT_BYTES
    _kept: list[tuple[NDArray[np.integer], Observations]] = field(default_factory=list)
    _of: Any = None  # the pictures that they are of

    def sums(self, X: Any) -> Iterator[PartialResult]:
        """Sum as :meth:`Statistics.sums` says, in a seeded order, and keep outputs."""
        self._of, self._kept = X, []
        n_neurons = self.direct.neurons_per_threshold
        seen = ExactSums(len(n_neurons))
        window, n_bytes = no_window(len(n_neurons)), 0
        for positions, batch in self._batches(X, seen):
            if not seen.n_pictures:  # the pilot: where to look is not known before it
                sums = self.direct.observe(batch, window).sums
                window = window_for(seen.add(sums), n_neurons, len(X))
                found = self.direct.observe(batch, window)
            else:
                found = self.direct.observe(batch, window)
                window = window_for(seen.add(found.sums), n_neurons, len(X))
            self._kept.append((positions, found))
            n_bytes += found.nbytes
            if n_bytes > self.max_bytes:
                window = no_window(len(n_neurons))
            yield PartialResult(positions, found.sums)

    def counts(
        self, X: Any, thresholds: NDArray, granularity: str, seen: ExactSums | None = None
    ) -> Iterator[PartialResult]:
        """Count as :meth:`Statistics.counts` says: what was kept first, then the others."""
        if X is not self._of:
            yield from self.direct.counts(X, thresholds, granularity)
            return
        others: list[NDArray[np.integer]] = [np.zeros(0, np.int64)]
        for positions, found in self._kept:
            if found.covers(thresholds):
                yield PartialResult(positions, found.counts(thresholds, granularity))
            else:
                others.append(positions)
        left = np.sort(np.concatenate(others))
        if len(left):
            yield from self.direct.counts(X, thresholds, granularity, positions=left)

    def for_tasks(
        self, X: Any, thresholds: NDArray | None = None, seen: ExactSums | None = None
    ) -> DirectStatistics:
        """Return the network's own statistics: what one task keeps another does not see."""
        return self.direct.for_tasks(X)

    def _batches(self, X: Any, seen: ExactSums) -> Iterator[Batch]:
        """Mix the pictures, so that those seen stand for all; small batches while few are."""
        mixed = np.random.default_rng(0).permutation(len(X))
        n_pilot, most = pilot_size(len(X)), self.direct.n_at_once
        return _rebatched(
            self.direct.batches(X, mixed), lambda: min(most, 2 * seen.n_pictures or n_pilot)
        )


def _rebatched(batches: Iterable[Batch], size: Callable[[], int]) -> Iterator[Batch]:
    """Cut batches anew, each as large as ``size()`` says when it is its turn."""
    positions, pixels = np.zeros(0, np.int64), None
    for more_positions, more in batches:
        positions = np.concatenate([positions, more_positions])
        pixels = more if pixels is None or not len(pixels) else np.concatenate([pixels, more])
        while len(positions) >= (n := size()):
            yield positions[:n], pixels[:n]
            positions, pixels = positions[n:], pixels[n:]
    if len(positions):
        yield positions, pixels
