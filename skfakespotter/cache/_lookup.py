"""Lookup: the pictures of one call, each found in a cache, computed here, or awaited."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.cache._cache import CoverageCache
from skfakespotter.cache._contents import content_of, key_of, stamp_of
from skfakespotter.cache._group import File, RecordGroup
from skfakespotter.cache._records import Records
from skfakespotter.coverage import (
    DirectStatistics,
    ExactSums,
    PartialResult,
    Window,
    covers,
    holds_nothing,
    hull,
    window_for,
)

POLL = 0.05  # seconds between looks at what other processes are computing
PATIENCE = 300.0  # seconds without any progress after which their locks are ignored


class Lookup:
    """One call: every picture is found, computed here, or awaited from another process."""

    def __init__(
        self,
        direct: DirectStatistics,
        cache: CoverageCache,
        group: RecordGroup,
        X: Any,
        window: Window | None,
        pilot: Callable[[Any], ExactSums],
        thresholds: NDArray | None = None,
        granularity: str = "layer",
    ) -> None:
        self.direct, self.cache, self.group, self.X = direct, cache, group, X
        self.window, self.pilot = window, pilot
        self.thresholds, self.granularity = thresholds, granularity
        # answers are remembered under what was asked
        self._question = granularity, None if thresholds is None else thresholds.tobytes()
        self.contents: list[tuple[tuple, Any] | None] = [None] * len(X)
        self.keys: list[bytes | None] = [None] * len(X)
        self.locked: set[bytes] = set()
        self.sums: ExactSums | None = None  # of the pictures seen, while they place the window

    def parts(self) -> Iterator[PartialResult]:
        """Yield every picture's statistic once."""
        self._find_keys()
        pending, moved = np.arange(len(self.X)), time.monotonic()
        try:
            while len(pending):
                n_left = len(pending)
                left: list[int] = []
                regardless = time.monotonic() - moved > PATIENCE
                yield from self._round(pending, left, regardless)
                pending = np.sort(np.array(left, dtype=np.int64))
                if len(pending) < n_left:
                    moved = time.monotonic()
                else:
                    time.sleep(POLL)  # another process or thread is computing all of these
        finally:
            self.group.unlock(list(self.locked))

    def _round(
        self, pending: NDArray, left: list[int], regardless: bool
    ) -> Iterator[PartialResult]:
        """Compute what is free, read what is there; list in ``left`` what others compute."""
        self.group.refresh()
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)  # file: positions and rows
        known = [i for i in pending.tolist() if self.keys[i] is not None]
        unseen = self._look_up(known, found)
        unseen += [i for i in pending.tolist() if self.keys[i] is None]
        waiting: list[int] = []
        pixels: list[NDArray] = []
        for positions, batch in self.direct.batches(self.X, self._order(unseen)):
            self._learn_keys(positions, batch)
            missing = self._look_up(positions.tolist(), found)
            free = set(self._lock(missing, regardless))
            left.extend(i for i in missing if i not in free)
            rows = [row for row, i in enumerate(positions.tolist()) if i in free]
            waiting += positions[rows].tolist()
            pixels += [batch[row] for row in rows]
            while len(waiting) >= self._batch_size():
                yield self._compute(waiting, pixels)
        while waiting:
            yield self._compute(waiting, pixels)
        yield from self._read(found, left)

    def _find_keys(self) -> None:
        """Find the keys of files whose content this process has seen."""
        for i, picture in enumerate(self.X):
            content = self.contents[i] = content_of(picture, self.direct.form)
            self.keys[i] = None if content is None else self.cache.key_of_content(content[0])

    def _learn_keys(self, positions: NDArray, batch: NDArray) -> None:
        for position, picture in zip(positions.tolist(), batch, strict=True):
            key = self.keys[position] = key_of(picture)
            content = self.contents[position]
            # of a file that changed meanwhile nobody knows which content the pixels are of
            if content is not None and content[1] == stamp_of(self.X[position]):
                self.cache.remember_content(content[0], key)

    def _look_up(self, positions: list[int], found: dict) -> list[int]:
        """List in ``found`` where records are; return the positions without one."""
        places = self.group.find([self.keys[i] for i in positions], self._enough)
        for position, place in zip(positions, places, strict=True):
            if place is not None:
                found[place[0]].append((position, place[1]))
        return [i for i, place in zip(positions, places, strict=True) if place is None]

    def _enough(self, file: File) -> bool:
        return self.thresholds is None or covers(file.low, file.high, self.thresholds)

    def _lock(self, positions: list[int], regardless: bool) -> list[int]:
        if not positions:
            return []
        if self.window is None:
            self.sums = self.pilot(self.X)
            self._place_window()
        keys = self._keys(positions)
        mine = self.group.lock(keys, self._enough, regardless=regardless)
        chosen = [i for i, is_mine in zip(positions, mine, strict=True) if is_mine]
        self.locked.update(self._keys(chosen))
        return chosen

    def _keys(self, positions: list[int]) -> list[bytes]:
        """Return keys of pictures that were looked at."""
        return [key for key in (self.keys[i] for i in positions) if key is not None]

    def _batch_size(self) -> int:
        """Begin with small batches while the window is wide, because few sums are known."""
        if self.sums is None:
            return self.direct.n_at_once
        return min(self.direct.n_at_once, max(1, 2 * self.sums.n_pictures))

    def _order(self, unseen: list[int]) -> NDArray[np.int64]:
        """Mix the pictures, so that the sums seen so far stand for all of them."""
        positions = np.array(sorted(unseen), dtype=np.int64)
        mixed = self.window is None or self.sums is not None
        return np.random.default_rng(0).permutation(positions) if mixed else positions

    def _compute(self, waiting: list[int], pixels: list[NDArray]) -> PartialResult:
        """Compute the first batch of those waiting, and take it off."""
        now = slice(self._batch_size())
        part = self._compute_batch(waiting[now], pixels[now])
        del waiting[now], pixels[now]
        return part

    def _compute_batch(self, positions: list[int], pixels: list[NDArray]) -> PartialResult:
        keys = self._keys(positions)
        records = Records.keyed(keys, self.direct.observe(np.stack(pixels), self._window_of(keys)))
        if self.sums is not None:
            self.sums.add(records.sums)
            self._place_window()
        self.group.add(records)
        self.locked.difference_update(keys)
        return PartialResult(np.array(positions), self._asked(records))

    def _place_window(self) -> None:
        assert self.sums is not None
        self.window = window_for(self.sums, self.direct.neurons_per_threshold, len(self.X))

    def _window_of(self, keys: list[bytes]) -> Window:
        """Return the window to keep, wide enough for what was kept of these pictures before."""
        assert self.window is not None
        if holds_nothing(self.window):
            return self.window
        return hull([self.window, *self.group.windows(keys)])

    def _read(self, found: dict, left: list[int]) -> Iterator[PartialResult]:
        for name, places in found.items():
            answer = self.group.answer(name, self._question, self._answer)
            if answer is None:  # removed to make room, or damaged
                left.extend(position for position, _ in places)
            else:
                positions, rows = np.array(places).T
                yield PartialResult(positions, answer[0][rows])

    def _answer(self, name: str) -> tuple[NDArray] | None:
        """Return sums or counts of all pictures of a file."""
        if self.thresholds is None:
            head = self.group.load(name, head=True)
            return None if head is None else (head["sums"],)
        records = self.group.load(name)
        return None if records is None else (self._asked(records),)

    def _asked(self, records: Records) -> NDArray:
        if self.thresholds is None:
            return records.sums
        return records.counts(self.thresholds, self.granularity)
