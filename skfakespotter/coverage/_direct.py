"""DirectStatistics: sums and counts straight from the network, on all devices side by side.

On a GPU a launch returns before the work is done. So the next batch is decoded and copied,
in a stream of its own, while the device computes; and a result is waited for only when a
later batch is under way on the same device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from skfakespotter._array_api import holds_numbers
from skfakespotter._device import resolve_devices
from skfakespotter._prefetch import iter_batches
from skfakespotter._typing import LayerChoice
from skfakespotter.backbones import Backbone, PlacedNetwork, place
from skfakespotter.coverage._equations import ExactSums
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.coverage._observations import Observations
from skfakespotter.coverage._outputs import Neurons
from skfakespotter.coverage._results import PartialResult
from skfakespotter.coverage._windows import Window, holds_nothing
from skfakespotter.images import name_positions

DEPTH = 2  # batches under way per device


class _Replica(NamedTuple):
    """One device: the network there, and what watches it."""

    network: PlacedNetwork
    monitor: NeuronMonitor


@dataclass(frozen=True)
class DirectStatistics:
    """Statistics from forward passes; knows no cache. Small, and equal in every process.

    Parameters
    ----------
    backbone : Backbone
        The network.
    shape : tuple of int
        Of one input: (3, h, w) for pictures, or (n_features,).
    layers, exclude, device, precision, prefetch
        See :class:`skfakespotter.NeuronCoverageTransformer`.
    neurons : Neurons
        What counts as one.
    per : {"layer", "channel"}, default="layer"
        What has a threshold of its own: sums are per layer or per channel.
    batch_size : int or "auto", default="auto"
        Pictures per forward pass; "auto" takes what the network does best with.
    compiled : bool, default=False
        Compile the network together with what is counted.
    keep_on_device : bool, default=False
        Leave the results of :meth:`counts` on the devices, as tensors.
    """

    backbone: Backbone
    shape: tuple[int, ...]
    layers: LayerChoice = None
    exclude: LayerChoice = None
    neurons: Neurons = field(default_factory=Neurons)
    per: str = "layer"
    batch_size: int | str = "auto"
    device: Any = "auto"
    precision: str = "float32"
    compiled: bool = False
    keep_on_device: bool = False
    prefetch: int | None = None

    @property
    def direct(self) -> DirectStatistics:
        """The network, which is this object."""
        return self

    def sums(self, X: Any) -> Iterator[PartialResult]:
        """Sum as :meth:`Statistics.sums` says, in order."""
        for part in self._stream(X, lambda monitor, x: monitor.sums(x, self.per)):
            self.check_sums(part.values)
            yield part

    def counts(
        self,
        X: Any,
        thresholds: NDArray,
        granularity: str,
        seen: ExactSums | None = None,
        *,
        positions: NDArray[np.int64] | None = None,
    ) -> Iterator[PartialResult]:
        """Count as :meth:`Statistics.counts` says, in order; only these positions if given."""
        kept = self.keep_on_device

        def count(monitor: NeuronMonitor, x: torch.Tensor) -> torch.Tensor:
            return monitor.counts(x, thresholds, granularity)

        for part in self._stream(X, count, keep_on_device=kept, positions=positions):
            if not kept and np.isnan(part.values).any():
                bad = part.positions[np.isnan(part.values).any(1)].tolist()
                raise ValueError(
                    f"the network's output is not finite for {name_positions(bad)} "
                    f"(precision={self.precision!r})."
                )
            yield part

    def observe(self, batch: Any, window: Window) -> Observations:
        """Run a batch on the first device and keep what counts at nearby thresholds need.

        Parameters
        ----------
        batch : ndarray
            As :meth:`batches` yields them.
        window : (ndarray, ndarray)
            Where these thresholds lie, per layer or channel; :func:`no_window`: only sums.

        Returns
        -------
        Observations
            Of each picture.

        Raises
        ------
        ValueError
            When an output is not finite; it names the layers.
        """
        x = self.replicas[0].network.input(batch)
        if holds_nothing(window):
            found = Observations.of_sums(self.monitor.sums(x, self.per).cpu().numpy(), self.layout)
        else:
            found = self.monitor.observe(x, *window)
        self.check_sums(found.sums)
        return found

    def compute(
        self, X: Any, statistic: Callable[[PlacedNetwork, NeuronMonitor, torch.Tensor], Any]
    ) -> Iterator[PartialResult]:
        """Compute any other statistic of the network.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        statistic : callable
            ``statistic(network, monitor, x)`` returns a tensor (n, k) on the device.

        Yields
        ------
        PartialResult
            In order.
        """
        networks = {id(replica.monitor): replica.network for replica in self.replicas}

        def of_monitor(monitor: NeuronMonitor, x: torch.Tensor) -> torch.Tensor:
            return statistic(networks[id(monitor)], monitor, x)

        return self._stream(X, of_monitor)

    def for_tasks(
        self, X: Any, thresholds: NDArray | None = None, seen: ExactSums | None = None
    ) -> DirectStatistics:
        """Return these options, with results as arrays and no processes of each task's own."""
        return replace(self, keep_on_device=False, prefetch=None)

    @cached_property
    def replicas(self) -> list[_Replica]:
        """The devices, each with a network that is ready to be watched."""
        return [self._replica(device) for device in resolve_devices(self.device)]

    @property
    def monitor(self) -> NeuronMonitor:
        """The monitor on the first device."""
        return self.replicas[0].monitor

    @property
    def form(self) -> tuple:
        """In which form, that is size, the network takes a picture."""
        return self.shape, self.backbone.crop

    def facts(self) -> dict[str, Any]:
        """Return what the statistics of a picture depend on, apart from the picture, for JSON."""
        return {
            "backbone": self.backbone.name,
            "fingerprint": self.backbone.fingerprint,
            "layers": list(self.layout.names),
            "neuron": self.neurons.neuron,
            "tokens": self.neurons.tokens,
            "rectify": bool(self.neurons.rectify),
            "thresholds_per": self.per,
            "input": [int(n) for n in self.shape],
            "device": self.replicas[0].network.device.type,
            "precision": self.precision,
        }

    @property
    def results_device(self) -> torch.device | None:
        """The device where counts are to lie; None for arrays."""
        return self.replicas[0].network.device if self.keep_on_device else None

    @property
    def neurons_per_threshold(self) -> NDArray[np.int64]:
        """Neurons of each layer, or of each channel, that share a threshold."""
        return self.layout.neurons_per(self.per)

    @property
    def layout(self) -> Layout:
        """Names and sizes of the layers."""
        network, monitor = self.replicas[0]
        return monitor.layout(network.sample)

    @property
    def n_at_once(self) -> int:
        """Pictures per forward pass."""
        size = self.batch_size
        return self.replicas[0].network.best_batch if isinstance(size, str) else int(size)

    def batches(
        self, X: Any, positions: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[NDArray[np.integer], Any]]:
        """Make pictures ready for the network.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        positions : ndarray of int, default=None
            Which ones, in this order; None takes all.

        Yields
        ------
        positions : ndarray of shape (k,), int
            Which pictures.
        batch : ndarray of shape (k, h, w, 3), uint8, or of numbers (k, n_features)
            What :meth:`observe` takes.
        """
        whole, chosen = positions is None, np.arange(len(X)) if positions is None else positions
        numbers = len(self.shape) != 3 or isinstance(X, torch.Tensor) or holds_numbers(X)
        ready = numbers or getattr(X, "shape", ())[1:3] == self.shape[1:]
        if isinstance(X, (np.ndarray, torch.Tensor)) and ready:
            for start in range(0, len(chosen), self.n_at_once):
                here = slice(start, start + self.n_at_once)
                yield chosen[here], X[here] if whole else X[chosen[here]]
            return
        size = self.shape[1], self.shape[2]
        yield from iter_batches(
            X,
            chosen,
            self.n_at_once,
            size,
            self.backbone.crop,
            prefetch=self.prefetch,
            device=self.replicas[0].network.device,
        )

    def check_sums(self, sums: NDArray) -> None:
        """Raise ValueError, naming the layers, unless all sums are finite."""
        if np.isfinite(sums).all():
            return
        layout, owners = self.layout, np.arange(len(self.layout.names))
        if self.per == "channel":
            owners = np.repeat(owners, layout.n_channels)
        names = [layout.names[i] for i in np.unique(owners[~np.isfinite(sums).all(0)])]
        raise ValueError(
            f"the network's output is not finite in layers {names} (precision={self.precision!r})."
        )

    def _replica(self, device: torch.device) -> _Replica:
        network = place(self.backbone, device, self.shape)
        monitor = NeuronMonitor(
            network.module,
            self.layers,
            exclude=self.exclude,
            neuron=self.neurons.neuron,
            tokens=self.neurons.tokens,
            rectify=self.neurons.rectify,
            precision=self.precision,
            compiled=self.compiled,
            captured=True,  # a network that was placed keeps its weights
            original=self.backbone.module,
        )
        return _Replica(network, monitor)

    def _stream(
        self,
        X: Any,
        statistic: Callable[[NeuronMonitor, torch.Tensor], torch.Tensor],
        *,
        keep_on_device: bool = False,
        positions: NDArray[np.int64] | None = None,
    ) -> Iterator[PartialResult]:
        """Send batches through the network, to the devices in turn."""
        batches = self.batches(X, positions)
        return run_on_replicas(self.replicas, batches, statistic, keep_on_device=keep_on_device)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "replicas"}


def run_on_replicas(
    replicas: Sequence[_Replica],
    batches: Iterable[tuple[NDArray[np.integer], Any]],
    statistic: Callable[[NeuronMonitor, torch.Tensor], torch.Tensor],
    *,
    keep_on_device: bool = False,
) -> Iterator[PartialResult]:
    """Compute a statistic of every batch, on all devices side by side.

    Parameters
    ----------
    replicas : sequence of (PlacedNetwork, NeuronMonitor)
        The devices; batches go to them in turn.
    batches : iterable of (ndarray, ndarray)
        Positions and pictures.
    statistic : callable
        ``statistic(monitor, x)`` returns a tensor (n, k) on the device.
    keep_on_device : bool, default=False
        Leave the results on the devices.

    Yields
    ------
    PartialResult
        Positions and statistics, in order.
    """
    under_way: deque[tuple[NDArray[np.integer], Callable[[], Any]]] = deque()
    for (positions, batch), replica in zip(batches, cycle(replicas), strict=False):
        found = statistic(replica.monitor, replica.network.input(batch))
        result = partial(_identity, found) if keep_on_device else _fetch(found)
        under_way.append((positions, result))
        if len(under_way) >= DEPTH * len(replicas):
            positions, result = under_way.popleft()
            yield PartialResult(positions, result())
    for positions, result in under_way:
        yield PartialResult(positions, result())


def _identity(found: torch.Tensor) -> torch.Tensor:
    return found


def _fetch(found: torch.Tensor) -> Callable[[], NDArray]:
    """Start copying a result to the host; return a function that waits for it."""
    if found.device.type != "cuda":
        array = found.cpu().numpy()
        return lambda: array
    with torch.cuda.device(found.device):
        host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
        host.copy_(found, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()

    def result() -> NDArray:
        copied.synchronize()
        return host.numpy()

    return result
