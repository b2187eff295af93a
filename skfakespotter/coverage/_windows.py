"""Windows: where the thresholds of a training set will lie, known before all of it was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from skfakespotter.coverage._equations import ExactSums, threshold

TAIL = norm.sf(4.0)  # chance, per layer and side, that a training set's threshold lies outside
PILOT, LEAST_PILOT = 0.06, 4  # share and number of pictures that pass first
Window = tuple[NDArray[np.float32], NDArray[np.float32]]


def pilot_size(n_pictures: int) -> int:
    """Return how many of the pictures pass first, so that their sums place a window.

    Examples
    --------
    >>> from skfakespotter.coverage._windows import pilot_size
    >>> pilot_size(3), pilot_size(60), pilot_size(1000)
    (3, 4, 60)
    """
    return min(max(LEAST_PILOT, math.ceil(PILOT * n_pictures)), n_pictures)


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
        ``low`` and ``high``; :func:`no_window` where no picture was seen.
    """
    if not seen.n_pictures:
        return no_window(len(seen.totals))
    center, deviation = threshold(seen, n_neurons), seen.std() / n_neurons
    return window_around(center, deviation, seen.n_pictures, n_expected)


def holds_nothing(window: Window) -> bool:
    """Tell whether a window is :func:`no_window`."""
    return bool((window[0] > window[1]).all())


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
    rounded = thresholds.astype(np.float32)
    return bool(((low <= rounded) & (rounded <= high)).all())


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
