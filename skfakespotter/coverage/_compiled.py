"""Compiled statistics: the network and what is counted of it as one fused graph."""

import weakref
from itertools import accumulate

import torch

from skfakespotter.backbones import share_weights
from skfakespotter.coverage._neurons import as_neurons

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
    network : torch.nn.Module
        Which network to run: the monitor's, or one with the same layers.
    """

    def __init__(self, monitor, network):
        self.network = _WatchedNetwork(monitor, network).eval()
        self.widths, self.batch_size = dict(monitor.n_channels), 0
        self._limits = None, None
        # on a GPU: replay the whole graph with one launch
        on_gpu = any(parameter.is_cuda for parameter in network.parameters())
        mode = "reduce-overhead" if on_gpu else "default"
        self.run = torch.compile(self.network, mode=mode, dynamic=False)

    @classmethod
    def of(cls, monitor, network):
        """Give the one of this process for a network and a monitor's options.

        Parameters
        ----------
        monitor, network
            As for the class.

        Returns
        -------
        CompiledStatistics
            Compiled when it is first called.
        """
        options = (*monitor.layer_names, monitor.neuron, monitor.rectify, monitor.precision)
        of_network = _COMPILED.setdefault(network, {})
        if options not in of_network:
            of_network[options] = cls(monitor, network)
        return of_network[options]

    def __call__(self, x, limits=None):
        """Run the network.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Network input.
        limits : dict of str to float or Tensor of shape (n_channels, 1), default=None
            Count above these; None gives sums.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32
            On the device of ``x``.
        """
        n = len(x)
        self.batch_size = max(self.batch_size, n)
        if n < self.batch_size:
            x = torch.cat([x, x.new_zeros(self.batch_size - n, *x.shape[1:])])
        if limits is not None:
            limits = self._as_tensor(limits, x.device)
        with torch.inference_mode():
            return self.run(x, limits)[:n].clone()  # the next replay overwrites it

    def _as_tensor(self, limits, device):
        """Give the limit of every channel, copied to the device only when they change."""
        if self._limits[0] is not limits:
            columns = [
                torch.as_tensor(limits[name], dtype=torch.float32).expand(width, 1).to(device)
                for name, width in self.widths.items()
            ]
            self._limits = limits, torch.cat(columns)
        return self._limits[1]


class _WatchedNetwork(torch.nn.Module):
    """A copy of the network, with the same weights in memory, that gives statistics."""

    def __init__(self, monitor, network):
        super().__init__()
        self.network = share_weights(network)
        widths = [monitor.n_channels[name] for name in monitor.layer_names]
        ends = accumulate(widths)
        self.columns = {
            name: slice(end - width, end)
            for name, width, end in zip(monitor.layer_names, widths, ends, strict=True)
        }
        self.found = {}
        modules = dict(self.network.named_modules())
        for name in self.columns:
            modules[name].register_forward_hook(self._watch(name, monitor.neuron, monitor.rectify))

    def _watch(self, name, neuron, rectify):
        def hook(layer, inputs, output):
            values = as_neurons(layer, output, neuron, rectify)
            self.found.setdefault(name, []).append(values)

        return hook

    def forward(self, x, limits):
        """Map network input to sums, or counts above limits (n_channels, 1), of each channel."""
        self.found.clear()
        self.network(x)
        parts = [
            # a layer may run twice
            sum(_statistic(values, limits, columns) for values in self.found[name])
            for name, columns in self.columns.items()
        ]
        self.found.clear()
        return torch.cat(parts, 1)


def _statistic(values, limits, columns):
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()
    if limits is None:
        return values.sum(2)
    return (values > limits[columns]).sum(2, dtype=torch.int32).float()
