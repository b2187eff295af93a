"""CachedStatistics: statistics of pictures from a cache, computing only what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.cache._cache import CoverageCache
from skfakespotter.cache._contents import lot_of
from skfakespotter.cache._group import RecordGroup
from skfakespotter.cache._lookup import Lookup
from skfakespotter.cache._records import (
    Window,
    hull,
    no_window,
    window_for,
)
from skfakespotter.coverage import DirectStatistics, ExactSums, Layout, Part
from skfakespotter.images import ImageError

PILOT = 0.06  # share of the training pictures that passes twice, to place the window
PILOT_RANGE = (4, 2048)  # pictures


@dataclass(frozen=True)
class CachedStatistics:
    """The statistics of :class:`DirectStatistics`, remembered.

    Parameters
    ----------
    direct : DirectStatistics
        What computes what is not in the cache.
    cache : CoverageCache
        Where to look first, and to keep what was computed.
    seen : ExactSums, default=None
        Of the training pictures: other training sets, such as folds, have thresholds nearby.
    window : (ndarray, ndarray), default=None
        What new records keep, a bound below and above each threshold. None: some of the
        pictures are computed first, and their sums place it.
    """

    direct: DirectStatistics
    cache: CoverageCache
    seen: ExactSums | None = None
    window: Window | None = None

    @property
    def layout(self) -> Layout:
        """Names and sizes of the layers."""
        return self.direct.layout

    @property
    def n_at_once(self) -> int:
        """Pictures per forward pass."""
        return self.direct.n_at_once

    def sums(self, X: Any) -> Iterator[Part]:
        """Sum the outputs of the neurons; the inner sum of equation 1.

        Parameters
        ----------
        X : list, ndarray or Tensor
            Checked pictures, or numbers (n, n_features).

        Yields
        ------
        Part
            As of :meth:`DirectStatistics.sums`: first what was computed, then what was found.
        """
        return Lookup(self, _on_host(X), self.window).parts()

    def counts(self, X: Any, thresholds: NDArray, granularity: str) -> Iterator[Part]:
        """Count the neurons above the thresholds; equation 2.

        Parameters
        ----------
        X, thresholds, granularity
            As for :meth:`DirectStatistics.counts`.

        Yields
        ------
        Part
            As of :meth:`DirectStatistics.counts`: first what was computed, then what was found.
        """
        window = self.window or self._window_of(thresholds)
        return Lookup(self, _on_host(X), window, thresholds, granularity).parts()

    def for_tasks(self, X: Any, *args: Any) -> CachedStatistics:
        """Return what tasks are to use, each of which will see only a part of ``X``.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        *args
            What follows it in the call of the method.

        Returns
        -------
        CachedStatistics
            With a window.
        """
        window = self.window
        if window is None:
            window = self._window_of(args[0]) if args else self.window_for(X, self.pilot(X))
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
        n_pilot = min(max(int(np.ceil(PILOT * len(X))), PILOT_RANGE[0]), PILOT_RANGE[1], len(X))
        chosen = np.sort(np.argsort([lot_of(X[i], i) for i in range(len(X))])[:n_pilot])
        few = X[chosen] if isinstance(X, np.ndarray) else [X[i] for i in chosen]
        found = ExactSums(self._n_thresholds)
        try:
            for part in Lookup(self, few, no_window(self._n_thresholds)).parts():
                found.add(part.values)
        except ImageError as error:
            raise error.at(int(chosen[error.index or 0]), error.path) from error
        return found

    def window_for(self, X: Any, seen: ExactSums) -> Window:
        """Place the window for a training set."""
        return window_for(seen, self._neurons_per_threshold(), len(X))

    def group(self) -> RecordGroup:
        """Return the records of this network and these options."""
        direct = self.direct
        return self.cache.group(
            {
                "backbone": direct.backbone.name,
                "fingerprint": direct.backbone.fingerprint,
                "layers": list(self.layout.names),
                "neuron": direct.neurons.neuron,
                "tokens": direct.neurons.tokens,
                "rectify": bool(direct.neurons.rectify),
                "thresholds_per": direct.per,
                "input": [int(n) for n in direct.shape],
                "device": direct.lanes[0].network.device.type,
                "precision": direct.precision,
            }
        )

    def _window_of(self, thresholds: NDArray) -> Window:
        around = (thresholds.astype(np.float32),) * 2
        if self.seen is None:
            return around
        others = window_for(self.seen, self._neurons_per_threshold(), self.seen.n_pictures)
        return hull([around, others])

    @property
    def _n_thresholds(self) -> int:
        return self.layout.width(self.direct.per)

    def _neurons_per_threshold(self) -> NDArray:
        layout = self.layout
        if self.direct.per == "layer":
            return layout.n_neurons
        return np.repeat(layout.n_neurons // layout.n_channels, layout.n_channels)


def _on_host(X: Any) -> Any:
    """Return tensors as arrays: a cache knows what it has seen by the bytes."""
    return X.cpu().numpy() if hasattr(X, "detach") else X
