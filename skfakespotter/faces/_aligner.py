"""FaceAligner: find, align and crop the face in every picture."""

from dataclasses import dataclass
from numbers import Real

import joblib
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skfakespotter._progress import track
from skfakespotter.faces._detectors import find_faces, load_dlib
from skfakespotter.faces._lazy import Cropping, LazyFace
from skfakespotter.faces._templates import TEMPLATES, crop_size
from skfakespotter.images import MIN_SIDE, ImageError, check_images, load_image, path_of

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


# Pictures do not fit into a table, whatever set_output asks for: hence no automatic wrapping.
class FaceAligner(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Find the face in every picture, turn it upright and crop it.

    dlib's HOG detector finds the face, its five-point predictor the corners of the eyes
    and the base of the nose, and the picture is rotated, scaled and cropped so that these
    lie where the network was trained to see them. The detector is given the cheapest
    scale first: pictures longer than 640 px are reduced, and only where no face is
    found the picture is searched at its own size, then enlarged. Of several faces the main
    one is taken, by area times confidence.

    Parameters
    ----------
    detector : {"dlib"}, default="dlib"
        The detector; it needs the extra ``faces``.
    template : {"dlib", "arcface", "sphereface", "vggface2"}, default="dlib"
        Where the face lies in the crop; take the one that the network was trained with
        (``Backbone.template``), see :func:`skfakespotter.faces.crop_face`.
    size : int, default=None
        Height of the crop in pixels; None takes the template's: "dlib" 150x150, "arcface"
        112x112, "sphereface" 112 high and 96 wide, "vggface2" 256x256.
    padding : float, default=0.25
        Of the template "dlib" alone: room around the face, as a fraction of its size.
    on_missing : {"raise", "center", "nan"}, default="raise"
        What to do with a picture without a face: raise an error that names it, take its
        center, or (with ``lazy=True``) let a later :class:`NeuronCoverageTransformer` give it
        a row of NaN. :meth:`locate` tells beforehand which pictures these are.
    lazy : bool, default=False
        Let ``transform`` return a list of :class:`LazyFace`, whose faces are found and
        cropped when a later step needs their pixels. So memory holds a few batches and not all
        faces, and they are found while the network computes.
    n_jobs : int, default=None
        Processes that work side by side, through joblib. None: one, or what
        :func:`joblib.parallel_config` says. With ``lazy=True`` nothing is found here; see
        ``prefetch`` of :class:`NeuronCoverageTransformer`.
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
        template="dlib",
        size=None,
        padding=0.25,
        on_missing="raise",
        lazy=False,
        n_jobs=None,
        verbose=0,
    ):
        self.detector = detector
        self.template = template
        self.size = size
        self.padding = padding
        self.on_missing = on_missing
        self.lazy = lazy
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
        ndarray of shape (n, height, width, 3), uint8
            One face per picture, RGB. With ``lazy=True`` a list of LazyFace.
        """
        self._check_options()
        X = check_images(X)
        if self.lazy:
            cropping = self.cropping
            return [LazyFace(picture, cropping) for picture in X]
        aligned = np.empty((len(X), *crop_size(self.template, self.size), 3), np.uint8)
        filled = 0
        for chips in self._map(_align_chunk, X, "faces", self.cropping):
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

    def get_feature_names_out(self, input_features=None):
        """Name the output, so that a Pipeline can name what its later steps make of it.

        Parameters
        ----------
        input_features : Ignored
            Pictures have no feature names.

        Returns
        -------
        ndarray of str
            ``["face"]``.
        """
        return np.array(["face"], dtype=object)

    def set_output(self, *, transform=None):
        """Change nothing: pictures stay arrays, so that a Pipeline's tables begin after them.

        Parameters
        ----------
        transform : Ignored
            For the sake of Pipeline.

        Returns
        -------
        self : FaceAligner
            Unchanged.
        """
        return self

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
        if self.on_missing not in ("raise", "center", "nan"):
            raise ValueError(
                f"on_missing is {self.on_missing!r}: expected 'raise', 'center' or 'nan'."
            )
        if self.on_missing == "nan" and not self.lazy:
            raise ValueError("on_missing is 'nan': expected lazy=True with it, or 'raise'.")
        if self.template not in TEMPLATES:
            raise ValueError(f"template is {self.template!r}: expected one of {list(TEMPLATES)}.")
        if self.size is not None and (
            not isinstance(self.size, (int, np.integer)) or self.size < MIN_SIDE
        ):
            raise ValueError(
                f"size is {self.size!r}: expected None or an int of at least {MIN_SIDE}."
            )
        if not isinstance(self.lazy, (bool, np.bool_)):
            raise ValueError(f"lazy is {self.lazy!r}: expected a bool.")
        if not isinstance(self.padding, Real) or not 0 <= self.padding <= 5:
            raise ValueError(f"padding is {self.padding!r}: expected a number from 0 to 5.")
        load_dlib()  # fails early, and outside the workers, when the extra is missing

    @property
    def cropping(self) -> Cropping:
        """How faces are found and cropped."""
        return Cropping(self.detector, self.template, self.size, self.padding, self.on_missing)

    def _map(self, function, X, task, *options):
        """Apply a function to chunks of the pictures, in order, in parallel."""
        starts = range(0, len(X), CHUNK)
        parallel = joblib.Parallel(self.n_jobs, return_as="generator")
        done = parallel(
            joblib.delayed(function)(X[start : start + CHUNK], start, *options) for start in starts
        )
        return track(done, len(X), task, self.verbose)


def _align_chunk(pictures, start, cropping):
    faces = [LazyFace(picture, cropping) for picture in pictures]
    return [load_image(face, index=i) for i, face in enumerate(faces, start)]


def _locate_chunk(pictures, start):
    return [_locate(picture, index) for index, picture in enumerate(pictures, start)]


def _locate(picture, index):
    path = path_of(picture)
    try:
        found = find_faces(load_image(picture, index=index))
    except ImageError as error:
        return FaceRecord(index, path, "unreadable", reason=error.reason)
    if not found:
        return FaceRecord(index, path, "missing")
    face = found[0]
    return FaceRecord(index, path, "found", face.box, face.landmarks, face.score, len(found))
