"""NeuronMonitor: one forward pass gives statistics of every layer's neurons, on the device.

Nothing but the statistics leaves a layer: no activation is kept, nothing is copied to the
host, and the monitored network is left as it was found.
"""

import threading
from collections.abc import Collection
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

import numpy as np
import torch

from .backbones import monitored_layers

# Forward hooks on a network that threads share would see each other's pictures.
_FORWARD_LOCK = threading.RLock()


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
    >>> from skfakespotter.monitor import NeuronMonitor
    >>> layer = torch.nn.Linear(2, 3, bias=False)
    >>> _ = torch.nn.init.ones_(layer.weight)
    >>> monitor = NeuronMonitor(torch.nn.Sequential(layer))
    >>> monitor.sums(torch.tensor([[1.0, 2.0]]))
    tensor([[9.]], dtype=torch.float64)
    >>> monitor.counts(torch.tensor([[1.0, 2.0]]), {"0": 2.5})
    tensor([[3.]])
    """

    def __init__(self, module, layers=None, *, neuron="unit", rectify=False):
        self.module, self.neuron, self.rectify = module, neuron, rectify
        self.layer_names = select_layers(module, layers)
        self.n_neurons, self.n_channels = {}, {}
        self._scratch = torch.empty(0)

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
            it is the threshold xi of equation 1.
        """

        def total(_, values):
            if values.device.type == "mps":  # Metal has no float64: channels there, the rest here
                values = values.sum(2, keepdim=True).cpu()
            return values.sum((1, 2), dtype=torch.float64)[:, None]

        return self.collect(x, total)

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
        per_layer = granularity == "layer"

        def count(name, values):
            counts = self._above(values, thresholds[name]).sum(2)
            return counts.sum(1, keepdim=True) if per_layer else counts

        return self.collect(x, count)

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
        totals = self.collect(x, lambda _, values: values.sum(2))
        channels = [self.n_channels[name] for name in self.layer_names]
        units = np.divide([self.n_neurons[name] for name in self.layer_names], channels)
        return totals / torch.from_numpy(np.repeat(units, channels)).to(totals.dtype).to(x.device)

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
            When a layer's output is not float32.
        """
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        bounds = dict(zip(self.layer_names, pairs, strict=True))
        inside = []

        def observe(name, values):
            if values.dtype != torch.float32:
                raise ValueError(
                    f"layer {name!r} gives {values.dtype}: a store (cache=...) needs float32."
                )
            if values.device.type == "mps":  # no float64 there
                values = values.cpu()
            inside.append((name, *_between(values, *bounds[name])))
            sums = values.sum((1, 2), dtype=torch.float64)[:, None]
            return torch.cat([sums, self._above(values, bounds[name][1]).sum(2).double()], 1)

        found = self.collect(x, observe).cpu().numpy()
        n_channels = np.array([self.n_channels[name] for name in self.layer_names])
        first = np.cumsum(n_channels) - n_channels
        columns = first + np.arange(len(first))  # of the sums, each before its layer's counts
        offset = dict(zip(self.layer_names, first.tolist(), strict=True))
        listed = [(p.cpu(), c.cpu() + offset[name], v.cpu()) for name, p, c, v in inside]
        above = np.delete(found, columns, axis=1).astype(np.int64)
        joined = tuple(torch.cat(parts).numpy() for parts in zip(*listed, strict=True))
        return found[:, columns], above, joined

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
        found = {}

        def watch(name, layer):
            def hook(module, inputs, output):
                values = self._neurons(name, layer, output, len(x))
                result = statistic(name, values)
                # a layer that runs twice has the neurons of both runs
                found[name] = found[name] + result if name in found else result

            return layer.register_forward_hook(hook)

        with _FORWARD_LOCK, torch.inference_mode(), evaluating(self.module), ExitStack() as stack:
            self.n_neurons, self.n_channels = {}, {}
            modules = dict(self.module.named_modules())
            for name in self.layer_names:
                stack.callback(watch(name, modules[name]).remove)
            self.module(x)
        if missing := [name for name in self.layer_names if name not in found]:
            raise ValueError(f"layers {missing} did not run in the forward pass: leave them out.")
        return torch.cat([found[name] for name in self.layer_names], 1)

    def _neurons(self, name, layer, output, n_samples):
        """Give a layer's output as (n, channels, units per channel), a view if possible."""
        if output.ndim < 2 or len(output) != n_samples:
            raise ValueError(
                f"layer {name!r} gave an output of shape {tuple(output.shape)} for {n_samples} "
                "inputs: expected one row per input. Leave the layer out."
            )
        if isinstance(layer, torch.nn.Linear):
            output = output.movedim(-1, 1)
        values = output.flatten(2) if output.ndim > 2 else output[:, :, None]
        if self.rectify:
            values = values.relu()
        if self.neuron == "channel":
            values = values.mean(2, keepdim=True)
        units = values.shape[1] * values.shape[2]
        self.n_neurons[name] = self.n_neurons.get(name, 0) + units
        self.n_channels[name] = values.shape[1]
        return values

    def _above(self, values, threshold):
        """Mark with 1.0 what exceeds the threshold, in a buffer that all layers share.

        Comparing into float32 and summing that is exact below 2^24 units and about three
        times faster on a CPU than summing booleans; the shared buffer saves page faults.
        """
        if self._scratch.numel() < values.numel() or self._scratch.device != values.device:
            self._scratch = torch.empty(values.numel(), device=values.device)
        if values.is_contiguous() or values.mT.is_contiguous():
            marks = self._scratch.as_strided(values.shape, values.stride())
        else:
            marks = self._scratch[: values.numel()].view(values.shape)
        return torch.gt(values, threshold, out=marks)


def select_layers(module, layers=None):
    """Choose layers of a network by name or glob pattern.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layers : str or sequence of str, default=None
        Names or glob patterns; None takes all convolutional and fully-connected layers.

    Returns
    -------
    list of str
        In the network's order, each once.

    Raises
    ------
    ValueError
        When a pattern matches nothing, or the network has no such layer.
    TypeError
        When ``layers`` holds anything but str.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.monitor import select_layers
    >>> select_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)))
    ['0', '2']
    """
    available = list(monitored_layers(module))
    if not available:
        raise ValueError(
            f"the network {type(module).__name__} has no convolutional or fully-connected layer."
        )
    if layers is None:
        return available
    patterns = [layers] if isinstance(layers, str) else layers
    if not isinstance(patterns, Collection) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(f"layers is {layers!r}: expected None, names or glob patterns.")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in available):
            raise ValueError(f"layers: {pattern!r} matches none of {available}.")
    if not patterns:
        raise ValueError("layers is empty: expected None, names or glob patterns.")
    return [name for name in available if any(fnmatchcase(name, p) for p in patterns)]


def _between(values, low, high):
    """List picture, channel and value of the outputs in (low, high], in memory order."""
    n_pictures, n_channels, n_units = values.shape
    channels_last = values.mT.is_contiguous()
    rows = (values.mT if channels_last else values).reshape(n_pictures, -1)
    picture, place = torch.nonzero((rows > low) & (rows <= high), as_tuple=True)
    channel = place % n_channels if channels_last else place // n_units
    return picture, channel, rows[picture, place]


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
