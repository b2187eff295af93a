"""Shelf: the records of one network and set of options, in files that never change."""

import json
import os
import shutil
import threading
import time
import uuid
import warnings
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np

from skfakespotter.cache._locks import Claims
from skfakespotter.cache._records import DamagedRecords, Records

ANSWER_BYTES = 32 * 2**20


class File(NamedTuple):
    """What is known of a file of records; ``records`` when it is in memory instead."""

    low: np.ndarray
    high: np.ndarray
    n_bytes: int
    records: Records | None


class Shelf:
    """Records of one network and set of options; :meth:`CoverageCache.shelf` makes it.

    A file holds the records of one batch and never changes. It is written under another
    name first, so that it is complete as soon as it has its own.

    Parameters
    ----------
    spec : dict
        The network and the options.
    folder : Path or None
        Where the files are.
    store : CoverageCache
        Which bounds the size.

    Attributes
    ----------
    files : dict of str to File
        By name, which begins with the time of writing.
    places : dict of bytes to (str, int)
        File and row where a picture's latest record is.
    """

    def __init__(self, spec, folder, store):
        self.spec, self.folder, self._store = spec, folder, store
        self.files, self.places = {}, {}
        self._lock = threading.RLock()
        self._mine = set()
        self._answers = OrderedDict()  # the latest ones, within ANSWER_BYTES
        self._damaged = set()
        self._shared = folder is not None  # False once writing has failed
        self._claims = None

    def refresh(self):
        """Take notice of files that others wrote or removed."""
        if self.folder is None:
            return
        with self._lock:
            try:
                present = {e.name: e for e in os.scandir(self.folder) if e.name.endswith(".npz")}
            except OSError:
                return
            on_disk = [name for name, file in self.files.items() if file.records is None]
            for name in set(on_disk) - present.keys():
                self.forget(name)
            for name in sorted(present.keys() - self.files.keys() - self._damaged):
                self._index(name, present[name])

    def find(self, keys, enough):
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
            verdicts = {}
            places = [self.places.get(key) for key in keys]
            for name in {place[0] for place in places if place}:
                verdicts[name] = enough(self.files[name])
            return [place if place and verdicts[place[0]] else None for place in places]

    def windows(self, keys):
        """Give the windows of the records of pictures.

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

    def load(self, name, *, only=None):
        """Read a file.

        Parameters
        ----------
        name : str
            One that :meth:`find` gave.
        only : sequence of str, default=None
            Arrays to read; None reads all.

        Returns
        -------
        Records, dict of str to ndarray when ``only`` is given, or None
            None when it has been removed or is damaged; it is forgotten then.
        """
        with self._lock:
            file = self.files.get(name)
        if file is None:
            return None
        if file.records is not None:
            return {key: getattr(file.records, key) for key in only} if only else file.records
        try:
            return Records.load(self.folder / name, only=only)
        except (OSError, DamagedRecords) as error:
            self._discard(name, error)
            return None

    def answer(self, name, question, compute):
        """Give what was computed from a file for the same question, or compute it.

        A grid search asks the same folds again for every candidate.

        Parameters
        ----------
        name : str
            The file.
        question : tuple
            What is asked; it can be hashed.
        compute : callable
            ``compute(name)`` gives a tuple of arrays, or None when the file is gone.

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

    def claim(self, keys, enough, *, regardless=False):
        """Choose what this call is to compute: what nobody has, and nobody else is computing.

        Parameters
        ----------
        keys : list of bytes
            Pictures wanted.
        enough : callable
            As for :meth:`find`.
        regardless : bool, default=False
            Take also what others claim.

        Returns
        -------
        list of bool
            True: the caller must compute it, and then :meth:`add` or :meth:`release` it.
        """
        with self._exclusive() as claims:
            self.refresh()
            busy = self._mine | (claims.others() if claims and not regardless else set())
            chosen = []
            for key, place in zip(keys, self.find(keys, enough), strict=True):
                chosen.append(place is None and key not in busy)
                busy.add(key)  # the same picture twice
            self._mine |= {key for key, mine in zip(keys, chosen, strict=True) if mine}
            self._publish(claims)
        return chosen

    def add(self, records):
        """Keep records and end the claims on them.

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
        self.release(_as_bytes(records.keys))
        self._store.make_room(kept[0])

    def release(self, keys):
        """End claims.

        Parameters
        ----------
        keys : list of bytes
            What was claimed.
        """
        if not keys:
            return  # a folder that can only be read is never written
        with self._exclusive() as claims:
            self._mine.difference_update(keys)
            self._publish(claims)

    def forget(self, name, *, delete=False):
        """Drop a file from the index, and from the disk if asked."""
        with self._lock:
            if self.files.pop(name, None) is not None:
                for key in [key for key, place in self.places.items() if place[0] == name]:
                    del self.places[key]
        if delete and self.folder is not None:
            with suppress(OSError):
                (self.folder / name).unlink()

    def memory(self):
        """List name and size of the files that are in memory."""
        with self._lock:
            return [(name, f.n_bytes) for name, f in self.files.items() if f.records is not None]

    def disk(self):
        """List name and size of the files on disk, whoever wrote them."""
        try:
            entries = [e for e in os.scandir(self.folder or "") if e.name.endswith(".npz")]
            return [(entry.name, entry.stat().st_size) for entry in entries]
        except OSError:  # none, or removed meanwhile
            return []

    def clear(self):
        """Drop everything."""
        with self._lock:
            self.files.clear()
            self.places.clear()
            self._damaged.clear()
            self._answers.clear()
            self._claims, self._shared = None, self.folder is not None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _exclusive(self):
        """Keep out other threads, and other processes where the folder can be written."""
        with self._lock:
            claims = self._open()
            try:
                yield claims
            finally:
                if claims:
                    claims.mutex.release()

    def _open(self):
        """Take the lock of the folder; None where there is none to be had."""
        if not self._shared:
            return None
        try:
            if self._claims is None:
                claims = Claims(self.folder / "claims")
                claims.folder.mkdir(parents=True, exist_ok=True)
                text = json.dumps(self.spec, indent=1, sort_keys=True)
                (self.folder / "spec.json").write_text(text + "\n")
                with claims.mutex:
                    claims.announce()
                self._claims = claims
            self._claims.mutex.acquire()
            return self._claims
        except (OSError, NotImplementedError) as error:
            self._give_up(error)
            return None

    def _publish(self, claims):
        try:
            if claims:
                claims.publish(self._mine)
        except OSError as error:
            self._give_up(error)

    def _write(self, name, records):
        """Write a file; give its size, or None when that is impossible."""
        owner = self._claims.owner if self._claims else "nobody"
        temporary = self.folder / f"{owner}-{uuid.uuid4().hex[:8]}.tmp"
        try:
            with open(temporary, "wb") as file:
                records.save(file)
            n_bytes = temporary.stat().st_size
            os.replace(temporary, self.folder / name)
            return n_bytes
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            self._give_up(error)
            return None

    def _give_up(self, error):
        self._shared = False
        warnings.warn(
            f"the store in {str(self.folder)!r} cannot be written ({error}): new records stay in "
            "the memory of this process.",
            UserWarning,
            stacklevel=2,
        )

    def _index(self, name, entry):
        try:
            head = Records.load(entry.path, only=("keys", "low", "high"))
            n_bytes = entry.stat().st_size
        except (OSError, DamagedRecords) as error:
            self._discard(name, error)
            return
        self._enter(name, head["keys"], File(head["low"], head["high"], n_bytes, None))

    def _enter(self, name, keys, file):
        self.files[name] = file
        for row, key in enumerate(_as_bytes(keys)):
            if key not in self.places or self.places[key][0] < name:  # the later one counts
                self.places[key] = (name, row)

    def _discard(self, name, error):
        self.forget(name)
        if isinstance(error, FileNotFoundError):  # another process made room
            return
        self._damaged.add(name)
        warnings.warn(
            f"the store ignores a damaged file ({error}) and computes its pictures again.",
            UserWarning,
            stacklevel=2,
        )
        with suppress(OSError):
            (self.folder / name).unlink()


def _as_bytes(keys):
    return [key.tobytes() for key in keys]
