"""KeyLocks: processes agree on who computes what, through files in a shared folder."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from skfakespotter._files import open_regular
from skfakespotter.cache._folders import PRIVATE_FILE, open_private
from skfakespotter.cache._records import KEY_BYTES

MOST_KEYS = 2**20  # read of another process, which may be hostile
_OWNER = re.compile(r"\d+-[0-9a-f]{12}")


class KeyLocks:
    """Keys that this process is working on, visible to the others.

    Every process holds a lock on a file of its own as long as it lives. The lock of a
    process that died can be taken, which frees its keys.

    Parameters
    ----------
    folder : path
        Shared by the processes; it exists.

    Attributes
    ----------
    owner : str
        Name of this process in the folder.
    mutex : filelock.FileLock
        To be held while the other methods run.

    Raises
    ------
    OSError
        When the folder, or a file in it, cannot be used.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._alive = _lock(self.folder / f"{self.owner}.alive")
        self.mutex = _lock(self.folder / "mutex.lock")

    def announce(self) -> None:
        """Take the lock that tells that this process lives."""
        self._alive.acquire(timeout=0)

    def others(self) -> set[bytes]:
        """List what living processes are working on.

        Returns
        -------
        set of bytes
            Keys.
        """
        busy: set[bytes] = set()
        for entry in os.scandir(self.folder):
            name, _, kind = entry.name.rpartition(".")
            if kind != "alive" or name == self.owner or not _OWNER.fullmatch(name):
                continue
            if _is_free(Path(entry.path)):
                self._remove(name)
            else:
                busy |= _read_keys(self.folder / f"{name}.keys")
        return busy

    def publish(self, keys: set[bytes]) -> None:
        """Say what this process works on.

        Parameters
        ----------
        keys : set of bytes
            All of them.
        """
        path = self.folder / f"{self.owner}.keys"
        if keys:
            with open_private(path) as file:
                file.write(b"".join(keys))
        else:
            path.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Say that this process works on nothing; possible on a full disk, too."""
        with suppress(OSError):
            (self.folder / f"{self.owner}.keys").unlink(missing_ok=True)

    def _remove(self, owner: str) -> None:
        """Remove what a dead process left."""
        left = [self.folder / f"{owner}.keys", self.folder / f"{owner}.alive"]
        unfinished = (p for p in self.folder.parent.iterdir() if p.name.startswith(f"{owner}-"))
        for path in [*left, *(p for p in unfinished if p.suffix == ".tmp")]:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _lock(path: Path) -> FileLock:
    if path.is_symlink() or path.is_dir():
        raise OSError(f"{os.fspath(path)!r} is no file of a cache")
    return FileLock(path, mode=PRIVATE_FILE, thread_local=False)


def _is_free(path: Path) -> bool:
    """Tell whether nobody holds a lock; one that may not be tried counts as held."""
    try:
        lock = _lock(path)
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):  # the last: a disk without locks
        return False
    lock.release()
    return True


def _read_keys(path: Path) -> set[bytes]:
    try:
        with open_regular(path) as file:
            data = file.read(MOST_KEYS * KEY_BYTES)
    except OSError:  # none, another user's, or no file
        return set()
    return {data[i : i + KEY_BYTES] for i in range(0, len(data), KEY_BYTES)}
