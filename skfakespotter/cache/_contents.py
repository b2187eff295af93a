"""Contents: pictures known by what they show, and files by what they hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._files import stamp_of as file_stamp
from skfakespotter.cache._records import KEY_BYTES
from skfakespotter.faces import LazyFace
from skfakespotter.images import MOST_BYTES, is_path


def key_of(picture: NDArray) -> bytes:
    """Digest the pixels, or numbers, that a network sees."""
    return _digest(picture.tobytes())


def content_of(picture: Any, form: tuple) -> tuple[tuple, Any] | None:
    """Digest what the pixels of a picture depend on, without decoding it.

    Parameters
    ----------
    picture : picture or LazyFace
        Which.
    form : tuple
        In which form, that is size, a network takes it.

    Returns
    -------
    (tuple, object) or None
        What :meth:`CoverageCache.remember_content` takes, and the :func:`stamp_of` the file
        before it was read. None where the content is not known, or is the pixels themselves.
    """
    source, cropping = picture, ""
    if isinstance(picture, LazyFace):
        source, cropping = picture.picture, repr(picture.cropping)
    stamp = stamp_of(picture)
    if isinstance(source, np.ndarray) and cropping:
        content = repr((source.shape, source.dtype.str)).encode() + source.tobytes()
    elif isinstance(source, bytes):
        content = b"file" + source
    elif stamp is not None:
        try:
            content = b"file" + Path(source).read_bytes()
        except OSError:  # comes again when it is decoded
            return None
    else:
        return None
    return (_digest(content), cropping, form), stamp


def stamp_of(picture: Any) -> tuple | None:
    """Return what changes when a file does; None for what is no picture's file."""
    source = picture.picture if isinstance(picture, LazyFace) else picture
    stamp = file_stamp(source) if is_path(source) else None
    # a larger one is no picture, and is not read
    return stamp if stamp is not None and stamp[2] <= MOST_BYTES else None


def stable_draw(picture: Any, index: int) -> int:
    """Draw a number for a picture that depends on what it is, not on what it stands among.

    Parameters
    ----------
    picture : picture, LazyFace or ndarray of numbers
        Which.
    index : int
        Its position, for what has neither a name nor pixels at hand.

    Returns
    -------
    int
        From 0 to 2**64 - 1.
    """
    picture = picture.picture if isinstance(picture, LazyFace) else picture
    if isinstance(picture, (str, os.PathLike)):
        data = os.fsencode(picture)
    elif isinstance(picture, np.ndarray):
        data = picture[::4, ::4].tobytes() if picture.ndim > 1 else picture.tobytes()
    else:
        data = str(index).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=KEY_BYTES).digest()
