"""Duplicates: pictures that are copies of one another, found by perceptual hashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

# Of 256 bits. Measured on 300 + 300 faces of six pairs: other people at 64 and more even when
# aligned alike, copies (JPEG 30, half size, blur sigma 2, brightness x 1.2) at 24 and less. With
# the usual 64 bits both stand at 6 to 8, for aligned faces share their coarse structure.
MAX_DISTANCE = 32


def perceptual_hash(gray: NDArray) -> NDArray:
    """Hash a picture so that copies of it, resized, recompressed or blurred, differ in few bits.

    Parameters
    ----------
    gray : ndarray of shape (h, w)
        Luminance.

    Returns
    -------
    ndarray of shape (4,), uint64
        256 bits: the signs of the 16 x 16 lowest frequencies of the cosine transform of the
        64 x 64 picture against their median [1]_.

    References
    ----------
    .. [1] Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
    """
    small = Image.fromarray(gray.astype(np.float32)).resize((64, 64), Image.Resampling.BOX)
    low = dctn(np.asarray(small), norm="ortho")[:16, :16].ravel()
    return np.packbits(low > np.median(low[1:])).view(np.uint64)  # the first is the mean


def nearest_hashes(
    hashes: NDArray, allowed: Callable[[NDArray], NDArray]
) -> tuple[NDArray, NDArray]:
    """Find the nearest other hash of each.

    Parameters
    ----------
    hashes : ndarray of shape (n, 4), uint64
        Of :func:`perceptual_hash`.
    allowed : callable
        Takes the positions of k hashes, returns a mask (k, n) of those they may be compared with.

    Returns
    -------
    nearest : ndarray of shape (n,), int
        Position of the nearest hash.
    distance : ndarray of shape (n,), int
        Bits in which the two differ; 257 where none is allowed.
    """
    nearest, distance = np.empty((2, len(hashes)), dtype=int)
    rows = max(1, 2**21 // len(hashes))  # 64 MiB of differences at once
    for i in np.split(np.arange(len(hashes)), range(rows, len(hashes), rows)):
        differing = np.bitwise_count(hashes[i, None] ^ hashes).sum(axis=-1, dtype=int)
        differing[~allowed(i)] = 257
        nearest[i], distance[i] = differing.argmin(axis=1), differing.min(axis=1)
    return nearest, distance
