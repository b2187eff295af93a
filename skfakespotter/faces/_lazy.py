"""LazyFace: a picture whose face is found and cropped when it is looked at."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import crop_face, crop_size
from skfakespotter.images import ImageError, fit_to, is_path, load_image

CROPS_KEPT = 2**18
_CROPS = {}  # digests of crops, by the content of the picture and the form of the crop


class LazyFace:
    """A picture whose face is found and cropped when it is looked at.

    Parameters
    ----------
    picture : path, PIL image or ndarray
        The picture.
    options : dict
        To :func:`skfakespotter.faces.crop_face`.
    on_missing, n_jobs
        See :class:`skfakespotter.FaceAligner`.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import astronaut
    >>> from skfakespotter import FaceAligner
    >>> (face,) = FaceAligner(lazy=True).transform([astronaut()])
    >>> np.asarray(face).shape
    (150, 150, 3)
    """

    __slots__ = ("_asked", "n_jobs", "on_missing", "options", "picture")

    def __init__(self, picture, options, on_missing, n_jobs=None):
        self.picture, self.options = picture, options
        self.on_missing, self.n_jobs = on_missing, n_jobs
        self._asked = None  # the content when the key was asked for

    def __repr__(self):
        return f"LazyFace({self.picture!r})"

    def __array__(self, dtype=None, copy=None):
        """Find and crop the face: (h, w, 3), uint8, RGB."""
        return np.asarray(align(self.picture, None, self.options, self.on_missing), dtype)

    def key(self, form):
        """Give the digest of the crop, if this process has seen it of a picture of this content.

        Parameters
        ----------
        form : hashable
            In which form, that is size, a network takes the crop.

        Returns
        -------
        bytes or None
            What :meth:`remember` was told.
        """
        self._asked = self._content()
        return _CROPS.get((self._asked, form))

    def remember(self, form, key):
        """Keep the digest of the crop, for this and every other picture of the same content.

        A file that has changed since :meth:`key` was asked for is not remembered: nobody knows
        which content the crop is of.

        Parameters
        ----------
        form : hashable
            As for :meth:`key`.
        key : bytes
            The digest.
        """
        while len(_CROPS) >= CROPS_KEPT:
            with suppress(KeyError, RuntimeError):  # another thread made room
                del _CROPS[next(iter(_CROPS))]
        content = self._content()
        if content is not None and content == self._asked:
            _CROPS[content, form] = key

    def _content(self):
        """Digest what the crop depends on; None where that cannot be read."""
        digest = hashlib.blake2b(repr((self.options, self.on_missing)).encode(), digest_size=16)
        if isinstance(self.picture, np.ndarray):
            digest.update(repr((self.picture.shape, self.picture.dtype)).encode())
            digest.update(np.ascontiguousarray(self.picture))
        elif is_path(self.picture):
            try:
                digest.update(Path(self.picture).read_bytes())
            except OSError:  # comes again when it is looked at
                return None
        else:
            return None
        return digest.digest()


def align(picture, index, options, on_missing):
    """Find the face of a picture and crop it.

    Parameters
    ----------
    picture : path, PIL image or ndarray
        The picture.
    index : int or None
        Position in the input, for messages.
    options : dict
        To :func:`skfakespotter.faces.crop_face`.
    on_missing : {"raise", "center"}
        See :class:`skfakespotter.FaceAligner`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB.

    Raises
    ------
    ImageError
        For a picture that cannot be read, or has no face with ``on_missing="raise"``.
    """
    image = load_image(picture, index=index)
    if found := find_faces(image):
        return crop_face(image, found[0], **options)
    if on_missing == "center":
        return _center(image, index, picture, options)
    raise ImageError(
        "has no face that the detector finds; drop it (FaceAligner.locate tells which), "
        "or pass on_missing='center'",
        index,
        path_of(picture),
    )


def _center(image, index, picture, options):
    try:
        return fit_to(image, crop_size(options["template"], options["size"]))
    except ImageError as error:
        raise ImageError(error.reason, index, path_of(picture)) from error


def path_of(picture):
    """Give the path of a picture that is a file; None for any other."""
    return os.fspath(picture) if is_path(picture) else None
