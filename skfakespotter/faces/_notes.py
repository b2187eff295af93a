"""FaceNote: where the face of a picture was found, so that it is not looked for again."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._files import stamp_of
from skfakespotter.faces._detectors import find_all
from skfakespotter.faces._face import Face, with_sharpness
from skfakespotter.images import is_path

SAMPLE = 64  # pictures whose faces stand for those of all that a model is fitted on
MOST_FILES = 4096  # notes of files that are remembered
STRIDE = 8  # rows and columns between the pixels by which a picture is recognized

_FILES: dict[tuple | None, FaceNote] = {}


class FaceNote:
    """Where the main face of one picture lies, written down by whoever looks for it first.

    A model that is fitted on lazy faces may want their pixels twice, and what the faces measure.
    A note is a few numbers; it holds no pixels.

    Parameters
    ----------
    measured : bool, default=False
        Measure the sharpness, too, which takes the pixels.

    Attributes
    ----------
    face : Face or None
        The main face; None where there is none, or nobody has looked.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.faces import FaceNote, find_noted
    >>> note = FaceNote(measured=True)
    >>> ((face,),) = find_noted([astronaut()], [note], "centerface")
    >>> note.face is face, face.sharpness > 0
    (True, True)
    """

    __slots__ = ("_mark", "face", "measured")

    def __init__(self, measured: bool = False) -> None:
        self.measured = measured
        self.face: Face | None = None
        self._mark: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether somebody has looked."""
        return self._mark is not None

    def recall(self, image: Any) -> list[Face] | None:
        """Return what is known of a picture.

        Parameters
        ----------
        image : ndarray or Tensor of shape (h, w, 3), uint8
            RGB.

        Returns
        -------
        list of Face, or None
            The main face, or none; None where nobody has looked, or at another picture: a file
            may have changed meanwhile.
        """
        if self._mark is None or self._mark != _mark_of(image):
            return None
        return [] if self.face is None else [self.face]

    def write(self, image: Any, faces: Sequence[Face]) -> list[Face]:
        """Write down what was found in a picture, and return it.

        Parameters
        ----------
        image : ndarray or Tensor of shape (h, w, 3), uint8
            RGB.
        faces : sequence of Face
            Main face first.

        Returns
        -------
        list of Face
            The main face, if there is one.
        """
        face = faces[0] if faces else None
        if face is not None and self.measured:
            face = with_sharpness(_on_host(image), face)
        self.face, self._mark = face, _mark_of(image)
        return [] if face is None else [face]

    def take(self, other: FaceNote) -> None:
        """Copy what another note knows, such as that of a process, about the same picture.

        Parameters
        ----------
        other : FaceNote
            One that knows nothing changes nothing.
        """
        if other.is_known:
            self.face, self._mark = other.face, other._mark


def find_noted(
    images: Sequence[Any],
    notes: Sequence[FaceNote | None],
    detector: str,
    *,
    device: Any = "cpu",
) -> list[list[Face]]:
    """Find the main faces of pictures that no note tells, and note them.

    Parameters
    ----------
    images : sequence of ndarray, or of Tensor, of shape (h, w, 3), uint8
        RGB; sizes may differ.
    notes : sequence of (FaceNote or None)
        One per picture; None notes nothing.
    detector : {"centerface", "dlib"} or path
        See :func:`skfakespotter.faces.find_faces`.
    device : str or torch.device, default="cpu"
        Where CenterFace runs.

    Returns
    -------
    list of list of Face
        Of each picture, main face first; faces beside it may be missing.
    """
    pairs = list(zip(images, notes, strict=True))
    found = [None if note is None else note.recall(image) for image, note in pairs]
    unknown = [pair for pair, faces in zip(pairs, found, strict=True) if faces is None]
    searched = iter(find_all([image for image, _ in unknown], detector, device=device))
    for place, (image, note) in enumerate(pairs):
        if found[place] is None:
            faces = next(searched)
            found[place] = faces if note is None else note.write(image, faces)
    return [faces or [] for faces in found]


def file_key(picture: Any, detector: str) -> tuple | None:
    """Return what a file, as it is now, is remembered under; None for what is not a file.

    Parameters
    ----------
    picture : picture
        Any.
    detector : str
        Of faces.

    Returns
    -------
    tuple or None
        Another one when the file has changed.
    """
    stamp = stamp_of(picture) if is_path(picture) else None
    return None if stamp is None else (detector, os.fspath(picture), stamp)


def recall_file(key: tuple | None) -> FaceNote | None:
    """Return the note that :func:`remember_file` was given under this :func:`file_key`."""
    return _FILES.get(key)


def remember_file(key: tuple | None, note: FaceNote) -> None:
    """Keep the note of a file in this process: the folds of a search share their files.

    Parameters
    ----------
    key : tuple or None
        From :func:`file_key`, of before the file was read; None is not remembered.
    note : FaceNote
        One that knows nothing is not kept.
    """
    if key is not None and note.is_known:
        while len(_FILES) >= MOST_FILES:
            _FILES.pop(next(iter(_FILES)), None)  # None: another thread was faster
        _FILES[key] = note


def even_sample(n: int) -> NDArray[np.int64]:
    """Choose the pictures, evenly spread, whose faces stand for those of all.

    Parameters
    ----------
    n : int
        Pictures.

    Returns
    -------
    ndarray of int
        Positions, 64 at most.

    Examples
    --------
    >>> from skfakespotter.faces._notes import even_sample
    >>> even_sample(3).tolist(), len(even_sample(1000))
    ([0, 1, 2], 64)
    """
    return np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).astype(int))


def _mark_of(image: Any) -> int:
    """Return a number by which a picture is recognized: of its size, and some of its pixels."""
    some = _on_host(image[::STRIDE, ::STRIDE]).tobytes()
    return zlib.crc32(some, zlib.crc32(repr(tuple(image.shape)).encode()))


def _on_host(image: Any) -> NDArray[np.uint8]:
    return image if isinstance(image, np.ndarray) else image.cpu().numpy()
