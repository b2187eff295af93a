"""Visual artifacts: eyes and teeth without detail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from skfakespotter.baselines._base import PictureFeatures
from skfakespotter.baselines._cues import luminance
from skfakespotter.baselines._landmarks import find_points

EYES = {"left eye": range(36, 42), "right eye": range(42, 48)}  # the viewer's left first
MOUTH = range(60, 68)  # the inner line of the lips
ROOM = 0.4  # of an eye's width, around its outline
LIPS = (62, 66)  # the middle of the upper and of the lower lip
SHUT = 0.02  # a mouth that is open by less of the crop's height shows no teeth
# K. Laws' kernels: level, edge, spot and ripple
KERNELS = {
    "L": (1, 4, 6, 4, 1),
    "E": (-1, -2, 0, 2, 1),
    "S": (-1, 0, 2, 0, -1),
    "R": (1, -4, 6, -4, 1),
}
# a texture and the same turned by a quarter are one energy; that of two levels is brightness
ENERGIES = ("LE", "LS", "LR", "EE", "ES", "ER", "SS", "SR", "RR")


class VisualArtifacts(PictureFeatures):
    """Energy of textures in the eyes and on the teeth of an aligned face.

    What generates faces leaves out reflections in the eyes, and draws teeth as one white
    patch [1]_. Laws' nine texture energies [2]_ are measured in each eye and on the teeth,
    which are the pixels of the open mouth that are brighter than its mean; where the mouth is
    shut they are 0. The publication segments teeth by clustering and measures faces of 768
    pixels; the brightness rule and the size of the crop are choices made here.

    Raises
    ------
    ImportError
        When the extra ``faces`` is not installed.

    References
    ----------
    .. [1] F. Matern, C. Riess, M. Stamminger, "Exploiting Visual Artifacts to Expose Deepfakes
       and Face Manipulations", WACV Workshops 2019.
    .. [2] K. Laws, "Textured Image Segmentation", dissertation, University of Southern
       California, 1980.

    Examples
    --------
    >>> from skfakespotter.baselines import VisualArtifacts
    >>> VisualArtifacts().get_feature_names_out()[[0, 9, 27]].tolist()
    ['left eye LE', 'right eye LE', 'area of teeth']
    """

    _n_features_out = 3 * len(ENERGIES) + 1

    def _feature_names(self) -> list[str]:
        regions = (*EYES, "teeth")
        return [f"{region} {energy}" for region in regions for energy in ENERGIES] + [
            "area of teeth"
        ]

    def _describe(self, image: NDArray) -> NDArray:
        return measure_artifacts(luminance(image), find_points(image))


def measure_artifacts(gray: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Measure the eyes and the teeth of a face whose landmarks are known.

    Parameters
    ----------
    gray : ndarray of shape (h, w)
        Luminance, 0 to 255.
    points : ndarray of shape (68, 2)
        Landmarks, x and y in pixels.

    Returns
    -------
    ndarray of shape (28,)
        Mean absolute responses in each region, gray levels; the teeth's share of the crop.
    """
    energies = texture_energies(gray)
    masks = []
    for eye in EYES.values():
        outline = points[list(eye)]
        wide = np.ptp(outline[:, 0])
        masks.append(_inside(gray.shape, outline, ROOM * wide))
    masks.append(_teeth(gray, points))
    values = [energies[:, mask].mean(axis=1) if mask.any() else np.zeros(9) for mask in masks]
    return np.concatenate([*values, [masks[-1].mean()]])


def texture_energies(gray: NDArray) -> NDArray[np.float64]:
    """Filter a picture by pairs of Laws' kernels.

    Parameters
    ----------
    gray : ndarray of shape (h, w)
        Luminance.

    Returns
    -------
    ndarray of shape (9, h, w)
        Absolute responses, in the order of ``ENERGIES``; each pair along rows and columns, and
        along columns and rows, and the mean of both.
    """
    taps = {name: np.array(taps) / np.abs(taps).sum() for name, taps in KERNELS.items()}

    def response(down, across):
        filtered = ndimage.correlate1d(gray, taps[down], axis=0, mode="nearest")
        return np.abs(ndimage.correlate1d(filtered, taps[across], axis=1, mode="nearest"))

    pairs = [(energy[0], energy[1]) for energy in ENERGIES]
    return np.stack([(response(a, b) + response(b, a)) / 2 for a, b in pairs])


def _teeth(gray, points):
    """Mark the bright pixels of an open mouth."""
    if np.ptp(points[list(LIPS), 1]) < SHUT * len(gray):
        return np.zeros(gray.shape, bool)
    mouth = _inside(gray.shape, points[list(MOUTH)], 0)
    return mouth & (gray > gray[mouth].mean()) if mouth.any() else mouth


def _inside(shape, outline, room):
    """Mark the pixels within a polygon, or nearer to it than so many pixels."""
    drawn = Image.new("1", shape[::-1])
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in outline.tolist()], fill=1, outline=1)
    mask = np.asarray(drawn)
    if room < 1:
        return mask
    return ndimage.distance_transform_edt(~mask) <= room
