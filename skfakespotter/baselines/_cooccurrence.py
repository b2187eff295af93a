"""How often each value stands beside each other value."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter.baselines._base import PictureFeatures
from skfakespotter.images import ImageError


class CooccurrenceMatrices(PictureFeatures):
    """Horizontal co-occurrence matrix of the pixel values of each color channel.

    Entry (a, b) of a channel's matrix is the share of its horizontal neighbors of which
    the left has level a and the right has level b [1]_; the three matrices stand in the
    order R, G, B, each row by row, and each sums to 1.

    Parameters
    ----------
    levels : int, default=32
        Gray levels after requantization: value v becomes ``v * levels // 256``. 256, the
        publication's, gives 196,608 columns (786 kB a picture), made for a convolutional
        network; the default 3,072 suit a linear classifier.

    Notes
    -----
    Pictures are taken at their own size: resampling would put its own regularities between
    neighbors in place of the generator's, and shares need no common size.

    References
    ----------
    .. [1] L. Nataraj et al. Detecting GAN generated Fake Images using Co-occurrence
       Matrices. Electronic Imaging, Media Watermarking, Security and Forensics, 2019.
       arXiv:1903.06836.

    Examples
    --------
    Left to right, black is followed by white twice, and white by black once:

    >>> import numpy as np
    >>> from skfakespotter.baselines import CooccurrenceMatrices
    >>> picture = np.array([[0, 255, 0, 255]], np.uint8)
    >>> CooccurrenceMatrices(levels=2).transform([picture]).reshape(3, 2, 2)[0]
    array([[0.        , 0.6666667 ],
           [0.33333334, 0.        ]], dtype=float32)
    """

    _parameter_constraints: ClassVar = {"levels": [Interval(Integral, 2, 256, closed="both")]}

    def __init__(self, levels: int = 32) -> None:
        self.levels = levels

    @property
    def _n_features_out(self) -> int:
        return 3 * self.levels**2

    def _feature_names(self) -> list[str]:
        steps = range(self.levels)
        return [f"{channel}[{a},{b}]" for channel in "RGB" for a in steps for b in steps]

    def _describe(self, image: NDArray) -> NDArray:
        height, width = image.shape[:2]
        if width < 2:
            raise ImageError(f"is {width}x{height} pixels; expected a width of 2 at least")
        level = image.astype(np.int64) * self.levels // 256
        pair = (np.arange(3) * self.levels + level[:, :-1]) * self.levels + level[:, 1:]
        counts = np.bincount(pair.ravel(), minlength=self._n_features_out)
        return counts / (height * (width - 1))
