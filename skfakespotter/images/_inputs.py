"""Inputs: what a user passes as pictures becomes a list, or one array."""

from __future__ import annotations

import os
from contextlib import suppress
from io import TextIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter._forking import ForkSafeLock
from skfakespotter._typing import Picture, Pictures

_EXPECTED = (
    "a list of paths, PIL images or uint8 arrays, one uint8 array (n, h, w, 3), "
    "or a tensor (n, 3, h, w)"
)
# One object may stand at several places of X, and neither Pillow's lazy loading nor a file's
# position can be shared by threads.
_LOCKS = [ForkSafeLock() for _ in range(61)]


def is_path(picture: object) -> bool:
    """Tell whether a picture is a path.

    Parameters
    ----------
    picture : picture
        See the module's text.

    Returns
    -------
    bool
        True for a string or a path.

    Examples
    --------
    >>> from skfakespotter.images import is_path
    >>> is_path("face.jpg"), is_path(b"the bytes of a file")
    (True, False)
    """
    return isinstance(picture, (str, os.PathLike))


def path_of(picture: object) -> str | None:
    """Return the path of a picture that is a file, for messages.

    Parameters
    ----------
    picture : picture
        See the module's text.

    Returns
    -------
    str or None
        None for a picture that is not a path.

    Examples
    --------
    >>> from skfakespotter.images import path_of
    >>> path_of("face.jpg")
    'face.jpg'
    """
    return os.fsdecode(picture) if isinstance(picture, (str, os.PathLike)) else None


def check_images(X: Pictures, *, name: str = "X") -> list | NDArray[np.uint8]:
    """Check that ``X`` is a sequence of pictures, without opening any.

    Parameters
    ----------
    X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
        The pictures; see the module's text.
    name : str, default="X"
        What to call the input in messages.

    Returns
    -------
    list or ndarray
        Indexable by position: a list of pictures, or a uint8 array (n, h, w, 3).

    Raises
    ------
    TypeError
        For a bare string, a DataFrame, a generator, a sparse matrix or a non-sequence.
    ValueError
        For an empty input or an array of the wrong shape or type.

    Examples
    --------
    >>> from skfakespotter.images import check_images
    >>> check_images("face.jpg")
    Traceback (most recent call last):
    ...
    TypeError: X is a single str: pass [X], a list of paths, PIL images or uint8 arrays, ...
    """
    if isinstance(X, (str, bytes, os.PathLike, Image.Image)) or is_file(X):
        kind = "path" if isinstance(X, os.PathLike) else type(X).__name__
        raise TypeError(f"{name} is a single {kind}: pass [{name}], {_EXPECTED}.")
    if hasattr(X, "columns"):
        X = _only_column(X, name)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]  # a column, as ColumnTransformer hands it on
    if hasattr(X, "detach"):
        X = tensor_to_array(X, name)
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return _check_array(X, name)
    sequence = hasattr(X, "__len__") and hasattr(X, "__getitem__") and getattr(X, "ndim", 1) > 0
    if not sequence or isinstance(X, dict) or hasattr(X, "nnz"):
        raise TypeError(f"{name} is a {type(X).__name__}: expected {_EXPECTED}.")
    if len(X) == 0:
        raise ValueError(f"{name} holds no pictures: expected {_EXPECTED}.")
    # what a file object holds is read once: later steps may look at it twice, or elsewhere
    return [content_of(picture) if is_file(picture) else picture for picture in X]


def _only_column(X, name):
    if len(X.columns) != 1:
        raise TypeError(
            f"{name} is a {type(X).__name__} of {len(X.columns)} columns: pass the one that holds "
            f"the pictures ({name}[['path']]), {_EXPECTED}."
        )
    return X[X.columns[0]]


def lock_of(picture: Picture) -> ForkSafeLock:
    """Return the lock to hold while an object is read that may stand at several places of X."""
    return _LOCKS[id(picture) % len(_LOCKS)]


def is_file(picture: object) -> bool:
    """Tell whether a picture is a file object."""
    return hasattr(picture, "read") and not is_path(picture)


def content_of(file: Any) -> Any:
    """Return what a file object holds, from its start; the object itself if it cannot be read."""
    if isinstance(file, TextIOBase):
        return file
    with suppress(OSError, ValueError), lock_of(file):
        if not file.seekable():
            return file.read()
        place = file.tell()
        file.seek(0)
        try:
            return file.read()
        finally:
            file.seek(place)
    return file


def _check_array(X, name):
    stack = _channels_last(X)
    if stack is None or stack.dtype.kind not in "uf":
        raise ValueError(_wrong_array(X, name))
    if len(stack) == 0:
        raise ValueError(f"{name} holds no pictures: shape {X.shape}.")
    if stack.dtype.kind == "f":
        stack = _from_unit_interval(stack, f"{name} is a floating-point array")
    if stack.dtype not in (np.uint8, np.uint16):
        raise ValueError(_wrong_array(X, name))
    if stack.shape[3] == 1:
        return list(stack[..., 0])
    return stack if stack.dtype == np.uint8 and stack.shape[3] == 3 else list(stack)


def _channels_last(X):
    """Return an array of pictures as (n, h, w, channels); None where it cannot be one."""
    if X.ndim == 3 and X.shape[2] not in (3, 4) and X.shape[0] != 3:  # gray, no single picture
        return X[..., None]
    if X.ndim != 4:
        return None
    if X.shape[3] in (1, 3, 4):
        return X
    return X.transpose(0, 2, 3, 1) if X.shape[1] == 3 else None


def _wrong_array(X, name):
    hint = " (a single picture? pass [X])" if X.ndim in (2, 3) else ""
    return f"{name} is an array of shape {X.shape} and type {X.dtype}{hint}: expected {_EXPECTED}."


def _from_unit_interval(array, what):
    if not (array.min(initial=0) >= 0 and array.max(initial=0) <= 1):  # NaN fails too
        raise ValueError(f"{what}: expected values in [0, 1].")
    return np.rint(array * 255).astype(np.uint8)


def tensor_to_array(X: Any, name: str) -> NDArray[Any]:
    """Return a tensor (n, 3, h, w) as an array (n, h, w, 3), uint8 if it was floating-point."""
    if X.ndim != 4 or X.shape[1] != 3:
        raise ValueError(f"{name} is a tensor of shape {tuple(X.shape)}: expected (n, 3, h, w).")
    X = X.detach().cpu()
    array = (X.float() if X.is_floating_point() else X).numpy().transpose(0, 2, 3, 1)
    if array.dtype.kind == "f":
        return _from_unit_interval(array, f"{name} is a floating-point tensor")
    return array
