"""Network: one forward pass gives sums, channel means and counts at many thresholds at once.

Thresholds of equation 1 follow from the sums of each picture, so that every fold's
thresholds are known after one pass, and its counts after a second one that all folds share.
The numbers are those of ``NeuronCoverageTransformer``, fitted and applied fold by fold.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed

from skfakespotter import load_backbone
from skfakespotter._device import one_thread, resolve_device
from skfakespotter._prefetch import iter_batches
from skfakespotter.coverage._kernels import Counter
from skfakespotter.coverage._monitor import NeuronMonitor

BATCH_SIZE = 32
CHUNK = 160  # pictures of one parallel task
COUNTER = Counter()  # one buffer for all batches


class Watch(NamedTuple):
    """Which network is watched, and what a neuron is."""

    backbone: str = "dlib"
    weights: str | None = None
    neuron: str = "unit"
    rectify: bool = False


@lru_cache(maxsize=2)
def open_monitor(watch):
    """Load the network once a process; give it with its monitor."""
    backbone = load_backbone(watch.backbone, weights=watch.weights)
    network = backbone.on(resolve_device("cpu"))
    return backbone, NeuronMonitor(network, neuron=watch.neuron, rectify=watch.rectify)


def observe(watch, chips, thresholds=None, n_jobs=2):
    """Run the network over faces and keep the statistics of every layer.

    Parameters
    ----------
    watch : Watch
        What to watch.
    chips : ndarray of shape (n, h, w, 3), uint8
        Aligned faces.
    thresholds : ndarray of shape (n_sets, L) or (n_sets, n, L), default=None
        Thresholds of each set, for all pictures or one row a picture; None counts nothing.
    n_jobs : int, default=2
        Processes.

    Returns
    -------
    dict of str to ndarray
        ``sums`` (n, L) float64; ``means`` (n, C) float32, C channels in all; ``counts``
        (n_sets, n, C); ``n_neurons`` and ``n_channels`` (L,).
    """
    parts = Parallel(n_jobs)(
        delayed(observe_chunk)(watch, chips[here], _of_rows(thresholds, here))
        for here in (slice(start, start + CHUNK) for start in range(0, len(chips), CHUNK))
    )
    joined = {key: parts[0][key] for key in ("n_neurons", "n_channels")}
    for key, axis in (("sums", 0), ("means", 0), ("counts", 1)):
        if key in parts[0]:
            joined[key] = np.concatenate([part[key] for part in parts], axis=axis)
    return joined


def observe_chunk(watch, chips, thresholds=None):
    """Do what :func:`observe` says, in this process."""
    backbone, monitor = open_monitor(watch)
    parts, done = [], 0
    with one_thread():
        rows, size = np.arange(len(chips)), backbone.input_size
        for _, batch in iter_batches(np.array(chips), rows, BATCH_SIZE, size, backbone.crop):
            here = slice(done, done + len(batch))
            x = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
            parts.append(_statistics(monitor, backbone.preprocess(x), _of_rows(thresholds, here)))
            done += len(batch)
    layout = [monitor.n_neurons, monitor.n_channels]
    result = {
        "n_neurons": np.array([layout[0][name] for name in monitor.layer_names]),
        "n_channels": np.array([layout[1][name] for name in monitor.layer_names]),
        "sums": np.concatenate([sums for sums, _, _ in parts]),
        "means": np.concatenate([means for _, means, _ in parts]),
    }
    if thresholds is not None:
        result["counts"] = np.concatenate([counts for _, _, counts in parts], axis=1)
    return result


def equation_one(sums, n_neurons):
    """Give the thresholds of a training set from the sums of its pictures (equation 1)."""
    return sums.mean(axis=0) / n_neurons


def per_layer(counts, n_channels):
    """Sum the counts of the channels of each layer (equation 2)."""
    first = np.r_[0, np.cumsum(n_channels)[:-1]]
    return np.add.reduceat(counts, first, axis=-1, dtype=np.int64)


def _statistics(monitor, x, thresholds):
    found = {}
    n_sets = 0 if thresholds is None else len(thresholds)
    levels = _levels(thresholds) if n_sets else None
    place = {name: number for number, name in enumerate(monitor.layer_names)}

    def look(name, values):
        above = [
            COUNTER.above(values, levels[s, :, place[name], None, None].expand(len(values), 1, 1))
            for s in range(n_sets)
        ]
        sums, means = values.sum((1, 2), dtype=torch.float64), values.sum(2) / values.shape[2]
        found[name] = sums.numpy(), means.numpy(), [count.numpy() for count in above]
        return values.new_empty((len(values), 0))

    monitor.collect(x, look)
    layers = [found[name] for name in monitor.layer_names]
    counts = [np.concatenate([layer[2][s] for layer in layers], axis=1) for s in range(n_sets)]
    return (
        np.stack([sums for sums, _, _ in layers], axis=1),
        np.concatenate([means for _, means, _ in layers], axis=1),
        _whole(np.array(counts)) if n_sets else None,
    )


def _levels(thresholds):
    """Give a tensor (set, picture or 1, layer)."""
    sets = thresholds if thresholds.ndim == 3 else thresholds[:, None]
    return torch.from_numpy(np.ascontiguousarray(sets, dtype=np.float32))


def _of_rows(thresholds, rows):
    """Cut the thresholds of some pictures out, where each picture has its own."""
    return thresholds[:, rows] if thresholds is not None and thresholds.ndim == 3 else thresholds


def _whole(counts):
    """Keep counts as small integers."""
    if counts.max() > np.iinfo(np.uint16).max:
        return counts.astype(np.uint32)
    return counts.astype(np.uint16)
