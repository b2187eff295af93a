"""Beautify: a bilateral filter and a tone curve, as a transformer."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter.perturbations._transformers import Perturb, Perturbation, to_uint8

_RADIUS = 4  # pixels around each that a bilateral filter averages


class Beautify(Perturbation):
    """Smooth the skin and lift the tones, as a beautifying filter does.

    A bilateral filter [1]_ averages each pixel with its 9 x 9 neighbors, those of a similar
    color first: weight ``exp(-d^2 / 18) exp(-|c - c'|^2 / (2 * 25.5^2))``, with the distance d in
    pixels and c the three channels, 0 to 255. ``strength`` mixes it with the picture; then
    every value v becomes ``255 * (v / 255) ** (1 - strength / 4)``.

    Parameters
    ----------
    strength : float, default=0.5
        From 0, which changes nothing, to 1.

    References
    ----------
    .. [1] C. Tomasi and R. Manduchi, "Bilateral Filtering for Gray and Color Images", ICCV 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import Beautify
    >>> gray = np.full((16, 16, 3), 64, np.uint8)
    >>> int(Beautify(1.0).transform([gray])[0].max())  # 255 * (64 / 255) ** 0.75
    90
    """

    intensity = "strength"
    _parameter_constraints: ClassVar = {"strength": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength

    def _make(self) -> Perturb:
        strength = self.strength

        def perturb(image: NDArray) -> NDArray:
            pixels = image.astype(np.float32)
            mixed = (1 - strength) * pixels + strength * bilateral(pixels)
            return to_uint8(255 * (np.clip(mixed, 0, 255) / 255) ** (1 - strength / 4))

        return perturb


def bilateral(pixels: NDArray, *, sigma_space: float = 3.0, sigma_color: float = 25.5) -> NDArray:
    """Filter a picture bilaterally, over windows of 9 x 9 pixels.

    Parameters
    ----------
    pixels : ndarray of shape (h, w, 3), float32
        Values from 0 to 255.
    sigma_space : float, default=3.0
        Standard deviation over places, in pixels.
    sigma_color : float, default=25.5
        Standard deviation over colors, in levels.

    Returns
    -------
    ndarray of shape (h, w, 3), float32
        Weighted means; beyond an edge the nearest pixel is repeated.
    """
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="edge")
    total, weights = np.zeros_like(pixels), np.zeros((height, width, 1), np.float32)
    for down in range(2 * _RADIUS + 1):
        for right in range(2 * _RADIUS + 1):
            moved = padded[down : down + height, right : right + width]
            apart = np.square(moved - pixels).sum(axis=2, keepdims=True) / (2 * sigma_color**2)
            far = ((down - _RADIUS) ** 2 + (right - _RADIUS) ** 2) / (2 * sigma_space**2)
            weight = np.exp(-apart - np.float32(far))
            total += weight * moved
            weights += weight
    return total / weights
