"""Observations: what is kept of a batch of pictures, enough to count at other thresholds."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from skfakespotter._channels import sum_by_layer
from skfakespotter.coverage._equations import exceeds
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._windows import Window, covers, no_window


@dataclass(frozen=True)
class Observations:
    """Statistics of a batch of pictures, L layers with C channels in all.

    Outputs above ``high`` are counted, outputs inside the window (``low``, ``high``] are
    kept. Hence the count above any threshold t of the window, low <= t <= high, is exact:
    those above ``high`` and those kept that exceed t. The sums yield the mean of equation 1
    over any set of pictures.

    Parameters
    ----------
    sums : ndarray of shape (n, T), float64
        Sum of the outputs of each layer's neurons (T = L), or of each channel's (T = C).
    low, high : ndarray of shape (T,), float32
        The window; ``low`` above ``high``: only sums are kept.
    above : ndarray of shape (n, C), unsigned
        Neurons above ``high`` per channel; (n, 0) where only sums are kept.
    starts : ndarray of shape (n + 1,), int64
        Where each picture's kept outputs start.
    channels : ndarray of shape (m,), unsigned
        Channel, 0 to C - 1, of each kept output.
    values : ndarray of shape (m,), float32
        The outputs kept.
    n_neurons, n_channels : ndarray of shape (L,), int64
        Per layer.
    """

    sums: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    above: NDArray[np.unsignedinteger]
    starts: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger]
    values: NDArray[np.float32]
    n_neurons: NDArray[np.int64]
    n_channels: NDArray[np.int64]

    @classmethod
    def of_window(
        cls,
        window: Window,
        sums: NDArray[np.float64],
        above: NDArray,
        inside: tuple[NDArray, NDArray, NDArray],
        layout: Layout,
    ) -> Observations:
        """Make observations of what was found in a window, in the smallest integers that do.

        Parameters
        ----------
        window : (ndarray, ndarray)
            ``low`` and ``high``.
        sums, above : ndarray
            As of the class; ``above`` of any dtype.
        inside : tuple of three ndarrays of shape (m,)
            Picture, channel and value of the outputs inside, in any order.
        layout : Layout
            Of the layers.

        Returns
        -------
        Observations
            Sorted by picture.
        """
        picture, channel, value = inside
        order = np.argsort(picture, kind="stable")
        counted = np.bincount(picture, minlength=len(sums))
        return cls(
            sums=sums,
            low=window[0],
            high=window[1],
            above=above.astype(np.min_scalar_type(int(above.max()))),
            starts=np.concatenate([[0], np.cumsum(counted)]),
            channels=channel[order].astype(np.min_scalar_type(above.shape[1] - 1)),
            values=value[order],
            n_neurons=layout.n_neurons,
            n_channels=layout.n_channels,
        )

    @classmethod
    def of_sums(cls, sums: NDArray[np.float64], layout: Layout) -> Observations:
        """Make observations that hold the sums, and no window."""
        low, high = no_window(sums.shape[1])
        return cls(
            sums=sums,
            low=low,
            high=high,
            above=np.zeros((len(sums), 0), np.uint8),
            starts=np.zeros(len(sums) + 1, np.int64),
            channels=np.zeros(0, np.uint16),
            values=np.zeros(0, np.float32),
            n_neurons=layout.n_neurons,
            n_channels=layout.n_channels,
        )

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def covers(self, thresholds: NDArray) -> bool:
        """Tell whether counts above the thresholds can be had."""
        return covers(self.low, self.high, thresholds)

    def counts(self, thresholds: NDArray, granularity: str = "channel") -> NDArray[np.float32]:
        """Count the neurons above thresholds inside the window; equation 2.

        Parameters
        ----------
        thresholds : ndarray of shape (T,), float
            Per layer or per channel, inside the window.
        granularity : {"layer", "channel"}, default="channel"
            One count per layer, or per channel.

        Returns
        -------
        ndarray of shape (n, L) or (n, C), float32
            Whole numbers.
        """
        # the network's float32 outputs are compared with thresholds rounded to float32
        rounded = thresholds.astype(np.float32)
        if len(rounded) == len(self.n_channels):
            rounded = np.repeat(rounded, self.n_channels)
        marked = exceeds(self.values, rounded[self.channels])
        picture = np.repeat(np.arange(len(self)), np.diff(self.starts))
        n_channels = self.above.shape[1]
        place = picture[marked] * n_channels + self.channels[marked]
        kept = np.bincount(place, minlength=len(self) * n_channels).reshape(len(self), n_channels)
        counts = self.above + kept
        if granularity == "layer":
            counts = sum_by_layer(counts, self.n_channels)
        return counts.astype(np.float32)
