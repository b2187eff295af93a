"""Generated pictures, which differ as those of a camera and of a generator do."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._typing import RandomState


@checked(
    n_samples=[Interval(Integral, 2, None, closed="left")],
    size=[Interval(Integral, 16, None, closed="left")],
    strength=[Interval(Real, 0, None, closed="left")],
    random_state=["random_state"],
)
def make_pictures(
    n_samples: int = 100,
    *,
    size: int = 150,
    strength: float = 1.0,
    random_state: RandomState = None,
) -> tuple[NDArray, NDArray]:
    """Generate pictures that differ as those of a camera and of a generator do.

    Every picture shows random soft blobs. Class 0 passes through a camera: a Bayer mosaic,
    shot and read noise, bilinear demosaicing. Class 1 passes through a generator's last
    layer: it is made at half size and enlarged by a transposed convolution, whose uneven
    kernel leaves a faint grid, and has smooth noise instead of a sensor's. The pictures
    make no claim to be faces: they serve to test a whole pipeline anywhere.

    Parameters
    ----------
    n_samples : int, default=100
        Pictures, half of them of each class; at least 2.
    size : int, default=150
        Side in pixels, an even number of at least 16.
    strength : float, default=1.0
        Scales noise and grid; 0 leaves nothing that tells the classes apart but the
        resampling itself.
    random_state : int, RandomState instance or None, default=None
        Seeds everything.

    Returns
    -------
    X : ndarray of shape (n_samples, size, size, 3), uint8
        RGB pictures in random order.
    y : ndarray of shape (n_samples,), int
        0 camera, 1 generator.

    Raises
    ------
    ValueError
        For an odd size, or another bad parameter.

    Examples
    --------
    >>> from skfakespotter import make_pictures
    >>> X, y = make_pictures(4, random_state=0)
    >>> X.shape, sorted(y.tolist())
    ((4, 150, 150, 3), [0, 0, 1, 1])
    """
    if size % 2:
        raise ValueError(f"size is {size!r}: expected an even number of pixels.")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % 2)
    X = np.empty((n_samples, size, size, 3), np.uint8)
    for i, label in enumerate(y):
        render = _generate if label else _photograph
        X[i] = np.rint(255 * np.clip(render(size, strength, rng), 0, 1))
    return X, y


def _scene(size: int, rng: np.random.RandomState) -> NDArray:
    """Draw soft colored blobs, values about 0.1 to 0.9, shape (size, size, 3)."""
    coarse = gaussian_filter(rng.normal(size=(size, size, 3)), (size / 10, size / 10, 0))
    fine = gaussian_filter(rng.normal(size=(size, size, 3)), (size / 50, size / 50, 0))
    blobs = coarse / coarse.std() + 0.4 * fine / fine.std()
    return np.clip(0.5 + 0.18 * blobs, 0.05, 0.95)


def _photograph(size: int, strength: float, rng: np.random.RandomState) -> NDArray:
    """Mosaic, noise, and bilinear demosaicing of a scene."""
    scene = _scene(size, rng)
    mosaic = np.zeros((size, size, 3))
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):  # RGGB
        mosaic[row::2, column::2, channel] = 1
    noise = rng.normal(size=scene.shape) * np.sqrt(0.0004 * scene + 0.0001)  # shot and read
    raw = (scene + strength * noise) * mosaic
    return _blur(raw) / _blur(mosaic)


def _generate(size: int, strength: float, rng: np.random.RandomState) -> NDArray:
    """Enlarge a scene of half the size by a transposed convolution with an uneven kernel."""
    sparse, filled = np.zeros((2, size, size, 3))
    sparse[::2, ::2], filled[::2, ::2] = _scene(size // 2, rng), 1
    grid = 1 + 0.02 * strength * np.array([[1, -1], [-1, 1]])
    picture = _blur(sparse) / _blur(filled) * np.tile(grid, (size // 2, size // 2))[:, :, None]
    smooth = gaussian_filter(rng.normal(size=picture.shape), (1, 1, 0))
    return picture + 0.01 * strength * smooth


def _blur(picture: NDArray) -> NDArray:
    """Convolve rows and columns with (1, 2, 1) / 4: bilinear interpolation on a grid of 2."""
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in (0, 1):
        picture = convolve1d(picture, kernel, axis, mode="mirror")
    return picture
