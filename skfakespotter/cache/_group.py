"""RecordGroup: the records of one network and set of options, in files that never change."""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from skfakespotter._forking import ForkSafeLock
from skfakespotter.cache._folders import GroupFolder, group_name
from skfakespotter.cache._locks import KeyLocks
from skfakespotter.cache._records import DamagedRecords, Records, keys_of
from skfakespotter.coverage import Window

ANSWER_BYTES = 32 * 2**20


class File(NamedTuple):
    """What is known of a file of records; ``records`` when it is in memory instead."""

    low: NDArray
    high: NDArray
    n_bytes: int
    records: Records | None


class RecordGroup:
    """Records of one network and set of options; :meth:`CoverageCache.group` makes it.

    A file holds the records of one batch and never changes.

    Parameters
    ----------
    spec : dict
        The network and the options.
    path : Path or None
        Folder of the files; None keeps them in memory.
    on_added : callable
        Called with the size of every file added.

    Attributes
    ----------
    files : dict of str to File
        By name, which begins with the time of writing.
    places : dict of bytes to (str, int)
        File and row where a picture's latest record is.
    """

    def __init__(self, spec: dict, path: Path | None, on_added: Callable[[int], None]) -> None:
        self.spec, self.name, self._on_added = spec, group_name(spec), on_added
        self.folder = None if path is None else GroupFolder(path, spec)
        self.files: dict[str, File] = {}
        self.places: dict[bytes, tuple[str, int]] = {}
        self._mine: set[bytes] = set()
        self._answers: OrderedDict[tuple, tuple[int, tuple]] = OrderedDict()
        self._ignored: set[str] = set()  # damaged, or not to be read now
        self._lock = ForkSafeLock()
        self.after_fork()

    def after_fork(self) -> None:
        """Let go of what belongs to the parent process."""
        self._shared = self.folder is not None  # False once writing has failed
        self._locks: KeyLocks | None = None
        self._mine.clear()

    def refresh(self) -> None:
        """Take notice of files that others wrote or removed."""
        if self.folder is None:
            return
        with self._lock:
            present = dict(self.folder.list())
            on_disk = [name for name, file in self.files.items() if file.records is None]
            for name in set(on_disk) - present.keys():
                self.forget(name)
            for name in sorted(present.keys() - self.files.keys() - self._ignored):
                self._index(self.folder, name, present[name])

    def find(
        self, keys: Sequence[bytes | None], enough: Callable[[File], bool]
    ) -> list[tuple[str, int] | None]:
        """Look pictures up.

        Parameters
        ----------
        keys : list of bytes
            Of the pictures' contents.
        enough : callable
            ``enough(file)`` tells whether the records of a :class:`File` will do.

        Returns
        -------
        list of (str, int) or None
            File and row of each picture's record; None where there is none that will do.
        """
        with self._lock:
            places = [None if key is None else self.places.get(key) for key in keys]
            verdicts = {
                name: enough(self.files[name]) for name in {place[0] for place in places if place}
            }
            return [place if place and verdicts[place[0]] else None for place in places]

    def windows(self, keys: Sequence[bytes]) -> list[Window]:
        """List the windows of the records of pictures.

        Parameters
        ----------
        keys : list of bytes
            Of the pictures' contents.

        Returns
        -------
        list of (ndarray, ndarray)
            Each file's once.
        """
        with self._lock:
            names = {self.places[key][0] for key in keys if key in self.places}
            return [(self.files[name].low, self.files[name].high) for name in names]

    def load(self, name: str, *, head: bool = False) -> Any:
        """Read a file.

        Parameters
        ----------
        name : str
            One that :meth:`find` returned.
        head : bool, default=False
            Read only what an index needs.

        Returns
        -------
        Records, dict of str to ndarray, or None
            None when it has been removed or is damaged; it is forgotten then.
        """
        with self._lock:
            file = self.files.get(name)
        if file is None:
            return None
        if file.records is not None or self.folder is None:
            return vars(file.records) if head else file.records
        try:
            return self.folder.load(name, head=head)
        except (OSError, DamagedRecords) as error:
            self._ignore(name, error)
            return None

    def answer(self, name: str, question: tuple, compute: Callable[[str], tuple | None]) -> Any:
        """Return what was computed from a file for the same question, or compute it.

        A grid search asks the same folds again for every candidate.

        Parameters
        ----------
        name : str
            The file.
        question : tuple
            What is asked; it can be hashed.
        compute : callable
            ``compute(name)`` returns a tuple of arrays, or None when the file is gone.

        Returns
        -------
        tuple of ndarray, or None
            The answer. Do not change it.
        """
        with self._lock:
            if (name, question) in self._answers and name in self.files:
                self._answers.move_to_end((name, question))
                return self._answers[name, question][1]
        answer = compute(name)
        if answer is not None:
            n_bytes = sum(array.nbytes for array in answer)
            with self._lock:
                self._answers[name, question] = n_bytes, answer
                while sum(size for size, _ in self._answers.values()) > ANSWER_BYTES:
                    self._answers.popitem(last=False)
        return answer

    def lock(
        self, keys: Sequence[bytes], enough: Callable[[File], bool], *, regardless: bool = False
    ) -> list[bool]:
        """Choose what this call is to compute: what nobody has, and nobody else is computing.

        Parameters
        ----------
        keys : list of bytes
            Pictures wanted.
        enough : callable
            As for :meth:`find`.
        regardless : bool, default=False
            Take also what other processes are computing.

        Returns
        -------
        list of bool
            True: the caller must compute it, and then :meth:`add` or :meth:`unlock` it.
        """
        with self._exclusive() as locks:
            self.refresh()
            busy = self._mine | (self._others(locks) if not regardless else set())
            chosen = []
            for key, place in zip(keys, self.find(keys, enough), strict=True):
                chosen.append(place is None and key not in busy)
                busy.add(key)  # the same picture twice
            self._mine |= {key for key, mine in zip(keys, chosen, strict=True) if mine}
            self._publish(locks)
        return chosen

    def add(self, records: Records) -> None:
        """Keep records and unlock their keys.

        Parameters
        ----------
        records : Records
            Of one batch.
        """
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.npz"
        n_bytes = self._write(name, records) if self._shared else None
        kept = (records.nbytes, records) if n_bytes is None else (n_bytes, None)
        with self._lock:
            self._enter(name, records.keys, File(records.low, records.high, *kept))
        self.unlock(keys_of(records.keys))
        self._on_added(kept[0])

    def unlock(self, keys: Sequence[bytes]) -> None:
        """Leave keys to others.

        Parameters
        ----------
        keys : list of bytes
            What :meth:`lock` chose.
        """
        if not keys:
            return  # a folder that can only be read is never written
        with self._exclusive() as locks:
            self._mine.difference_update(keys)
            self._publish(locks)

    def forget(self, name: str, *, delete: bool = False) -> None:
        """Drop a file from the index, and from the disk if asked."""
        with self._lock:
            if self.files.pop(name, None) is not None:
                for key in [key for key, place in self.places.items() if place[0] == name]:
                    del self.places[key]
        if delete and self.folder is not None:
            self.folder.remove(name)

    def memory(self) -> list[tuple[str, int]]:
        """List name and size of the files that are in memory."""
        with self._lock:
            return [(name, f.n_bytes) for name, f in self.files.items() if f.records is not None]

    def disk(self) -> list[tuple[str, int]]:
        """List name and size of the files on disk, whoever wrote them."""
        sizes = []
        for name, entry in self.folder.list() if self.folder is not None else ():
            with suppress(OSError):  # removed meanwhile
                sizes.append((name, entry.stat().st_size))
        return sizes

    def clear(self) -> None:
        """Drop everything, and remove the files that a cache made; others stay."""
        with self._lock:
            for held in (self.files, self.places, self._ignored, self._answers, self._mine):
                held.clear()
            self._locks, self._shared = None, self.folder is not None
        if self.folder is not None:
            self.folder.clear()

    @contextmanager
    def _exclusive(self) -> Iterator[KeyLocks | None]:
        """Keep out other threads, and other processes where the folder can be written."""
        with self._lock:
            locks = self._open()
            try:
                yield locks
            finally:
                if locks:
                    locks.mutex.release()

    def _open(self) -> KeyLocks | None:
        """Take the lock of the folder; None where it cannot be taken."""
        if not self._shared or self.folder is None:
            return None
        try:
            if self._locks is None:
                self.folder.make(self._owner)
                locks = KeyLocks(self.folder.locks)
                with locks.mutex:
                    locks.announce()
                self._locks = locks
            self._locks.mutex.acquire()
            return self._locks
        except (OSError, NotImplementedError) as error:  # the latter: a disk without locks
            self._give_up(error)
            return None

    def _others(self, locks: KeyLocks | None) -> set[bytes]:
        try:
            return locks.others() if locks else set()
        except OSError as error:
            self._give_up(error)
            return set()

    def _publish(self, locks: KeyLocks | None) -> None:
        try:
            if locks and self._shared:
                locks.publish(self._mine)
        except OSError as error:
            self._give_up(error)

    def _write(self, name: str, records: Records) -> int | None:
        """Write a file; return its size, or None when that is impossible."""
        assert self.folder is not None
        try:
            return self.folder.write(name, records, self._owner)
        except OSError as error:
            self._give_up(error)
            return None

    @property
    def _owner(self) -> str:
        return self._locks.owner if self._locks else f"{os.getpid()}-{0:012x}"

    def _give_up(self, error: Exception) -> None:
        self._shared = False
        if self._locks:
            self._locks.withdraw()  # or others would wait for what is not shared any more
        where = self.folder and str(self.folder.path)
        warnings.warn(
            f"the cache in {where!r} cannot be written ({error}): new records stay in the memory "
            "of this process.",
            UserWarning,
            stacklevel=2,
        )

    def _index(self, folder: GroupFolder, name: str, entry: os.DirEntry) -> None:
        try:
            head, n_bytes = folder.load(name, head=True), entry.stat().st_size
        except (OSError, DamagedRecords) as error:
            self._ignore(name, error)
            return
        self._enter(name, head["keys"], File(head["low"], head["high"], n_bytes, None))

    def _enter(self, name: str, keys: NDArray, file: File) -> None:
        self.files[name] = file
        for row, key in enumerate(keys_of(keys)):
            if key not in self.places or self.places[key][0] < name:  # the later one counts
                self.places[key] = (name, row)

    def _ignore(self, name: str, error: Exception) -> None:
        """Go on without a file; remove it only where its content is damaged."""
        self.forget(name)
        if isinstance(error, FileNotFoundError):  # another process made room
            return
        self._ignored.add(name)
        damaged = isinstance(error, DamagedRecords)
        what = "ignores a damaged file" if damaged else "cannot read a file"
        warnings.warn(
            f"the cache {what} ({error}) and computes its pictures again.",
            UserWarning,
            stacklevel=2,
        )
        if damaged:
            self.forget(name, delete=True)
