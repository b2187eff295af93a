"""Images: whatever a user calls a picture becomes uint8 RGB.

A picture is a path, the bytes of a file, a binary file object, a :class:`PIL.Image.Image`,
or an array: uint8 (or uint16), ``(h, w)`` gray, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGBA.
Pictures come as a sequence (list, tuple, object array, pandas Series, one column of a
DataFrame; sizes may differ), as one array ``(n, h, w, 3)``, or as a torch tensor
``(n, 3, h, w)``. An object with numpy's method ``__array__`` is a picture as well; it is made
when its pixels are needed.
"""

from skfakespotter._names import public_names
from skfakespotter._pillow import readable_suffixes
from skfakespotter.images._errors import ImageError, MissingFaceError, name_positions
from skfakespotter.images._files import MOST_BYTES, open_picture
from skfakespotter.images._folders import find_images
from skfakespotter.images._inputs import check_images, is_path, path_of
from skfakespotter.images._lazy import LazyPicture, take_notes, with_notes
from skfakespotter.images._loading import load_image
from skfakespotter.images._sizes import MIN_SIDE, fit_to

__all__ = [
    "MIN_SIDE",
    "MOST_BYTES",
    "ImageError",
    "LazyPicture",
    "MissingFaceError",
    "check_images",
    "find_images",
    "fit_to",
    "is_path",
    "load_image",
    "name_positions",
    "open_picture",
    "path_of",
    "readable_suffixes",
    "take_notes",
    "with_notes",
]

__getattr__, __dir__ = public_names(__name__)
