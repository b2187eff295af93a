"""Loading: one picture, of whatever kind, becomes uint8 RGB."""

from __future__ import annotations

from io import TextIOBase

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter._typing import Picture
from skfakespotter.images._errors import ImageError
from skfakespotter.images._files import open_picture, orientation
from skfakespotter.images._inputs import (
    content_of,
    is_file,
    is_path,
    lock_of,
    path_of,
    tensor_to_array,
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(
    picture: Picture, *, index: int | None = None, draft_side: int | None = None
) -> NDArray[np.uint8]:
    """Load one picture as uint8 RGB.

    EXIF orientation is applied. Gray, palette, CMYK, 16-bit and other modes are converted
    to RGB, transparency is laid over white, and of an animation the first frame is taken.
    Files are read as pictures only: formats that start other programs (EPS), devices, pipes
    and files above a gigabyte are refused.

    Parameters
    ----------
    picture : picture
        See the module's text.
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
        decompression-bomb limit (``PIL.Image.MAX_IMAGE_PIXELS``), or of an unknown kind. It
        names index and path.

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


def _load(picture, draft_side):
    """Return one picture as uint8 RGB; its errors know no place in the input."""
    if isinstance(picture, np.ndarray):
        return _array_to_rgb(picture)
    if isinstance(picture, Image.Image):
        with lock_of(picture):
            return _decode(picture)
    if is_file(picture):
        picture = content_of(picture)
    if isinstance(picture, TextIOBase):
        raise ImageError("is a file in text mode; expected a binary file")
    if is_file(picture):
        raise ImageError("is a closed file or one that cannot be read; expected an open one")
    if isinstance(picture, bytes) or is_path(picture):
        with open_picture(picture, draft_side) as opened:
            return _decode(opened)
    if hasattr(picture, "detach"):
        return _array_to_rgb(_tensor_picture(picture))
    if hasattr(picture, "__array__"):
        return _array_to_rgb(_as_array(picture))
    raise ImageError(
        f"is a {type(picture).__name__}; expected a path, the bytes of a file, a binary file, "
        "a PIL image or an array"
    )


def _as_array(picture):
    try:
        return np.asarray(picture)
    except (ImageError, ImportError):  # a missing extra is not the picture's fault
        raise
    except Exception as error:  # of a user's class
        raise ImageError(
            f"cannot be converted to an array ({type(error).__name__}: {error})"
        ) from error


def _tensor_picture(tensor):
    try:
        return tensor_to_array(tensor[None], "picture")[0]
    except ValueError as error:
        raise ImageError(
            f"is a tensor of shape {tuple(tensor.shape)} and type {tensor.dtype}; expected uint8, "
            "or floating-point values in [0, 1], of shape (3, h, w)"
        ) from error


def _array_to_rgb(array):
    if array.ndim > 1:
        _check_pixels(array.shape[1], array.shape[0])
    gray, color = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if not (gray or color) or array.dtype not in (np.uint8, np.uint16) or array.size == 0:
        raise ImageError(
            f"is an array of shape {array.shape} and type {array.dtype}; expected uint8 (0 to 255) "
            "of shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    if array.dtype == np.uint16:
        array = _to_eight_bit(array)
    if color and array.shape[2] == 3:
        return array
    return np.asarray(_to_rgb(Image.fromarray(np.ascontiguousarray(array))))


def _check_pixels(width, height, path=None):
    if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"has {width}x{height} pixels, over the limit PIL.Image.MAX_IMAGE_PIXELS = "
            f"{Image.MAX_IMAGE_PIXELS}",
            path=path,
        )


def _decode(image):
    path = getattr(image, "filename", None) or None
    width, height = image.size
    _check_pixels(width, height, path)
    try:
        image.load()  # before the orientation is read, which forgives damage
        turned = _TURNS.get(orientation(image))
        upright = image if turned is None else image.transpose(turned)
        return np.array(_to_rgb(upright))
    except Exception as error:  # as above: plugins raise many types
        raise ImageError(f"cannot be decoded ({error})", path=path) from error


def _to_rgb(image):
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):  # 16-bit gray; Pillow itself would clip it at 255
        image = Image.fromarray(_to_eight_bit(np.asarray(image), image.mode == "I"))
    if image.mode == "F":
        raise ValueError("floating-point pixels: their range is unknown")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bit(array, may_be_eight_bit=False):
    """Scale 16-bit values; 32-bit pixels may hold 8-bit values as well."""
    if array.min() < 0 or array.max() > 65535:
        raise ValueError("32-bit pixels: expected values from 0 to 65,535")
    if may_be_eight_bit and array.max() <= 255:
        return array.astype(np.uint8)
    return np.rint(array.astype(np.float64) / 257).astype(np.uint8)
