"""CoverageCache: remembers, picture by picture, what the network said about it."""

import hashlib
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from skfakespotter.cache._group import Shelf

VERSION = 2  # raise it when what is kept, or the way the network computes it, changes
DISK_BYTES = 10 * 10**9
MEMORY_BYTES = 10**9
RECOUNT = 32  # files


class CoverageCache:
    """Statistics of pictures seen before, on disk or in memory.

    A record depends on the pixels the network sees, the network's weights and the options
    of the neurons, and on nothing else: no label, no path, no time, no other fold. See
    ``docs/scale.md``.

    Parameters
    ----------
    folder : path, default=None
        Where to keep it; processes may share it. None: in the memory of this process.
    max_bytes : int, default=None
        Bound, beyond which the oldest records go. None: 10 GB on disk, 1 GB in memory.

    See Also
    --------
    NeuronCoverageTransformer : Takes a store, or its folder, as ``cache``.

    Examples
    --------
    >>> from skfakespotter import NeuronCoverageTransformer, make_pictures
    >>> from skfakespotter.cache import CoverageCache
    >>> store = CoverageCache()
    >>> X, y = make_pictures(8, random_state=0)
    >>> coverage = NeuronCoverageTransformer("toy_image", cache=store).fit(X)
    >>> len(store)
    8
    >>> store.clear()
    >>> len(store)
    0
    """

    def __init__(self, folder=None, *, max_bytes=None):
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        if max_bytes is None:
            max_bytes = MEMORY_BYTES if folder is None else DISK_BYTES
        if not isinstance(max_bytes, (int, np.integer)) or max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes!r}: expected an int of at least 0.")
        self.max_bytes = int(max_bytes)
        self._shelves = {}
        self._size = self._added = 0
        self._lock = threading.RLock()

    def __repr__(self):
        return f"CoverageCache({str(self.folder) if self.folder else None!r})"

    def __len__(self):
        return sum(entry["pictures"] for entry in self.info())

    def info(self):
        """Describe the content.

        Returns
        -------
        list of dict
            One per network and set of options: these options, and ``pictures`` and
            ``bytes`` kept.
        """
        found = []
        for shelf in self._all_shelves():
            shelf.refresh()
            n_bytes = sum(file.n_bytes for file in shelf.files.values())
            found.append({**shelf.spec, "pictures": len(shelf.places), "bytes": n_bytes})
        return found

    def clear(self):
        """Forget everything and delete the files; nothing else in the folder is touched."""
        for shelf in self._all_shelves():
            shelf.clear()
        self._shelves.clear()

    def shelf(self, spec):
        """Give the part of the store for one network and set of options.

        Parameters
        ----------
        spec : dict
            What a record depends on apart from the picture; it can be written as JSON.

        Returns
        -------
        Shelf
            The same one for the same ``spec``.
        """
        text = json.dumps({**spec, "version": VERSION}, sort_keys=True)
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        with self._lock:
            if name not in self._shelves:
                folder = None if self.folder is None else self.folder / name
                self._shelves[name] = Shelf(json.loads(text), folder, self)
            return self._shelves[name]

    def make_room(self, n_bytes):
        """Drop the oldest records if, with so many bytes more, the store exceeds its bound.

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
            shelves = self._all_shelves()
            sizes = [s.memory() for s in shelves], [s.disk() for s in shelves]
            self._size = 0
            for place in sizes:  # memory and folder are each within the bound
                of_all = [
                    (name, size, shelf)
                    for shelf, listed in zip(shelves, place, strict=True)
                    for name, size in listed
                ]
                of_all.sort(key=lambda entry: entry[0])  # names begin with the time
                total = sum(size for _, size, _ in of_all)
                for name, size, shelf in of_all:
                    if total <= self.max_bytes:
                        break
                    shelf.forget(name, delete=True)
                    total -= size
                self._size = max(self._size, total)

    def _all_shelves(self):
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*/spec.json"):
                with suppress(OSError, ValueError), self._lock:
                    spec = json.loads(path.read_text())
                    name = path.parent.name
                    self._shelves.setdefault(name, Shelf(spec, path.parent, self))
        return [self._shelves[name] for name in sorted(self._shelves)]

    def __deepcopy__(self, memo):
        return self  # clones of a transformer share it

    def __reduce__(self):
        return _reopen, (self.folder, self.max_bytes)


def open_cache(cache):
    """Turn the parameter ``cache`` into a store.

    Parameters
    ----------
    cache : None, bool, "memory", path or CoverageCache
        None and False: no store; True: in the user's cache folder; "memory": one store
        shared by everything in this process; a path: in that folder.

    Returns
    -------
    CoverageCache or None
        The same one for the same place, within a process.

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
    if cache is None or cache is False:
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


def user_cache_folder():
    """Give the folder of ``cache=True``.

    Returns
    -------
    Path
        ``skfakespotter`` in ``$XDG_CACHE_HOME`` or in the platform's cache folder.
    """
    home = Path.home()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base, "skfakespotter")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"), "skfakespotter")
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "skfakespotter"


_STORES = {}
_STORES_LOCK = threading.Lock()


def _reopen(folder, max_bytes, shared=False):
    """Give the one store of this process for a place; unpickling comes here too."""
    if folder is None and not shared:
        return CoverageCache(max_bytes=max_bytes)
    with _STORES_LOCK:
        key = (folder, max_bytes)
        if key not in _STORES:
            _STORES[key] = CoverageCache(folder, max_bytes=max_bytes)
        return _STORES[key]
