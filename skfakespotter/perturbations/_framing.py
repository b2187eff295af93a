"""Framing: crops and borders, which change the size of a picture, as transformers."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter._typing import RandomState
from skfakespotter.perturbations._transformers import (
    Perturb,
    Perturbation,
    draw_seed,
    own_generator,
)


class RandomCrop(Perturbation):
    """Keep a part of the picture, at a place that is drawn.

    Parameters
    ----------
    share : float, default=0.9
        Sides of what is kept as a share of the picture's sides; in (0, 1].
    random_state : int, RandomState instance or None, default=None
        With an int, the place depends on this number and on the picture's pixels alone, as in
        :class:`GaussianNoise`, and a stronger crop lies in the direction of a weaker one.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import RandomCrop
    >>> RandomCrop(0.5, random_state=0).transform([np.zeros((40, 30, 3), np.uint8)])[0].shape
    (20, 15, 3)
    """

    intensity = "share"
    _parameter_constraints: ClassVar = {
        "share": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(self, share: float = 0.9, *, random_state: RandomState = None) -> None:
        self.share = share
        self.random_state = random_state

    def _make(self) -> Perturb:
        share, seed = self.share, draw_seed(self.random_state)

        def perturb(image: NDArray) -> NDArray:
            place = own_generator(seed, image).random(2)
            kept = [max(1, round(side * share)) for side in image.shape[:2]]
            top, left = (
                round(where * (side - keep))
                for where, side, keep in zip(place, image.shape, kept, strict=False)
            )
            return image[top : top + kept[0], left : left + kept[1]].copy()

        return perturb


class Border(Perturbation):
    """Put a border around the picture.

    Parameters
    ----------
    share : float, default=0.1
        Width of the border on each side as a share of the shorter side; 0 or more.
    level : int, default=255
        Gray level of the border: 255 is white, 0 is black.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import Border
    >>> Border(0.1).transform([np.zeros((40, 30, 3), np.uint8)])[0].shape
    (46, 36, 3)
    """

    intensity = "share"
    _parameter_constraints: ClassVar = {
        "share": [Interval(Real, 0, None, closed="left")],
        "level": [Interval(Integral, 0, 255, closed="both")],
    }

    def __init__(self, share: float = 0.1, *, level: int = 255) -> None:
        self.share = share
        self.level = level

    def _make(self) -> Perturb:
        share, level = self.share, int(self.level)

        def perturb(image: NDArray) -> NDArray:
            width = round(share * min(image.shape[:2]))
            border = ((width, width), (width, width), (0, 0))
            return np.pad(image, border, constant_values=level)

        return perturb
