"""Files of weights: opened only where they are files, and small enough to be a network."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from skfakespotter.backbones._backbone import WeightsError

LARGEST = 8 * 2**30 - 1  # bytes; the largest vision networks in use take half of it


def open_file(path: str | os.PathLike, largest: int = LARGEST) -> BinaryIO:
    """Open a file of weights for reading.

    A pipe would wait for ever and a device never end, so only regular files are opened.

    Parameters
    ----------
    path : path
        The file.
    largest : int, default=8 GiB
        Refuse files with more bytes than this.

    Returns
    -------
    binary file
        At its start.

    Raises
    ------
    WeightsError
        When the file is missing, unreadable, no regular file or too large.

    Examples
    --------
    >>> from skfakespotter.backbones._files import open_file
    >>> open_file(".")
    Traceback (most recent call last):
    ...
    skfakespotter.backbones._backbone.WeightsError: '.': cannot be read ...
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise WeightsError(path, f"cannot be read ({error})") from error
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise WeightsError(path, "cannot be read (it is no regular file)")
    if status.st_size > largest:
        file.close()
        raise WeightsError(path, f"has {status.st_size} bytes; expected at most {largest}")
    return file


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size
