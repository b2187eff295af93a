"""Self-blending: a face laid over a changed version of itself."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from sklearn.utils._param_validation import StrOptions

from skfakespotter._typing import RandomState
from skfakespotter.faces import find_faces
from skfakespotter.images import ImageError
from skfakespotter.perturbations._transformers import (
    Perturb,
    Perturbation,
    draw_seed,
    own_generator,
    to_uint8,
)

_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # how much of the blend is seen; SBI's


class SelfBlending(Perturbation):
    """Blend a face with a changed version of itself, as a face swap blends two faces.

    After self-blended images [1]_: one of two copies changes its color, contrast and sharpness,
    and the inner face of one, moved and scaled a little, is laid over the other through a
    soft, deformed mask. Only the seam, and the difference across it, is fake.

    Departures from the publication: its mask is the hull of 81 landmarks, here it is an
    ellipse over the five points that are found; colors change by a shift of the channels and
    the contrast, not by hue and saturation.

    Parameters
    ----------
    faces : {"find", "center"}, default="find"
        Where the face is: found by the face detector, or, in pictures that are aligned faces
        already, in the middle of the picture.
    random_state : int, RandomState instance or None, default=None
        With an int, what is drawn for a picture depends on this number and on its pixels alone.

    References
    ----------
    .. [1] K. Shiohara and T. Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR
       2022, arXiv:2204.08376.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import SelfBlending
    >>> face = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> (blended,) = SelfBlending("center", random_state=0).transform([face])
    >>> blended.shape, bool((blended == face).all())
    ((64, 64, 3), False)
    """

    intensity = "faces"
    _parameter_constraints: ClassVar = {
        "faces": [StrOptions({"find", "center"})],
        "random_state": ["random_state"],
    }

    def __init__(self, faces: str = "find", *, random_state: RandomState = None) -> None:
        self.faces = faces
        self.random_state = random_state

    def _make(self) -> Perturb:
        seed, center = draw_seed(self.random_state), self.faces == "center"

        def perturb(image: NDArray) -> NDArray:
            rng = own_generator(seed, image)
            middle, radii = _place_in_middle(image) if center else _place_face(image)
            mask = _soft_mask(image.shape[:2], middle, radii, rng)
            pixels = image.astype(np.float64)
            one, other = pixels, _change(pixels, rng)
            if rng.random() < 0.5:
                one, other = other, one
            shift, scale = rng.uniform(-0.03, 0.03, 2) * radii, rng.uniform(0.95, 1.05)
            moved = _move(one, middle, shift, scale)
            share = rng.choice(_RATIOS) * mask[..., None]
            return to_uint8(share * moved + (1 - share) * other)

        return perturb


def _place_face(image: NDArray) -> tuple[NDArray, NDArray]:
    """Return the center (row, column) and the radii of the inner face."""
    found = find_faces(image)
    if not found:
        raise ImageError("holds no face to blend")
    points = np.asarray(found[0].landmarks, dtype=np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    middle = eyes + (mouth - eyes) * 0.66
    return middle[::-1], np.linalg.norm(points[0] - points[1]) * np.array([1.33, 1.0])


def _place_in_middle(image: NDArray) -> tuple[NDArray, NDArray]:
    sides = np.array(image.shape[:2], dtype=np.float64)
    return sides / 2, sides.min() * np.array([0.36, 0.28])


def _soft_mask(
    shape: tuple[int, ...], middle: NDArray, radii: NDArray, rng: np.random.Generator
) -> NDArray:
    """Return an ellipse, elastically deformed and blurred, values 0 to 1."""
    rows, columns = np.indices(shape, dtype=np.float64)
    sigma = radii.min() / 3
    field = [gaussian_filter(rng.standard_normal(shape), sigma) for _ in range(2)]
    field = [0.1 * radii.min() * one / max(one.std(), 1e-9) for one in field]
    apart = ((rows + field[0] - middle[0]) / radii[0]) ** 2
    apart += ((columns + field[1] - middle[1]) / radii[1]) ** 2
    return gaussian_filter((apart <= 1).astype(np.float64), radii.min() * rng.uniform(0.05, 0.25))


def _change(pixels: NDArray, rng: np.random.Generator) -> NDArray:
    """Change color, contrast, and sharpness one way or the other."""
    changed = (pixels - 128) * rng.uniform(0.9, 1.1) + 128 + rng.uniform(-20, 20, 3)
    blurred = gaussian_filter(changed, (rng.uniform(0.3, 1.0),) * 2 + (0,), mode="nearest")
    return blurred if rng.random() < 0.5 else 2 * changed - blurred


def _move(pixels: NDArray, middle: NDArray, shift: NDArray, scale: float) -> NDArray:
    """Scale about a point, then shift, bilinearly; edges are repeated."""
    rows, columns = np.indices(pixels.shape[:2], dtype=np.float64)
    places = [
        (axis - shift[i] - middle[i]) / scale + middle[i] for i, axis in enumerate((rows, columns))
    ]
    channels = [map_coordinates(pixels[..., c], places, order=1, mode="nearest") for c in range(3)]
    return np.stack(channels, axis=2)
