"""GroupFolder: the folder of a group of records, and what in it a cache may read and remove."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from skfakespotter._files import open_regular
from skfakespotter.cache._records import Records, load_head

MOST_BYTES = 2**20  # read of a file that may be anybody's
FORMAT = "skfakespotter coverage cache 4"  # raise it when what is kept changes
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
_RECORDS = re.compile(r"\d{20}-[0-9a-f]{8}\.npz")
_OWN = re.compile(rf"spec\.json|{_RECORDS.pattern}|\d+-[0-9a-f]{{12}}-[0-9a-f]{{8}}\.tmp")
_OWN_LOCKS = re.compile(r"mutex\.lock|\d+-[0-9a-f]{12}\.(alive|keys)")


class GroupFolder:
    """The folder of one group: only what a cache wrote is read there, and only that is removed.

    Parameters
    ----------
    path : Path
        The folder; its name is :func:`group_name` of the ``spec``.
    spec : dict
        What the group's records depend on.
    """

    def __init__(self, path: Path, spec: dict) -> None:
        self.path, self.spec, self.locks = path, spec, path / "locks"

    def make(self, owner: str) -> None:
        """Make the folder, with its ``spec.json``, unless it is there.

        Parameters
        ----------
        owner : str
            Of this process; what it leaves unfinished has a name that begins with it.

        Raises
        ------
        OSError
            When it cannot be made, or another's is in its place.
        """
        make_private_folder(self.path)
        make_private_folder(self.locks)
        if is_group(self.path):
            return
        temporary, spec = self._temporary(owner), self.path / "spec.json"
        with open_private(temporary, new=True) as file:
            file.write(spec_text(self.spec).encode())
        rename_new(temporary, spec)  # whole, for another process reads it at once
        if not is_group(self.path):
            raise OSError(f"{os.fspath(spec)!r} is not of this cache")

    def list(self) -> list[tuple[str, os.DirEntry]]:
        """List the files of records, by name; none where the folder is not a cache's."""
        if not is_group(self.path):
            return []
        try:
            entries = [entry for entry in os.scandir(self.path) if _RECORDS.fullmatch(entry.name)]
            return [(e.name, e) for e in entries if e.is_file(follow_symlinks=False)]
        except OSError:  # removed meanwhile, or not to be listed
            return []

    def load(self, name: str, *, head: bool) -> Any:
        """Read a file of records, or only what an index needs."""
        return (load_head if head else Records.load)(self.path / name, self.path.name)

    def write(self, name: str, records: Records, owner: str) -> int:
        """Write a file of records, whole as soon as it has its name.

        Parameters
        ----------
        name : str
            Of the file.
        records : Records
            Its content.
        owner : str
            As for :meth:`make`.

        Returns
        -------
        int
            Its size in bytes.

        Raises
        ------
        OSError
            When it cannot be written; nothing is left then.
        """
        temporary = self._temporary(owner)
        try:
            with open_private(temporary, new=True) as file:
                records.save(file, self.path.name)
            n_bytes = temporary.stat().st_size
            os.replace(temporary, self.path / name)
            return n_bytes
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def remove(self, name: str) -> None:
        """Remove a file of records, if it is one."""
        if _RECORDS.fullmatch(name):
            with suppress(OSError):
                (self.path / name).unlink()

    def clear(self) -> None:
        """Remove all that a cache wrote, and the folder when it is empty then."""
        if is_group(self.path):
            _remove_own(self.locks, _OWN_LOCKS)
            _remove_own(self.path, _OWN)

    def _temporary(self, owner: str) -> Path:
        return self.path / f"{owner}-{uuid.uuid4().hex[:8]}.tmp"


def spec_text(spec: dict) -> str:
    """Write what a group's records depend on, in one form."""
    return json.dumps({**spec, "format": FORMAT}, indent=1, sort_keys=True) + "\n"


def group_name(spec: dict) -> str:
    """Name the folder of a group by what its records depend on.

    Parameters
    ----------
    spec : dict
        The network and the options; it can be written as JSON.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    return hashlib.blake2b(spec_text(spec).encode(), digest_size=16).hexdigest()


def read_spec(folder: Path) -> dict | None:
    """Read what the records in a folder depend on.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    dict or None
        None unless a cache made the folder: its name is that of its ``spec.json``.
    """
    marker = folder / "spec.json"
    try:
        if folder.is_symlink() or marker.is_symlink():
            return None
        with open_regular(marker) as file:
            spec = json.loads(file.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(spec, dict) or spec.pop("format", None) != FORMAT:
        return None
    return spec if group_name(spec) == folder.name else None


def is_group(folder: Path) -> bool:
    """Tell whether a cache made a folder."""
    return read_spec(folder) is not None


def make_private_folder(folder: Path) -> None:
    """Make a folder for this user alone, and its parents; refuse a symbolic link.

    Parameters
    ----------
    folder : Path
        May exist, and stays as it is then.

    Raises
    ------
    OSError
        When it cannot be made, or is a symbolic link or a file.
    """
    if folder.is_symlink():
        raise OSError(f"{os.fspath(folder)!r} is a symbolic link")
    folder.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(PRIVATE_FOLDER)
    if not folder.is_dir():
        raise NotADirectoryError(f"{os.fspath(folder)!r} is not a folder")


def open_private(path: Path, *, new: bool = False) -> IO[bytes]:
    """Open a file of this user alone for writing, without following a symbolic link.

    Parameters
    ----------
    path : Path
        The file.
    new : bool, default=False
        Refuse one that exists.

    Returns
    -------
    binary file
        Empty.

    Raises
    ------
    OSError
        When it cannot be written, or is a symbolic link.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb")


def rename_new(temporary: Path, path: Path) -> None:
    """Rename a whole file; where the new name is taken, remove it instead.

    Parameters
    ----------
    temporary, path : Path
        Its name so far, and the one it is to have.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without links
        if not os.path.lexists(path):
            os.replace(temporary, path)
            return
    temporary.unlink()


def _remove_own(folder: Path, own: re.Pattern) -> None:
    with suppress(OSError):
        for entry in os.scandir(folder):
            if own.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    os.unlink(entry.path)
        folder.rmdir()
