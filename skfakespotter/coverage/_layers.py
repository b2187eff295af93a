"""Layers: which layers of a network are watched."""

from collections.abc import Collection
from fnmatch import fnmatchcase

from skfakespotter.backbones import monitored_layers


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
    >>> from skfakespotter.coverage._layers import select_layers
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
