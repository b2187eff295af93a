"""Crops: digests of faces, by the content of the picture that shows them."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from skfakespotter.faces import LazyFace
from skfakespotter.images import is_path

CROPS_KEPT = 2**18
_CROPS = {}  # digests of crops, by the content of the picture and the form of the crop


def content_of(face):
    """Digest what a crop depends on; None for other pictures, and where it cannot be read."""
    if not isinstance(face, LazyFace):
        return None
    digest, picture = hashlib.blake2b(repr(face.cropping).encode(), digest_size=16), face.picture
    if isinstance(picture, np.ndarray):
        digest.update(repr((picture.shape, picture.dtype)).encode())
        digest.update(np.ascontiguousarray(picture))
    elif is_path(picture):
        try:
            digest.update(Path(picture).read_bytes())
        except OSError:  # comes again when it is looked at
            return None
    elif isinstance(picture, bytes):
        digest.update(picture)
    else:
        return None
    return digest.digest()


def known_key(content, form):
    """Return the digest of a crop, if this process has seen it; ``form`` is its size."""
    return _CROPS.get((content, form))


def remember(face, content, form, key):
    """Keep the digest of a crop, unless the file has changed since ``content`` was computed."""
    while len(_CROPS) >= CROPS_KEPT:
        with suppress(KeyError, RuntimeError):  # another thread made room
            del _CROPS[next(iter(_CROPS))]
    if content is not None and content == content_of(face):
        _CROPS[content, form] = key
