"""Lanes: devices with a copy of the network each, kept busy while batches come and go.

On a GPU a launch returns before the work is done. So the next batch is decoded and copied,
in a stream of its own, while the device computes; and a result is waited for only when a
later batch is under way on the same device.
"""

from collections import deque
from itertools import cycle

import numpy as np
import torch

DEPTH = 2  # batches under way per device


class Lane:
    """One device and the monitor of the network there.

    Parameters
    ----------
    device : torch.device
        Where it computes.
    monitor : NeuronMonitor
        Of the network on that device.
    preprocess : callable
        Makes network input of a uint8 tensor (n, 3, h, w).
    """

    def __init__(self, device, monitor, preprocess):
        self.device, self.monitor, self._preprocess = device, monitor, preprocess
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def input(self, batch):
        """Put a batch on the device, as the network takes it.

        Parameters
        ----------
        batch : ndarray of shape (n, h, w, 3), uint8, or ndarray or Tensor of numbers
            Pictures, or network input.

        Returns
        -------
        Tensor
            Network input. It may still be on its way: what is launched next waits for it.
        """
        if not isinstance(batch, torch.Tensor):
            # torch takes neither read-only memory (joblib's memory maps) nor negative strides
            batch = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
        x = self._sent(batch)
        return self._preprocess(x.permute(0, 3, 1, 2)) if x.dtype == torch.uint8 else x

    def _sent(self, batch):
        if self._copies is None or batch.device == self.device:
            return batch.to(self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):  # beside what is being computed
            sent = batch.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self._copies)
        sent.record_stream(computing)
        return sent


def run_lanes(lanes, batches, statistic, *, resident=False):
    """Compute a statistic of every batch, on all devices side by side.

    Parameters
    ----------
    lanes : sequence of Lane
        The devices; batches go to them in turn.
    batches : iterable of (ndarray, ndarray)
        Positions and pictures.
    statistic : callable
        ``statistic(monitor, x)`` gives a tensor (n, k) on the device.
    resident : bool, default=False
        Leave the results on the devices.

    Yields
    ------
    (ndarray, ndarray or Tensor)
        Positions and statistics, in order.
    """
    under_way, depth = deque(), DEPTH * len(lanes)
    for (positions, batch), lane in zip(batches, cycle(lanes)):
        found = statistic(lane.monitor, lane.input(batch))
        under_way.append((positions, (lambda kept=found: kept) if resident else _fetch(found)))
        if len(under_way) >= depth:
            positions, result = under_way.popleft()
            yield positions, result()
    for positions, result in under_way:
        yield positions, result()


def _fetch(found):
    """Start copying a result to the host; give a function that waits for it."""
    if found.device.type != "cuda":
        array = found.cpu().numpy()
        return lambda: array
    with torch.cuda.device(found.device):
        host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
        host.copy_(found, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()

    def result():
        copied.synchronize()
        return host.numpy()

    return result
