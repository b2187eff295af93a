"""Perturbations: the paper's attacks on pictures as transformers.

:class:`JPEGCompression`, :class:`GaussianBlur`, :class:`Resize` and :class:`GaussianNoise` turn
pictures into uint8 RGB arrays. They chain with scikit-learn's own ``make_pipeline``. An attacker
touches the file, not the crop of the face, so :func:`skfakespotter.robustness_curve` and
:class:`skfakespotter.AugmentedClassifier` perturb the picture before it is aligned. To perturb
the aligned face instead, put the transformer behind the aligner: ``make_pipeline(FaceAligner(),
GaussianBlur(2.0), ...)``.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from io import BytesIO
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter._base import StatelessPictureTransformer
from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures, RandomState
from skfakespotter.images import check_images

RESAMPLERS = ("nearest", "bilinear", "bicubic", "lanczos", "box")
Perturb = Callable[[NDArray], NDArray]  # of uint8 RGB pictures (h, w, 3)


class Perturbation(StatelessPictureTransformer):
    """Base of the perturbations; a subclass has ``_make()``, the picture-to-picture function.

    Attributes
    ----------
    intensity : str
        Name of the parameter that says how strong it is; it labels levels of an attack.
    """

    intensity: str

    def _make(self) -> Perturb:
        raise NotImplementedError(f"{type(self).__name__} has no _make()")

    def transform(self, X: Pictures) -> list[NDArray] | NDArray:
        """Perturb every picture.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            What :func:`skfakespotter.images.check_images` accepts.

        Returns
        -------
        list of ndarray of shape (h, w, 3), or ndarray of shape (n, h, w, 3), uint8
            RGB, 0 to 255. One array when one array or tensor came.

        Raises
        ------
        ImageError
            At the first picture that cannot be used.
        TypeError, ValueError
            When a parameter is out of its range, or ``X`` is no sequence of pictures.
        """
        self._check_params()
        X = check_images(X)
        perturbed = list(iter_images(X, self._make()))
        return np.stack(perturbed) if isinstance(X, np.ndarray) else perturbed


class JPEGCompression(Perturbation):
    """Compress as JPEG and decode again.

    Pillow's encoder with its defaults: chroma at half resolution (4:2:0), baseline.

    Parameters
    ----------
    quality : int, default=75
        From 1 (strongest) to 100.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.perturbations import JPEGCompression
    >>> board = np.indices((16, 16)).sum(axis=0).astype(np.uint8) % 2 * 30 + 113
    >>> np.unique(JPEGCompression(quality=5).transform([board])[0])  # the pattern is gone
    array([128], dtype=uint8)
    """

    intensity = "quality"
    _parameter_constraints: ClassVar = {"quality": [Interval(Integral, 1, 100, closed="both")]}

    def __init__(self, quality: int = 75) -> None:
        self.quality = quality

    def _make(self) -> Perturb:
        quality = int(self.quality)

        def perturb(image: NDArray) -> NDArray:
            file = BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=quality)
            return np.array(Image.open(file))

        return perturb


class GaussianBlur(Perturbation):
    """Blur with a Gaussian kernel.

    Parameters
    ----------
    sigma : float, default=1.0
        Standard deviation of the Gaussian, in pixels; above 0.
    kernel_size : int or None, default=3
        Side of the square kernel in pixels, odd. The 3 of the paper makes the blur saturate: as
        ``sigma`` grows the kernel tends to the 3x3 box filter, whose weights are 1/9 (at
        ``sigma=2`` the corner weighs 0.102, at 4 it weighs 0.109). None takes the kernel that
        ``sigma`` needs, cut at 4 standard deviations.

    Notes
    -----
    The weights are proportional to exp(-(x^2 + y^2) / (2 sigma^2)) and sum to 1. Beyond an edge
    the picture is mirrored about the center of its last pixel (OpenCV's default).

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.perturbations import GaussianBlur
    >>> impulse = np.zeros((5, 5), np.uint8)
    >>> impulse[2, 2] = 90
    >>> GaussianBlur(sigma=100.0).transform([impulse])[0][1:4, 1:4, 0]
    array([[10, 10, 10],
           [10, 10, 10],
           [10, 10, 10]], dtype=uint8)
    """

    intensity = "sigma"
    _parameter_constraints: ClassVar = {
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "kernel_size": [Interval(Integral, 3, None, closed="left"), None],
    }

    def __init__(self, sigma: float = 1.0, *, kernel_size: int | None = 3) -> None:
        self.sigma = sigma
        self.kernel_size = kernel_size

    def _check_params(self) -> None:
        super()._check_params()
        if self.kernel_size is not None and self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}: expected an odd number of pixels, or None."
            )

    def _make(self) -> Perturb:
        sigma = self.sigma
        radius = None if self.kernel_size is None else int(self.kernel_size) // 2

        def perturb(image: NDArray) -> NDArray:
            blurred = gaussian_filter(
                image, (sigma, sigma, 0), output=np.float32, mode="mirror", radius=radius
            )
            return to_uint8(blurred)

        return perturb


class Resize(Perturbation):
    """Make the picture smaller, then bring it back to its size.

    Parameters
    ----------
    scale : float, default=0.5
        Side of the small picture as a share of the original side; above 0, at most 1. Sides are
        rounded to whole pixels, at least 1.
    resample : {"nearest", "bilinear", "bicubic", "lanczos", "box"}, default="bicubic"
        Pillow's resampling filter, used both ways.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.perturbations import Resize
    >>> board = np.indices((4, 4)).sum(axis=0).astype(np.uint8) % 2 * 100
    >>> np.unique(Resize(0.5, resample="box").transform([board])[0])
    array([50], dtype=uint8)
    """

    intensity = "scale"
    _parameter_constraints: ClassVar = {
        "scale": [Interval(Real, 0, 1, closed="right")],
        "resample": [StrOptions(set(RESAMPLERS))],
    }

    def __init__(self, scale: float = 0.5, *, resample: str = "bicubic") -> None:
        self.scale = scale
        self.resample = resample

    def _make(self) -> Perturb:
        scale = self.scale
        resampler = Image.Resampling[self.resample.upper()]

        def perturb(image: NDArray) -> NDArray:
            height, width = image.shape[:2]
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = Image.fromarray(image).resize(size, resampler)
            return np.array(small.resize((width, height), resampler))

        return perturb


class GaussianNoise(Perturbation):
    """Add white Gaussian noise to every pixel and channel.

    Parameters
    ----------
    variance : float, default=0.001
        Variance of the noise for pixel values scaled to [0, 1]: 0.001 is a standard deviation
        of 8 gray levels out of 255. The sum is clipped to [0, 1] and rounded to 256 levels.
    random_state : int, RandomState instance or None, default=None
        With an int, the noise of a picture depends on this number and on the picture's pixels
        alone: a picture gets the same noise at any position in ``X`` and in any batch, fold or
        process, and scaled versions of it for two variances. None and a
        RandomState draw a new such number at each ``transform``.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.perturbations import GaussianNoise
    >>> gray = np.full((200, 200), 128, np.uint8)
    >>> float((GaussianNoise(0.01, random_state=0).transform([gray])[0] / 255).std().round(2))
    0.1
    """

    intensity = "variance"
    _parameter_constraints: ClassVar = {
        "variance": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, variance: float = 0.001, *, random_state: RandomState = None) -> None:
        self.variance = variance
        self.random_state = random_state

    def _make(self) -> Perturb:
        deviation = 255 * np.sqrt(self.variance)
        seed = draw_seed(self.random_state)

        def perturb(image: NDArray) -> NDArray:
            rng = own_generator(seed, image)
            noise = rng.standard_normal(image.shape, np.float32)
            return to_uint8(image + np.float32(deviation) * noise)

        return perturb


def to_uint8(pixels: NDArray) -> NDArray:
    """Round values to whole levels from 0 to 255.

    Parameters
    ----------
    pixels : ndarray
        Values.

    Returns
    -------
    ndarray, uint8
        Of the same shape.
    """
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


def draw_seed(random_state: RandomState) -> int:
    """Return an int as it is; of anything else, draw one.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        What a transformer has.

    Returns
    -------
    int
        For :func:`own_generator`.
    """
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def own_generator(seed: int, image: NDArray) -> np.random.Generator:
    """Return a generator that depends on a seed and on the pixels of a picture alone.

    Parameters
    ----------
    seed : int
        From :func:`draw_seed`.
    image : ndarray of shape (h, w, 3), uint8
        The picture.

    Returns
    -------
    Generator
        Equal for equal pictures in any batch or process.
    """
    digest = blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])
