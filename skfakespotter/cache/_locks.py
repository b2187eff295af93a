"""Claims: processes agree on who computes what, through files in a shared folder."""

import os
import uuid
from pathlib import Path

from filelock import FileLock, Timeout  # a dependency of torch


class Claims:
    """Keys that this process is working on, visible to the others.

    Every process holds a lock on a file of its own as long as it lives. The lock of a
    process that died can be taken, which voids its claims.

    Parameters
    ----------
    folder : path
        Shared by the processes.

    Attributes
    ----------
    owner : str
        Name of this process in the folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._alive = FileLock(self.folder / f"{self.owner}.alive", thread_local=False)
        self.mutex = FileLock(self.folder / "mutex.lock", thread_local=False)

    def announce(self):
        """Take the lock that tells that this process lives; call it with ``mutex`` held."""
        self._alive.acquire(timeout=0)

    def others(self):
        """Give what living processes have claimed; call it with ``mutex`` held.

        Returns
        -------
        set of bytes
            Keys.
        """
        claimed = set()
        for path in self.folder.glob("*.alive"):
            if path.stem == self.owner:
                continue
            if self._is_dead(path):
                self._bury(path)
            else:
                claimed |= _read_keys(path.with_suffix(".keys"))
        return claimed

    def publish(self, keys):
        """Say what this process works on; call it with ``mutex`` held.

        Parameters
        ----------
        keys : set of bytes
            All of them.
        """
        path = self.folder / f"{self.owner}.keys"
        if keys:
            path.write_bytes(b"".join(keys))
        else:
            path.unlink(missing_ok=True)

    def _is_dead(self, path):
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def _bury(self, path):
        for left in [path, *self.folder.parent.glob(f"{path.stem}*.tmp")]:
            left.unlink(missing_ok=True)
        path.with_suffix(".keys").unlink(missing_ok=True)


def _read_keys(path):
    from skfakespotter.cache._records import KEY_BYTES

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    return {data[i : i + KEY_BYTES] for i in range(0, len(data), KEY_BYTES)}
