"""How many pixels of a picture are over-exposed or under-exposed."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter.baselines._base import PictureFeatures


class SaturationStatistics(PictureFeatures):
    """Fractions of over-exposed and of under-exposed pixels, at rising tolerance.

    Normalization layers keep a generator's values from running into saturation, where
    a camera's often do [1]_. For each tolerance k = 0, ..., ``tolerance``,

        over(k)  = share of the pixels whose three channels are all >= 255 - k,
        under(k) = share of the pixels whose three channels are all <= k.

    Parameters
    ----------
    tolerance : int, default=15
        The largest tolerance, in gray levels out of 255, from 0 to 127. The publication
        feeds such frequencies at several thresholds to a linear support vector machine;
        the range, 240 to 255 and 0 to 15, and a pixel's saturation being that of
        all its channels, are choices made here.

    Notes
    -----
    Pictures are taken at their own size: resampling would mix saturated pixels with their
    neighbors, and shares need no common size.

    References
    ----------
    .. [1] S. McCloskey, M. Albright. Detecting GAN-generated Imagery using Color Cues.
       2018, saturation-based forensics. arXiv:1812.08247.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines import SaturationStatistics
    >>> picture = np.array([[255, 254, 100, 0]], np.uint8)
    >>> statistics = SaturationStatistics(tolerance=1)
    >>> statistics.get_feature_names_out().tolist()
    ['over>=255', 'over>=254', 'under<=0', 'under<=1']
    >>> statistics.transform([picture])
    array([[0.25, 0.5 , 0.25, 0.25]], dtype=float32)
    """

    _parameter_constraints: ClassVar = {"tolerance": [Interval(Integral, 0, 127, closed="both")]}

    def __init__(self, tolerance: int = 15) -> None:
        self.tolerance = tolerance

    @property
    def _n_features_out(self) -> int:
        return 2 * (self.tolerance + 1)

    def _feature_names(self) -> list[str]:
        steps = range(self.tolerance + 1)
        return [f"over>={255 - k}" for k in steps] + [f"under<={k}" for k in steps]

    def _describe(self, image: NDArray) -> NDArray:
        darkest, brightest = image.min(axis=2), image.max(axis=2)
        over = np.bincount(255 - darkest.ravel(), minlength=256)
        under = np.bincount(brightest.ravel(), minlength=256)
        shares = np.cumsum([over, under], axis=1) / darkest.size
        return shares[:, : self.tolerance + 1].ravel()
