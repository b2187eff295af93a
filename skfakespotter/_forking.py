"""Forking: what a child process must renew before it can work as its parent did.

Servers fork after they have loaded a model. The child has none of its parent's threads: a lock
that one of them held would never be freed, and work that torch shares among threads never ends.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Any
from weakref import WeakSet


class ForkSafeLock:
    """A lock, to be held by ``with`` and again within it, that a forked child finds free.

    Examples
    --------
    >>> from skfakespotter._forking import ForkSafeLock
    >>> lock = ForkSafeLock()
    >>> with lock, lock:
    ...     pass
    """

    def __init__(self) -> None:
        self.renew()
        _LOCKS.add(self)

    def __enter__(self) -> ForkSafeLock:
        self._lock.acquire()
        return self

    def __exit__(self, *exception: Any) -> None:
        with suppress(RuntimeError):  # not held: the process was forked within the ``with``
            self._lock.release()

    def renew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()


_LOCKS: WeakSet[ForkSafeLock] = WeakSet()


def _in_forked_child() -> None:
    for lock in list(_LOCKS):
        lock.renew()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
