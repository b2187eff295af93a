"""The log-spectrum of a picture, the input of AutoGAN's detector."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from sklearn.utils._param_validation import Interval

from skfakespotter.baselines._base import PictureFeatures
from skfakespotter.images import MIN_SIDE, fit_to


class LogSpectrum(PictureFeatures):
    """Normalized log-amplitude of the 2-D Fourier transform of each color channel.

    Upsampling in a generator copies the spectrum to high frequencies; the copies show as
    peaks. Per channel ``c`` with values in [0, 1], and ``F`` its unnormalized transform::

        s = log(|F| + epsilon),  lo and hi = two percentiles of s over the channel,
        out = clip(2 (s - lo) / (hi - lo) - 1, -1, 1)

    That is the published recipe [1]_ [2]_ but for the place of the zero frequency: it is
    moved from the corner to row and column ``size // 2`` so that neighboring frequencies
    are neighboring cells.

    Parameters
    ----------
    size : int, default=256
        Pictures are brought to ``size`` x ``size`` pixels by
        :func:`skfakespotter.images.fit_to`. Shrinking a picture destroys the high
        frequencies that reveal an upsampler, while growing one only adds empty ones;
        so take the size of the larger pictures, not of the smaller. 256 is the size of
        the published experiments. Where sizes differ between the classes, so do the
        spectra, for a reason that has nothing to do with synthesis.
    pool : int, default=1
        Averages ``pool`` x ``pool`` cells of the normalized spectrum into one, which keeps
        the columns few; it must divide ``size``.
    crop : float, default=1.0
        Part of the shorter side that is kept, in (0, 1]; 224 / 256 with a ``size`` of 224 takes
        the center of 256 x 256 pictures as it is.
    epsilon : float, default=1e-3
        Added to the amplitude before the logarithm.
    percentiles : (float, float), default=(5, 95)
        Percentiles of each channel's log-spectrum that become -1 and 1.

    See Also
    --------
    SpectrumCNNClassifier : A small network that takes these columns.
    ResNetClassifier : The network of the publication.

    References
    ----------
    .. [1] X. Zhang, S. Karaman, S.-F. Chang. Detecting and Simulating Artifacts in GAN
       Fake Images. WIFS 2019, section III-C. arXiv:1907.06515.
    .. [2] https://github.com/ColumbiaDVMM/AutoGAN, which takes the center 224 x 224 of
       256 x 256 pictures (to suit its ResNet), with these ``epsilon`` and ``percentiles``.

    Examples
    --------
    Columns that alternate between black and white hold two frequencies, zero (at the center)
    and the highest (at the left edge):

    >>> import numpy as np
    >>> from skfakespotter.baselines import LogSpectrum
    >>> stripes = np.zeros((16, 16, 3), np.uint8)
    >>> stripes[:, ::2] = 255
    >>> spectrum = LogSpectrum(16, percentiles=(0, 100)).transform([stripes])
    >>> np.argwhere(spectrum.reshape(3, 16, 16)[0] == 1).tolist()
    [[8, 0], [8, 8]]
    """

    _parameter_constraints: ClassVar = {
        "size": [Interval(Integral, MIN_SIDE, None, closed="left")],
        "pool": [Interval(Integral, 1, None, closed="left")],
        "crop": [Interval(Real, 0, 1, closed="right")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "percentiles": [tuple, list],
    }

    def __init__(
        self,
        size: int = 256,
        *,
        pool: int = 1,
        crop: float = 1.0,
        epsilon: float = 1e-3,
        percentiles: tuple[float, float] = (5, 95),
    ) -> None:
        self.size = size
        self.pool = pool
        self.crop = crop
        self.epsilon = epsilon
        self.percentiles = percentiles

    def _check_params(self) -> None:
        super()._check_params()
        if self.size % self.pool:
            raise ValueError(f"pool is {self.pool}: expected a divisor of size = {self.size}.")
        if len(self.percentiles) != 2 or not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError(
                f"percentiles is {self.percentiles!r}: expected two rising numbers from 0 to 100."
            )

    @property
    def _n_features_out(self) -> int:
        return 3 * (self.size // self.pool) ** 2

    def _feature_names(self) -> list[str]:
        cells = range(self.size // self.pool)
        return [f"{channel}[{row},{col}]" for channel in "RGB" for row in cells for col in cells]

    def _describe(self, image: NDArray) -> NDArray:
        image = fit_to(image, (self.size, self.size), self.crop)
        image = image.transpose(2, 0, 1) / np.float32(255)
        spectrum = np.log(np.abs(fft.fft2(image)) + self.epsilon)
        low, high = np.percentile(spectrum, self.percentiles, axis=(1, 2), keepdims=True)
        span = np.maximum(high - low, 1e-6)  # a flat channel has one amplitude: all cells -1
        spectrum = fft.fftshift(np.clip(2 * (spectrum - low) / span - 1, -1, 1), axes=(1, 2))
        side = self.size // self.pool
        return spectrum.reshape(3, side, self.pool, side, self.pool).mean(axis=(2, 4)).ravel()
