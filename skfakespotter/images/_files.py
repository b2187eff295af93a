"""Files: opened as pictures and as nothing else, whatever they hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from skfakespotter._pillow import readable_formats
from skfakespotter.images._errors import ImageError

MOST_BYTES = 2**30  # of a file; a whole 16-bit picture at Pillow's limit of pixels has half
MOST_SCANS = 100  # of a progressive JPEG; encoders make about ten, an attack thousands


@contextmanager
def open_picture(
    picture: str | os.PathLike[str] | bytes, draft_side: int | None
) -> Iterator[Image.Image]:
    """Open a picture's file, or the bytes of one.

    Parameters
    ----------
    picture : path or bytes
        The picture.
    draft_side : int or None
        See :func:`skfakespotter.images.load_image`.

    Yields
    ------
    PIL.Image.Image
        Not decoded yet.

    Raises
    ------
    ImageError
        When it is no picture's file, or is broken.
    """
    try:
        source = BytesIO(picture) if isinstance(picture, bytes) else _regular_file(picture)
        with _opened(source) as opened:
            _check_scans(opened)
            if draft_side and min(opened.size) >= 4 * draft_side:
                opened.draft("RGB", (2 * draft_side, 2 * draft_side))
            yield opened
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except Exception as error:  # Pillow's plugins raise many types on broken files
        raise ImageError(f"cannot be read as a picture ({error})") from error


def _opened(source):
    try:
        return Image.open(source, formats=readable_formats())
    except Exception:
        data = _without_exif(source)
        if data is None:
            raise
        return Image.open(BytesIO(data), formats=readable_formats())


def _without_exif(source):
    """Return the bytes of a JPEG with its EXIF unnamed: Pillow refuses some that is damaged."""
    data = source.getvalue() if isinstance(source, BytesIO) else Path(source).read_bytes()
    if not data.startswith(b"\xff\xd8\xff") or b"Exif\0\0" not in data:
        return None
    return data.replace(b"Exif\0\0", b"None\0\0")


def _regular_file(path):
    """Return the path of a file that may be opened: a pipe would wait, a device never end."""
    facts = os.stat(path)
    if stat.S_ISDIR(facts.st_mode):
        raise ImageError("is a folder; expected a picture")
    if not stat.S_ISREG(facts.st_mode):
        raise ImageError("is a pipe, a socket or a device; expected a picture's file")
    if facts.st_size > MOST_BYTES:
        raise ImageError(
            f"is a file of {facts.st_size / 2**30:.1f} GiB; expected at most "
            f"{MOST_BYTES / 2**30:.0f} GiB"
        )
    return os.fspath(path)


def _check_scans(opened):
    """Refuse a progressive JPEG of thousands of scans, each of which costs as much as a picture."""
    if opened.format != "JPEG" or not opened.info.get("progressive"):
        return
    place = opened.fp.tell()
    opened.fp.seek(0)
    n_scans = opened.fp.read(MOST_BYTES).count(b"\xff\xda")
    opened.fp.seek(place)
    if n_scans > MOST_SCANS:
        raise ImageError(f"is a JPEG of {n_scans} scans; expected at most {MOST_SCANS}")


def orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; 1 where it is damaged, which is no fault of the pixels."""
    try:
        value = image.getexif().get(0x0112, 1)
        return int(value[0] if isinstance(value, tuple) else value)
    except Exception:  # broken EXIF raises many types
        return 1
