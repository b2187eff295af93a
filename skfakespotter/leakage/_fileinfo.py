"""Files: what the file of a picture tells before a pixel is looked at."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from typing import Any

from PIL import ExifTags, Image, JpegImagePlugin

from skfakespotter._typing import Path
from skfakespotter.images import open_picture

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")  # in Pillow's order
_MAKER_TAGS = ("Software", "Make", "Model")


def file_facts(path: Path) -> dict[str, str]:
    """Read what the header of a picture file says; pixels are not decoded.

    Parameters
    ----------
    path : path
        File of a picture.

    Returns
    -------
    dict of str to str
        ``format`` ("JPEG"), ``mode`` ("RGB"), ``quantization`` ("quality 75" when the tables
        are those of the Independent JPEG Group for that quality, else a short name of the
        tables; "none" for other formats), ``subsampling`` of the chroma ("4:2:0"), ``metadata``
        (the names of what stands beside the pixels: JFIF and other markers, color profile,
        text, progressive order) and ``exif`` ("none", "present", or who wrote it).

    Notes
    -----
    The tables tell the encoder's settings [1]_; the header as a whole often tells the camera
    or the program [2]_. The entropy coding is not looked at: it leaves no trace in pixels.

    References
    ----------
    .. [1] ITU-T Recommendation T.81 (JPEG), annexes B and K.
    .. [2] Kee, Johnson and Farid, "Digital image authentication from JPEG headers", IEEE
       Transactions on Information Forensics and Security 6(3), 2011.

    Examples
    --------
    >>> import os, tempfile
    >>> from PIL import Image
    >>> from skfakespotter.leakage._fileinfo import file_facts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.jpg")
    ...     Image.new("RGB", (32, 32)).save(path, quality=75)
    ...     facts = file_facts(path)
    >>> facts["format"], facts["quantization"], facts["subsampling"]
    ('JPEG', 'quality 75', '4:2:0')
    """
    with open_picture(path, None) as image:
        try:
            exif = image.getexif()
        except Exception:  # damaged, which is no fault of the picture
            exif = Image.Exif()
        names = {*map(str, image.info), *(name for name, _ in getattr(image, "applist", []))}
        return {
            "format": str(image.format),
            "mode": image.mode,
            "quantization": _quantization(getattr(image, "quantization", None)),
            "subsampling": _subsampling(image),
            "metadata": " ".join(sorted(names - {"exif", "APP1"})) or "none",
            "exif": _exif(exif),
        }


def _quantization(tables: Any) -> str:
    if not tables:
        return "none"
    key = tuple(tuple(tables[i]) for i in sorted(tables))
    luma = {tables[0]: quality for tables, quality in _standard_tables().items()}
    quality = _standard_tables().get(key) or (luma.get(key[0]) if len(key) == 1 else None)
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:6]
    return f"quality {quality}" if quality else f"own tables {digest}"


@lru_cache(maxsize=1)
def _standard_tables() -> dict[tuple, int]:
    """Map the tables of the Independent JPEG Group to their quality, from Pillow itself."""
    standard = {}
    for quality in range(100, 0, -1):
        encoded = io.BytesIO()
        Image.new("RGB", (8, 8)).save(encoded, "JPEG", quality=quality)
        with Image.open(encoded) as image:
            tables = getattr(image, "quantization")  # noqa: B009, of JPEG files only
            standard[tuple(tuple(tables[i]) for i in sorted(tables))] = quality
    return standard


def _subsampling(image: Image.Image) -> str:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return "none"
    code = JpegImagePlugin.get_sampling(image)
    return SUBSAMPLINGS[code] if code in range(3) else "other"


def _exif(exif: Image.Exif) -> str:
    values = [exif.get(ExifTags.Base[tag]) for tag in _MAKER_TAGS]
    makers = [str(value).strip("\0 ")[:40] for value in values if value]
    return ", ".join(makers) or ("present" if exif else "none")
