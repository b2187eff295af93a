"""Files: opened only where they are files, and archives of arrays read without trusting them."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class DamagedFile(ValueError):
    """A file whose content is not what it should be."""


def open_regular(path: str | os.PathLike) -> BufferedReader:
    """Open a regular file for reading: a pipe would wait for ever, a device never end.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    binary file
        At its start.

    Raises
    ------
    OSError
        When it is missing, not to be read, or no regular file.

    Examples
    --------
    >>> from skfakespotter._files import open_regular
    >>> open_regular(".")
    Traceback (most recent call last):
    ...
    OSError: '.' is a directory
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL in the name
        raise OSError(f"{os.fspath(path)!r}: {error}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise OSError(f"{os.fspath(path)!r} is {kind}")
    return os.fdopen(descriptor, "rb")


def stamp_of(path: str | os.PathLike) -> tuple[int, ...] | None:
    """Return what changes when a file does; None for what is not a regular file.

    Examples
    --------
    >>> from skfakespotter._files import stamp_of
    >>> stamp_of("no/such/file") is None
    True
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # missing; a NUL in the name
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


@contextmanager
def open_arrays(
    path: str | os.PathLike, most_bytes: int | None = None
) -> Iterator[Mapping[str, NDArray]]:
    """Open an ``.npz`` file; what goes wrong while it is open is damage to it.

    Parameters
    ----------
    path : path
        The file.
    most_bytes : int, default=None
        What it may unpack to; None: no more than its own size.

    Yields
    ------
    mapping of str to ndarray
        Arrays, each read when it is asked for; none holds Python objects.

    Raises
    ------
    DamagedFile
        For whatever goes wrong with its content, also in the body of the ``with``.
    OSError
        When it cannot be read, which says nothing of its content.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > (size_of(file) if most_bytes is None else most_bytes):
                raise DamagedFile(f"it would unpack to {unpacked} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
        except Exception as error:  # the readers of zip and npy raise whatever a bit may cause
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise  # EINVAL: sought to a place that the damaged file names
            raise DamagedFile(f"{os.fspath(path)!r}: {error}") from error
