"""Inputs: what a user hands in, as named pictures: files, folders, clips, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from skfakespotter._typing import Path as PathLike
from skfakespotter._typing import Pictures
from skfakespotter.images import ImageError, check_images, find_images, is_path, readable_suffixes

CLIPS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp"}
EVERY = 1.0  # seconds between the frames of a clip that are looked at
MAX_FRAMES = 20  # of a clip
TIME = "#t="  # between the path of a clip and the time of a frame, as in media fragments


def list_items(pictures: Pictures | PathLike) -> list[Any]:
    """List pictures and clips; folders are searched with their subfolders.

    Parameters
    ----------
    pictures : sequence of pictures, folders and clips, or path of a folder
        What came.

    Returns
    -------
    list
        Pictures, and paths of clips.

    Raises
    ------
    ValueError
        When a folder holds neither pictures nor clips.

    Examples
    --------
    >>> from skfakespotter.detectors._inputs import list_items
    >>> list_items(["a.jpg", "b.mp4"])
    ['a.jpg', 'b.mp4']
    """
    given: Any = pictures  # is_path tells no type checker
    items = [given] if is_path(given) else list(check_images(given))
    return list(chain.from_iterable(map(_unfolded, items)))


def name_of(item: Any, index: int) -> str:
    """Return what to call an item: its path, or its place.

    Parameters
    ----------
    item : picture or path of a clip
        The item.
    index : int
        Its place.

    Returns
    -------
    str
        ``path`` or ``X[index]``.
    """
    return os.fspath(item) if is_path(item) else f"X[{index}]"


def unit_of(name: str) -> str:
    """Return the file that a name belongs to: a clip for its frames.

    Parameters
    ----------
    name : str
        Of a picture, or of a frame.

    Returns
    -------
    str
        The path.

    Examples
    --------
    >>> from skfakespotter.detectors._inputs import unit_of
    >>> unit_of("clip.mp4#t=1.00")
    'clip.mp4'
    """
    path, found, _ = name.rpartition(TIME)
    return path if found and Path(path).suffix.lower() in CLIPS else name


def iter_named(items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and pictures; of a clip a frame a second, twenty at most, as it is decoded.

    Parameters
    ----------
    items : iterable
        From :func:`list_items`.

    Yields
    ------
    (str, picture)
        Name and picture. A clip that cannot be read is yielded as its error.
    """
    for index, item in enumerate(items):
        name = name_of(item, index)
        if not (is_path(item) and Path(item).suffix.lower() in CLIPS):
            yield name, item
            continue
        from skfakespotter.video import VideoError, iter_frames  # needs the extra ``video``

        try:
            for frame in iter_frames(item, every=EVERY, max_frames=MAX_FRAMES):
                yield f"{name}{TIME}{frame.time:.2f}", frame.image
        except VideoError as error:
            yield name, ImageError(str(error), path=name)


def _unfolded(item: Any) -> list[Any]:
    if not (is_path(item) and Path(item).is_dir()):
        return [item]
    files = sorted(path for path in Path(item).rglob("*") if not path.name.startswith("."))
    known = [path for path in files if path.suffix.lower() in readable_suffixes() | CLIPS]
    return known or list(find_images(item))  # which says what is expected there
