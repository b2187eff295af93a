"""FaceAligner: find, align and crop the face in every picture."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from numbers import Integral, Real
from typing import Any, ClassVar

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter._parallel import parallel_map
from skfakespotter._prefetch import iter_batches
from skfakespotter._progress import track
from skfakespotter._typing import Device, Pictures
from skfakespotter.faces._detectors import DETECTORS, check_detector, find_all
from skfakespotter.faces._face import DEFAULT_DETECTOR, Face
from skfakespotter.faces._lazy import Cropping, LazyFace
from skfakespotter.faces._notes import (
    FaceNote,
    even_sample,
    file_key,
    find_noted,
    recall_file,
    remember_file,
)
from skfakespotter.faces._templates import TEMPLATES
from skfakespotter.images import (
    MIN_SIDE,
    ImageError,
    check_images,
    load_image,
    path_of,
    take_notes,
    with_notes,
)

CHUNK, GPU_CHUNK, BATCH = 16, 32, 256  # pictures at a time; of the last, decoded as needed


@dataclass(frozen=True)
class FaceRecord:
    """Faces of one picture.

    Attributes
    ----------
    index : int
        Position in the input.
    path : str or None
        File, when the picture is one.
    status : {"found", "missing", "unreadable"}
        Whether the picture has a face, has none, or cannot be read.
    faces : tuple of Face
        All faces, main face first. :func:`skfakespotter.faces.crop_face` crops any of them;
        :class:`FaceAligner` takes the first.
    reason : str or None
        Why the picture cannot be read.

    Examples
    --------
    >>> from skfakespotter import Face, FaceRecord
    >>> points = ((30, 50), (70, 50), (62, 70), (35, 90), (65, 90))
    >>> record = FaceRecord(0, "a.jpg", "found", (Face((10, 20, 90, 120), points, 0.9, "centers"),))
    >>> record.n_faces, record.box
    (1, (10, 20, 90, 120))
    """

    index: int
    path: str | None
    status: str
    faces: tuple[Face, ...] = ()
    reason: str | None = None

    @property
    def n_faces(self) -> int:
        """Faces found in the picture."""
        return len(self.faces)

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of the main face in pixels; None without a face."""
        return self.faces[0].box if self.faces else None

    @property
    def landmarks(self) -> tuple[tuple[float, float], ...] | None:
        """Five points of the main face; see :class:`Face`."""
        return self.faces[0].landmarks if self.faces else None

    @property
    def score(self) -> float | None:
        """The face detector's confidence in the main face; see :class:`Face`."""
        return self.faces[0].score if self.faces else None


# Pictures do not fit into a table, whatever set_output asks for: hence no automatic wrapping.
class FaceAligner(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Find the face in every picture, turn it upright and crop it.

    A face detector finds the face and five landmarks, and the picture is rotated, scaled and
    cropped so that these lie where the network was trained to see them. The search starts on a
    small copy of the picture and continues on larger ones until a face is certain. Of several
    faces it takes the one with the largest area times confidence; :meth:`locate` returns all.

    Parameters
    ----------
    detector : {"centerface", "dlib"} or path, default="centerface"
        The face detector. "centerface": a small network, in batches, on any device; its
        weights come with the extra ``faces``. "dlib": histograms of gradients, one at a
        time on the CPU; upright frontal faces alone; the extra ``dlib``. A path: another file
        of CenterFace's weights (``.onnx``). docs/faces.md compares them.
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
        cropped when a later step needs their pixels. Memory then holds a few batches instead of
        all faces, and faces are found while the network computes.
    device : str or torch.device, default="auto"
        Where CenterFace runs: "auto" takes a GPU where there is one. With ``lazy=True`` it is
        the device of the later step.
    n_jobs : int, default=None
        Processes, through joblib. None: one, or what
        :func:`joblib.parallel_config` says. With ``lazy=True`` nothing is found here; see
        ``prefetch`` of :class:`NeuronCoverageTransformer`.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Raises
    ------
    ImageError
        For a picture that cannot be read, or that has no face with ``on_missing="raise"``.
    ImportError
        When the detector's extra is not installed.

    Notes
    -----
    A Pipeline cannot drop rows. Drop pictures without a face, or report them, before it::

        records = FaceAligner().locate(paths)
        usable = [path for path, r in zip(paths, records) if r.status == "found"]

    To score every face of a picture, crop them and pass them to the steps after the aligner::

        crops = [crop_face(image, face) for face in find_faces(image)]
        detector[1:].predict_proba(crops)

    References
    ----------
    Y. Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    arXiv:1911.03599.
    D. King, "Max-Margin Object Detection", arXiv:1502.00046 (dlib's detector).
    V. Kazemi and J. Sullivan, "One Millisecond Face Alignment with an Ensemble of
    Regression Trees", CVPR 2014 (dlib's landmarks).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter import FaceAligner
    >>> FaceAligner().transform([astronaut()]).shape
    (1, 150, 150, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        "detector": [str, os.PathLike],
        "template": [StrOptions(set(TEMPLATES))],
        "size": [None, Interval(Integral, MIN_SIDE, None, closed="left")],
        "padding": [Interval(Real, 0, 5, closed="both")],
        "on_missing": [StrOptions({"raise", "center", "nan"})],
        "lazy": ["boolean"],
        "device": "no_validation",  # torch knows which there are
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        detector: str | os.PathLike[str] = DEFAULT_DETECTOR,
        *,
        template: str = "dlib",
        size: int | None = None,
        padding: float = 0.25,
        on_missing: str = "raise",
        lazy: bool = False,
        device: Device = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.detector = detector
        self.template = template
        self.size = size
        self.padding = padding
        self.on_missing = on_missing
        self.lazy = lazy
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any = None, y: Any = None) -> FaceAligner:
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
        self._check()
        self.__dict__.pop("_notes", None)
        return self

    def fit_transform(self, X: Pictures, y: Any = None) -> NDArray[np.uint8] | list[LazyFace]:
        """Align the faces that a model is to be fitted on: each is looked for once.

        Lazy faces note where they are found: a fit may want their pixels twice.

        Parameters
        ----------
        X : sequence of pictures
            Paths, PIL images or uint8 arrays.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        ndarray, list of LazyFace, Series or Tensor
            As of ``transform``.
        """
        return self.fit(X)._align(X, noting=True)

    def transform(self, X: Pictures) -> NDArray[np.uint8] | list[LazyFace]:
        """Align the faces.

        Parameters
        ----------
        X : sequence of pictures
            Paths, PIL images or uint8 arrays.

        Returns
        -------
        ndarray of shape (n, height, width, 3), uint8
            One face per picture, RGB. With ``lazy=True`` a list of LazyFace, or a Series where X
            is a Series or DataFrame, whose index goes with the pictures. Under
            ``sklearn.config_context(array_api_dispatch=True)`` a uint8 Tensor (n, 3, h, w)
            stays on its device: CenterFace finds and crops the faces there, and the result is
            a Tensor (n, 3, height, width).
        """
        self._check()
        return self._align(X, noting=False)

    def sample_faces(self, X: Pictures) -> list[Face]:
        """Measure the main faces of an even sample of the pictures that a model was fitted on.

        Those that a later step of the Pipeline has cropped meanwhile, here or in processes that
        prefetch, are not looked for again. The others are, together.

        Parameters
        ----------
        X : sequence of pictures
            What ``fit_transform`` was given.

        Returns
        -------
        list of Face
            With ``sharpness``, of 64 pictures at most; pictures without a face have none.
        """
        detector, pictures = os.fspath(self.detector), check_images(X)
        sample = [pictures[i] for i in even_sample(len(pictures))]
        keys = [file_key(picture, detector) for picture in sample]
        notes = self._notes_of(sample, keys)
        for key, note in zip(keys, notes, strict=True):
            if not note.is_known:  # as where the crops come from a cache
                note.take(recall_file(key) or note)
        left = [place for place, note in enumerate(notes) if not note.is_known]
        chunks = self._map(_note_chunk, [sample[place] for place in left], detector) if left else []
        for place, note in zip(left, chain.from_iterable(chunks), strict=True):
            notes[place].take(note)
        for key, note in zip(keys, notes, strict=True):
            remember_file(key, note)
        return [note.face for note in notes if note.face is not None]

    def locate(self, X: Pictures) -> list[FaceRecord]:
        """Find the faces without cropping them; one bad picture does not raise an error.

        Parameters
        ----------
        X : sequence of pictures
            As for ``transform``.

        Returns
        -------
        list of FaceRecord
            One per picture, in order.
        """
        self._check()
        chunks = self._map(_locate_chunk, check_images(X), os.fspath(self.detector))
        return [record for records in chunks for record in records]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
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

    def set_output(self, *, transform: Any = None) -> FaceAligner:
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

    def __getstate__(self):
        """Leave out what was noted: it is of use while a Pipeline is fitted."""
        return {name: value for name, value in super().__getstate__().items() if name != "_notes"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def cropping(self) -> Cropping:
        """How faces are found and cropped: what a model fitted on the crops depends on."""
        return Cropping(
            os.fspath(self.detector), self.template, self.size, self.padding, self.on_missing
        )

    def _check(self):
        self._validate_params()
        detector = os.fspath(self.detector)
        if detector not in DETECTORS and not detector.endswith(".onnx"):
            raise ValueError(
                f"The 'detector' parameter of FaceAligner must be one of {set(DETECTORS)} or the "
                f"path of an .onnx file. Got {self.detector!r} instead."
            )
        if self.on_missing == "nan" and not self.lazy:
            raise ValueError("on_missing is 'nan': expected lazy=True with it, or 'raise'.")
        check_detector(detector)  # early, and outside the workers

    def _stays_on_device(self, X):
        if not (hasattr(X, "detach") and self.detector != "dlib" and self.on_missing == "raise"):
            return False
        from skfakespotter._array_api import is_dispatched  # which imports torch

        return is_dispatched(X) and not X.is_floating_point() and X.ndim == 4

    @property
    def _place(self):
        from skfakespotter._device import resolve_device  # which imports torch

        return "cpu" if self.detector == "dlib" else str(resolve_device(self.device))

    def _align(self, X, noting):
        cropping, on_device = self.cropping, self._stays_on_device(X)
        index = getattr(X, "index", None) if hasattr(X, "iloc") else None
        X = X if on_device else check_images(X)
        lazy = self.lazy and not on_device
        notes = self._new_notes(X, lazy) if noting else [None] * len(X)
        if on_device:
            return _crop_tensor(X, cropping, notes)
        faces = [LazyFace(one, cropping, note=note) for one, note in zip(X, notes, strict=True)]
        if lazy:
            return faces if index is None else _as_series(faces, index)
        aligned = np.empty((len(X), *cropping.crop_size, 3), np.uint8)
        filled = 0
        for crops in self._crop_batches(faces, cropping.crop_size):
            aligned[filled : filled + len(crops)] = crops
            filled += len(crops)
        return aligned

    def _new_notes(self, X, lazy):
        """Make a note for each face that may be cropped again, and keep those of the sample."""
        sample = even_sample(len(X)).tolist()
        chosen = set(sample)
        notes = [FaceNote(i in chosen) if lazy or i in chosen else None for i in range(len(X))]
        detector = os.fspath(self.detector)
        self._notes = [(file_key(X[i], detector), notes[i]) for i in sample]
        return notes

    def _notes_of(self, sample, keys):
        """Return the notes of a sample of pictures: those of the last fit, if it was of these."""
        kept = self.__dict__.pop("_notes", [])
        notes = [FaceNote(measured=True) for _ in sample]
        if len(kept) == len(sample):
            for place, (key, note) in enumerate(kept):
                # a file is known by its key, other pictures by their pixels
                if key == keys[place] and (key or _is_of(note, sample[place])):
                    notes[place] = note
        return notes

    def _crop_batches(self, faces, size):
        """Crop faces chunk by chunk; CenterFace finds those of one while others are decoded."""
        if self.detector == "dlib" or joblib.effective_n_jobs(self.n_jobs) > 1:
            left = iter(faces)
            for pairs in self._map(_align_chunk, faces):
                yield take_notes(list(islice(left, len(pairs))), pairs)
            return
        batches = iter_batches(faces, np.arange(len(faces)), BATCH, size, device=self._place)
        yield from track((crops for _, crops in batches), len(faces), "faces", self.verbose)

    def _map(self, function, X, *options):
        """Apply a function to chunks of the pictures, in order, in parallel."""
        device = self._place
        size = CHUNK if device == "cpu" else GPU_CHUNK
        starts = range(0, len(X), size)
        tasks = ((X[start : start + size], start, device, *options) for start in starts)
        done = parallel_map(function, tasks, n_jobs=self.n_jobs)
        return track(done, len(X), "faces", self.verbose)


def _crop_tensor(X, cropping, notes):
    """Find and crop the faces of a tensor (n, 3, h, w) on its device."""
    import torch

    made, size = [], CHUNK if X.device.type == "cpu" else BATCH
    for start in range(0, len(X), size):
        here = slice(start, start + size)
        images = [image.permute(1, 2, 0) for image in X[here]]
        for index, one in enumerate(cropping.crop(images, X.device, notes[here]), start):
            if isinstance(one, ImageError):
                raise one.at(index, None)
            made.append(one)
    return torch.stack(made).permute(0, 3, 1, 2)


def _as_series(faces, index):
    import pandas as pd

    column = np.empty(len(faces), dtype=object)
    for place, face in enumerate(faces):  # numpy would ask each for its pixels
        column[place] = face
    return pd.Series(column, index=index, name="face")


def _align_chunk(faces, start, device):
    images = [load_image(face.picture, index=i) for i, face in enumerate(faces, start)]
    made = LazyFace.make_together(faces, images, device)
    for index, (face, one) in enumerate(zip(faces, made, strict=True), start):
        if isinstance(one, ImageError):
            raise one.at(index, path_of(face.picture))
    return with_notes(faces, made)


def _is_of(note, picture):
    """Tell whether a note that knows something is of this picture."""
    try:
        return note.is_known and note.recall(load_image(picture)) is not None
    except ImageError:
        return False


def _note_chunk(pictures, start, device, detector):
    """Note the main faces of pictures; those that cannot be read stay unknown."""
    images, notes = {}, [FaceNote(measured=True) for _ in pictures]
    for place, picture in enumerate(pictures):
        with suppress(ImageError):
            images[place] = load_image(picture)
    find_noted(list(images.values()), [notes[i] for i in images], detector, device=device)
    return notes


def _locate_chunk(pictures, start, device, detector):
    images, records = {}, {}
    for index, picture in enumerate(pictures, start):
        try:
            images[index] = load_image(picture)
        except ImageError as error:
            reason = error.reason
            records[index] = FaceRecord(index, path_of(picture), "unreadable", reason=reason)
    found = find_all(list(images.values()), detector, device=device, every=True)
    for index, faces in zip(images, found, strict=True):
        status = "found" if faces else "missing"
        records[index] = FaceRecord(index, path_of(pictures[index - start]), status, tuple(faces))
    return [records[index] for index in sorted(records)]
