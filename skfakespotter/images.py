"""Images: whatever a user calls a picture becomes uint8 RGB.

A picture is a path, the bytes of a file, a binary file object, a :class:`PIL.Image.Image`,
or an array: uint8 (or uint16), ``(h, w)`` gray, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGBA.
Pictures come as a sequence (list, tuple, object array, pandas Series, one column of a
DataFrame; sizes may differ), as one array ``(n, h, w, 3)``, or as a torch tensor
``(n, 3, h, w)``. An object with numpy's method ``__array__`` is a picture as well; it is made
when its pixels are needed.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from io import BytesIO, TextIOBase

import numpy as np
from PIL import Image, ImageOps

from skfakespotter._pillow import readable_formats

MIN_SIDE = 16  # pixels; anything smaller holds no face, and enlarging it would invent one
SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".jp2", ".png"}
SUFFIXES |= {".ppm", ".pgm", ".tif", ".tiff", ".webp", ".avif"}
# One PIL image may stand at several places of X, and Pillow's lazy loading is not thread-safe.
_LOCKS = [threading.Lock() for _ in range(61)]
_EXPECTED = (
    "a list of paths, PIL images or uint8 arrays, one uint8 array (n, h, w, 3), "
    "or a tensor (n, 3, h, w)"
)


class ImageError(ValueError):
    """A picture that cannot be used, with its place in the input.

    Parameters
    ----------
    reason : str
        What is wrong with the picture and what was expected.
    index : int, default=None
        Position in the input.
    path : str, default=None
        File, when the picture is one.

    Examples
    --------
    >>> from skfakespotter import ImageError
    >>> str(ImageError("is truncated", index=3, path="a.jpg"))
    "X[3] ('a.jpg'): is truncated"
    """

    def __init__(self, reason: str, index: int | None = None, path: str | None = None):
        super().__init__(reason, index, path)
        self.reason, self.index, self.path = reason, index, path

    def __str__(self) -> str:
        place = "picture" if self.index is None else f"X[{self.index}]"
        return f"{place}{f' ({self.path!r})' if self.path else ''}: {self.reason}"

    def at(self, index: int | None, path: str | None = None) -> ImageError:
        """Return the same error with another place in the input.

        Parameters
        ----------
        index : int
            Position in the input.
        path : str, default=None
            File; None keeps what is known.

        Returns
        -------
        ImageError
            A new error of the same class.

        Examples
        --------
        >>> from skfakespotter import ImageError
        >>> str(ImageError("is truncated", path="a.jpg").at(7))
        "X[7] ('a.jpg'): is truncated"
        """
        return type(self)(self.reason, index, path or self.path)


class MissingFaceError(ImageError):
    """A picture in which no face was found.

    Examples
    --------
    >>> from skfakespotter.images import MissingFaceError
    >>> str(MissingFaceError("has no face", index=2))
    'X[2]: has no face'
    """


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
        None for a picture that is no path.

    Examples
    --------
    >>> from skfakespotter.images import path_of
    >>> path_of("face.jpg")
    'face.jpg'
    """
    return os.fsdecode(picture) if is_path(picture) else None


def check_images(X, *, name="X"):
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
    if isinstance(X, (str, bytes, os.PathLike, Image.Image)) or _is_file(X):
        kind = "path" if isinstance(X, os.PathLike) else type(X).__name__
        raise TypeError(f"{name} is a single {kind}: pass [{name}], {_EXPECTED}.")
    if hasattr(X, "columns"):
        X = _only_column(X, name)
    if hasattr(X, "detach"):
        X = _tensor_to_array(X, name)
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return _check_array(X, name)
    sequence = hasattr(X, "__len__") and hasattr(X, "__getitem__") and getattr(X, "ndim", 1) > 0
    if not sequence or isinstance(X, dict) or hasattr(X, "nnz"):
        raise TypeError(f"{name} is a {type(X).__name__}: expected {_EXPECTED}.")
    if len(X) == 0:
        raise ValueError(f"{name} holds no pictures: expected {_EXPECTED}.")
    # what a file object holds is read once: later steps may look at it twice, or elsewhere
    return [_content(picture) if _is_file(picture) else picture for picture in X]


def load_image(picture, *, index=None, draft_side=None):
    """Give one picture as uint8 RGB.

    EXIF orientation is applied. Grey, palette, CMYK, 16-bit and other modes are converted
    to RGB, transparency is laid over white, and of an animation the first frame is taken.

    Parameters
    ----------
    picture : path, PIL image or ndarray
        The picture.
    index : int, default=None
        Position in the input, for messages.
    draft_side : int, default=None
        Lets a JPEG whose shorter side is at least four times as long as this many pixels
        be decoded at a half, a quarter or an eighth of its size, never below twice as
        long. None decodes at full size.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB, 0 to 255.

    Raises
    ------
    ImageError
        When the picture is missing, unreadable, truncated, larger than Pillow's
        decompression-bomb limit, or of an unknown kind. It names index and path.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.images import load_image
    >>> load_image(np.zeros((4, 6), np.uint8)).shape
    (4, 6, 3)
    """
    try:
        return _load(picture, draft_side)
    except ImageError as error:
        raise error.at(index, path_of(picture)) from error


def fit_to(image, size, crop=1.0):
    """Resize the shorter side and crop the centre, so that the picture fills ``size``.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    size : (int, int)
        Height and width in pixels.
    crop : float, default=1.0
        Part of the shorter side to keep: 224 / 256 resizes it to 256 for a size of 224.

    Returns
    -------
    ndarray of shape (size[0], size[1], 3), uint8
        The picture itself when it has that size already.

    Raises
    ------
    ImageError
        When a side is shorter than 16 pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.images import fit_to
    >>> fit_to(np.zeros((40, 60, 3), np.uint8), (20, 20)).shape
    (20, 20, 3)
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"is {width}x{height} pixels; expected at least {MIN_SIDE}x{MIN_SIDE}")
    picture, border = Image.fromarray(image), (1 - crop) / 2
    return np.asarray(ImageOps.fit(picture, size[::-1], Image.Resampling.BICUBIC, border))


def find_images(folder):
    """List the pictures in a folder and its subfolders, sorted by path.

    Parameters
    ----------
    folder : path
        Folder to search. Hidden files are passed over.

    Returns
    -------
    list of Path
        Files whose suffix is one of a picture.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    ValueError
        When it holds no pictures.

    Examples
    --------
    >>> from skfakespotter.images import find_images
    >>> find_images("no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no such folder: 'no/such/folder'
    """
    from pathlib import Path

    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no such folder: {os.fspath(folder)!r}")
    files = sorted(
        p
        for p in Path(folder).rglob("*")
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    if not files:
        raise ValueError(f"no pictures in {os.fspath(folder)!r}: expected files such as .jpg, .png")
    return files


def _only_column(X, name):
    if len(X.columns) != 1:
        raise TypeError(
            f"{name} is a {type(X).__name__} of {len(X.columns)} columns: pass the one that holds "
            f"the pictures ({name}[['path']]), {_EXPECTED}."
        )
    return X[X.columns[0]]


def _is_file(picture):
    return hasattr(picture, "read") and not is_path(picture)


def _content(file):
    """Return what a file object holds, from its start; the object itself if it cannot be read."""
    if isinstance(file, TextIOBase):
        return file
    with suppress(OSError, ValueError), _LOCKS[id(file) % len(_LOCKS)]:
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
    if X.ndim != 4 or X.shape[3] not in (3, 4) or X.dtype not in (np.uint8, np.uint16):
        hint = " (a single picture? pass [X])" if X.ndim in (2, 3) else ""
        raise ValueError(
            f"{name} is an array of shape {X.shape} and type {X.dtype}{hint}: expected {_EXPECTED}."
        )
    if len(X) == 0:
        raise ValueError(f"{name} holds no pictures: shape {X.shape}.")
    return X if X.dtype == np.uint8 and X.shape[3] == 3 else list(X)


def _tensor_to_array(X, name):
    if X.ndim != 4 or X.shape[1] != 3:
        raise ValueError(f"{name} is a tensor of shape {tuple(X.shape)}: expected (n, 3, h, w).")
    X = X.detach().cpu()
    array = (X.float() if X.is_floating_point() else X).numpy().transpose(0, 2, 3, 1)
    if array.dtype.kind == "f":
        if not (array.min(initial=0) >= 0 and array.max(initial=0) <= 1):  # NaN fails too
            raise ValueError(f"{name} is a floating-point tensor: expected values in [0, 1].")
        array = np.rint(array * 255).astype(np.uint8)
    return array


def _load(picture, draft_side):
    """Return one picture as uint8 RGB; its errors know no place in the input."""
    if isinstance(picture, np.ndarray):
        return _array_to_rgb(picture)
    if isinstance(picture, Image.Image):
        with _LOCKS[id(picture) % len(_LOCKS)]:
            return _decode(picture)
    if _is_file(picture):
        picture = _content(picture)
    if isinstance(picture, TextIOBase):
        raise ImageError("is a file in text mode; expected a binary file")
    if _is_file(picture):
        raise ImageError("is a closed file or one that cannot be read; expected an open one")
    if isinstance(picture, bytes) or is_path(picture):
        return _open(picture, draft_side)
    if hasattr(picture, "detach"):
        return _array_to_rgb(_tensor_picture(picture))
    if hasattr(picture, "__array__"):
        return _array_to_rgb(_looked_at(picture))
    raise ImageError(
        f"is a {type(picture).__name__}; expected a path, the bytes of a file, a binary file, "
        "a PIL image or an array"
    )


def _looked_at(picture):
    try:
        return np.asarray(picture)
    except (ImageError, ImportError):  # a missing extra is not the picture's fault
        raise
    except Exception as error:  # of a user's class
        raise ImageError(f"cannot be looked at ({type(error).__name__}: {error})") from error


def _open(picture, draft_side):
    try:
        source = BytesIO(picture) if isinstance(picture, bytes) else os.fspath(picture)
        with Image.open(source, formats=readable_formats()) as opened:
            if draft_side and min(opened.size) >= 4 * draft_side:
                opened.draft("RGB", (2 * draft_side, 2 * draft_side))
            return _decode(opened)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except IsADirectoryError as error:
        raise ImageError("is a folder; expected a picture") from error
    except Exception as error:  # Pillow's plugins raise many types on broken files
        raise ImageError(f"cannot be read as a picture ({error})") from error


def _tensor_picture(tensor):
    try:
        return _tensor_to_array(tensor[None], "picture")[0]
    except ValueError as error:
        raise ImageError(
            f"is a tensor of shape {tuple(tensor.shape)} and type {tensor.dtype}; expected uint8, "
            "or floating-point values in [0, 1], of shape (3, h, w)"
        ) from error


def _array_to_rgb(array):
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if not (grey or colour) or array.dtype not in (np.uint8, np.uint16) or array.size == 0:
        raise ImageError(
            f"is an array of shape {array.shape} and type {array.dtype}; expected uint8 (0 to 255) "
            "of shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    if array.dtype == np.uint16:
        array = _to_eight_bit(array)
    if colour and array.shape[2] == 3:
        return array
    return np.asarray(_to_rgb(Image.fromarray(np.ascontiguousarray(array))))


def _decode(image):
    width, height = image.size
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"has {width}x{height} pixels, over the limit PIL.Image.MAX_IMAGE_PIXELS = "
            f"{Image.MAX_IMAGE_PIXELS}",
            path=getattr(image, "filename", None) or None,
        )
    try:
        return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except Exception as error:  # as above: plugins raise many types
        name = getattr(image, "filename", None) or None
        raise ImageError(f"cannot be decoded ({error})", path=name) from error


def _to_rgb(image):
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself would clip it at 255
        image = Image.fromarray(_to_eight_bit(np.asarray(image)))
    if image.mode == "F":
        raise ValueError("floating-point pixels: their range is unknown")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bit(array):
    if array.min() < 0 or array.max() > 65535:
        raise ValueError("32-bit pixels: expected values from 0 to 65,535")
    return np.rint(array.astype(np.float64) / 257).astype(np.uint8)
