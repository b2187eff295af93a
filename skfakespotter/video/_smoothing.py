"""Smoothing: crops that do not jump with the landmarks from frame to frame."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter.faces import (
    TEMPLATES,
    Cropping,
    Face,
    crop_size,
    five_points,
    similarity,
    steady_landmarks,
    warp,
)

WHOLE = "track"
SMOOTHING = [Interval(Integral, 3, None, closed="left"), StrOptions({WHOLE}), None]
# Where dlib's chip without padding shows the corners of the eyes and the base of the nose, as a
# part of its side: dlib's mean face, from get_face_chip_details in image_transforms/interpolation.h
_DLIB_POINTS = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)
_BOX_SIDE = 1.3  # the template "vggface2" enlarges the face box so


def guide_points(image: NDArray[np.uint8], face: Face, template: str) -> NDArray[np.float64]:
    """Find the points of a face that its crop follows.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    face : Face
        Found in the picture.
    template : str
        How it is to be cropped.

    Returns
    -------
    ndarray of shape (n_points, 2)
        x, y in pixels.
    """
    if template == "dlib":
        return steady_landmarks(image, face)
    if template == "vggface2":
        left, top, right, bottom = face.box
        half = max(right - left, bottom - top) / 2
        center = np.array([left + right, top + bottom]) / 2
        return center + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return five_points(image, face)


def smooth_points(points: NDArray[np.float64], smoothing: int | str) -> NDArray[np.float64]:
    """Average points over the faces before and after, or over all.

    Parameters
    ----------
    points : ndarray of shape (n_faces, n_points, 2)
        x, y in pixels, in order of time.
    smoothing : int or "track"
        Faces averaged over, an odd number, fewer at both ends; or all.

    Returns
    -------
    ndarray of shape (n_faces, n_points, 2)
        Averages.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.video._smoothing import smooth_points
    >>> smooth_points(np.array([0.0, 3.0, 6.0, 0.0]).reshape(4, 1, 1), 3).ravel()
    array([1.5, 3. , 3. , 3. ])
    """
    if smoothing == WHOLE:
        return np.broadcast_to(points.mean(axis=0), points.shape)
    reach = int(smoothing) // 2
    return np.stack(
        [points[max(0, i - reach) : i + reach + 1].mean(axis=0) for i in range(len(points))]
    )


def steady_crop(
    image: NDArray[np.uint8], points: NDArray[np.float64], cropping: Cropping
) -> NDArray[np.uint8]:
    """Cut a face out of a picture by its guide points, to fractions of a pixel.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    points : ndarray of shape (n_points, 2)
        From :func:`smooth_points`.
    cropping : Cropping
        Template, size and padding.

    Returns
    -------
    ndarray of shape (h', w', 3), uint8
        RGB; black where the crop reaches beyond the picture.
    """
    size = crop_size(cropping.template, cropping.size)
    targets = _targets(cropping.template, size, cropping.padding)
    return warp(image, similarity(points, targets), size)


def _targets(template, size, padding):
    """Where the guide points lie in the crop: x, y, the first pixel's center being (0, 0)."""
    height = size[0]
    if template == "dlib":
        return (np.array(_DLIB_POINTS) + padding) / (2 * padding + 1) * height - 0.5
    if template == "vggface2":
        edge = height * (1 - 1 / _BOX_SIDE) / 2
        low, high = edge - 0.5, height - edge - 0.5
        return np.array([[low, low], [high, low], [high, high], [low, high]])
    reference = TEMPLATES[template]
    return (np.array(reference.points) + 0.5) * (height / reference.height) - 0.5
