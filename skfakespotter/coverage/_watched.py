"""WatchedNetwork: forward passes of a network, one at a time, whose layers hooks watch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from skfakespotter._device import computing_in
from skfakespotter._forking import ForkSafeLock
from skfakespotter.backbones import find_norms
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._outputs import Neurons, evaluating, has_tokens_first, output_rows

# Forward hooks on a network that threads share would see each other's pictures.
_LOCK = ForkSafeLock()
Statistic = Callable[[str, torch.Tensor], torch.Tensor]


@contextmanager
def computing_alone(precision: str, device: torch.device) -> Iterator[None]:
    """Let no other thread of this process watch a network, and compute in a precision.

    Parameters
    ----------
    precision : str
        See :class:`skfakespotter.coverage.NeuronMonitor`.
    device : torch.device
        Where.
    """
    with _LOCK, computing_in(precision, device):
        yield


class WatchedNetwork:
    """A network in evaluation mode, left as it was found after each pass.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    neurons : Neurons
        What counts as one.
    precision : str
        In which it computes.
    """

    def __init__(self, module: nn.Module, neurons: Neurons, precision: str) -> None:
        self.module, self.neurons, self.precision = module, neurons, precision

    def examine(self, x: torch.Tensor, names: list[str], must_run: Collection[str]) -> Layout:
        """Run one picture to see which layers run, where their outputs are, and their sizes.

        Parameters
        ----------
        x : Tensor of shape (1, ...)
            Network input.
        names : list of str
            Of the layers that were chosen.
        must_run : collection of str
            Those of them that may not be left out.

        Returns
        -------
        Layout
            Of the layers that run and give one row per input.

        Raises
        ------
        ValueError
            When a layer of ``must_run`` does not, or none does.
        """
        sizes: dict[str, list[int]] = {}
        tokens_first: set[str] = set()
        refused: list[ValueError] = []

        def see(name: str, layer: nn.Module, output: Any) -> None:
            if has_tokens_first(output):
                tokens_first.add(name)
            try:
                rows = output_rows(name, output, 1, tokens_first=name in tokens_first)
            except ValueError as error:
                if name in must_run:
                    raise
                refused.append(error)
                return
            _, n_channels, n_units = self.neurons.of(layer, rows).shape
            before = sizes.get(name, [0])[0]  # a layer that runs twice has both runs' neurons
            sizes[name] = [before + n_channels * n_units, n_channels]

        with computing_alone(self.precision, x.device), evaluating(self.module):
            norms = find_norms(self.module, x)
        watched = {name: norms.get(name, name) for name in names}
        self._pass(x, watched, see)
        missing = [name for name in names if name not in sizes]
        if refused and not sizes:
            raise refused[0]
        if not sizes or any(name in must_run for name in missing):
            raise ValueError(f"layers {missing} did not run in the forward pass: leave them out.")
        found = [name for name in names if name in sizes]
        n_neurons, n_channels = np.array([sizes[name] for name in found], dtype=np.int64).T
        return Layout(
            names=tuple(found),
            n_neurons=n_neurons,
            n_channels=n_channels,
            watched=tuple(watched[name] for name in found),
            skipped=tuple(missing),
            tokens_first=frozenset(tokens_first),
        )

    def collect(
        self, x: torch.Tensor, statistic: Statistic, layout: Layout, *, gradients: bool = False
    ) -> tuple[torch.Tensor, Any]:
        """Run one forward pass and join a statistic of every layer.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        statistic : callable
            ``statistic(name, values)`` with ``values`` of shape (n, channels, units per
            channel) returns a tensor (n, k) on the same device.
        layout : Layout
            Of the layers to watch.
        gradients : bool, default=False
            Let gradients flow from the statistic to ``x``.

        Returns
        -------
        joined : Tensor of shape (n, sum of k)
            In the order of the layout.
        output : object
            What the network returned.

        Raises
        ------
        ValueError
            When a layer did not run, or its output is not one row per input.
        """
        found: dict[str, torch.Tensor] = {}

        def see(name: str, layer: nn.Module, output: Any) -> None:
            rows = output_rows(name, output, len(x), tokens_first=name in layout.tokens_first)
            result = statistic(name, self.neurons.of(layer, rows))
            # a layer that runs twice has the neurons of both runs
            found[name] = found[name] + result if name in found else result

        watched = dict(zip(layout.names, layout.watched, strict=True))
        output = self._pass(x, watched, see, gradients)
        if missing := [name for name in layout.names if name not in found]:
            raise ValueError(f"layers {missing} did not run in the forward pass: leave them out.")
        # they are found in the order of execution, which may be another
        return torch.cat([found[name] for name in layout.names], 1), output

    def _pass(
        self, x: torch.Tensor, watched: dict[str, str], see: Callable, gradients: bool = False
    ) -> Any:
        """Run the network; ``see(name, layer, output)`` is called where a layer is watched."""
        modules = dict(self.module.named_modules())

        def hook_of(name: str) -> Callable:
            return lambda module, inputs, output: see(name, modules[name], output)

        mode = torch.enable_grad() if gradients else torch.inference_mode()
        with _LOCK, mode, evaluating(self.module), ExitStack() as stack:
            for name, place in watched.items():
                stack.callback(modules[place].register_forward_hook(hook_of(name)).remove)
            with computing_in(self.precision, x.device):
                return self.module(x)
