"""Files of weights: opened only where they are files, and small enough to be a network."""

from __future__ import annotations

import os
from typing import BinaryIO

from skfakespotter._files import open_regular, size_of
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
    try:
        file = open_regular(path)
    except OSError as error:
        raise WeightsError(path, f"cannot be read ({error})") from error
    size = size_of(file)
    if size > largest:
        file.close()
        raise WeightsError(path, f"has {size} bytes; expected at most {largest}")
    return file
