"""Quality: what is measured of a face beside its score, to say whether a score means anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
BORDER = 0.2  # of the crop's side, left out: hair and background are blurred for good reasons


def face_width(box: tuple[float, float, float, float]) -> float:
    """Return the width of a face in pixels of its picture: the longer side of its box.

    Parameters
    ----------
    box : (float, float, float, float)
        Left, top, right, bottom.

    Returns
    -------
    float
        Pixels.

    Examples
    --------
    >>> from skfakespotter.detectors._quality import face_width
    >>> face_width((10.0, 20.0, 50.0, 65.0))
    45.0
    """
    left, top, right, bottom = box
    return float(max(right - left, bottom - top))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Measure how sharp an aligned face is, whatever its contrast.

    It is the standard deviation of the Laplacian of the gray crop, over that of the gray
    crop itself, in the middle of the crop. Enlarging a small face lowers it, as blur does.

    Parameters
    ----------
    crop : ndarray of shape (h, w, 3), uint8
        The aligned face, RGB.

    Returns
    -------
    float
        From 0 (uniform) to about 6 (white noise).

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.detectors._quality import sharpness
    >>> ramp = np.tile(np.arange(100, dtype=np.uint8)[:, None, None], (1, 100, 3))
    >>> sharpness(ramp)
    0.0
    """
    height, width = crop.shape[:2]
    gray = crop.astype(np.float32) @ LUMINANCE
    rows, columns = round(BORDER * height), round(BORDER * width)
    inner = (slice(rows, height - rows), slice(columns, width - columns))
    contrast = float(gray[inner].std())
    return round(float(laplace(gray)[inner].std()) / contrast, 6) if contrast else 0.0
