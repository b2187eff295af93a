"""WatchedNetwork: forward passes of a network, one at a time, whose layers hooks watch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skfakespotter._device import computing_in
from skfakespotter._forking import ForkSafeLock
from skfakespotter.backbones import find_norms
from skfakespotter.coverage._axes import has_channels_last, last_by_kind
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._outputs import Neurons, evaluating, no_rows, output_rows, unnested
from skfakespotter.coverage._runs import Run, compare_runs, find_last_channels, record_runs

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


@dataclass(frozen=True)
class _Form:
    """What the runs of a layer give: channels and units per channel of each, and where."""

    sizes: tuple[tuple[int, int], ...]
    tokens_first: bool
    channels_last: frozenset[int]  # of outputs of so many dimensions

    @property
    def n_neurons(self) -> int:
        """Neurons of all runs."""
        return sum(n_channels * n_units for n_channels, n_units in self.sizes)


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
        """Run one picture, and two, to see which layers run, and what their outputs are like.

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
        with computing_alone(self.precision, x.device), evaluating(self.module):
            norms = find_norms(self.module, x)
        watched = {name: norms.get(name, name) for name in names}
        every = [name for name, _ in self.module.named_modules()]
        with self._running(x.device, every):  # what grows with a second picture counts pictures
            runs = record_runs(self.module, x)
            try:
                two = record_runs(self.module, torch.cat([x, x.flip(-1)]))
            except Exception:  # of any kind: a network that takes one picture at a time
                two = [run.of_two_rows() for run in runs]
            runs = compare_runs(runs, two)
        forms, refused = self._forms(watched, runs, must_run)
        missing = [name for name in names if name not in forms]
        if refused and not forms:
            raise refused[0]
        if not forms or any(name in must_run for name in missing):
            raise ValueError(f"layers {missing} did not run in the forward pass: leave them out.")
        doubles = {run.name for run in runs if run.dtype == torch.float64}
        return Layout(
            names=tuple(forms),
            n_neurons=np.array([form.n_neurons for form in forms.values()], dtype=np.int64),
            n_channels=np.array([form.sizes[0][0] for form in forms.values()], dtype=np.int64),
            watched=tuple(watched[name] for name in forms),
            skipped=tuple(missing),
            tokens_first=frozenset(name for name, form in forms.items() if form.tokens_first),
            channels_last=frozenset(
                (name, ndim) for name, form in forms.items() for ndim in form.channels_last
            ),
            doubles=frozenset(name for name in forms if watched[name] in doubles),
        )

    def _forms(
        self, watched: dict[str, str], runs: Sequence[Run], must_run: Collection[str]
    ) -> tuple[dict[str, _Form], list[ValueError]]:
        """Return the forms of the layers that ran, and why others are left out."""
        parts = dict(self.module.named_modules())
        of_place: dict[str, list[tuple[Run, bool | None]]] = defaultdict(list)
        for run, last in zip(runs, find_last_channels(self.module, runs), strict=True):
            of_place[run.name].append((run, last))
        forms: dict[str, _Form] = {}
        refused: list[ValueError] = []
        for name, place in watched.items():
            if not of_place[place]:
                continue
            try:
                forms[name] = self._form(name, parts[name], of_place[place])
            except ValueError as error:
                if name in must_run:
                    raise
                refused.append(error)
            else:
                _check_widths(name, forms[name])
        return forms, refused

    def _form(self, name: str, layer: nn.Module, runs: Sequence[tuple[Run, bool | None]]) -> _Form:
        """Say what a layer's runs give; ValueError where that is no neuron of a picture."""
        sizes, tokens_first, channels_last = [], False, set()
        for run, last in runs:
            _check_run(name, run)
            rows = torch.empty(1, *run.size, device="meta")
            by_kind = last_by_kind(layer, run.size)  # also where its norm is watched
            last = last if by_kind is None else by_kind
            if last is None:
                last = has_channels_last(layer, rows)
            if last:
                channels_last.add(rows.ndim)
            tokens_first = tokens_first or run.picture_axis == 1
            n_channels, n_units = self.neurons.of(layer, rows, last).shape[1:]
            sizes.append((n_channels, n_units))
        form = _Form(tuple(sizes), tokens_first, frozenset(channels_last))
        if not form.n_neurons:
            raise ValueError(
                f"layer {name!r} has no neurons: it gave an output of shape {runs[0][0].shape} "
                f"for 1 inputs (tokens={self.neurons.tokens!r}). Leave the layer out."
            )
        return form

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
            last = (name, rows.ndim) in layout.channels_last
            result = statistic(name, self.neurons.of(layer, rows, last))
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

        with self._running(x.device, watched.values(), gradients), ExitStack() as stack:
            for name, place in watched.items():
                stack.callback(modules[place].register_forward_hook(hook_of(name)).remove)
            return self.module(x)

    @contextmanager
    def _running(
        self, device: torch.device, watched: Collection[str], gradients: bool = False
    ) -> Iterator[None]:
        """Let the network run while these parts of it are watched."""
        with (
            computing_alone(self.precision, device),
            torch.enable_grad() if gradients else torch.inference_mode(),
            evaluating(self.module),
            unnested(self.module, watched),
        ):
            yield


def _check_run(name: str, run: Run) -> None:
    """Raise ValueError unless a run gives real numbers, one row per picture."""
    if run.picture_axis is None:
        grows = run.shape is not None and run.shape[:1] == (1,)
        raise no_rows(name, run.shape_of_two, 2) if grows else no_rows(name, run.shape, 1)
    if run.dtype is not None and run.dtype.is_complex:
        raise ValueError(
            f"layer {name!r} gives complex numbers, which exceed no threshold: leave it out."
        )


def _check_widths(name: str, form: _Form) -> None:
    """Raise ValueError unless the runs of a layer have the same channels."""
    widths = [n_channels for n_channels, _ in form.sizes]
    if len(set(widths)) > 1:
        raise ValueError(
            f"layer {name!r} runs {len(widths)} times, with {widths} channels, which have no "
            "count in common: watch the layers before it (rectify=True applies the ReLU to them), "
            "or leave it out."
        )
