"""Sharing: screenshots and messengers, as transformers.

Each works on the picture as it comes, before a face is found.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.utils._param_validation import Interval

from skfakespotter.perturbations._transformers import (
    JPEGCompression,
    Perturb,
    Perturbation,
    to_uint8,
)


class Screenshot(Perturbation):
    """Show the picture at another size and sharpen it, as a screen does before it is captured.

    Parameters
    ----------
    scale : float, default=0.75
        Side of the shown picture as a share of the original side, above 0; the picture keeps
        that size. Resampled bilinearly; sides are rounded, at least 1 pixel.
    sharpen : float, default=0.5
        Amount of unsharp masking: ``out = x + sharpen * (x - blurred x)``, with a Gaussian of
        one pixel. 0 does not sharpen.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import Screenshot
    >>> Screenshot(0.5).transform([np.zeros((40, 30, 3), np.uint8)])[0].shape
    (20, 15, 3)
    """

    intensity = "scale"
    _parameter_constraints: ClassVar = {
        "scale": [Interval(Real, 0, None, closed="neither")],
        "sharpen": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, scale: float = 0.75, *, sharpen: float = 0.5) -> None:
        self.scale = scale
        self.sharpen = sharpen

    def _make(self) -> Perturb:
        scale, sharpen = self.scale, self.sharpen

        def perturb(image: NDArray) -> NDArray:
            height, width = image.shape[:2]
            size = max(1, round(width * scale)), max(1, round(height * scale))
            shown = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(shown).astype(np.float32)
            blurred = gaussian_filter(pixels, (1, 1, 0), mode="nearest")
            return to_uint8(pixels + sharpen * (pixels - blurred))

        return perturb


class MessengerChain(Perturbation):
    """Send the picture through messengers: limit its longer side and compress, again and again.

    Parameters
    ----------
    times : int, default=2
        How often it is forwarded.
    max_side : int, default=1600
        Longer side in pixels after which a messenger reduces a picture (bicubic); a smaller
        picture is compressed only.
    quality : int, default=70
        JPEG quality, 1 to 100.
    shift : int, default=0
        Pixels cut from the left and the top before each compression, as a program that crops
        or frames the picture does. With 0 the blocks of all compressions coincide, and the
        second changes little.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import MessengerChain
    >>> MessengerChain(max_side=32).transform([np.zeros((64, 40, 3), np.uint8)])[0].shape
    (32, 20, 3)
    """

    intensity = "times"
    _parameter_constraints: ClassVar = {
        "times": [Interval(Integral, 1, None, closed="left")],
        "max_side": [Interval(Integral, 1, None, closed="left")],
        "quality": [Interval(Integral, 1, 100, closed="both")],
        "shift": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self, times: int = 2, *, max_side: int = 1600, quality: int = 70, shift: int = 0
    ) -> None:
        self.times = times
        self.max_side = max_side
        self.quality = quality
        self.shift = shift

    def _make(self) -> Perturb:
        times, longest, shift = self.times, self.max_side, self.shift
        compress = JPEGCompression(self.quality)._make()

        def perturb(image: NDArray) -> NDArray:
            for _ in range(times):
                down, right = (min(shift, side - 1) for side in image.shape[:2])
                image = np.ascontiguousarray(image[down:, right:])
                share = longest / max(image.shape[:2])
                if share < 1:
                    size = [max(1, round(side * share)) for side in image.shape[1::-1]]
                    image = np.asarray(Image.fromarray(image).resize(size))
                image = compress(image)
            return image

        return perturb
