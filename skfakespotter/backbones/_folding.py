"""Folding: batch normalisations merged into the convolutions before them, undone in what is seen.

At inference a batch normalisation is a constant scale and shift per channel. Folded into the
convolution before it, it costs nothing; the network's output stays the same, and the
convolution's own output y, before the normalisation, follows from what the folded one gives:
z = scale * y + shift.
"""

import copy
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

# A normalised output has the mean "bias" and the standard deviation "weight". Where the first is
# far larger, as in a channel that training has silenced, rounding takes the output's trace away.
LARGEST_RATIO = 100.0
TOLERANCE = 1e-4  # of the descriptors' largest entry, by which both networks may differ


@dataclass
class FoldedNetwork:
    """A network whose normalisations are folded, and how to get the layers' own outputs back.

    Parameters
    ----------
    module : torch.nn.Module
        It gives the output that the original gives.
    scale, shift : dict of str to Tensor of shape (n_channels,)
        Of the folded convolutions, by name.
    agrees : bool or None
        Whether the output is the original's, where :meth:`compare` has found out.
    """

    module: nn.Module
    scale: dict
    shift: dict
    agrees: bool | None = None
    _kept: dict = field(default_factory=dict, repr=False)

    def limits(self, thresholds):
        """Give what the folded outputs are compared with instead of thresholds.

        y > t is z > scale * t + shift, or with a negative scale, the opposite of
        z >= scale * t + shift: :meth:`unfolded` turns these counts round.

        Parameters
        ----------
        thresholds : dict of str to float
            Of the layers' own outputs.

        Returns
        -------
        dict of str to float or Tensor of shape (n_channels, 1), float32
            The threshold itself for a layer that is not folded.
        """
        before, limits = self._kept.get("limits", (None, None))
        if before != thresholds:  # other threads may ask with other thresholds
            limits = {name: self._limit(name, value) for name, value in thresholds.items()}
            self._kept["limits"] = dict(thresholds), limits
        return limits

    def _limit(self, name, threshold):
        if name not in self.scale:
            return threshold
        scale, shift = self.scale[name], self.shift[name]
        limit = scale * threshold + shift
        below = torch.nextafter(limit, torch.full_like(limit, -torch.inf))
        return torch.where(scale < 0, below, limit)[:, None]

    def unfolded(self, found, widths, units, *, counts):
        """Turn what was found of the folded outputs into what holds for the layers' own.

        Parameters
        ----------
        found : Tensor of shape (n, n_channels in all)
            Sums, or counts above :meth:`limits`.
        widths, units : dict of str to int
            Channels per layer, and neurons per channel, in the order of ``found``.
        counts : bool
            Whether these are counts.

        Returns
        -------
        Tensor of shape (n, n_channels in all)
            float64 for sums, that the subtraction may not round; float32 for counts.
        """
        key = tuple(widths.items()), tuple(units.items())
        if key not in self._kept:
            ones = {name: torch.ones(width) for name, width in widths.items()}
            device = found.device
            self._kept[key] = [
                torch.cat([of.to(device) for of in parts])
                for parts in (
                    [self.scale.get(name, one) for name, one in ones.items()],
                    [self.shift.get(name, 0 * one) for name, one in ones.items()],
                    [one * units[name] for name, one in ones.items()],
                )
            ]
        scale, shift, n_units = self._kept[key]
        if counts:
            return torch.where(scale < 0, n_units - found, found)
        wide = found if found.device.type == "mps" else found.double()  # Metal has no float64
        return (wide - n_units * shift) / scale

    def compare(self, original, x):
        """Find out by one input whether the output is the original's: set ``agrees``.

        Parameters
        ----------
        original : torch.nn.Module
            The network as it was, in evaluation mode.
        x : Tensor of shape (1, ...)
            Network input.
        """
        with torch.inference_mode():
            try:
                self.agrees = _is_close(self.module(x), original(x))
            except Exception:  # a trace may break in any way that Python code can
                self.agrees = False


def fold_batch_norms(network):
    """Fold every batch normalisation that directly follows a convolution.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. It is left as it is.

    Returns
    -------
    FoldedNetwork or None
        None when there is nothing to fold, or the network cannot be traced.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones._folding import fold_batch_norms
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> folded = fold_batch_norms(network)
    >>> folded.module.get_submodule("1")
    Identity()
    >>> list(folded.scale)
    ['0']
    """
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return None
    try:
        traced = fx.symbolic_trace(copy.deepcopy(network))
    except Exception:  # control flow that depends on the input, in any of its shapes
        return None
    folded = FoldedNetwork(traced.eval(), {}, {})
    for conv_name, norm_name in _pairs(traced):
        conv, norm = traced.get_submodule(conv_name), traced.get_submodule(norm_name)
        scale, shift = _scale_and_shift(norm)
        if scale is None:
            continue
        traced.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        traced.set_submodule(norm_name, nn.Identity())
        folded.scale[conv_name], folded.shift[conv_name] = scale, shift
    traced.recompile()
    return folded if folded.scale else None


def _pairs(traced):
    """Name the convolutions that run once, straight into a normalisation that runs once."""
    runs = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in traced.graph.nodes:
        before = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if (
            _is_a(traced, node, _BatchNorm)
            and before is not None
            and _is_a(traced, before, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
            and len(before.users) == runs[node.target] == runs[before.target] == 1
        ):
            yield before.target, node.target


def _is_a(traced, node, kinds):
    return node.op == "call_module" and isinstance(traced.get_submodule(node.target), kinds)


def _scale_and_shift(norm):
    """Give what a normalisation does at inference; None where that cannot be undone."""
    if norm.running_var is None:  # it normalises by the batch
        return None, None
    deviation = (norm.running_var + norm.eps).sqrt()
    weight = torch.ones_like(deviation) if norm.weight is None else norm.weight
    bias = torch.zeros_like(deviation) if norm.bias is None else norm.bias
    if not (bias.abs() <= LARGEST_RATIO * weight.abs()).all() or not weight.all():
        return None, None
    scale = (weight / deviation).detach()
    return scale, (bias - norm.running_mean * scale).detach()


def _is_close(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        ours, theirs = [ours], [theirs]
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and (a - b).abs().max() <= TOLERANCE * b.abs().max()
        for a, b in zip(ours, theirs, strict=True)
    )
