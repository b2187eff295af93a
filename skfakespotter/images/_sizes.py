"""Sizes: a picture fitted to what a network takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from skfakespotter.images._errors import ImageError

MIN_SIDE = 16  # pixels; anything smaller holds no face, and enlarging it would invent one


def fit_to(image: NDArray[np.uint8], size: tuple[int, int], crop: float = 1.0) -> NDArray[np.uint8]:
    """Resize the shorter side and crop the center, so that the picture fills ``size``.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    size : (int, int)
        Height and width in pixels.
    crop : float, default=1.0
        Part of the shorter side to keep: 224 / 256 resizes it to 256 for a size of 224.

    Returns
    -------
    ndarray of shape (size[0], size[1], 3), uint8
        The picture itself when it has that size already.

    Raises
    ------
    ImageError
        When a side is shorter than 16 pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.images import fit_to
    >>> fit_to(np.zeros((40, 60, 3), np.uint8), (20, 20)).shape
    (20, 20, 3)
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"is {width}x{height} pixels; expected at least {MIN_SIDE}x{MIN_SIDE}")
    picture, border = Image.fromarray(image), (1 - crop) / 2
    return np.asarray(ImageOps.fit(picture, size[::-1], Image.Resampling.BICUBIC, border))
