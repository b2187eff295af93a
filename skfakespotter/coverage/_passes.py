"""Passes: statistics of pictures, from the network or from the store, here or elsewhere.

Pictures go in, one small vector per picture comes out, batch by batch, so that memory is
bounded by the batch and the work can be split into joblib tasks.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral

import joblib
import numpy as np
import torch

from skfakespotter._device import resolve_devices
from skfakespotter._prefetch import in_this_process, iter_batches
from skfakespotter._progress import track
from skfakespotter.backbones import Backbone
from skfakespotter.cache import CoverageCache
from skfakespotter.cache._cached import Part, recall
from skfakespotter.cache._records import finite, hull, window_for
from skfakespotter.coverage._lanes import Lane, run_lanes
from skfakespotter.coverage._moments import ExactMoments
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.images import ImageError

PILOT = 0.06  # share of the training pictures that passes twice, to place the window
PILOT_RANGE = (4, 2048)  # pictures
TASK_BATCHES = 4  # batches per parallel task, at most


def check_batch_size(batch_size):
    """Raise ValueError unless it is "auto" or an int above 0."""
    if isinstance(batch_size, str) and batch_size == "auto":
        return
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}: expected 'auto' or an int above 0.")


@dataclass(frozen=True)
class Passes:
    """What is needed to get statistics of pictures; small, and the same in every process.

    Parameters
    ----------
    backbone : Backbone
        The network.
    layers, neuron, rectify, batch_size, device, n_jobs, verbose, precision
        See :class:`skfakespotter.NeuronCoverageTransformer`.
    cache : CoverageCache or None
        Where to look first, and to keep what was computed.
    size : (int, int) or None
        Height and width to fit pictures to; None for arrays of numbers.
    compiled : bool, default=False
        Compile the network together with what is counted.
    resident : bool, default=False
        Leave the results of :meth:`counts` on the device, as tensors, where they come from it.
    """

    backbone: Backbone
    layers: object
    neuron: str
    rectify: bool
    size: tuple | None
    batch_size: object
    device: object
    cache: CoverageCache | None
    n_jobs: int | None
    verbose: int
    precision: str = "float32"
    compiled: bool = False
    resident: bool = False

    def __post_init__(self):
        if isinstance(self.batch_size, str):  # "auto": what the network does best with
            first = resolve_devices(self.device)[0]
            object.__setattr__(self, "batch_size", self.backbone.best_batch(first, self.size))

    def sums(self, X, window=None):
        """Sum the outputs of each layer's neurons; the inner sum of equation 1.

        Parameters
        ----------
        X : list or ndarray
            Checked pictures, or numbers (n, n_features).
        window : (ndarray, ndarray), default=None
            What the store keeps of new pictures. None: a pilot places it.

        Yields
        ------
        Part
            With ``values`` of shape (k, L), float64; every picture once, in any order.
        """
        X = self._keepable(X)
        if window is None and self.cache is not None and self._n_tasks(X) > 1:
            # before the workers start, each of which sees only a part of X
            window = window_for(*self.pilot(X), len(X))
        return self._run(_sums, X, "thresholds", window)

    def counts(self, X, thresholds, granularity, window=None):
        """Count the neurons above the thresholds; equation 2.

        Parameters
        ----------
        X : list or ndarray
            As for :meth:`sums`.
        thresholds : ndarray of shape (L,)
            Per layer.
        granularity : {"layer", "channel"}
            What to count.
        window : (ndarray, ndarray), default=None
            Thresholds of other training sets to expect; for the store.

        Yields
        ------
        Part
            With ``values`` of shape (k, L) or (k, C), float32; every picture once.
        """
        around = (thresholds.astype(np.float32),) * 2
        window = around if window is None else hull([around, window])
        return self._run(_counts, self._keepable(X), "coverage", window, thresholds, granularity)

    @cached_property
    def lanes(self):
        """The devices, each with a network that is ready to be watched."""
        return [self._lane(device) for device in resolve_devices(self.device)]

    @property
    def monitor(self):
        """The monitor on the first device."""
        return self.lanes[0].monitor

    @property
    def home(self):
        """The device where results are to lie; None for arrays."""
        return self.lanes[0].device if self.resident else None

    def _lane(self, device):
        monitor = NeuronMonitor(
            self.backbone.on(device, self.size),
            self.layers,
            neuron=self.neuron,
            rectify=self.rectify,
            precision=self.precision,
            compiled=self.compiled,
            folded=self.backbone.folded_on(device),
        )
        return Lane(device, monitor, self.backbone.preprocess)

    def can_remember(self, X):
        """Tell whether a store in this process would save a second pass over X."""
        single = all(p.dtype != torch.float64 for p in self.monitor.module.parameters())
        here = self._n_tasks(X) == len(self.lanes) == 1 and not isinstance(X, torch.Tensor)
        return self.cache is None and here and single and not self.compiled

    def _keepable(self, X):
        """Give tensors as arrays to a store, which knows what it has seen by the bytes."""
        on_device = self.cache is not None and isinstance(X, torch.Tensor)
        return X.cpu().numpy() if on_device else X

    def layout(self):
        """Neurons and channels per layer, as of the last forward pass.

        Returns
        -------
        (ndarray, ndarray), each of shape (L,), int
            ``n_neurons`` and ``n_channels``.
        """
        names = self.monitor.layer_names
        facts = self.monitor.n_neurons, self.monitor.n_channels
        return tuple(np.array([of[name] for name in names], dtype=np.int64) for of in facts)

    def shelf(self, X):
        """Give the place in the store for what is computed here."""
        numbers = self.size is None
        return self.cache.shelf(
            {
                "backbone": self.backbone.name,
                "fingerprint": self.backbone.fingerprint,
                "layers": self.monitor.layer_names,
                "neuron": self.neuron,
                "rectify": bool(self.rectify),
                "input": [int(n) for n in (X.shape[1:] if numbers else self.size)],
                "device": self.lanes[0].device.type,
                "precision": self.precision,
            }
        )

    def numbered(self, X, positions):
        """Yield positions and pictures as the network's size wants them, in batches.

        Parameters
        ----------
        X : list or ndarray
            All pictures.
        positions : ndarray of int
            Which ones, in this order.

        Yields
        ------
        (ndarray, ndarray)
            Positions, and uint8 (k, h, w, 3) or float32 (k, n_features).
        """
        ready = self.size is None or getattr(X, "shape", ())[1:3] == tuple(self.size)
        if isinstance(X, (np.ndarray, torch.Tensor)) and ready:
            whole = np.array_equal(positions, np.arange(len(X)))
            for start in range(0, len(positions), self.batch_size):
                here = slice(start, start + self.batch_size)
                yield positions[here], X[here] if whole else X[positions[here]]
            return
        yield from iter_batches(X, positions, self.batch_size, self.size, self.backbone.crop)

    def network_input(self, batch):
        """Put a batch on the first device, as the network takes it."""
        return self.lanes[0].input(batch)

    def _run(self, work, X, task, *args):
        n_tasks = self._n_tasks(X)
        if n_tasks == 1:
            parts = work(self, X, *args)
        else:
            worker = replace(self, n_jobs=1, verbose=0, resident=False)
            chunk = -(-len(X) // (n_tasks * self.batch_size)) * self.batch_size
            starts = range(0, len(X), chunk)
            done = joblib.Parallel(self.n_jobs, return_as="generator")(
                joblib.delayed(_task)(work, worker, X[start : start + chunk], start, *args)
                for start in starts
            )
            parts = (part for found in done for part in found)
        return track(parts, len(X), task, self.verbose)

    def _n_tasks(self, X):
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        n_batches = -(-len(X) // self.batch_size)
        if n_jobs == 1 or n_batches == 1:
            return 1
        return min(n_batches, max(n_jobs, -(-n_batches // TASK_BATCHES)))

    def pilot(self, X):
        """Get the sums of a few pictures, from which the window is placed.

        Which ones is decided by their names or pixels, so that overlapping training sets,
        in this process or another, choose the same.

        Returns
        -------
        moments : ExactMoments
            Of the sums.
        n_neurons : ndarray of shape (L,), int
            Per layer.
        """
        n_pilot = min(max(int(np.ceil(PILOT * len(X))), PILOT_RANGE[0]), PILOT_RANGE[1], len(X))
        chosen = np.sort(np.argsort([_lot(X[i], i) for i in range(len(X))])[:n_pilot])
        moments = ExactMoments(len(self.monitor.layer_names))
        try:
            for part in self._run(_pilot_sums, _take(X, chosen), "pilot"):
                moments.add(finite(part.values, self.monitor.layer_names))
        except ImageError as error:
            raise error.at(int(chosen[error.index])) from error
        return moments, part.n_neurons


def _take(X, positions):
    return X[positions] if isinstance(X, np.ndarray) else [X[i] for i in positions]


def _task(work, passes, X, start, *args):
    """Do a part of the work in a worker; positions and errors count from the whole."""
    passes = replace(passes)  # a monitor of its own, where threads share the object
    try:
        with in_this_process():
            parts = list(work(passes, X, *args))
    except ImageError as error:
        raise error.at(error.index + start) from error
    return [replace(part, positions=part.positions + start) for part in parts]


def _sums(passes, X, window):
    if passes.cache is not None:
        yield from recall(passes, X, window=window)
        return
    yield from _stream(passes, X, lambda monitor, x: monitor.sums(x))


def _pilot_sums(passes, X):
    yield from recall(passes, X, keep_window=False)


def _counts(passes, X, window, thresholds, granularity):
    if passes.cache is not None:
        yield from recall(passes, X, window=window, thresholds=thresholds, granularity=granularity)
        return
    names = passes.monitor.layer_names
    by_name = dict(zip(names, thresholds.tolist(), strict=True))
    yield from _stream(
        passes, X, lambda monitor, x: monitor.counts(x, by_name, granularity), passes.resident
    )


def _stream(passes, X, statistic, resident=False):
    """Send all batches through the network."""
    batches = passes.numbered(X, np.arange(len(X)))
    for positions, values in run_lanes(passes.lanes, batches, statistic, resident=resident):
        yield Part(positions, values, *passes.layout())


def _lot(picture, index):
    """Draw a number for a picture that depends on what it is, not on what it stands among."""
    picture = getattr(picture, "picture", picture)  # of an LazyFace, without looking at it
    if isinstance(picture, (str, os.PathLike)):
        data = os.fsencode(picture)
    elif isinstance(picture, np.ndarray):
        data = picture[::4, ::4].tobytes() if picture.ndim > 1 else picture.tobytes()
    else:
        data = str(index).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
