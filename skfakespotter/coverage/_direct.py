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

from skfakespotter._device import resolve_devices
from skfakespotter._prefetch import iter_batches
from skfakespotter.backbones import Backbone, PlacedNetwork, place
from skfakespotter.coverage._layers import LayerChoice, Layout
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.coverage._outputs import Neurons
from skfakespotter.coverage._statistics import Part

DEPTH = 2  # batches under way per device


class _Lane(NamedTuple):
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
    resident : bool, default=False
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
    resident: bool = False
    prefetch: int | None = None

    def sums(self, X: Any) -> Iterator[Part]:
        """Sum the outputs of the neurons; the inner sum of equation 1.

        Parameters
        ----------
        X : list, ndarray or Tensor
            Checked pictures, or numbers (n, n_features).

        Yields
        ------
        Part
            With ``values`` of shape (k, n_layers) or (k, n_channels), float64, in order.
            Pictures without a face that may be left out are not among them.

        Raises
        ------
        ValueError
            When an output is not finite; it names the layers.
        """
        for part in self._stream(X, lambda monitor, x: monitor.sums(x, self.per), False):
            self.check_sums(part.values)
            yield part

    def counts(self, X: Any, thresholds: NDArray, granularity: str) -> Iterator[Part]:
        """Count the neurons above the thresholds; equation 2.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        thresholds : ndarray of shape (n_layers,) or (n_channels,)
            One per layer, or per channel.
        granularity : {"layer", "channel"}
            One count per layer, or per channel.

        Yields
        ------
        Part
            With ``values`` of shape (k, n_layers) or (k, n_channels), float32, in order.

        Raises
        ------
        ValueError
            When the network's output is not finite; it names the pictures. Not where results
            stay on a device: there the counts are NaN.
        """
        count = lambda monitor, x: monitor.counts(x, thresholds, granularity)  # noqa: E731
        for part in self._stream(X, count, self.resident):
            if not self.resident and np.isnan(part.values).any():
                bad = part.positions[np.isnan(part.values).any(1)].tolist()
                raise ValueError(
                    f"the network's output is not finite for X[{bad[0]}] and {len(bad) - 1} more "
                    f"(precision={self.precision!r})."
                )
            yield part

    def compute(
        self, X: Any, statistic: Callable[[PlacedNetwork, NeuronMonitor, torch.Tensor], Any]
    ) -> Iterator[Part]:
        """Compute any other statistic of the network.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        statistic : callable
            ``statistic(network, monitor, x)`` returns a tensor (n, k) on the device.

        Yields
        ------
        Part
            In order.
        """
        lanes = {id(lane.monitor): lane.network for lane in self.lanes}

        def of_monitor(monitor: NeuronMonitor, x: torch.Tensor) -> torch.Tensor:
            return statistic(lanes[id(monitor)], monitor, x)

        return self._stream(X, of_monitor, False)

    def for_tasks(self, X: Any, *args: Any) -> DirectStatistics:
        """Return what tasks are to use: results come back as arrays, without helpers of their own.

        Parameters
        ----------
        X : list, ndarray or Tensor
            As for :meth:`sums`.
        *args
            What follows it in the call of the method.

        Returns
        -------
        DirectStatistics
            With these options.
        """
        return replace(self, resident=False, prefetch=None)

    @cached_property
    def lanes(self) -> list[_Lane]:
        """The devices, each with a network that is ready to be watched."""
        return [self._lane(device) for device in resolve_devices(self.device)]

    @property
    def monitor(self) -> NeuronMonitor:
        """The monitor on the first device."""
        return self.lanes[0].monitor

    @property
    def layout(self) -> Layout:
        """Names and sizes of the layers."""
        network, monitor = self.lanes[0]
        return monitor.layout(network.sample)

    @property
    def n_at_once(self) -> int:
        """Pictures per forward pass."""
        size = self.batch_size
        return self.lanes[0].network.best_batch if isinstance(size, str) else int(size)

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
            What :meth:`input` takes.
        """
        whole, chosen = positions is None, np.arange(len(X)) if positions is None else positions
        numbers = len(self.shape) != 3 or isinstance(X, torch.Tensor)
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
            device=self.lanes[0].network.device,
        )

    def input(self, batch: Any) -> torch.Tensor:
        """Put a batch on the first device, as the network takes it."""
        return self.lanes[0].network.input(batch)

    def check_sums(self, sums: NDArray) -> None:
        """Raise ValueError, naming the layers, unless all sums are finite."""
        if np.isfinite(sums).all():
            return
        layout, bad = self.layout, ~np.isfinite(sums).all(0)
        owners = np.arange(len(layout.names))
        if self.per == "channel":
            owners = np.repeat(owners, layout.n_channels)
        names = [layout.names[i] for i in np.unique(owners[bad])]
        raise ValueError(
            f"the network's output is not finite in layers {names} (precision={self.precision!r})."
        )

    def _lane(self, device: torch.device) -> _Lane:
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
        )
        return _Lane(network, monitor)

    def _stream(
        self,
        X: Any,
        statistic: Callable[[NeuronMonitor, torch.Tensor], torch.Tensor],
        resident: bool,
    ) -> Iterator[Part]:
        """Send all batches through the network, to the devices in turn."""
        return run_lanes(self.lanes, self.batches(X), statistic, resident=resident)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lanes"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def run_lanes(
    lanes: Sequence[_Lane],
    batches: Iterable[tuple[NDArray[np.integer], Any]],
    statistic: Callable[[NeuronMonitor, torch.Tensor], torch.Tensor],
    *,
    resident: bool = False,
) -> Iterator[Part]:
    """Compute a statistic of every batch, on all devices side by side.

    Parameters
    ----------
    lanes : sequence of (PlacedNetwork, NeuronMonitor)
        The devices; batches go to them in turn.
    batches : iterable of (ndarray, ndarray)
        Positions and pictures.
    statistic : callable
        ``statistic(monitor, x)`` returns a tensor (n, k) on the device.
    resident : bool, default=False
        Leave the results on the devices.

    Yields
    ------
    Part
        Positions and statistics, in order.
    """
    under_way: deque[tuple[NDArray[np.integer], Callable[[], Any]]] = deque()
    for (positions, batch), lane in zip(batches, cycle(lanes), strict=False):
        found = statistic(lane.monitor, lane.network.input(batch))
        under_way.append((positions, partial(_identity, found) if resident else _fetch(found)))
        if len(under_way) >= DEPTH * len(lanes):
            positions, result = under_way.popleft()
            yield Part(positions, result())
    for positions, result in under_way:
        yield Part(positions, result())


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
