"""Records: what is kept of a batch of pictures, enough for exact counts at nearby thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from skfakespotter._files import DamagedFile, open_arrays
from skfakespotter.coverage import ExactSums, exceeds, threshold

TAIL = norm.sf(4.0)  # chance, per layer and side, that a training set's threshold lies outside
KEY_BYTES = 16
HEAD = ("keys", "sums", "low", "high", "n_neurons", "n_channels")  # all that an index needs
Window = tuple[NDArray[np.float32], NDArray[np.float32]]


class DamagedRecords(ValueError):
    """A file that does not hold records of the group that it lies in."""


@dataclass(frozen=True)
class Records:
    """Statistics of a batch of pictures, L layers with C channels in all.

    Outputs above ``high`` are counted, outputs inside the window (``low``, ``high``] are
    kept. Hence the count above any threshold t of the window, low <= t <= high, is exact:
    those above ``high`` and those kept that exceed t. The sums yield the mean of equation 1
    over any set of pictures.

    Parameters
    ----------
    keys : ndarray of shape (n, 16), uint8
        Of each picture's content.
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

    keys: NDArray[np.uint8]
    sums: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    above: NDArray[np.unsignedinteger]
    starts: NDArray[np.int64]
    channels: NDArray[np.unsignedinteger]
    values: NDArray[np.float32]
    n_neurons: NDArray[np.int64]
    n_channels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def counts(self, thresholds: NDArray) -> NDArray[np.int64]:
        """Count the neurons above thresholds inside the window; equation 2.

        Parameters
        ----------
        thresholds : ndarray of shape (T,), float
            Per layer or per channel, inside the window.

        Returns
        -------
        ndarray of shape (n, C), int64
            Per channel.
        """
        # the network's float32 outputs are compared with thresholds rounded to float32
        limits = thresholds.astype(np.float32)
        if len(limits) == len(self.n_channels):
            limits = np.repeat(limits, self.n_channels)
        marked = exceeds(self.values, limits[self.channels])
        picture = np.repeat(np.arange(len(self)), np.diff(self.starts))
        n_channels = self.above.shape[1]
        place = picture[marked] * n_channels + self.channels[marked]
        kept = np.bincount(place, minlength=len(self) * n_channels).reshape(len(self), n_channels)
        return self.above + kept

    def save(self, file: IO[bytes], group: str) -> None:
        """Write to a binary file.

        Parameters
        ----------
        file : binary file
            Open for writing.
        group : str
            Name of the group of records that the file belongs to.
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {"group": np.frombuffer(group.encode(), np.uint8), **arrays, **_digests(arrays)}
        np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, group: str) -> Records:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path
            The file.
        group : str
            Name of the group that it must belong to.

        Returns
        -------
        Records
            The content.

        Raises
        ------
        DamagedRecords
            When it is cut off, altered, or of another group.
        OSError
            When it cannot be read, which says nothing of its content.
        """
        return cls(**_read(path, group, [field.name for field in fields(cls)]))


def load_head(path: Path, group: str) -> dict[str, NDArray]:
    """Read what an index of a file of records needs.

    Parameters
    ----------
    path, group
        As for :meth:`Records.load`.

    Returns
    -------
    dict of str to ndarray
        The arrays named in ``HEAD``.

    Raises
    ------
    DamagedRecords, OSError
        As for :meth:`Records.load`.
    """
    return _read(path, group, HEAD)


def _read(path: Path, group: str, names: Sequence[str]) -> dict[str, NDArray]:
    try:
        with open_arrays(path) as archive:
            if archive["group"].tobytes() != group.encode():
                raise DamagedRecords("it belongs to another network or other options")
            arrays = {name: archive[name] for name in names}
            for part, digest in _digests(arrays).items():
                if not np.array_equal(archive[part], digest):
                    raise DamagedRecords("its content does not match its checksum")
    except DamagedFile as error:
        raise DamagedRecords(str(error)) from error
    return arrays


def _digests(arrays: dict[str, NDArray]) -> dict[str, NDArray[np.uint8]]:
    """Hash the head, and the rest where it is there."""
    parts = {"head": HEAD, "body": tuple(name for name in arrays if name not in HEAD)}
    found = {}
    for part, names in parts.items():
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        for name in sorted(names):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
        if names:
            found[f"{part}_digest"] = np.frombuffer(digest.digest(), np.uint8)
    return found


def sums_only(keys: NDArray, sums: NDArray, n_neurons: NDArray, n_channels: NDArray) -> Records:
    """Make records that hold the sums, and no window.

    Parameters
    ----------
    keys, sums, n_neurons, n_channels : ndarray
        See :class:`Records`.

    Returns
    -------
    Records
        Whose window holds no threshold.
    """
    low, high = no_window(sums.shape[1])
    return Records(
        keys=keys,
        sums=sums,
        low=low,
        high=high,
        above=np.zeros((len(keys), 0), np.uint8),
        starts=np.zeros(len(keys) + 1, np.int64),
        channels=np.zeros(0, np.uint16),
        values=np.zeros(0, np.float32),
        n_neurons=n_neurons,
        n_channels=n_channels,
    )


def no_window(width: int) -> Window:
    """Return the window that holds no threshold."""
    nowhere = np.full(width, np.inf, np.float32)
    return nowhere, -nowhere


def window_around(center: NDArray, deviation: NDArray, n_seen: int, n_expected: int) -> Window:
    """Compute the window that will hold the threshold of a training set.

    The mean of ``n_expected`` pictures lies, except for one chance in 30,000 on either side,
    within this prediction interval (Student's t) about the mean of ``n_seen`` of them.

    Parameters
    ----------
    center : ndarray of shape (T,), float
        Mean of each layer's output over the pictures seen.
    deviation : ndarray of shape (T,), float
        Standard deviation, from picture to picture, of a picture's mean output.
    n_seen, n_expected : int
        Pictures seen, and of the training set.

    Returns
    -------
    (ndarray, ndarray), each of shape (T,), float32
        ``low`` and ``high``; everything when fewer than 3 pictures were seen.
    """
    if n_seen < 3:
        everything = np.full(len(center), np.inf, np.float32)
        return -everything, everything
    half = t.isf(TAIL, n_seen - 1) * deviation * np.sqrt(1 / n_seen + 1 / n_expected)
    half = half + 1e-6 * np.abs(center)  # equal pictures: leave room for rounding
    return (center - half).astype(np.float32), (center + half).astype(np.float32)


def window_for(seen: ExactSums, n_neurons: NDArray, n_expected: int) -> Window:
    """Compute the window for a training set, from the sums of some of its pictures.

    Parameters
    ----------
    seen : ExactSums
        Of the pictures seen.
    n_neurons : ndarray of shape (T,), int
        Per layer or per channel.
    n_expected : int
        Pictures of the training set.

    Returns
    -------
    (ndarray, ndarray), each of shape (T,), float32
        ``low`` and ``high``.
    """
    center, deviation = threshold(seen, n_neurons), seen.std() / n_neurons
    return window_around(center, deviation, seen.n_pictures, n_expected)


def covers(low: NDArray, high: NDArray, thresholds: NDArray) -> bool:
    """Tell whether thresholds lie in a window, each in its own.

    Parameters
    ----------
    low, high, thresholds : ndarray of shape (T,)
        The window, and the thresholds.

    Returns
    -------
    bool
        Whether counts at the thresholds can be had.
    """
    limits = thresholds.astype(np.float32)
    return bool(((low <= limits) & (limits <= high)).all())


def hull(windows: Sequence[Window]) -> Window:
    """Return the smallest window that holds all of the windows.

    Parameters
    ----------
    windows : sequence of (low, high)
        Each a pair of ndarrays of shape (T,).

    Returns
    -------
    (ndarray, ndarray), each of shape (T,), float32
        ``low`` and ``high``.
    """
    lows, highs = zip(*windows, strict=True)
    return np.minimum.reduce(lows), np.maximum.reduce(highs)


def keys_of(records: Any) -> list[bytes]:
    """List the keys of records as bytes."""
    return [key.tobytes() for key in records]
