"""Recall: statistics of pictures from the store, computing only what is not there."""

import hashlib
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from skfakespotter.cache._crops import content_of, known_key, remember
from skfakespotter.cache._records import (
    KEY_BYTES,
    Records,
    covers,
    finite,
    hull,
    sums_only,
    window_for,
)

POLL = 0.05  # seconds between looks at what other processes are computing
PATIENCE = 300.0  # seconds without any progress after which their claims are ignored


@dataclass(frozen=True)
class Part:
    """A statistic of some of the pictures.

    Parameters
    ----------
    positions : ndarray of shape (k,), int
        Which pictures.
    values : ndarray of shape (k, width)
        Their statistics.
    n_neurons, n_channels : ndarray of shape (L,), int
        Of the layers.
    """

    positions: np.ndarray
    values: np.ndarray
    n_neurons: np.ndarray
    n_channels: np.ndarray

    def __len__(self):
        return len(self.positions)


def recall(passes, X, *, window=None, keep_window=True, thresholds=None, granularity="layer"):
    """Give the sums, or the counts above thresholds, of every picture.

    Parameters
    ----------
    passes : Passes
        The network, the options and the store.
    X : list or ndarray
        Checked pictures, or numbers (n, n_features).
    window : (ndarray, ndarray), default=None
        Of the records to be made. None: a pilot places it when the first is made.
    keep_window : bool, default=True
        False makes records of sums only.
    thresholds : ndarray of shape (L,), default=None
        Count above these; None gives the sums instead.
    granularity : {"layer", "channel"}, default="layer"
        What to count.

    Yields
    ------
    Part
        Every picture once: first what was computed, then what was found.
    """
    yield from _Recall(passes, X, window, keep_window, thresholds, granularity).parts()


class _Recall:
    def __init__(self, passes, X, window, keep_window, thresholds, granularity):
        self.passes, self.X, self.shelf = passes, X, passes.shelf(X)
        self.window, self.keep_window = window, keep_window
        self.thresholds, self.granularity = thresholds, granularity
        self.form = passes.size, passes.backbone.crop
        self.contents = [None if isinstance(X, np.ndarray) else content_of(x) for x in X]
        self.keys = [content and known_key(content, self.form) for content in self.contents]
        # results are remembered under what was asked
        self._question = granularity, None if thresholds is None else thresholds.tobytes()
        self.claimed = set()
        self.moments, self.n_neurons = None, None  # of the sums seen, when they place the window

    def parts(self):
        pending, moved = np.arange(len(self.X)), time.monotonic()
        try:
            while len(pending):
                n_left, left = len(pending), []
                regardless = time.monotonic() - moved > PATIENCE
                yield from self._round(pending, left, regardless)
                pending = np.sort(np.array(left, dtype=np.int64))
                if len(pending) < n_left:
                    moved = time.monotonic()
                else:
                    time.sleep(POLL)  # another process or thread is computing all of these
        finally:
            self.shelf.release(list(self.claimed))

    def _round(self, pending, left, regardless):
        """Compute what is free, read what is there; list in ``left`` what others compute."""
        self.shelf.refresh()
        found = defaultdict(list)  # file: positions and rows
        known = [i for i in pending.tolist() if self.keys[i] is not None]
        unseen = self._look_up(known, found)
        unseen += [i for i in pending.tolist() if self.keys[i] is None]
        waiting, pixels = [], []
        for positions, batch in self.passes.numbered(self.X, self._order(unseen)):
            for position, picture in zip(positions, batch, strict=True):
                self.keys[position] = _key(picture)
                if (content := self.contents[position]) is not None:
                    remember(self.X[position], content, self.form, self.keys[position])
            missing = self._look_up(positions.tolist(), found)
            free = set(self._claim(missing, regardless))
            left.extend(i for i in missing if i not in free)
            rows = [row for row, i in enumerate(positions.tolist()) if i in free]
            waiting += positions[rows].tolist()
            pixels += [batch[row] for row in rows]
            while len(waiting) >= self._batch_size():
                yield self._compute(waiting, pixels)
        while waiting:
            yield self._compute(waiting, pixels)
        yield from self._read(found, left)

    def _look_up(self, positions, found):
        """List in ``found`` where records are; give the positions without one."""
        places = self.shelf.find([self.keys[i] for i in positions], self._enough)
        for position, place in zip(positions, places, strict=True):
            if place is not None:
                found[place[0]].append((position, place[1]))
        return [i for i, place in zip(positions, places, strict=True) if place is None]

    def _enough(self, file):
        return self.thresholds is None or covers(file.low, file.high, self.thresholds)

    def _claim(self, positions, regardless):
        if not positions:
            return []
        if self.window is None and self.keep_window:
            self.moments, self.n_neurons = self.passes.pilot(self.X)
            self.window = window_for(self.moments, self.n_neurons, len(self.X))
        keys = [self.keys[i] for i in positions]
        mine = self.shelf.claim(keys, self._enough, regardless=regardless)
        chosen = [i for i, is_mine in zip(positions, mine, strict=True) if is_mine]
        self.claimed.update(self.keys[i] for i in chosen)
        return chosen

    def _batch_size(self):
        """Begin with small batches while the window is wide, because few sums are known."""
        if self.moments is None:
            return self.passes.batch_size
        return min(self.passes.batch_size, 2 * self.moments.n)

    def _order(self, unseen):
        """Mix the pictures, so that the sums seen so far stand for all of them."""
        unseen = np.array(sorted(unseen), dtype=np.int64)
        mixed = (self.window is None and self.keep_window) or self.moments is not None
        return np.random.default_rng(0).permutation(unseen) if mixed else unseen

    def _compute(self, waiting, pixels):
        """Compute the first batch of those waiting, and take it off."""
        now = slice(self._batch_size())
        part = self._compute_batch(waiting[now], pixels[now])
        del waiting[now], pixels[now]
        return part

    def _compute_batch(self, positions, pixels):
        keys = [self.keys[i] for i in positions]
        x = self.passes.network_input(np.stack(pixels))
        array = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        if self.keep_window:
            window = hull([self.window, *self.shelf.windows(keys)])
            records = _observe(self.passes, x, array, window)
        else:
            sums = self.passes.monitor.sums(x).cpu().numpy()
            records = sums_only(array, sums, *self.passes.layout())
        if self.moments is not None:
            self.moments.add(finite(records.sums, self.passes.monitor.layer_names))
            self.window = window_for(self.moments, self.n_neurons, len(self.X))
        self.shelf.add(records)
        self.claimed.difference_update(keys)
        layout = records.n_neurons, records.n_channels
        values = records.sums if self.thresholds is None else self._count(records)[0]
        return Part(np.array(positions), values, *layout)

    def _read(self, found, left):
        for name, places in found.items():
            answer = self.shelf.answer(name, self._question, self._answer)
            if answer is None:  # removed to make room, or damaged
                left.extend(position for position, _ in places)
            else:
                positions, rows = np.array(places).T
                values, n_neurons, n_channels = answer
                yield Part(positions, values[rows], n_neurons, n_channels)

    def _answer(self, name):
        """Give sums or counts of all pictures of a file, and the layers' sizes."""
        if self.thresholds is None:
            sums = self.shelf.load(name, only=("sums", "n_neurons", "n_channels"))
            return sums and tuple(sums.values())
        records = self.shelf.load(name)
        return records and self._count(records)

    def _count(self, records):
        counts = records.counts(self.thresholds)
        if self.granularity == "layer":
            first_channels = np.cumsum(records.n_channels) - records.n_channels
            counts = np.add.reduceat(counts, first_channels, axis=1)
        return counts.astype(np.float32), records.n_neurons, records.n_channels


def _observe(passes, x, keys, window):
    """Run the network and keep what a window asks for."""
    sums, above, (picture, channel, value) = passes.monitor.window(x, *window)
    order = np.argsort(picture, kind="stable")
    counted = np.bincount(picture, minlength=len(keys))
    n_neurons, n_channels = passes.layout()
    return Records(
        keys=keys,
        sums=sums,
        low=window[0],
        high=window[1],
        above=above.astype(np.min_scalar_type(int(above.max()))),
        starts=np.concatenate([[0], np.cumsum(counted)]),
        channels=channel[order].astype(np.min_scalar_type(above.shape[1] - 1)),
        values=value[order],
        n_neurons=n_neurons,
        n_channels=n_channels,
    )


def _key(picture):
    return hashlib.blake2b(picture.tobytes(), digest_size=KEY_BYTES).digest()
