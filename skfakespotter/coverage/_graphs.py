"""Graphs: the network and what is counted of it as one, compiled by torch or captured on a GPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from types import FunctionType, MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from skfakespotter.backbones import share_weights
from skfakespotter.coverage._captured import CapturedFunction
from skfakespotter.coverage._kernels import count_above, count_fused, total
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._outputs import Neurons, is_finite, nesting_encoders, output_rows

# Per network and set of options: making a graph takes longer than many batches.
_GRAPHS: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()
UNCAPTURED = 2  # batches of a size that run before one is captured: a short call is over by then


class GraphStatistics(ABC):
    """Sums, or counts above thresholds, of every channel, as one graph.

    A graph is made for one batch size; smaller batches are filled up with zeros.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layout : Layout
        Of its layers.
    neurons : Neurons
        What counts as one.
    """

    count: Callable[..., torch.Tensor]

    def __init__(self, module: nn.Module, layout: Layout, neurons: Neurons) -> None:
        self.network = _WatchedNetwork(module, layout, neurons, type(self).count).eval()
        self.layout = layout
        self._thresholds: tuple[Any, Any] = None, None

    @classmethod
    def of(
        cls, module: nn.Module, layout: Layout, neurons: Neurons, precision: str
    ) -> GraphStatistics:
        """Return the one of this process for a network and what is watched of it.

        Parameters
        ----------
        module, layout, neurons
            As for the class.
        precision : str
            In which it will run; a graph is made for one.

        Returns
        -------
        GraphStatistics
            Made when it is first called.
        """
        axes = layout.tokens_first, layout.channels_last
        options = (cls, layout.names, *layout.n_neurons.tolist(), *axes, neurons, precision)
        of_network = _GRAPHS.setdefault(module, {})
        if options not in of_network:
            of_network[options] = cls(module, layout, neurons)
        return of_network[options]

    def __call__(
        self, x: torch.Tensor, thresholds: dict[str, float | torch.Tensor] | None = None
    ) -> torch.Tensor | None:
        """Run the network.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        thresholds : dict of str to float or Tensor of shape (n_channels, 1), default=None
            Count above these; None returns sums.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32, or None
            On the device of ``x``. None where a graph does not pay.
        """
        n, size = len(x), self.size_for(len(x), thresholds is None)
        if size is None:
            return None
        if n < size:
            x = torch.cat([x, x.new_zeros(size - n, *x.shape[1:])])
        of_channels = None if thresholds is None else self._as_tensor(thresholds, x.device)
        with torch.inference_mode():
            return self.run(x, of_channels)[:n]

    @abstractmethod
    def run(self, x: torch.Tensor, thresholds: torch.Tensor | None) -> torch.Tensor:
        """Run the graph for inputs of these shapes."""

    @abstractmethod
    def size_for(self, n: int, sums: bool) -> int | None:
        """Return the batch size of the graph for a batch; None where it does not pay.

        Parameters
        ----------
        n : int
            Pictures in the batch.
        sums : bool
            Whether sums are asked for, not counts.

        Returns
        -------
        int or None
            At least ``n``.
        """

    def _as_tensor(self, thresholds: dict, device: torch.device) -> torch.Tensor:
        """Return the threshold of every channel, copied to the device only when they change."""
        if self._thresholds[0] is not thresholds:
            widths = self.layout.n_channels.tolist()
            rows = [thresholds[name] for name in self.layout.names]
            if all(isinstance(row, float) for row in rows):  # one copy, not one a layer
                column = np.repeat(np.array(rows, np.float32), widths)[:, None]
                tensor = torch.from_numpy(column).to(device)
            else:
                tensor = torch.cat(
                    [
                        torch.as_tensor(row, dtype=torch.float32, device=device).expand(width, 1)
                        for row, width in zip(rows, widths, strict=True)
                    ]
                )
            self._thresholds = thresholds, tensor
        return self._thresholds[1]


class CompiledStatistics(GraphStatistics):
    """By ``torch.compile``, which fuses the network's steps with what is counted."""

    count = staticmethod(count_fused)

    def __init__(self, module: nn.Module, layout: Layout, neurons: Neurons) -> None:
        super().__init__(module, layout, neurons)
        self.batch_size = 0
        # on a GPU: replay the whole graph with one launch
        on_gpu = any(parameter.is_cuda for parameter in module.parameters())
        mode = "reduce-overhead" if on_gpu else "default"
        forward = _with_code_of_its_own(self.network.forward)
        self._compiled = torch.compile(forward, mode=mode, dynamic=False)

    def run(self, x: torch.Tensor, thresholds: torch.Tensor | None) -> torch.Tensor:
        """Run the compiled network."""
        return self._compiled(x, thresholds).clone()  # the next replay overwrites it

    def size_for(self, n: int, sums: bool) -> int:
        """Return the largest batch size so far: for a larger one the graph is compiled anew."""
        self.batch_size = max(self.batch_size, n)
        return self.batch_size


class CapturedStatistics(GraphStatistics):
    """The steps as they are, captured on a GPU: one launch a batch instead of hundreds."""

    count = staticmethod(count_above)

    def __init__(self, module: nn.Module, layout: Layout, neurons: Neurons) -> None:
        super().__init__(module, layout, neurons)
        self._captured = CapturedFunction(self.network)
        self._seen: Counter[tuple[int, bool]] = Counter()
        self._possible = True

    def run(self, x: torch.Tensor, thresholds: torch.Tensor | None) -> torch.Tensor:
        """Replay the captured network; where that fails once, never again."""
        try:
            return self._captured(x, thresholds)
        except RuntimeError:
            self._possible = False
            raise

    def size_for(self, n: int, sums: bool) -> int | None:
        """Return a size that was captured, below twice the batch's, or that comes up again."""
        if not self._possible:
            return None
        ready = [size for size, of in self._seen if of == sums and n <= size < 2 * n]
        captured = [size for size in ready if self._seen[size, sums] > UNCAPTURED]
        if captured:
            return min(captured)
        self._seen[n, sums] += 1
        return n if self._seen[n, sums] > UNCAPTURED else None


class _WatchedNetwork(nn.Module):
    """A copy of the network, with the same weights in memory, that returns statistics."""

    def __init__(
        self, module: nn.Module, layout: Layout, neurons: Neurons, count: Callable
    ) -> None:
        super().__init__()
        self.network, self.neurons, self.count = share_weights(module), neurons, count
        for encoder in nesting_encoders(self.network, layout.watched):
            encoder.use_nested_tensor = False
        widths = layout.n_channels.tolist()
        self.channels = {
            name: slice(end - width, end)
            for name, width, end in zip(layout.names, widths, accumulate(widths), strict=True)
        }
        self.n_samples = 0
        self.thresholds: torch.Tensor | None = None
        self.found: dict[str, torch.Tensor] = {}
        modules = dict(self.network.named_modules())
        for name, place in zip(layout.names, layout.watched, strict=True):
            modules[place].register_forward_hook(self._watch(name, modules[name], layout))

    def _watch(self, name: str, layer: nn.Module, layout: Layout) -> Callable:
        channels, tokens_first = self.channels[name], name in layout.tokens_first

        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            rows = output_rows(name, output, self.n_samples, tokens_first=tokens_first)
            values = self.neurons.of(layer, rows, (name, rows.ndim) in layout.channels_last)
            xi = self.thresholds
            # at once: an activation that works in place overwrites what the layer gave
            found = total(values) if xi is None else self.count(values, xi[channels])
            self.found[name] = self.found[name] + found if name in self.found else found

        return hook

    def forward(self, x: torch.Tensor, thresholds: torch.Tensor | None) -> torch.Tensor:
        """Map input to sums, or counts above thresholds (n_channels, 1), of each channel."""
        self.found.clear()
        self.n_samples, self.thresholds = len(x), thresholds
        output = self.network(x)
        joined = torch.cat([self.found[name] for name in self.channels], 1)
        self.found.clear()
        if thresholds is None:
            return joined
        return torch.where(is_finite(output, len(x))[:, None], joined, torch.nan)


def _with_code_of_its_own(method: Callable) -> Callable:
    """Return the same method, for which torch counts its graphs apart.

    After eight graphs of one code object torch compiles no more of them and runs what it is
    given step by step: one process could watch few networks, and few sizes of batches.
    """
    bound = cast("MethodType", method)
    function = cast("FunctionType", bound.__func__)
    code = function.__code__.replace()
    copied = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    return MethodType(copied, bound.__self__)
