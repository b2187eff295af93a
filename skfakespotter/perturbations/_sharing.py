"""Sharing: what phones, messengers and filters do to pictures, as transformers.

Each works on the picture as it comes, before a face is found. Crops and borders change its size.
"""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from scipy.ndimage import gaussian_filter
from sklearn.utils._param_validation import Interval

from skfakespotter._typing import RandomState
from skfakespotter.perturbations._transformers import (
    JPEGCompression,
    Perturb,
    Perturbation,
    draw_seed,
    own_generator,
    to_uint8,
)

_SHARE = [Interval(Real, 0, 1, closed="both")]
_QUALITY = [Interval(Integral, 0, 100, closed="both")]
_RADIUS = 4  # pixels around each that a bilateral filter averages


class WebPCompression(Perturbation):
    """Compress as lossy WebP and decode again.

    Parameters
    ----------
    quality : int, default=75
        From 0 (strongest) to 100; Pillow's default encoder settings otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import WebPCompression
    >>> WebPCompression(20).transform([np.full((16, 16, 3), 90, np.uint8)])[0].shape
    (16, 16, 3)
    """

    intensity = "quality"
    _parameter_constraints: ClassVar = {"quality": _QUALITY}

    def __init__(self, quality: int = 75) -> None:
        self.quality = quality

    def _make(self) -> Perturb:
        return _through_file("WEBP", "webp", quality=int(self.quality))


class AVIFCompression(Perturbation):
    """Compress as AVIF and decode again.

    Parameters
    ----------
    quality : int, default=60
        From 0 (strongest) to 100; Pillow's default encoder settings otherwise (4:2:0).

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import AVIFCompression
    >>> AVIFCompression(20).transform([np.full((16, 16, 3), 90, np.uint8)])[0].shape
    (16, 16, 3)
    """

    intensity = "quality"
    _parameter_constraints: ClassVar = {"quality": _QUALITY}

    def __init__(self, quality: int = 60) -> None:
        self.quality = quality

    def _make(self) -> Perturb:
        return _through_file("AVIF", "avif", quality=int(self.quality))


class H264Compression(Perturbation):
    """Compress as the one frame of an H.264 clip and decode again; needs PyAV.

    Parameters
    ----------
    crf : int, default=23
        Constant rate factor of x264, from 0 (weakest) to 51; 23 is its default, and
        FaceForensics++ has 23 and 40. Chroma is halved (4:2:0); sides are padded to even
        numbers and cut again.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import H264Compression
    >>> H264Compression(40).transform([np.full((17, 16, 3), 90, np.uint8)])[0].shape
    (17, 16, 3)
    """

    intensity = "crf"
    _parameter_constraints: ClassVar = {"crf": [Interval(Integral, 0, 51, closed="both")]}

    def __init__(self, crf: int = 23) -> None:
        self.crf = crf

    def _make(self) -> Perturb:
        try:
            import av
        except ImportError as error:
            message = 'H264Compression needs PyAV: pip install "skfakespotter[video]"'
            raise ImportError(message) from error
        crf = str(int(self.crf))

        def perturb(image: NDArray) -> NDArray:
            height, width = image.shape[:2]
            even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            file = BytesIO()
            with av.open(file, "w", format="mp4") as output:
                stream: Any = output.add_stream("libx264", rate=Fraction(25))
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt, stream.options = "yuv420p", {"crf": crf}
                output.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
                output.mux(stream.encode())
            file.seek(0)
            with av.open(file, "r") as container:
                decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
            return np.ascontiguousarray(decoded[:height, :width])

        return perturb


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
    _parameter_constraints: ClassVar = {"strength": _SHARE}

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength

    def _make(self) -> Perturb:
        strength = self.strength

        def perturb(image: NDArray) -> NDArray:
            pixels = image.astype(np.float32)
            mixed = (1 - strength) * pixels + strength * bilateral(pixels)
            return to_uint8(255 * (np.clip(mixed, 0, 255) / 255) ** (1 - strength / 4))

        return perturb


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


def _through_file(kind: str, feature: str, **options: Any) -> Perturb:
    """Return a function that encodes a picture and decodes it again."""
    if not features.check(feature):
        raise ImportError(f"this Pillow was built without {kind}: pip install --upgrade pillow")

    def perturb(image: NDArray) -> NDArray:
        file = BytesIO()
        Image.fromarray(image).save(file, kind, **options)
        with Image.open(file) as decoded:
            return np.array(decoded.convert("RGB"))

    return perturb
