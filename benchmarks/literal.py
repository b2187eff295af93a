"""Literal: the two equations as the paper writes them, from outputs that hooks record.

Slow and simple on purpose: what the package computes is compared with it.
"""

import numpy as np
import torch


def outputs_of(module, x, names):
    """Record what parts of a network return, by hooks and nothing else.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    x : Tensor of shape (n, ...)
        Its input.
    names : sequence of str
        Of the parts.

    Returns
    -------
    dict of str to Tensor
        In the order in which the parts ran; of tuples and dataclasses the first tensor.
    """
    found, modules = {}, dict(module.named_modules())

    def record(name):
        def hook(part, inputs, output):
            while not isinstance(output, torch.Tensor):
                values = output.values() if hasattr(output, "values") else output
                output = next(iter(vars(output).values() if hasattr(output, "hidden") else values))
            found[name] = output.clone()

        return hook

    handles = [modules[name].register_forward_hook(record(name)) for name in names]
    with torch.inference_mode():
        module(x)
    for handle in handles:
        handle.remove()
    return found


def literal_counts(output, tokens="all", per_channel=False, channels_last=False):
    """Compute equations 1 and 2 over a layer.

    Parameters
    ----------
    output : Tensor of shape (n, channels, h, w), (n, tokens, channels) or (n, channels)
        Of the layer.
    tokens : {"all", "class", "patches", "mean"}, default="all"
        Of the second shape.
    per_channel : bool, default=False
        A threshold per channel instead of one for the layer.
    channels_last : bool, default=False
        The first shape is (n, h, w, channels).

    Returns
    -------
    counts : ndarray of shape (n, channels), int
        Neurons above the threshold.
    thresholds : ndarray of shape (channels,), float64
        All equal unless ``per_channel``.
    """
    if output.ndim == 4:  # places as if they were tokens
        output = output.flatten(1, 2) if channels_last else output.flatten(2).mT
    elif output.ndim == 2:
        output = output[:, None]
    elif tokens == "class":
        output = output[:, :1]
    elif tokens == "patches":
        output = output[:, 1:]
    elif tokens == "mean":
        output = output.mean(1, keepdim=True)
    values = output.numpy().astype(np.float64)
    mean = values.mean((0, 1)) if per_channel else np.full(values.shape[2], values.mean())
    return (output.numpy() > mean.astype(np.float32)).sum(1), mean
