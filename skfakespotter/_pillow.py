"""Pillow's settings: which formats it may read, and the user's limits and openers in workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFile

# Formats that Pillow decodes by itself. Others start programs (EPS starts Ghostscript), are no
# pictures (PDF, MPEG) or need a plugin; the formats of plugins that the user has registered,
# such as pillow_heif, are read too.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM"),
    *("PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP"),
)
FROM_BROWSERS = frozenset({".pjpeg", ".pjp", ".jpg_large"})  # names that they give to JPEGs


@dataclass(frozen=True)
class PillowSettings:
    """What a user may have set in this process, to be set in a worker as well.

    Attributes
    ----------
    max_pixels : int or None
        ``PIL.Image.MAX_IMAGE_PIXELS``.
    load_truncated : bool
        ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``.
    openers : tuple of (str, callable, callable or None)
        Formats that come from outside Pillow.

    Examples
    --------
    >>> from skfakespotter._pillow import PillowSettings
    >>> PillowSettings.here().load_truncated
    False
    """

    max_pixels: int | None
    load_truncated: bool
    openers: tuple[tuple[str, Callable, Callable | None], ...]

    @classmethod
    def here(cls) -> PillowSettings:
        """Return the settings of this process."""
        foreign = ((name, *Image.OPEN[name]) for name in _foreign_formats())
        return cls(Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, tuple(foreign))

    def apply(self) -> None:
        """Set them in this process."""
        Image.MAX_IMAGE_PIXELS = self.max_pixels
        ImageFile.LOAD_TRUNCATED_IMAGES = self.load_truncated
        for name, factory, accept in self.openers:
            if name not in Image.OPEN:
                Image.register_open(name, factory, accept)


@dataclass(frozen=True)
class WithSettings:
    """A function that sets Pillow's settings of another process before it is called.

    Attributes
    ----------
    settings : PillowSettings
        The other process's.
    function : callable
        What to call.
    """

    settings: PillowSettings
    function: Callable

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        self.settings.apply()
        return self.function(*args)


def readable_formats() -> list[str]:
    """Return the formats that may be read: Pillow's own pictures, and the user's plugins'.

    Returns
    -------
    list of str
        For ``PIL.Image.open(formats=...)``.

    Examples
    --------
    >>> from skfakespotter._pillow import readable_formats
    >>> formats = readable_formats()
    >>> "JPEG" in formats, "EPS" in formats
    (True, False)
    """
    Image.init()
    return [name for name in Image.ID if name in FORMATS] + _foreign_formats()


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of files that may be read, in lower case, with their dots.

    Returns
    -------
    frozenset of str
        Such as ".jpg".

    Examples
    --------
    >>> from skfakespotter._pillow import readable_suffixes
    >>> {".jpg", ".jfif", ".mpo", ".webp"} <= readable_suffixes()
    True
    """
    known = Image.registered_extensions()
    formats = {*FORMATS, *_foreign_formats()}
    return FROM_BROWSERS.union(suffix for suffix, name in known.items() if name in formats)


def _foreign_formats():
    own = ("PIL", "builtins")
    return [
        name
        for name, (factory, _) in Image.OPEN.items()
        if getattr(factory, "__module__", "PIL").split(".")[0] not in own
    ]
