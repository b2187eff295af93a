"""FaceAligner: find, align and crop the face in every picture."""

import os
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin

from .images import MIN_SIDE, ImageError, check_images, fit_to, load_image
from .progress import track

DETECTION_SIDE = 640  # pixels; longer pictures are searched at this size first
SMALLEST_SIDE = 320  # pixels; shorter pictures may be enlarged twice to find a face
CHUNK = 16  # pictures per parallel task


@dataclass(frozen=True)
class FaceRecord:
    """What was found in one picture.

    Attributes
    ----------
    index : int
        Position in the input.
    path : str or None
        File, when the picture is one.
    status : {"found", "missing", "unreadable"}
        Whether the picture has a face, has none, or cannot be read.
    box : (float, float, float, float) or None
        Left, top, right, bottom of the face, in pixels of the picture.
    landmarks : tuple of 5 (float, float), or None
        Outer and inner corner of the eye on the picture's right, the same on its left,
        base of the nose: x, y in pixels.
    score : float or None
        The detector's confidence; its threshold is 0.
    n_faces : int
        Faces found in the picture.
    reason : str or None
        Why the picture cannot be read.
    """

    index: int
    path: str | None
    status: str
    box: tuple | None = None
    landmarks: tuple | None = None
    score: float | None = None
    n_faces: int = 0
    reason: str | None = None


class FaceAligner(TransformerMixin, BaseEstimator):
    """Find the face in every picture, turn it upright and crop it.

    dlib's HOG detector finds the face, its five-point predictor the corners of the eyes
    and the base of the nose, and the picture is rotated, scaled and cropped so that these
    lie where the network was trained to see them. The detector is given the cheapest
    scale first: pictures longer than 640 px are reduced, and only where no face is
    found the picture is searched at its own size, then enlarged (small pictures twice). Of
    several faces the largest is taken.

    Parameters
    ----------
    detector : {"dlib"}, default="dlib"
        The detector; it needs the extra ``faces``.
    size : int, default=150
        Side of the crop in pixels.
    padding : float, default=0.25
        Room around the face, as a fraction of its size.
    on_missing : {"raise", "center"}, default="raise"
        What to do with a picture without a face: raise an error that names it, or take
        its centre. :meth:`locate` tells beforehand which pictures these are.
    n_jobs : int, default=None
        Processes that work side by side, through joblib. None: one, or what
        :func:`joblib.parallel_config` says.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Raises
    ------
    ImageError
        For a picture that cannot be read, or that has no face with ``on_missing="raise"``.
    ImportError
        When the extra ``faces`` is not installed.

    Notes
    -----
    A Pipeline cannot drop rows. Drop pictures without a face, or report them, before it::

        records = FaceAligner(n_jobs=-1).locate(paths)
        usable = [path for path, r in zip(paths, records) if r.status == "found"]

    References
    ----------
    D. King, "Max-Margin Object Detection", arXiv:1502.00046 (the detector).
    V. Kazemi and J. Sullivan, "One Millisecond Face Alignment with an Ensemble of
    Regression Trees", CVPR 2014 (the landmarks).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter import FaceAligner
    >>> FaceAligner().transform([astronaut()]).shape
    (1, 150, 150, 3)
    """

    def __init__(
        self,
        detector="dlib",
        *,
        size=150,
        padding=0.25,
        on_missing="raise",
        n_jobs=None,
        verbose=0,
    ):
        self.detector = detector
        self.size = size
        self.padding = padding
        self.on_missing = on_missing
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X=None, y=None):
        """Do nothing but check the parameters; there is nothing to learn.

        Parameters
        ----------
        X, y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        self : FaceAligner
            Unchanged.
        """
        self._check_options()
        return self

    def transform(self, X):
        """Align the faces.

        Parameters
        ----------
        X : sequence of pictures
            Paths, PIL images or uint8 arrays.

        Returns
        -------
        ndarray of shape (n, size, size, 3), uint8
            One upright face per picture, RGB.
        """
        self._check_options()
        X = check_images(X)
        aligned = np.empty((len(X), self.size, self.size, 3), np.uint8)
        filled = 0
        for chips in self._map(_align_chunk, X, "faces", self.size, self.padding, self.on_missing):
            aligned[filled : filled + len(chips)] = chips
            filled += len(chips)
        return aligned

    def locate(self, X):
        """Find the faces without cropping them; never fails because of one picture.

        Parameters
        ----------
        X : sequence of pictures
            As for ``transform``.

        Returns
        -------
        list of FaceRecord
            One per picture, in order.
        """
        self._check_options()
        X = check_images(X)
        chunks = self._map(_locate_chunk, X, "faces")
        return [record for records in chunks for record in records]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_options(self):
        if self.detector != "dlib":
            raise ValueError(f"detector is {self.detector!r}: expected 'dlib'.")
        if self.on_missing not in ("raise", "center"):
            raise ValueError(f"on_missing is {self.on_missing!r}: expected 'raise' or 'center'.")
        if not isinstance(self.size, (int, np.integer)) or self.size < MIN_SIDE:
            raise ValueError(f"size is {self.size!r}: expected an int of at least {MIN_SIDE}.")
        if not 0 <= self.padding <= 5:
            raise ValueError(f"padding is {self.padding!r}: expected a number from 0 to 5.")
        _models()  # fails early, and outside the workers, when the extra is missing

    def _map(self, function, X, task, *options):
        """Apply a function to chunks of the pictures, in order, in parallel."""
        starts = range(0, len(X), CHUNK)
        parallel = joblib.Parallel(self.n_jobs, return_as="generator")
        done = parallel(
            joblib.delayed(function)(X[start : start + CHUNK], start, *options) for start in starts
        )
        return track(done, len(X), task, self.verbose)


def _align_chunk(pictures, start, size, padding, on_missing):
    chips = []
    for index, picture in enumerate(pictures, start):
        image = load_image(picture, index=index)
        record = _locate(image, index, picture)
        if record.status == "found":
            chips.append(_crop(image, record, size, padding))
        elif on_missing == "center":
            chips.append(_center(image, record, size))
        else:
            raise ImageError(
                "has no face that the detector finds; drop it (FaceAligner.locate tells which), "
                "or pass on_missing='center'",
                index,
                record.path,
            )
    return chips


def _locate_chunk(pictures, start):
    records = []
    for index, picture in enumerate(pictures, start):
        try:
            image = load_image(picture, index=index)
            records.append(_locate(image, index, picture))
        except ImageError as error:
            path = _path_of(picture)
            records.append(FaceRecord(index, path, "unreadable", reason=error.reason))
    return records


def _locate(image, index, picture):
    """Find the largest face of a picture and its landmarks."""
    record = FaceRecord(index, _path_of(picture), "missing")
    if min(image.shape[:2]) < MIN_SIDE:
        return record
    boxes, scores = _detect(image)
    if not boxes:
        return record
    dlib, (_, predictor) = _dlib(), _models()
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
    best = int(np.argmax(areas))
    shape = predictor(image, dlib.rectangle(*(round(edge) for edge in boxes[best])))
    return replace(
        record,
        status="found",
        box=boxes[best],
        landmarks=tuple((float(p.x), float(p.y)) for p in shape.parts()),
        score=float(scores[best]),
        n_faces=len(boxes),
    )


def _detect(image):
    """Find faces at the cheapest scale that shows any: boxes in pixels of the picture, scores."""
    detector, _ = _models()
    longest = max(image.shape[:2])
    scales = [min(1.0, DETECTION_SIDE / longest), 1.0, 2.0]
    if longest < SMALLEST_SIDE:
        scales.append(4.0)
    for scale in dict.fromkeys(scales):
        found, scores, _ = detector.run(_scaled(image, min(scale, 1.0)), int(scale) // 2, 0.0)
        if found:
            shrunk = min(scale, 1.0)
            edges = [(r.left(), r.top(), r.right(), r.bottom()) for r in found]
            return [tuple(float(edge / shrunk) for edge in box) for box in edges], scores
    return [], []


def _scaled(image, scale):
    if scale == 1.0:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _crop(image, record, size, padding):
    dlib = _dlib()
    points = dlib.points([dlib.point(int(x), int(y)) for x, y in record.landmarks])
    box = dlib.rectangle(*(round(edge) for edge in record.box))
    return dlib.get_face_chip(image, dlib.full_object_detection(box, points), size, padding)


def _center(image, record, size):
    try:
        return fit_to(image, (size, size))
    except ImageError as error:
        raise ImageError(error.reason, record.index, record.path) from error


def _path_of(picture):
    return os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else None


def _dlib():
    try:
        import dlib
    except ImportError as error:
        raise ImportError(
            "FaceAligner needs dlib: pip install \"skfakespotter[faces]\""
        ) from error
    return dlib


@cache
def _models():
    """Load the detector and the landmark predictor, once per process."""
    dlib = _dlib()
    spec = find_spec("face_recognition_models")
    if spec is None:
        raise ImportError(
            "FaceAligner needs the landmark model in face_recognition_models: "
            'pip install "skfakespotter[faces]"'
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    predictor = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    return dlib.get_frontal_face_detector(), predictor
