"""Neurons: what of a layer's output counts as a neuron."""

import torch


def as_neurons(layer, output, neuron="unit", rectify=False):
    """Give a layer's output as its neurons.

    Parameters
    ----------
    layer : torch.nn.Module
        A convolution or a fully-connected layer.
    output : Tensor of shape (n, channels, ...), or (n, ..., channels) of a fully-connected layer
        What it gave.
    neuron : {"unit", "channel"}, default="unit"
        Every unit of the map, or the mean of a channel's map.
    rectify : bool, default=False
        Apply the ReLU first.

    Returns
    -------
    Tensor of shape (n, channels, units per channel)
        A view of ``output`` where possible.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage._neurons import as_neurons
    >>> layer = torch.nn.Conv2d(1, 2, 1)
    >>> as_neurons(layer, layer(torch.zeros(5, 1, 3, 4))).shape
    torch.Size([5, 2, 12])
    """
    if isinstance(layer, torch.nn.Linear):
        output = output.movedim(-1, 1)
    values = output.flatten(2) if output.ndim > 2 else output[:, :, None]
    if rectify:
        values = values.relu()
    return values.mean(2, keepdim=True) if neuron == "channel" else values


def check_rows(name, output, n_samples):
    """Raise ValueError unless a layer gave one row per input.

    Parameters
    ----------
    name : str
        Of the layer, for the message.
    output : Tensor
        What it gave.
    n_samples : int
        Inputs.
    """
    if output.ndim < 2 or len(output) != n_samples:
        raise ValueError(
            f"layer {name!r} gave an output of shape {tuple(output.shape)} for {n_samples} "
            "inputs: expected one row per input. Leave the layer out."
        )
