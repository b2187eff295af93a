"""Face: one face of a picture, with its pose and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
Point = tuple[float, float]

DEFAULT_DETECTOR = "centerface"  # misses the fewest faces; docs/faces.md compares
SHARPNESS_SIDE = 64  # pixels; faces are compared at this size, as far as they have it
NOSE_REACH = 0.6  # of the distance of the eyes; how far a nose tip stands out of their plane


@dataclass(frozen=True)
class Face:
    """One face of a picture.

    Attributes
    ----------
    box : (float, float, float, float)
        Left, top, right, bottom in pixels of the picture; parts may lie outside it.
    landmarks : tuple of 5 (float, float)
        x, y in pixels, the center of the upper left pixel being (0, 0). ``scheme`` says which
        points they are.
    score : float
        The face detector's confidence. "dlib": a margin, whose threshold is 0.
        "centerface": from 0 to 1, its threshold is 0.5.
    scheme : {"eye corners", "centers"}
        "eye corners" (dlib): outer and inner corner of the eye on the picture's right, the same
        on its left, base of the nose. "centers" (CenterFace): eye on the picture's left, eye
        on its right, tip of the nose, left and right corner of the mouth.
    sharpness : float or None
        Contrast of neighboring pixels in the face, in gray levels from 0 to 255: the standard
        deviation of the Laplacian, after reducing the face to 64 pixels. None where it was
        not asked for.

    Examples
    --------
    >>> from skfakespotter.faces import Face
    >>> points = ((30, 50), (70, 50), (62, 70), (35, 90), (65, 90))
    >>> face = Face((10, 20, 90, 120), points, 0.9, "centers")
    >>> face.width, face.roll, round(face.yaw)
    (80, 0.0, 27)
    """

    box: Box
    landmarks: tuple[Point, ...]
    score: float
    scheme: str = "eye corners"
    sharpness: float | None = None

    @property
    def width(self) -> float:
        """Width of the box in pixels of the picture."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box in pixels of the picture."""
        return self.box[3] - self.box[1]

    @property
    def roll(self) -> float:
        """Rotation in the picture's plane in degrees, -180 to 180; positive is clockwise."""
        (left_x, left_y), (right_x, right_y) = self._eyes()
        return float(np.degrees(np.arctan2(right_y - left_y, right_x - left_x)))

    @property
    def yaw(self) -> float:
        """Rough turn of the head in degrees, -90 to 90; positive towards the picture's right.

        From where the nose lies between the eyes: a nose tip stands out of the plane of the
        eyes by about 0.6 of their distance.
        """
        left, right = np.array(self._eyes())
        nose = np.array(self.landmarks[2 if self.scheme == "centers" else 4])
        along = right - left
        distance = max(float(np.linalg.norm(along)), 1e-6)
        offset = float((nose - (left + right) / 2) @ along) / distance
        return float(np.degrees(np.arctan2(offset, NOSE_REACH * distance)))

    def _eyes(self):
        if self.scheme == "centers":
            return self.landmarks[:2]
        right, left = (np.mean(self.landmarks[i : i + 2], axis=0) for i in (0, 2))
        return tuple(left), tuple(right)


def prominence(face: Face) -> float:
    """Return area times score: a large false alarm, whose score is low, is no main face."""
    return face.width * face.height * face.score


def with_sharpness(image: NDArray[np.uint8], face: Face) -> Face:
    """Measure how sharp a face is.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    face : Face
        One of its faces.

    Returns
    -------
    Face
        With ``sharpness``; 0 where less than 3 pixels of it lie in the picture.
    """
    height, width = image.shape[:2]
    left, top = (int(max(0, edge)) for edge in face.box[:2])
    right, bottom = min(width, int(np.ceil(face.box[2]))), min(height, int(np.ceil(face.box[3])))
    if min(right - left, bottom - top) < 3:
        return replace(face, sharpness=0.0)
    gray = Image.fromarray(image[top:bottom, left:right]).convert("L")
    scale = SHARPNESS_SIDE / max(gray.size)
    if scale < 1:
        width, height = (max(3, round(side * scale)) for side in gray.size)
        gray = gray.resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(gray, float)
    around = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return replace(face, sharpness=round(float((around - 4 * pixels[1:-1, 1:-1]).std()), 2))


def overlap(box: Sequence[float], boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the intersection over union of a box with others.

    Parameters
    ----------
    box : sequence of 4 floats
        Left, top, right, bottom.
    boxes : ndarray of shape (n, 4)
        The others.

    Returns
    -------
    ndarray of shape (n,)
        From 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.faces._face import overlap
    >>> overlap((0, 0, 2, 2), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3)
    array([0.333, 0.   ])
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    both = np.clip(width, 0, None) * np.clip(height, 0, None)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return both / np.maximum(area + (box[2] - box[0]) * (box[3] - box[1]) - both, 1e-9)


def suppress(
    faces: Sequence[Face], most: float, rank: Callable[[Face], float | tuple[bool, float]]
) -> list[Face]:
    """Keep the best of faces that overlap (greedy non-maximum suppression).

    Parameters
    ----------
    faces : sequence of Face
        Candidates.
    most : float
        Largest intersection over union of two faces that are kept.
    rank : callable
        ``rank(face)``; of two that overlap the one with the larger rank is kept.

    Returns
    -------
    list of Face
        Those kept, highest rank first.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=rank, reverse=True):
        if not kept or overlap(face.box, np.array([k.box for k in kept])).max() <= most:
            kept.append(face)
    return kept
