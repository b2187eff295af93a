"""Folders: the pictures in them, and what is left out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

from skfakespotter._pillow import readable_suffixes

# Pictures to a user, but not to Pillow by itself; find_images counts those that it leaves out.
UNREAD_SUFFIXES = frozenset(
    [".arw", ".cr2", ".cr3", ".dng", ".eps", ".heic", ".heif", ".jxl", ".nef", ".raw", ".svg"]
)


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the pictures in a folder and its subfolders, sorted by path.

    Parameters
    ----------
    folder : path
        Folder to search, subfolders that are links included. Hidden files and folders
        (``.thumbnails``, ``.ipynb_checkpoints``) are passed over.

    Returns
    -------
    list of Path
        Files whose suffix, in upper or lower case, is one of a format that Pillow can read
        here, plugins that have been registered included.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    ValueError
        When it holds no pictures.

    Warns
    -----
    UserWarning
        When pictures are left out, hidden ones or those of a format that cannot be read: how
        many of which kind.

    Examples
    --------
    >>> from skfakespotter.images import find_images
    >>> find_images("no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no such folder: 'no/such/folder'
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no such folder: {os.fspath(folder)!r}")
    known, found = readable_suffixes(), []
    left_out: Counter[str] = Counter()
    for path, hidden in _files_in(Path(folder)):
        suffix = path.suffix.lower()
        if hidden and suffix in known:
            left_out["hidden"] += 1
        elif suffix in known:
            found.append(path)
        elif suffix in UNREAD_SUFFIXES and not hidden:
            left_out[suffix] += 1
    told = ", ".join(f"{n} {kind}" for kind, n in sorted(left_out.items()))
    if not found:
        told = f" (left out: {told})" if told else ""
        raise ValueError(
            f"no pictures in {os.fspath(folder)!r}{told}: expected files such as .jpg, .png"
        )
    if told:
        warnings.warn(
            f"Pictures left out in {os.fspath(folder)!r}: {told}. Formats that Pillow does not "
            "read by itself need a plugin, such as pillow-heif for .heic.",
            stacklevel=2,
        )
    return sorted(found)


def _files_in(folder):
    """Yield every file below a folder and whether it, or a folder above it, is hidden."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(place)
        if here in seen:  # a link to a folder above, or to one that was searched already
            folders.clear()
            continue
        seen.add(here)
        above = Path(place).relative_to(folder).parts
        within_hidden = any(part.startswith(".") for part in above)
        for name in names:
            yield Path(place, name), within_hidden or name.startswith(".")
