"""Records: what is kept of a batch of pictures, enough for exact counts at nearby thresholds."""

import zipfile
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import norm, t

TAIL = norm.sf(4.0)  # chance, per layer and side, that a training set's threshold lies outside
KEY_BYTES = 16


class DamagedRecords(ValueError):
    """A file that does not hold records."""


@dataclass(frozen=True)
class Records:
    """Statistics of a batch of pictures, L layers with C channels in all.

    Outputs above ``high`` are counted, outputs inside the window (``low``, ``high``] are
    kept. Hence the count above any threshold t of the window, low <= t <= high, is exact:
    those above ``high`` and those kept that exceed t. The sums give the mean of equation 1
    over any set of pictures.

    Parameters
    ----------
    keys : ndarray of shape (n, 16), uint8
        Of each picture's content.
    sums : ndarray of shape (n, L), float64
        Sum of the outputs of each layer's neurons.
    low, high : ndarray of shape (L,), float32
        The window; ``low`` above ``high``: only sums are kept.
    above : ndarray of shape (n, C), unsigned
        Neurons above ``high`` per channel.
    starts : ndarray of shape (n + 1,), int64
        Where each picture's kept outputs start.
    channels : ndarray of shape (m,), unsigned
        Channel, 0 to C - 1, of each kept output.
    values : ndarray of shape (m,), float32
        The outputs kept.
    n_neurons, n_channels : ndarray of shape (L,), int64
        Per layer.
    """

    keys: np.ndarray
    sums: np.ndarray
    low: np.ndarray
    high: np.ndarray
    above: np.ndarray
    starts: np.ndarray
    channels: np.ndarray
    values: np.ndarray
    n_neurons: np.ndarray
    n_channels: np.ndarray

    def __len__(self):
        return len(self.keys)

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def counts(self, thresholds):
        """Count the neurons above thresholds inside the window; equation 2.

        Parameters
        ----------
        thresholds : ndarray of shape (L,), float
            Per layer, inside the window.

        Returns
        -------
        ndarray of shape (n, C), int64
            Per channel.
        """
        # the network's float32 outputs are compared with thresholds rounded to float32
        limits = np.repeat(thresholds.astype(np.float32), self.n_channels)
        exceeds = self.values > limits[self.channels]
        picture = np.repeat(np.arange(len(self)), np.diff(self.starts))
        n_channels = self.above.shape[1]
        place = picture[exceeds] * n_channels + self.channels[exceeds]
        kept = np.bincount(place, minlength=len(self) * n_channels).reshape(len(self), n_channels)
        return self.above + kept

    def save(self, file):
        """Write to a binary file."""
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path, *, only=None):
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path
            The file.
        only : sequence of str, default=None
            Names of the arrays to read; None reads all of them.

        Returns
        -------
        Records, or dict of str to ndarray when ``only`` is given
            The content.

        Raises
        ------
        DamagedRecords
            When it is cut off or altered (every array has a checksum).
        FileNotFoundError
            When there is no such file.
        """
        names = [field.name for field in fields(cls)]
        try:
            with open(path, "rb") as binary, np.load(binary, allow_pickle=False) as file:
                arrays = {name: file[name] for name in only or names}
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
            raise DamagedRecords(f"{path}: {error}") from error
        return arrays if only else cls(**arrays)


def sums_only(keys, sums, n_neurons, n_channels):
    """Give records that hold the sums, and no window.

    Parameters
    ----------
    keys, sums, n_neurons, n_channels : ndarray
        See :class:`Records`.

    Returns
    -------
    Records
        Whose window holds no threshold.
    """
    nowhere = np.full(len(n_neurons), np.inf, np.float32)
    return Records(
        keys=keys,
        sums=sums,
        low=nowhere,
        high=-nowhere,
        above=np.zeros((len(keys), 0), np.uint8),
        starts=np.zeros(len(keys) + 1, np.int64),
        channels=np.zeros(0, np.uint16),
        values=np.zeros(0, np.float32),
        n_neurons=n_neurons,
        n_channels=n_channels,
    )


def window_around(centre, deviation, n_seen, n_expected):
    """Give the window that will hold the threshold of a training set.

    The mean of ``n_expected`` pictures lies, but for one chance in 30,000 on either side,
    within this prediction interval (Student's t) about the mean of ``n_seen`` of them.

    Parameters
    ----------
    centre : ndarray of shape (L,), float
        Mean of each layer's output over the pictures seen.
    deviation : ndarray of shape (L,), float
        Standard deviation, from picture to picture, of a picture's mean output.
    n_seen, n_expected : int
        Pictures seen, and of the training set.

    Returns
    -------
    (ndarray, ndarray), each of shape (L,), float32
        ``low`` and ``high``; everything when fewer than 3 pictures were seen.
    """
    if n_seen < 3:
        everything = np.full(len(centre), np.inf, np.float32)
        return -everything, everything
    half = t.isf(TAIL, n_seen - 1) * deviation * np.sqrt(1 / n_seen + 1 / n_expected)
    half = half + 1e-6 * np.abs(centre)  # equal pictures: leave room for rounding
    return (centre - half).astype(np.float32), (centre + half).astype(np.float32)


def window_for(moments, n_neurons, n_expected):
    """Give the window for a training set, from the sums of some of its pictures.

    Parameters
    ----------
    moments : ExactMoments
        Of the sums of the pictures seen.
    n_neurons : ndarray of shape (L,), int
        Per layer.
    n_expected : int
        Pictures of the training set.

    Returns
    -------
    (ndarray, ndarray), each of shape (L,), float32
        ``low`` and ``high``.
    """
    centre, deviation = moments.mean(n_neurons), moments.std() / n_neurons
    return window_around(centre, deviation, moments.n, n_expected)


def covers(low, high, thresholds):
    """Tell whether thresholds lie in a window, every layer's in its own.

    Parameters
    ----------
    low, high, thresholds : ndarray of shape (L,)
        The window, and the thresholds.

    Returns
    -------
    bool
        Whether counts at the thresholds can be had.
    """
    limits = thresholds.astype(np.float32)
    return bool(((low <= limits) & (limits <= high)).all())


def hull(windows):
    """Give the smallest window that holds all of the windows.

    Parameters
    ----------
    windows : sequence of (low, high)
        Each a pair of ndarrays of shape (L,).

    Returns
    -------
    (ndarray, ndarray), each of shape (L,), float32
        ``low`` and ``high``.
    """
    lows, highs = zip(*windows, strict=True)
    return np.minimum.reduce(lows), np.maximum.reduce(highs)


def finite(sums, layer_names):
    """Give sums back, or raise ValueError when the network's output is not finite."""
    if not np.isfinite(sums).all():
        bad = [layer_names[i] for i in np.flatnonzero(~np.isfinite(sums).all(0))]
        raise ValueError(f"the network's output is not finite in layers {bad}.")
    return sums
