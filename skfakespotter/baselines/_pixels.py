"""Pixels: the values of a picture, as networks take them."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter.baselines._base import PictureFeatures
from skfakespotter.images import MIN_SIDE, fit_to

MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, values in [0, 1]


class PixelValues(PictureFeatures):
    """Values of the pixels, standardized as for networks trained on ImageNet.

    Value ``v`` of a channel becomes ``(v / 255 - mean) / scale``, with the means 0.485, 0.456
    and 0.406 and the scales 0.229, 0.224 and 0.225 of R, G and B. Channel by channel, row by row.

    Parameters
    ----------
    size : int, default=256
        Pictures are brought to ``size`` x ``size`` pixels by
        :func:`skfakespotter.images.fit_to`. 3 * size**2 columns: 786 kB a picture.

    See Also
    --------
    ResNetClassifier : The network that takes these columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import PixelValues
    >>> PixelValues(16).transform([np.full((16, 16, 3), 255, np.uint8)])[0, [0, 256, 512]]
    array([2.2489083, 2.4285715, 2.64     ], dtype=float32)
    """

    _parameter_constraints: ClassVar = {"size": [Interval(Integral, MIN_SIDE, None, closed="left")]}

    def __init__(self, size: int = 256) -> None:
        self.size = size

    @property
    def _n_features_out(self) -> int:
        return 3 * self.size**2

    def _feature_names(self) -> list[str]:
        sides = range(self.size)
        return [f"{channel}[{row},{col}]" for channel in "RGB" for row in sides for col in sides]

    def _describe(self, image: NDArray) -> NDArray:
        return standardize(fit_to(image, (self.size, self.size))).ravel()


def standardize(image: NDArray) -> NDArray:
    """Return the values that a network trained on ImageNet takes.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.

    Returns
    -------
    ndarray of shape (3, h, w), float32
        Channels first.
    """
    mean, scale = (np.array(v, np.float32).reshape(3, 1, 1) for v in (MEAN, SCALE))
    return (image.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / scale
