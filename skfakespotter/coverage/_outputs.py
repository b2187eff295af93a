"""Outputs: what of a module's output is a neuron."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skfakespotter.coverage._axes import has_channels_last


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

    def of(
        self, layer: nn.Module, output: torch.Tensor, channels_last: bool | None = None
    ) -> torch.Tensor:
        """Arrange a layer's output by channel; see :func:`as_neurons`.

        Parameters
        ----------
        layer : torch.nn.Module
            What gave it.
        output : Tensor of shape (n, ...)
            One row per picture.
        channels_last : bool, default=None
            Whether its last dimension counts channels; None: as the layer alone tells.

        Returns
        -------
        Tensor of shape (n, channels, units per channel)
            Outputs of the neurons.
        """
        if channels_last is None:
            channels_last = has_channels_last(layer, output)
        return as_neurons(output, channels_last, self.neuron, self.rectify, self.tokens)


def as_neurons(
    output: torch.Tensor,
    channels_last: bool,
    neuron: str = "unit",
    rectify: bool = False,
    tokens: str = "all",
) -> torch.Tensor:
    """Arrange a layer's output by channel.

    Parameters
    ----------
    output : Tensor of shape (n, channels, ...), or (n, ..., channels)
        One row per picture.
    channels_last : bool
        Which of the two. With channels last, three dimensions are (n, tokens, channels).
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
    >>> as_neurons(torch.zeros(5, 2, 3, 4), channels_last=False).shape
    torch.Size([5, 2, 12])
    >>> as_neurons(torch.zeros(5, 17, 8), channels_last=True, tokens="class").shape
    torch.Size([5, 8, 1])
    """
    has_tokens = channels_last and output.ndim == 3
    if has_tokens and tokens == "class":
        output = output[:, :1]
    elif has_tokens and tokens == "patches":
        output = output[:, 1:]
    if channels_last:
        output = output.movedim(-1, 1)
    values = output.flatten(2) if output.ndim > 2 else output[:, :, None]
    if rectify:
        values = values.relu()
    mean = neuron == "channel" or (tokens == "mean" and has_tokens)
    return values.mean(2, keepdim=True) if mean and values.shape[2] else values


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
        The output is (tokens, n_samples, channels), as of modules with ``batch_first=False``.

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
        raise no_rows(name, None if tensor is None else tuple(tensor.shape), n_samples)
    return tensor


def no_rows(name: str, shape: tuple[int, ...] | None, n_samples: int) -> ValueError:
    """Return the error of a layer that does not give one row per input.

    Parameters
    ----------
    name : str
        Of the layer.
    shape : tuple of int or None
        Of what it gave; None for no tensor.
    n_samples : int
        Inputs.

    Returns
    -------
    ValueError
        To be raised.
    """
    what = "no tensor" if shape is None else f"an output of shape {shape}"
    return ValueError(
        f"layer {name!r} gave {what} for {n_samples} inputs: expected one row per input. "
        "Leave the layer out."
    )


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


def nesting_encoders(module: nn.Module, watched: Collection[str]) -> list[nn.TransformerEncoder]:
    """Find torch's encoders that hand nested tensors, which have no shape, to watched parts.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    watched : collection of str
        Names of the parts that are watched.

    Returns
    -------
    list of torch.nn.TransformerEncoder
        They pack padded pictures unless ``use_nested_tensor`` is False.
    """
    return [
        part
        for name, part in module.named_modules()
        if isinstance(part, nn.TransformerEncoder)
        and getattr(part, "use_nested_tensor", False)
        and any(place != name and place.startswith(f"{name}." if name else "") for place in watched)
    ]


@contextmanager
def unnested(module: nn.Module, watched: Collection[str]) -> Iterator[nn.Module]:
    """Let the encoders around watched parts compute on plain tensors; put each back as it was."""
    encoders = nesting_encoders(module, watched)
    try:
        for part in encoders:
            part.use_nested_tensor = False
        yield module
    finally:
        for part in encoders:
            part.use_nested_tensor = True
