"""Outputs: what of a module's output is a neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_MAPS = nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm  # channels come before places


@dataclass(frozen=True)
class Neurons:
    """What counts as a neuron.

    Parameters
    ----------
    neuron : {"unit", "channel"}, default="unit"
        Every unit of a layer's output, or a channel with the mean of its map.
    tokens : {"all", "class", "patches", "mean"}, default="all"
        Of layers whose output is one of tokens.
    rectify : bool, default=False
        Apply the ReLU first.
    """

    neuron: str = "unit"
    tokens: str = "all"
    rectify: bool = False

    def of(self, layer: nn.Module, output: torch.Tensor) -> torch.Tensor:
        """Arrange a layer's output by channel; see :func:`as_neurons`.

        Parameters
        ----------
        layer : torch.nn.Module
            What gave it.
        output : Tensor of shape (n, ...)
            One row per picture.

        Returns
        -------
        Tensor of shape (n, channels, units per channel)
            Outputs of the neurons.
        """
        return as_neurons(layer, output, self.neuron, self.rectify, self.tokens)


def as_neurons(
    layer: nn.Module,
    output: torch.Tensor,
    neuron: str = "unit",
    rectify: bool = False,
    tokens: str = "all",
) -> torch.Tensor:
    """Arrange a layer's output by channel.

    Parameters
    ----------
    layer : torch.nn.Module
        What gave it.
    output : Tensor of shape (n, channels, ...), or (n, tokens, channels), or (n, ..., channels)
        The last two of layers that work on tokens, and of fully-connected layers.
    neuron : {"unit", "channel"}, default="unit"
        Every unit of the map, or the mean of a channel's map.
    rectify : bool, default=False
        Apply the ReLU first.
    tokens : {"all", "class", "patches", "mean"}, default="all"
        Of an output of tokens: every token's units, those of the first token, those of the
        others, or their mean over all tokens.

    Returns
    -------
    Tensor of shape (n, channels, units per channel)
        A view of ``output`` where possible.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage._outputs import as_neurons
    >>> layer = torch.nn.Conv2d(1, 2, 1)
    >>> as_neurons(layer, layer(torch.zeros(5, 1, 3, 4))).shape
    torch.Size([5, 2, 12])
    >>> norm = torch.nn.LayerNorm(8)
    >>> as_neurons(norm, norm(torch.zeros(5, 17, 8)), tokens="class").shape
    torch.Size([5, 8, 1])
    """
    if has_tokens(layer, output):
        if tokens == "class":
            output = output[:, :1]
        elif tokens == "patches":
            output = output[:, 1:]
    if has_channels_last(layer, output):
        output = output.movedim(-1, 1)
    values = output.flatten(2) if output.ndim > 2 else output[:, :, None]
    if rectify:
        values = values.relu()
    mean = neuron == "channel" or (tokens == "mean" and has_tokens(layer, output))
    return values.mean(2, keepdim=True) if mean else values


def has_channels_last(layer: nn.Module, output: torch.Tensor) -> bool:
    """Tell whether the last dimension of an output is the channel's.

    Parameters
    ----------
    layer : torch.nn.Module
        What gave the output.
    output : Tensor
        With one row per picture.

    Returns
    -------
    bool
        True for fully-connected layers and layer normalizations, and for whatever else gives
        three dimensions, (n, tokens, channels), but for convolutions and batch normalizations.
        A block of four dimensions, as of Swin or ConvNeXt, has its channels where the width of
        one of its parts is; a part without any has them first.
    """
    if isinstance(layer, nn.Linear) or type(layer) is nn.LayerNorm:  # not LayerNorm2d
        return True
    if output.ndim != 4 or isinstance(layer, _MAPS):
        return output.ndim == 3 and not isinstance(layer, _MAPS)
    widths = {width for part in layer.modules() if (width := _width(part))}
    return output.shape[1] not in widths and output.shape[-1] in widths


def _width(part: nn.Module) -> int | None:
    """Return the number of channels that a layer gives; None for what is no layer."""
    if isinstance(part, nn.LayerNorm):  # some give maps, such as LayerNorm2d
        return part.normalized_shape[-1]
    return getattr(part, "out_features", None) or getattr(part, "out_channels", None)


def has_tokens(layer: nn.Module, output: torch.Tensor) -> bool:
    """Tell whether an output is one of tokens: (n, tokens, channels).

    Parameters
    ----------
    layer, output
        As for :func:`has_channels_last`.

    Returns
    -------
    bool
        False for maps and vectors.
    """
    return output.ndim == 3 and not isinstance(layer, _MAPS)


def output_rows(
    name: str, output: Any, n_samples: int, *, tokens_first: bool = False
) -> torch.Tensor:
    """Take the tensor of a module's output, with one row per input.

    Parameters
    ----------
    name : str
        Of the layer, for the message.
    output : Tensor, or a tuple, list, dict or dataclass that holds one
        The first tensor of it counts (Hugging Face's models put the hidden states first).
    n_samples : int
        Inputs.
    tokens_first : bool, default=False
        The output is (tokens, n_samples, channels), see :func:`has_tokens_first`.

    Returns
    -------
    Tensor of shape (n_samples, ...)
        With tokens after the samples.

    Raises
    ------
    ValueError
        When there is no tensor in it, or not one row per input.
    """
    tensor = first_tensor(output)
    if tensor is not None and tokens_first and tensor.ndim == 3:
        tensor = tensor.transpose(0, 1)
    if tensor is None or tensor.ndim < 2 or len(tensor) != n_samples:
        what = "no tensor" if tensor is None else f"an output of shape {tuple(tensor.shape)}"
        raise ValueError(
            f"layer {name!r} gave {what} for {n_samples} inputs: expected one row per input. "
            "Leave the layer out."
        )
    return tensor


def has_tokens_first(output: Any) -> bool:
    """Tell from the output for one picture whether the tokens come before the pictures.

    Parameters
    ----------
    output : object
        What a module returned for a batch of one.

    Returns
    -------
    bool
        True for (tokens, 1, channels), as of modules with ``batch_first=False``.
    """
    tensor = first_tensor(output)
    return tensor is not None and tensor.ndim == 3 and len(tensor) > 1 == tensor.shape[1]


def first_tensor(output: Any) -> torch.Tensor | None:
    """Find the first tensor in a module's output.

    Parameters
    ----------
    output : object
        A tensor, or a tuple, list, dict or dataclass, which may be nested.

    Returns
    -------
    Tensor or None
        None where there is none.
    """
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        output = output.values()
    elif hasattr(output, "__dataclass_fields__"):
        output = [getattr(output, field) for field in output.__dataclass_fields__]
    elif not isinstance(output, (tuple, list)):
        return None
    tensors = (first_tensor(part) for part in output)
    return next((tensor for tensor in tensors if tensor is not None), None)


def is_finite(output: Any, n_samples: int) -> torch.Tensor:
    """Tell for which inputs the network's output is finite, without waiting for the device.

    Parameters
    ----------
    output : object
        What the network returned.
    n_samples : int
        Inputs.

    Returns
    -------
    Tensor of shape (n_samples,) or (1,), bool
        True where there is no tensor of one row per input to look at.
    """
    tensor = first_tensor(output)
    if tensor is None or tensor.ndim == 0 or len(tensor) != n_samples:
        return torch.ones(1, dtype=torch.bool, device=None if tensor is None else tensor.device)
    return torch.isfinite(tensor.reshape(n_samples, -1)).all(1)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Put a network in evaluation mode, and each part back as it was."""
    training = [part for part in module.modules() if part.training]
    try:
        module.eval()
        yield module
    finally:
        for part in training:
            part.training = True
