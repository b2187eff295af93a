"""Folders: which folders are groups of a cache's records, and what in them is its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path

from skfakespotter._files import open_regular

MOST_BYTES = 2**20  # read of a file that may be anybody's
FORMAT = "skfakespotter coverage cache 3"  # raise it when what is kept changes


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


def rename_new(temporary: Path, path: Path) -> None:
    """Give a whole file its name, unless the name is taken; then the file is removed.

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


def remove_own(folder: Path, own: re.Pattern) -> None:
    """Remove a cache's files from a folder, and the folder when it is empty then.

    Parameters
    ----------
    folder : Path
        Any folder; others' files in it stay.
    own : re.Pattern
        Names that a cache gives its files.
    """
    with suppress(OSError):
        for entry in os.scandir(folder):
            if own.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    os.unlink(entry.path)
        folder.rmdir()
