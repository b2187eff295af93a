"""Alignment: each template shows a face as one family of networks was trained to see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skfakespotter.faces._dlib import landmarks, load_dlib
from skfakespotter.faces._face import Box, Face
from skfakespotter.faces._geometry import similarity, warp

# The five points of a face are the centers of the eye on the picture's left and of the one on
# its right, the tip of the nose, and the left and right corner of the mouth. Among the 68
# landmarks of the iBUG scheme an eye is six points; the others are one point each.
_EYES, _NOSE_TIP, _MOUTH_CORNERS = (slice(36, 42), slice(42, 48)), 30, (48, 54)


@dataclass(frozen=True)
class Template:
    """How a face lies in the crop.

    Attributes
    ----------
    name : str
        What to call it.
    height, width : int
        Of the crop in pixels.
    points : tuple of 5 (float, float), or None
        Where the eye centers, nose tip and mouth corners lie: x, y in pixels, the center of
        the upper left pixel being (0, 0). None: another rule, see ``crop_face``.
    """

    name: str
    height: int
    width: int
    points: tuple[tuple[float, float], ...] | None = None


_ARCFACE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
_SPHEREFACE = (
    (30.2946, 51.6963),
    (65.5318, 51.5014),
    (48.0252, 71.7366),
    (33.5493, 92.3655),
    (62.7299, 92.2041),
)
TEMPLATES = {
    template.name: template
    for template in (
        Template("dlib", 150, 150),
        Template("arcface", 112, 112, _ARCFACE),
        # published for MATLAB, which calls the center of the upper left pixel (1, 1)
        Template("sphereface", 112, 96, tuple((x - 1, y - 1) for x, y in _SPHEREFACE)),
        Template("vggface2", 256, 256),
    )
}
# Mean places of CenterFace's points in dlib's own crops of 150 pixels with a padding of 0.25
# (benchmarks/detection.py): so its faces lie where dlib would put them.
_DLIB_CENTERS = (
    (46.35, 48.91),
    (101.73, 48.43),
    (72.89, 76.40),
    (50.53, 101.79),
    (96.43, 101.52),
)
_DLIB_SIDE, _DLIB_PADDING = 150, 0.25
VGGFACE2_SIDE = 1.3  # the face box is enlarged by this factor


def crop_face(
    image: NDArray[np.uint8],
    face: Face,
    *,
    template: str = "dlib",
    size: int | None = None,
    padding: float = 0.25,
) -> NDArray[np.uint8]:
    """Cut one face out of a picture, in the place where a network expects it.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    face : Face
        From :func:`skfakespotter.faces.find_faces`.
    template : {"dlib", "arcface", "sphereface", "vggface2"}, default="dlib"
        Where the face lies. "dlib": upright, by dlib's own function, or (CenterFace) the five
        points where they lie on average in dlib's crops. "arcface": 112x112,
        and "sphereface": 112 high and 96 wide, five points at published places, as nearly as
        a rotation, scale and shift allows. "vggface2": the square about the face box,
        enlarged by 1.3, not rotated, 256x256.
    size : int, default=None
        Height of the crop in pixels, its width in proportion; None takes the template's.
    padding : float, default=0.25
        Of "dlib" alone: room around the face, as a fraction of its size.

    Returns
    -------
    ndarray of shape (h', w', 3), uint8
        RGB; black where the crop reaches beyond the picture.

    References
    ----------
    J. Deng et al., "ArcFace", CVPR 2019. W. Liu et al., "SphereFace", CVPR 2017.
    Q. Cao et al., "VGGFace2", FG 2018, section 5.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.faces import crop_face, find_faces
    >>> crop_face(astronaut(), find_faces(astronaut())[0], template="sphereface").shape
    (112, 96, 3)
    """
    height, width = crop_size(template, size)
    if template == "dlib":
        if face.scheme == "eye corners":
            return _dlib_chip(image, face, height, padding)
        target = dlib_centers(height, padding)
        return warp(image, similarity(face.landmarks, target), (height, width))
    if template == "vggface2":
        return warp(image, _box_transform(face.box, height), (height, width))
    reference = TEMPLATES[template]
    # pixel centers lie on whole numbers, so a change of size is about the corner (-0.5, -0.5)
    target = (np.add(reference.points or (), 0.5) * (height / reference.height)) - 0.5
    return warp(image, similarity(five_points(image, face), target), (height, width))


def crop_size(template: str, size: int | None = None) -> tuple[int, int]:
    """Return the height and width of a crop in pixels.

    Parameters
    ----------
    template : str
        A name in ``TEMPLATES``.
    size : int, default=None
        Height; None takes the template's.

    Returns
    -------
    (int, int)
        Height and width.

    Examples
    --------
    >>> from skfakespotter.faces._templates import crop_size
    >>> crop_size("sphereface", 224)
    (224, 192)
    """
    height, width = TEMPLATES[template].height, TEMPLATES[template].width
    return (height, width) if size is None else (int(size), round(size * width / height))


def five_points(image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
    """Find the eye centers, the nose tip and the mouth corners of a face.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    face : Face
        From :func:`skfakespotter.faces.find_faces`.

    Returns
    -------
    ndarray of shape (5, 2)
        x, y in pixels. An eye's center is the mean of its outline.
    """
    if face.scheme == "centers":
        return np.array(face.landmarks)
    points = np.array(landmarks(image, face.box, 68))
    eyes = [points[eye].mean(0) for eye in _EYES]
    return np.stack([*eyes, points[_NOSE_TIP], *points[list(_MOUTH_CORNERS)]])


def _dlib_chip(image, face, size, padding):
    dlib = load_dlib()
    points = dlib.points([dlib.point(round(x), round(y)) for x, y in face.landmarks])
    box = dlib.rectangle(*(round(edge) for edge in face.box))
    image = np.ascontiguousarray(image)  # all that dlib takes
    return dlib.get_face_chip(image, dlib.full_object_detection(box, points), size, padding)


def dlib_centers(size: int, padding: float) -> NDArray[np.float64]:
    """Return where CenterFace's points lie in a crop of the template "dlib".

    Parameters
    ----------
    size : int
        Side of the crop in pixels.
    padding : float
        Room around the face, as a fraction of its size.

    Returns
    -------
    ndarray of shape (5, 2)
        x, y in pixels, the center of the upper left pixel being (0, 0).
    """
    unit = (np.add(_DLIB_CENTERS, 0.5) / _DLIB_SIDE) * (1 + 2 * _DLIB_PADDING) - _DLIB_PADDING
    return (unit + padding) / (1 + 2 * padding) * size - 0.5


def _box_transform(box: Box, size: int) -> NDArray[np.float64]:
    """Map the square about the box, enlarged, to ``size`` pixels."""
    left, top, right, bottom = box
    scale = size / (VGGFACE2_SIDE * max(right - left, bottom - top))
    center = np.array([left + right, top + bottom]) / 2
    return np.column_stack([np.eye(2) * scale, (size - 1) / 2 - scale * center])
