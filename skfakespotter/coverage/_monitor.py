"""NeuronMonitor: one forward pass gives statistics of every layer's neurons, on the device.

Nothing but the statistics leaves a layer: no activation is kept, nothing is copied to the
host, nothing waits for the device (except in :meth:`NeuronMonitor.observe`, which lists
outputs), and the monitored network is left as it was found.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from skfakespotter._typing import LayerChoice
from skfakespotter.coverage._graphs import CapturedStatistics, CompiledStatistics
from skfakespotter.coverage._kernels import Counter, observe
from skfakespotter.coverage._layers import Layout, named_layers, select_layers
from skfakespotter.coverage._observations import Observations
from skfakespotter.coverage._outputs import Neurons, is_finite
from skfakespotter.coverage._watched import Statistic, WatchedNetwork, computing_alone

_LAYOUTS: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()


class NeuronMonitor:
    """Watch layers of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on the device where the inputs will be.
    layers, exclude : str, type or sequence of them, default=None
        Which layers to watch, and which of these not: names, glob patterns
        (``"blocks.*.conv1"``), module types or ``"blocks"``; see
        :func:`skfakespotter.coverage.select_layers`. None takes all convolutional and
        fully-connected layers that run. Order and repetition do not matter: the layers are
        watched in the network's order.
    neuron : {"unit", "channel"}, default="unit"
        What a neuron is: every unit of the feature map, or a channel, whose output is the
        mean over the map (as in DeepXplore).
    tokens : {"all", "class", "patches", "mean"}, default="all"
        Of layers whose output is one of tokens: which of them hold neurons, or their mean.
    rectify : bool, default=False
        Apply the ReLU to a layer's output before anything else.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        In which the network computes.
    compiled : bool, default=False
        Let ``torch.compile`` fuse :meth:`sums` and :meth:`counts` with the network. It takes
        tens of seconds, once per process, and needs a C++ compiler (on a GPU: Triton).
    captured : bool, default=False
        On a GPU, from the third batch on, launch :meth:`sums` and :meth:`counts` as one CUDA
        graph, for a network whose weights stay what they are. One that cannot be captured goes
        on as it is.
    original : torch.nn.Module, default=None
        The network that ``module`` was made from, if it was placed on a device: layers are
        chosen in it, whose classes are as the user knows them.

    Attributes
    ----------
    layer_names : list of str
        The watched layers, in the network's order. Before the first pass also those of the
        default choice that turn out not to run.
    n_neurons, n_channels : dict of str to int
        Neurons and channels per layer, known after the first pass.

    Raises
    ------
    ValueError
        When a pattern matches no layer, or the network has none.

    Notes
    -----
    The output of a neuron is the value after the batch normalization that is applied directly
    to its layer, if there is one.

    References
    ----------
    Wang et al., "FakeSpotter", IJCAI 2020, equations 1 and 2.
    Pei et al., "DeepXplore", SOSP 2017, section 4.1.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter import NeuronMonitor
    >>> layer = torch.nn.Linear(2, 3, bias=False)
    >>> _ = torch.nn.init.ones_(layer.weight)
    >>> monitor = NeuronMonitor(torch.nn.Sequential(layer))
    >>> monitor.sums(torch.tensor([[1.0, 2.0]]))
    tensor([[9.]], dtype=torch.float64)
    >>> monitor.counts(torch.tensor([[1.0, 2.0]]), {"0": 2.5})
    tensor([[3.]])
    """

    def __init__(
        self,
        module: nn.Module,
        layers: LayerChoice = None,
        *,
        exclude: LayerChoice = None,
        neuron: str = "unit",
        tokens: str = "all",
        rectify: bool = False,
        precision: str = "float32",
        compiled: bool = False,
        captured: bool = False,
        original: nn.Module | None = None,
    ) -> None:
        self.module, self.precision = module, precision
        self.compiled, self.captured = compiled, captured
        self.neurons = Neurons(neuron, tokens, rectify)
        original = module if original is None else original
        self.layer_names = select_layers(original, layers, exclude)
        self._network = WatchedNetwork(module, self.neurons, precision)
        self._must_run = frozenset(named_layers(layers, original))
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self._layout: Layout | None = None
        self._last_thresholds: tuple[Any, dict] = (None, {})
        self._counter = Counter()

    @property
    def n_neurons(self) -> dict[str, int]:
        """Neurons per layer, as of the last pass."""
        return self._per_layer("n_neurons")

    @property
    def n_channels(self) -> dict[str, int]:
        """Channels per layer, as of the last pass."""
        return self._per_layer("n_channels")

    def sums(self, x: torch.Tensor, per: str = "layer") -> torch.Tensor:
        """Sum the outputs of each layer's neurons; the inner sum of equation 1.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        per : {"layer", "channel"}, default="layer"
            What to sum over.

        Returns
        -------
        Tensor of shape (n, n_layers) or (n, n_channels in all), float64
            On the device of ``x``. Divided by the number of neurons and averaged over all
            pictures it is the threshold of equation 1. A channel's map is summed pairwise in
            the network's precision (at least float32), and the channels in float64: the
            rounding is below that of the outputs, and does not grow with the layer.
        """
        sums = self._per_channel(x)
        if per == "channel":
            return sums if sums.device.type == "mps" else sums.double()  # Metal has no float64
        return self.layout(x).by_layer(sums)

    def counts(
        self,
        x: torch.Tensor,
        thresholds: Mapping[str, float] | ArrayLike,
        granularity: str = "layer",
    ) -> torch.Tensor:
        """Count the neurons whose output exceeds the threshold; equation 2.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        thresholds : dict of str to float, or array-like of shape (n_layers,) or (n_channels,)
            One per layer, by name or in order, or one per channel of all layers.
        granularity : {"layer", "channel"}, default="layer"
            One count per layer, or one per channel of every layer.

        Returns
        -------
        Tensor of shape (n, n_layers) or (n, n_channels in all), float32
            Whole numbers, on the device of ``x``. NaN for pictures whose network output is
            not finite.
        """
        counts = self._per_channel(x, thresholds)
        return counts if granularity == "channel" else self.layout(x).by_layer(counts).float()

    def means(self, x: torch.Tensor) -> torch.Tensor:
        """Average the outputs over each channel's map: activations without a threshold.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32
            On the device of ``x``.
        """
        totals, layout = self._per_channel(x), self.layout(x)
        units = np.repeat(layout.n_neurons / layout.n_channels, layout.n_channels)
        return (totals / torch.from_numpy(units).to(totals.dtype).to(x.device)).float()

    def observe(
        self, x: torch.Tensor, low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> Observations:
        """Sum, count and list outputs so that counts at other thresholds follow exactly.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        low, high : ndarray of shape (n_layers,) or (n_channels,), float32
            A window per layer, or per channel of all layers.

        Returns
        -------
        Observations
            On the host: sums per layer or per channel, as the window is, counts above it, and
            the outputs inside it.

        Raises
        ------
        ValueError
            When a layer's output is float64.
        """
        layout = self.layout(x)
        lows, highs = self._by_layer(low, x.device), self._by_layer(high, x.device)
        listed: list[tuple] = []

        def see(name: str, values: torch.Tensor) -> torch.Tensor:
            if values.dtype == torch.float64:
                raise ValueError(
                    f"layer {name!r} gives {values.dtype}: a cache (cache=...) or a single pass "
                    "(single_pass=...) needs float32."
                )
            wide = self._counter.widened(values)
            above, *inside = observe(wide, lows[name], highs[name])
            listed.append((name, *inside))
            return torch.cat([self._counter.total(values), above], 1)

        found, _ = self._collect(x, see)
        parts = found.split(np.repeat(layout.n_channels, 2).tolist(), 1)  # sums, counts in turn
        sums, above = torch.cat(parts[::2], 1), torch.cat(parts[1::2], 1)
        sums = sums.cpu().double() if len(low) > len(layout.names) else layout.by_layer(sums)
        return Observations.of_window(
            (low, high), sums.cpu().numpy(), above.cpu().numpy(), _joined(listed, layout), layout
        )

    def collect(
        self, x: torch.Tensor, statistic: Statistic, *, gradients: bool = False
    ) -> torch.Tensor:
        """Run one forward pass and join a statistic of every layer.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        statistic : callable
            ``statistic(name, values)`` with ``values`` of shape (n, channels, units per
            channel) returns a tensor (n, k) on the same device.
        gradients : bool, default=False
            Let gradients flow from the statistic to ``x``.

        Returns
        -------
        Tensor of shape (n, sum of k)
            In the order of ``layer_names``. NaN for pictures whose network output is not finite.

        Raises
        ------
        ValueError
            When a layer that was asked for did not run, or its output is not one row per
            input.
        """
        self.layout(x)
        found, output = self._collect(x, statistic, gradients=gradients)
        return torch.where(is_finite(output, len(x))[:, None], found, torch.nan)

    def layout(self, x: torch.Tensor) -> Layout:
        """Learn what the layers are like for inputs of this size.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input; the first of them runs alone and beside another, unless the answer is
            known.

        Returns
        -------
        Layout
            Names and sizes.
        """
        key = (*x.shape[1:],)
        if key not in self._layouts:
            options = (*self.layer_names, self._must_run, self.neurons, key)
            known = _LAYOUTS.setdefault(self.module, {})
            if options not in known:
                known[options] = self._network.examine(x[:1], self.layer_names, self._must_run)
            self._layouts[key] = known[options]
        self._layout = self._layouts[key]
        self.layer_names = list(self._layout.names)
        return self._layout

    def _collect(
        self, x: torch.Tensor, statistic: Statistic, **options: bool
    ) -> tuple[torch.Tensor, Any]:
        return self._network.collect(x, statistic, self._layouts[(*x.shape[1:],)], **options)

    def _per_channel(
        self, x: torch.Tensor, thresholds: Mapping[str, float] | ArrayLike | None = None
    ) -> torch.Tensor:
        """Compute sums, or counts above thresholds, of every channel: (n, n_channels in all)."""
        self.layout(x)
        xi = None if thresholds is None else self._by_layer(thresholds, x.device)
        if self.compiled or (self.captured and x.is_cuda):
            found = self._run_graph(x, xi)
            if found is not None:
                return found
        if xi is None:
            return self._collect(x, lambda _, values: self._counter.total(values))[0]
        counts, output = self._collect(
            x, lambda name, values: self._counter.above(values, xi[name])
        )
        # a comparison hides what is not finite
        return torch.where(is_finite(output, len(x))[:, None], counts, torch.nan)

    def _run_graph(self, x: torch.Tensor, thresholds: dict | None) -> torch.Tensor | None:
        """Return what the graph finds; None where there is none, or it does not pay."""
        assert self._layout is not None
        options = self._layout, self.neurons, self.precision
        kind = CompiledStatistics if self.compiled else CapturedStatistics
        try:
            with computing_alone(self.precision, x.device):
                return kind.of(self.module, *options)(x, thresholds)
        except RuntimeError as error:  # torch's compiler raises many kinds of it
            if not self.compiled:  # some networks wait for the device: they go on as they are
                self.captured = False
                return None
            self.compiled = False
            warnings.warn(
                f"torch.compile failed, the work goes on without it: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None

    def _by_layer(
        self, thresholds: Mapping[str, float] | ArrayLike, device: torch.device
    ) -> dict[str, float | torch.Tensor]:
        """Sort thresholds by layer: a float each, or a column with one per channel."""
        assert self._layout is not None
        if isinstance(thresholds, Mapping):
            return {
                name: xi if isinstance(xi, torch.Tensor) and xi.ndim else float(xi)
                for name, xi in thresholds.items()
            }
        # the network's float32 outputs are compared with thresholds rounded to float32
        array = np.asarray(thresholds, dtype=np.float32)
        key = array.tobytes(), device, self._layout.names
        last = self._last_thresholds  # threads may share the monitor
        if last[0] != key:  # every batch has equal thresholds, and a copy takes time
            last = self._last_thresholds = key, self._layout.split_thresholds(array, device)
        return last[1]

    def _per_layer(self, name: str) -> dict[str, int]:
        if self._layout is None:
            return {}
        return dict(zip(self._layout.names, getattr(self._layout, name).tolist(), strict=True))


def _joined(listed: list[tuple], layout: Layout) -> tuple[NDArray, NDArray, NDArray]:
    """Join what :func:`observe` lists of each layer; channels count over all layers."""
    first = np.cumsum(layout.n_channels) - layout.n_channels
    offset = dict(zip(layout.names, first.tolist(), strict=True))
    moved = [(p.cpu(), c.cpu() + offset[name], v.cpu()) for name, p, c, v in listed]
    picture, channel, value = (torch.cat(of).numpy() for of in zip(*moved, strict=True))
    return picture, channel, value
