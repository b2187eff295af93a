"""CoverageCache: keeps the network's outputs for each picture."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from skfakespotter._forking import ForkSafeLock
from skfakespotter.cache._folders import group_name, read_spec
from skfakespotter.cache._group import RecordGroup

DISK_BYTES = 10 * 10**9
MEMORY_BYTES = 10**9
RECOUNT = 32  # files
CONTENTS = 2**18  # files whose pictures' keys are remembered

_ALL: weakref.WeakSet[CoverageCache] = weakref.WeakSet()


class CoverageCache:
    """Statistics of pictures seen before, on disk or in memory.

    A record depends only on the pixels that the network sees, the network's weights and the
    options of the neurons. It depends on no label, path, time or other fold. See
    ``docs/scale.md``. On disk only its user can read it, because a record reveals whether the
    cache has seen a given photograph.

    Parameters
    ----------
    folder : path, default=None
        Where to keep it; processes may share it. None: in the memory of this process.
    max_bytes : int, default=None
        Size above which the oldest records are deleted. None: 10 GB on disk, 1 GB in memory.

    See Also
    --------
    NeuronCoverageTransformer : Takes a cache, or its folder, as ``cache``.

    Examples
    --------
    >>> from skfakespotter import CoverageCache, NeuronCoverageTransformer, make_pictures
    >>> cache = CoverageCache()
    >>> X, y = make_pictures(8, random_state=0)
    >>> coverage = NeuronCoverageTransformer("toy_image", cache=cache).fit(X)
    >>> len(cache)
    8
    >>> cache.clear()
    >>> len(cache)
    0
    """

    def __init__(
        self, folder: str | os.PathLike | None = None, *, max_bytes: int | None = None
    ) -> None:
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        if max_bytes is None:
            max_bytes = MEMORY_BYTES if folder is None else DISK_BYTES
        if not isinstance(max_bytes, (int, np.integer)) or max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes!r}: expected an int of at least 0.")
        self.max_bytes = int(max_bytes)
        self._groups: dict[str, RecordGroup] = {}
        self._contents: OrderedDict[tuple, bytes] = OrderedDict()
        self._size = self._added = 0
        self._lock = ForkSafeLock()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"CoverageCache({str(self.folder) if self.folder else None!r})"

    def __len__(self) -> int:
        return sum(entry["pictures"] for entry in self.info())

    def info(self) -> list[dict[str, Any]]:
        """Describe the content.

        Returns
        -------
        list of dict
            One per network and set of options: these options, and ``pictures`` and
            ``bytes`` kept.
        """
        found = []
        for group in self._all_groups():
            group.refresh()
            n_bytes = sum(file.n_bytes for file in group.files.values())
            found.append({**group.spec, "pictures": len(group.places), "bytes": n_bytes})
        return found

    def clear(self) -> None:
        """Delete all records and their files, and nothing else in the folder."""
        for group in self._all_groups():
            group.clear()
        self._groups.clear()
        self._contents.clear()

    def group(self, spec: dict) -> RecordGroup:
        """Return the part of the cache for one network and set of options.

        Parameters
        ----------
        spec : dict
            What a record depends on apart from the picture; it can be written as JSON.

        Returns
        -------
        RecordGroup
            One object for one ``spec``.
        """
        name = group_name(spec)
        with self._lock:
            if name not in self._groups:
                folder = None if self.folder is None else self.folder / name
                self._groups[name] = RecordGroup(spec, folder, self.make_room)
            return self._groups[name]

    def key_of_content(self, content: tuple) -> bytes | None:
        """Return the key of the picture that a file shows, if this process has seen it.

        Parameters
        ----------
        content : tuple
            Digest of the file, and in which form a network takes its picture.

        Returns
        -------
        bytes or None
            What :meth:`remember_content` was told.
        """
        return self._contents.get(content)

    def remember_content(self, content: tuple, key: bytes) -> None:
        """Keep the key of the picture that a file shows, so that it need not be decoded again.

        Parameters
        ----------
        content : tuple
            As for :meth:`key_of_content`.
        key : bytes
            Of the picture's pixels.
        """
        with self._lock:
            while len(self._contents) >= CONTENTS:
                self._contents.popitem(last=False)
            self._contents[content] = key

    def make_room(self, n_bytes: int) -> None:
        """Drop the oldest records if, with so many bytes more, the cache exceeds its bound.

        Parameters
        ----------
        n_bytes : int
            Size of what was added. Files are only listed when the bound may be near, and
            now and then, because other processes add to them.
        """
        with self._lock:
            self._size, self._added = self._size + n_bytes, self._added + 1
            if self._size <= self.max_bytes and self._added % RECOUNT:
                return
            groups = self._all_groups()
            sizes = [g.memory() for g in groups], [g.disk() for g in groups]
            # memory and folder are each within the bound
            self._size = max(self._drop_oldest(groups, place) for place in sizes)

    def _drop_oldest(self, groups: list[RecordGroup], sizes: list[list[tuple[str, int]]]) -> int:
        of_all = [
            (name, size, group)
            for group, listed in zip(groups, sizes, strict=True)
            for name, size in listed
        ]
        of_all.sort(key=lambda entry: entry[0])  # names begin with the time
        total = sum(size for _, size, _ in of_all)
        for name, size, group in of_all:
            if total <= self.max_bytes:
                break
            group.forget(name, delete=True)
            total -= size
        return total

    def _all_groups(self) -> list[RecordGroup]:
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*/spec.json"):
                spec = read_spec(path.parent)
                if spec is not None:
                    self.group(spec)
        return [self._groups[name] for name in sorted(self._groups)]

    def _after_fork(self) -> None:
        for group in self._groups.values():
            group.after_fork()

    def __deepcopy__(self, memo: dict) -> CoverageCache:
        return self  # clones of a transformer share it

    def __reduce__(self) -> tuple:
        return _reopen, (self.folder, self.max_bytes)


def open_cache(cache: Any) -> CoverageCache | None:
    """Turn the parameter ``cache`` into a cache.

    Parameters
    ----------
    cache : None, bool, "memory", path or CoverageCache
        None, False and an empty str: no cache; True: in the user's cache folder; "memory":
        one cache shared by everything in this process; a path: in that folder.

    Returns
    -------
    CoverageCache or None
        One object for one place, within a process.

    Raises
    ------
    TypeError
        When ``cache`` is none of these.

    Examples
    --------
    >>> from skfakespotter.cache import open_cache
    >>> open_cache("memory") is open_cache("memory")
    True
    """
    if cache is None or cache is False or (isinstance(cache, str) and not cache):
        return None
    if isinstance(cache, CoverageCache):
        return cache
    if cache is not True and not isinstance(cache, (str, os.PathLike)):
        raise TypeError(
            f"cache is {cache!r}: expected None, True, 'memory', a folder or a CoverageCache."
        )
    if isinstance(cache, str) and cache == "memory":
        return _reopen(None, MEMORY_BYTES, shared=True)
    folder = user_cache_folder() if cache is True else Path(cache).expanduser().absolute()
    return _reopen(folder, DISK_BYTES)


def user_cache_folder() -> Path:
    """Find the folder of ``cache=True``.

    Returns
    -------
    Path
        ``skfakespotter`` in ``$XDG_CACHE_HOME`` or in the platform's cache folder. For a user
        without a home, a folder of the user's own among the temporary files.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base, "skfakespotter")
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the user database
        return Path(tempfile.gettempdir(), f"skfakespotter-{os.getuid()}")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"), "skfakespotter")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "skfakespotter"


_CACHES: dict[tuple[Path | None, int], CoverageCache] = {}
_CACHES_LOCK = ForkSafeLock()


def _reopen(folder: Path | None, max_bytes: int, shared: bool = False) -> CoverageCache:
    """Return the one cache of this process for a place; unpickling comes here too."""
    if folder is None and not shared:
        return CoverageCache(max_bytes=max_bytes)
    with _CACHES_LOCK:
        key = (folder, max_bytes)
        if key not in _CACHES:
            _CACHES[key] = CoverageCache(folder, max_bytes=max_bytes)
        return _CACHES[key]


def _in_forked_child() -> None:
    """Let go of the parent's files."""
    for cache in list(_ALL):
        cache._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
