"""Channels: columns with one number per channel of every layer, and what they are of each layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def channel_names(layer_names: Sequence[str], n_channels: ArrayLike) -> list[str]:
    """Name the channels of all layers.

    Parameters
    ----------
    layer_names : sequence of str
        In the network's order.
    n_channels : array-like of shape (n_layers,), int
        Of each layer.

    Returns
    -------
    list of str
        ``layer[channel]``, layer by layer.

    Examples
    --------
    >>> from skfakespotter._channels import channel_names
    >>> channel_names(["conv", "fc"], [2, 1])
    ['conv[0]', 'conv[1]', 'fc[0]']
    """
    pairs = zip(layer_names, np.asarray(n_channels).tolist(), strict=True)
    return [f"{name}[{channel}]" for name, n in pairs for channel in range(n)]


def neurons_per_channel(n_neurons: ArrayLike, n_channels: ArrayLike) -> NDArray[np.int64]:
    """Return the number of neurons of every channel.

    Parameters
    ----------
    n_neurons, n_channels : array-like of shape (n_layers,), int
        Of each layer, whose channels have equally many neurons.

    Returns
    -------
    ndarray of shape (n_channels in all,), int64
        Layer by layer.

    Examples
    --------
    >>> from skfakespotter._channels import neurons_per_channel
    >>> neurons_per_channel([50, 3], [2, 3]).tolist()
    [25, 25, 1, 1, 1]
    """
    neurons, channels = np.asarray(n_neurons, np.int64), np.asarray(n_channels, np.int64)
    return np.repeat(neurons // channels, channels)


def sum_by_layer(values: NDArray, n_channels: ArrayLike) -> NDArray:
    """Sum over the channels of each layer.

    Parameters
    ----------
    values : ndarray of shape (n, n_channels in all)
        Of every channel.
    n_channels : array-like of shape (n_layers,), int
        Of each layer.

    Returns
    -------
    ndarray of shape (n, n_layers)
        In the dtype of ``values``.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter._channels import sum_by_layer
    >>> sum_by_layer(np.array([[1, 2, 5]]), [2, 1]).tolist()
    [[3, 5]]
    """
    channels = np.asarray(n_channels)
    return np.add.reduceat(values, np.cumsum(channels) - channels, axis=1)
