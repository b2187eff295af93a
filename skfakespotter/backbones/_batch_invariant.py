"""Steady layers: on a CPU a picture gets the same outputs alone and among others.

torch takes another kernel for one small picture, or for a few on one thread. The last digits of
the two differ, and a neuron at its threshold is counted or not.
"""

from __future__ import annotations

import torch
from torch import nn

LEAST_ROWS = 8  # from which on a matrix product's rows do not depend on their number


class SteadyConv2d(nn.Conv2d):
    """A convolution that oneDNN computes, whatever the batch size and the number of threads."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve pictures (n, channels, h, w)."""
        padding = self.padding
        other = self.padding_mode != "zeros" or input.ndim != 4
        if isinstance(padding, str) or other or not _is_plain(input):
            return super().forward(input)
        place = self.stride, self.dilation, self.groups
        return torch.mkldnn_convolution(input, self.weight, self.bias, padding, *place)


class SteadyLinear(nn.Linear):
    """A fully-connected layer that computes eight rows where it is given fewer."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Multiply vectors (n, features)."""
        if input.ndim != 2 or len(input) >= LEAST_ROWS or not _is_plain(input):
            return super().forward(input)
        more = input.new_zeros(LEAST_ROWS - len(input), input.shape[1])
        return super().forward(torch.cat([input, more]))[: len(input)]


def _is_plain(x: torch.Tensor) -> bool:
    """Tell whether a kernel may be chosen: float32 on a CPU, no autocast, no compiler."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return plain and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def steady(module: nn.Module) -> nn.Module:
    """Make the layers of a network steady, in place, where oneDNN is there.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    torch.nn.Module
        The same.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones import steady
    >>> steady(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(8, 2)))
    Sequential(
      (0): SteadyConv2d(3, 8, kernel_size=(1, 1), stride=(1, 1))
      (1): Flatten(start_dim=1, end_dim=-1)
      (2): SteadyLinear(in_features=8, out_features=2, bias=True)
    )
    """
    kinds = {nn.Conv2d: SteadyConv2d, nn.Linear: SteadyLinear}
    if torch.backends.mkldnn.is_available():
        for part in module.modules():
            part.__class__ = kinds.get(type(part), type(part))
    return module
