"""Compiled statistics: the network and what is counted of it as one fused graph."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from skfakespotter.backbones import share_weights
from skfakespotter.coverage._equations import exceeds
from skfakespotter.coverage._kernels import HALF
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._outputs import Neurons, is_finite, output_rows

# Per network and set of options: compiling takes longer than many batches.
_COMPILED: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()


class CompiledStatistics:
    """Sums, or counts above thresholds, of every channel, by ``torch.compile``.

    A graph is compiled for one batch size. A smaller batch is filled up with zeros, a larger
    one compiled anew.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layout : Layout
        Of its layers.
    neurons : Neurons
        What counts as one.
    """

    def __init__(self, module: nn.Module, layout: Layout, neurons: Neurons) -> None:
        self.network = _WatchedNetwork(module, layout, neurons).eval()
        self.layout, self.batch_size = layout, 0
        self._limits: tuple[Any, Any] = None, None
        # on a GPU: replay the whole graph with one launch
        on_gpu = any(parameter.is_cuda for parameter in module.parameters())
        mode = "reduce-overhead" if on_gpu else "default"
        self.run = torch.compile(self.network, mode=mode, dynamic=False)

    @classmethod
    def of(
        cls, module: nn.Module, layout: Layout, neurons: Neurons, precision: str
    ) -> CompiledStatistics:
        """Return the one of this process for a network and what is watched of it.

        Parameters
        ----------
        module, layout, neurons
            As for the class.
        precision : str
            In which it will run; a graph is compiled for one.

        Returns
        -------
        CompiledStatistics
            Compiled when it is first called.
        """
        options = (layout.names, *layout.n_neurons.tolist(), neurons, precision)
        of_network = _COMPILED.setdefault(module, {})
        if options not in of_network:
            of_network[options] = cls(module, layout, neurons)
        return of_network[options]

    def __call__(
        self, x: torch.Tensor, limits: dict[str, float | torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Run the network.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        limits : dict of str to float or Tensor of shape (n_channels, 1), default=None
            Count above these; None returns sums.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32
            On the device of ``x``.
        """
        n = len(x)
        self.batch_size = max(self.batch_size, n)
        if n < self.batch_size:
            x = torch.cat([x, x.new_zeros(self.batch_size - n, *x.shape[1:])])
        columns = None if limits is None else self._as_tensor(limits, x.device)
        with torch.inference_mode():
            return self.run(x, columns)[:n].clone()  # the next replay overwrites it

    def _as_tensor(self, limits: dict, device: torch.device) -> torch.Tensor:
        """Return the limit of every channel, copied to the device only when they change."""
        if self._limits[0] is not limits:
            columns = [
                torch.as_tensor(limits[name], dtype=torch.float32, device=device).expand(width, 1)
                for name, width in zip(self.layout.names, self.layout.n_channels, strict=True)
            ]
            self._limits = limits, torch.cat(columns)
        return self._limits[1]


class _WatchedNetwork(nn.Module):
    """A copy of the network, with the same weights in memory, that returns statistics."""

    def __init__(self, module: nn.Module, layout: Layout, neurons: Neurons) -> None:
        super().__init__()
        self.network, self.neurons = share_weights(module), neurons
        widths = layout.n_channels.tolist()
        self.columns = {
            name: slice(end - width, end)
            for name, width, end in zip(layout.names, widths, accumulate(widths), strict=True)
        }
        self.n_samples = 0
        self.found: dict[str, list[torch.Tensor]] = {}
        modules = dict(self.network.named_modules())
        for name, place in zip(layout.names, layout.watched, strict=True):
            modules[place].register_forward_hook(
                self._watch(name, modules[name], name in layout.tokens_first)
            )

    def _watch(self, name: str, layer: nn.Module, tokens_first: bool) -> Callable:
        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            rows = output_rows(name, output, self.n_samples, tokens_first=tokens_first)
            self.found.setdefault(name, []).append(self.neurons.of(layer, rows))

        return hook

    def forward(self, x: torch.Tensor, limits: torch.Tensor | None) -> torch.Tensor:
        """Map network input to sums, or counts above limits (n_channels, 1), of each channel."""
        self.found.clear()
        self.n_samples = len(x)
        output = self.network(x)
        parts = []
        for name, columns in self.columns.items():
            runs = [_statistic(values, limits, columns) for values in self.found[name]]
            parts.append(torch.stack(runs).sum(0) if len(runs) > 1 else runs[0])
        self.found.clear()
        joined = torch.cat(parts, 1)
        if limits is None:
            return joined
        return torch.where(is_finite(output, len(x))[:, None], joined, torch.nan)


def _statistic(values: torch.Tensor, limits: torch.Tensor | None, columns: slice) -> torch.Tensor:
    if values.dtype in HALF:
        values = values.float()
    if limits is None:
        return values.sum(2)
    return exceeds(values, limits[columns]).sum(2, dtype=torch.int32).float()
