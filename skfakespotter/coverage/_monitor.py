"""NeuronMonitor: one forward pass gives statistics of every layer's neurons, on the device.

Nothing but the statistics leaves a layer: no activation is kept, nothing is copied to the
host, nothing waits for the device (but in :meth:`NeuronMonitor.window`, which lists outputs),
and the monitored network is left as it was found.
"""

import threading
import warnings
import weakref
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from skfakespotter._device import computing_in
from skfakespotter.coverage._compiled import CompiledStatistics
from skfakespotter.coverage._kernels import Counter, between
from skfakespotter.coverage._layers import select_layers
from skfakespotter.coverage._neurons import as_neurons, check_rows

# Forward hooks on a network that threads share would see each other's pictures.
_FORWARD_LOCK = threading.RLock()
_SIZES = weakref.WeakKeyDictionary()  # of the layers, per network and set of options


class NeuronMonitor:
    """Watch the convolutional and fully-connected layers of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on the device where the inputs will be.
    layers : str or sequence of str, default=None
        Names or glob patterns (``"blocks.*.conv1"``) of layers; None takes all
        convolutional and fully-connected ones. Order and repetition do not matter: the
        layers are watched in the network's order.
    neuron : {"unit", "channel"}, default="unit"
        What a neuron is: every unit of the feature map, or a channel, whose output is the
        mean over the map (as in DeepXplore).
    rectify : bool, default=False
        Apply the ReLU to a layer's output before anything else.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        In which the network computes; see :func:`skfakespotter._device.computing_in`.
    compiled : bool, default=False
        Let ``torch.compile`` fuse :meth:`sums` and :meth:`counts` with the network. It takes
        tens of seconds, once per process, and needs a C++ compiler (on a GPU: Triton).
    folded : FoldedNetwork, default=None
        A faster network of the same output, to run in :meth:`sums`, :meth:`counts` and
        :meth:`means` instead. What is reported is of the layers of ``module`` all the same.

    Attributes
    ----------
    layer_names : list of str
        The watched layers, in the network's order.
    n_neurons : dict of str to int
        Neurons per layer, known after the first pass.
    n_channels : dict of str to int
        Channels per layer, known after the first pass.

    Raises
    ------
    ValueError
        When a pattern matches no layer, or the network has none.

    References
    ----------
    Wang et al., "FakeSpotter", IJCAI 2020, equations 1 and 2.
    Pei et al., "DeepXplore", SOSP 2017, section 4.1.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage._monitor import NeuronMonitor
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
        module,
        layers=None,
        *,
        neuron="unit",
        rectify=False,
        precision="float32",
        compiled=False,
        folded=None,
    ):
        self.module, self.neuron, self.rectify = module, neuron, rectify
        self.precision, self.compiled = precision, compiled
        self.folded = None if rectify else folded  # a ReLU of the folded output tells too little
        self.layer_names = select_layers(module, layers)
        self.n_neurons, self.n_channels = {}, {}
        self._counter = Counter()

    def sums(self, x):
        """Sum the outputs of each layer's neurons; the inner sum of equation 1.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.

        Returns
        -------
        Tensor of shape (n, n_layers), float64
            On the device of ``x``. Divided by ``n_neurons`` and averaged over all pictures
            it is the threshold xi of equation 1. A channel's map is summed pairwise in the
            network's precision (at least float32), and the channels in float64: the
            rounding is below that of the outputs, and does not grow with the layer.
        """
        return self._by_layer(self._per_channel(x), torch.float64)

    def counts(self, x, thresholds, granularity="layer"):
        """Count the neurons whose output exceeds their layer's threshold; equation 2.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        thresholds : dict of str to float
            Threshold per layer.
        granularity : {"layer", "channel"}, default="layer"
            One count per layer, or one per channel of every layer.

        Returns
        -------
        Tensor of shape (n, n_layers) or (n, n_channels in all), float32
            Whole numbers, on the device of ``x``.
        """
        counts = self._per_channel(x, thresholds)
        return counts if granularity == "channel" else self._by_layer(counts, torch.float32)

    def means(self, x):
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
        totals = self._per_channel(x)
        channels = self._widths()
        units = np.divide([self.n_neurons[name] for name in self.layer_names], channels)
        units = torch.from_numpy(np.repeat(units, channels)).to(totals.dtype).to(x.device)
        return (totals / units).float()

    def window(self, x, low, high):
        """Sum, count and list outputs so that counts at other thresholds follow exactly.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        low, high : ndarray of shape (n_layers,), float32
            A window per layer.

        Returns
        -------
        sums : ndarray of shape (n, n_layers), float64
            As :meth:`sums` gives them.
        above : ndarray of shape (n, n_channels in all), int64
            Outputs above ``high``.
        inside : tuple of three ndarrays of one length
            Picture, channel (of all) and value of the outputs in ``(low, high]``.

        Raises
        ------
        ValueError
            When a layer's output is float64.
        """
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        bounds = dict(zip(self.layer_names, pairs, strict=True))
        inside = []

        def observe(name, values):
            if values.dtype == torch.float64:
                raise ValueError(
                    f"layer {name!r} gives {values.dtype}: a store (cache=...) needs float32."
                )
            inside.append((name, *between(self._counter.widened(values), *bounds[name])))
            above = self._counter.above(values, bounds[name][1])
            return torch.cat([self._counter.total(values), above], 1)

        found = self.collect(x, observe)
        widths = self._widths()
        parts = found.split(np.repeat(widths, 2).tolist(), 1)  # sums and counts in turn
        sums, above = torch.cat(parts[::2], 1), torch.cat(parts[1::2], 1)
        offset = dict(zip(self.layer_names, np.cumsum(widths) - widths, strict=True))
        listed = [(p.cpu(), c.cpu() + int(offset[name]), v.cpu()) for name, p, c, v in inside]
        joined = tuple(torch.cat(of).numpy() for of in zip(*listed, strict=True))
        sums = self._by_layer(sums, torch.float64).cpu().numpy()
        return sums, above.cpu().numpy().astype(np.int64), joined

    def collect(self, x, statistic):
        """Run one forward pass and join a statistic of every layer.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        statistic : callable
            ``statistic(name, values)`` with ``values`` of shape (n, channels, units per
            channel) gives a tensor (n, k) on the same device.

        Returns
        -------
        Tensor of shape (n, sum of k)
            In the order of ``layer_names``.

        Raises
        ------
        ValueError
            When a layer did not run, or its output is not one row per input.
        """
        return self._collect(self.module, x, statistic)

    def _collect(self, network, x, statistic):
        found, n_neurons, n_channels = {}, {}, {}

        def watch(name, layer):
            def hook(module, inputs, output):
                check_rows(name, output, len(x))
                values = as_neurons(layer, output, self.neuron, self.rectify)
                n_neurons[name] = n_neurons.get(name, 0) + values.shape[1] * values.shape[2]
                n_channels[name] = values.shape[1]
                result = statistic(name, values)
                # a layer that runs twice has the neurons of both runs
                found[name] = found[name] + result if name in found else result

            return layer.register_forward_hook(hook)

        with _FORWARD_LOCK, torch.inference_mode(), evaluating(network), ExitStack() as stack:
            modules = dict(network.named_modules())
            for name in self.layer_names:
                stack.callback(watch(name, modules[name]).remove)
            with computing_in(self.precision, x.device):
                network(x)
        if missing := [name for name in self.layer_names if name not in found]:
            raise ValueError(f"layers {missing} did not run in the forward pass: leave them out.")
        # they are found in the order of execution, which may be another
        self.n_neurons, self.n_channels = (
            {name: of[name] for name in self.layer_names} for of in (n_neurons, n_channels)
        )
        return torch.cat([found[name] for name in self.layer_names], 1)

    def _per_channel(self, x, thresholds=None):
        """Give sums, or counts above thresholds, of every channel: (n, n_channels in all)."""
        folded = self._folded_for(x)
        network = self.module if folded is None else folded.module
        if self.compiled or folded is not None:
            self._learn_sizes(network, x)
        limits = thresholds
        if folded is not None and thresholds is not None:
            limits = folded.limits(thresholds)
        found = self._run_compiled(network, x, limits) if self.compiled else None
        if found is None and limits is None:
            found = self._collect(network, x, lambda _, values: self._counter.total(values))
        elif found is None:
            found = self._collect(
                network, x, lambda name, values: self._counter.above(values, limits[name])
            )
        if folded is None:
            return found
        units = {name: self.n_neurons[name] // self.n_channels[name] for name in self.layer_names}
        return folded.unfolded(found, self.n_channels, units, counts=limits is not None)

    def _learn_sizes(self, network, x):
        """Let one picture tell the layers' sizes, unless they are known of this network."""
        if self.n_channels:
            return
        known = _SIZES.setdefault(network, {})
        key = (x.shape[1:], self.neuron, *self.layer_names)
        if key not in known:
            self._collect(network, x[:1], lambda _, values: values[:, :1, 0])
            known[key] = self.n_neurons, self.n_channels
        self.n_neurons, self.n_channels = known[key]

    def _run_compiled(self, network, x, limits):
        """Give what the compiled graph finds; None, with a warning, where there cannot be one."""
        try:
            with _FORWARD_LOCK, computing_in(self.precision, x.device):
                return CompiledStatistics.of(self, network)(x, limits)
        except RuntimeError as error:  # torch's compiler raises many kinds of it
            self.compiled = False
            warnings.warn(
                f"torch.compile failed, the work goes on without it: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None

    def _folded_for(self, x):
        """Give the folded network if it does what the original does."""
        if self.folded is None:
            return None
        if self.folded.agrees is None:
            with _FORWARD_LOCK, evaluating(self.module):
                self.folded.compare(self.module, x[:1])
        return self.folded if self.folded.agrees else None

    def _by_layer(self, per_channel, dtype):
        """Sum what was found per channel over each layer, in float64."""
        if per_channel.device.type == "mps":  # Metal has no float64
            per_channel = per_channel.cpu()
        parts = per_channel.split(self._widths(), 1)
        return torch.stack([part.sum(1, dtype=torch.float64) for part in parts], 1).to(dtype)

    def _widths(self):
        return [self.n_channels[name] for name in self.layer_names]


@contextmanager
def evaluating(module):
    """Put a network in evaluation mode, and each part back as it was."""
    training = [part for part in module.modules() if part.training]
    try:
        module.eval()
        yield module
    finally:
        for part in training:
            part.training = True
