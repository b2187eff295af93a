"""Compiled statistics: the network and what is counted of it as one fused graph."""

import copy
import weakref
from itertools import chain

import torch

from .neurons import as_neurons

# Per network and set of options: compiling takes longer than many batches.
_COMPILED = weakref.WeakKeyDictionary()


class CompiledStatistics:
    """Sums, or counts above thresholds, of every channel, by ``torch.compile``.

    A graph is compiled for one batch size. A smaller batch is filled up with zeros, a larger
    one compiled anew.

    Parameters
    ----------
    monitor : NeuronMonitor
        Says what to watch; it must know its layers' sizes.
    """

    def __init__(self, monitor):
        self.network = _WatchedNetwork(monitor).eval()
        self.names, self.batch_size = monitor.layer_names, 0
        # on a GPU: replay the whole graph with one launch
        mode = "reduce-overhead" if _device(monitor).type == "cuda" else "default"
        self.run = torch.compile(self.network, mode=mode, dynamic=False)

    @classmethod
    def of(cls, monitor):
        """Give the one of this process for the monitor's network and options.

        Parameters
        ----------
        monitor : NeuronMonitor
            As for the class.

        Returns
        -------
        CompiledStatistics
            Compiled when it is first called.
        """
        options = (*monitor.layer_names, monitor.neuron, monitor.rectify, monitor.precision)
        of_network = _COMPILED.setdefault(monitor.module, {})
        if options not in of_network:
            of_network[options] = cls(monitor)
        return of_network[options]

    def __call__(self, x, thresholds=None):
        """Run the network.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        thresholds : dict of str to float, default=None
            Count above these; None gives sums.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32
            On the device of ``x``.
        """
        n, limits = len(x), None
        self.batch_size = max(self.batch_size, n)
        if n < self.batch_size:
            x = torch.cat([x, x.new_zeros(self.batch_size - n, *x.shape[1:])])
        if thresholds is not None:
            limits = torch.tensor([thresholds[name] for name in self.names], dtype=torch.float32)
            limits = limits.to(x.device, non_blocking=True)
        with torch.inference_mode():
            return self.run(x, limits)[:n].clone()  # the next replay overwrites it


class _WatchedNetwork(torch.nn.Module):
    """A copy of the network, with the same weights in memory, that gives statistics."""

    def __init__(self, monitor):
        super().__init__()
        tensors = chain(monitor.module.parameters(), monitor.module.buffers())
        self.network = copy.deepcopy(monitor.module, {id(tensor): tensor for tensor in tensors})
        self.names, self.found = monitor.layer_names, {}
        modules = dict(self.network.named_modules())
        for name in self.names:
            modules[name].register_forward_hook(self._watch(name, monitor.neuron, monitor.rectify))

    def _watch(self, name, neuron, rectify):
        def hook(layer, inputs, output):
            values = as_neurons(layer, output, neuron, rectify)
            self.found.setdefault(name, []).append(values)

        return hook

    def forward(self, x, limits):
        """Map network input to sums, or counts above limits (one a layer), of each channel."""
        self.found.clear()
        self.network(x)
        parts = [
            # a layer may run twice
            sum(_statistic(values, limits, index) for values in self.found[name])
            for index, name in enumerate(self.names)
        ]
        self.found.clear()
        return torch.cat(parts, 1)


def _statistic(values, limits, index):
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()
    if limits is None:
        return values.sum(2)
    return (values > limits[index]).sum(2, dtype=torch.int32).float()


def _device(monitor):
    return next(monitor.module.parameters()).device
