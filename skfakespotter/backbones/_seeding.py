"""Seeds: untrained networks whose weights come from a generator of their own."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn


def build_seeded(make: Callable[[], nn.Module], seed: int = 0, *, relu: bool = False) -> nn.Module:
    """Build a network on the CPU, in float32, with seeded weights.

    They are what ``torch.manual_seed(seed)`` and the constructor would give, but torch's global
    generator, its default type and its default device are neither used nor touched.

    Parameters
    ----------
    make : callable
        Builds the network of convolutions, fully-connected layers and normalizations, in the
        order in which it lists them.
    seed : int, default=0
        Of the generator.
    relu : bool, default=False
        Draw kernels and matrices once more, so that values neither grow nor fade from one
        ReLU to the next (He).

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.backbones._seeding import build_seeded
    >>> layer = build_seeded(lambda: torch.nn.Linear(2, 1))
    >>> layer.weight
    Parameter containing:
    tensor([[-0.0053,  0.3793]])
    """
    with torch.device("meta"):
        network = make().to(torch.float32)
    network.to_empty(device="cpu")
    generator = torch.Generator("cpu").manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_parameters()
    if relu:
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
    return network.requires_grad_(False).eval()
