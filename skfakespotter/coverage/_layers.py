"""Layers: which parts of a network are watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skfakespotter._channels import channel_names, neurons_per_channel
from skfakespotter._typing import LayerChoice
from skfakespotter.backbones import monitored_layers

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
SHOWN = 10  # names in a message


@dataclass(frozen=True)
class Layout:
    """What a network's layers are like, for pictures of one size.

    Parameters
    ----------
    names : tuple of str
        The layers that are watched, in the network's order.
    n_neurons, n_channels : ndarray of shape (n_layers,), int64
        Of each layer.
    watched : tuple of str
        The module whose output is a layer's: itself, or the batch normalization after it.
    skipped : tuple of str
        Chosen layers, none of which was named, that do not run, or give no row per input, no
        neuron or complex numbers.
    tokens_first : frozenset of str
        Layers whose output is (tokens, pictures, channels).
    channels_last : frozenset of (str, int)
        Layers, and the number of dimensions of those of their outputs whose last one counts
        channels.
    doubles : frozenset of str
        Layers whose output is float64.
    """

    names: tuple[str, ...]
    n_neurons: NDArray[np.int64]
    n_channels: NDArray[np.int64]
    watched: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    tokens_first: frozenset[str] = frozenset()
    channels_last: frozenset[tuple[str, int]] = frozenset()
    doubles: frozenset[str] = frozenset()

    def width(self, granularity: str) -> int:
        """Return the number of layers, or of channels in all."""
        return len(self.names) if granularity == "layer" else int(self.n_channels.sum())

    def feature_names(self, granularity: str) -> NDArray[np.object_]:
        """Name the features: ``layer``, or ``layer[channel]``.

        Parameters
        ----------
        granularity : {"layer", "channel"}
            Of the features.

        Returns
        -------
        ndarray of str
            As many as :meth:`width` says.
        """
        if granularity == "layer":
            return np.array(self.names, dtype=object)
        return np.array(channel_names(self.names, self.n_channels), dtype=object)

    def split_thresholds(
        self, thresholds: NDArray[np.float32], device: torch.device
    ) -> dict[str, float | torch.Tensor]:
        """Sort thresholds by layer.

        Parameters
        ----------
        thresholds : ndarray of shape (n_layers,) or (n_channels in all,), float32
            One per layer or channel.
        device : torch.device
            Where those of channels are to lie.

        Returns
        -------
        dict of str to float or Tensor of shape (n_channels, 1)
            For each layer.
        """
        if len(thresholds) == len(self.names):
            return dict(zip(self.names, thresholds.tolist(), strict=True))
        of_channels = torch.from_numpy(thresholds).to(device)[:, None]
        return dict(zip(self.names, of_channels.split(self.n_channels.tolist()), strict=True))

    def neurons_per(self, granularity: str) -> NDArray[np.int64]:
        """Return the number of neurons of each layer, or of each channel.

        Parameters
        ----------
        granularity : {"layer", "channel"}
            Of what.

        Returns
        -------
        ndarray of int
            As many as :meth:`width` says.
        """
        if granularity == "layer":
            return self.n_neurons
        return neurons_per_channel(self.n_neurons, self.n_channels)

    def by_layer(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the channels of each layer.

        Parameters
        ----------
        values : Tensor of shape (n, n_channels in all)
            Of each channel.

        Returns
        -------
        Tensor of shape (n, n_layers), float64
            On the same device, or on the CPU for Metal, which has no float64.
        """
        values = values.cpu() if values.device.type == "mps" else values
        parts = values.split(self.n_channels.tolist(), 1)
        return torch.stack([part.sum(1, dtype=torch.float64) for part in parts], 1)


def select_layers(
    module: nn.Module, layers: LayerChoice = None, exclude: LayerChoice = None
) -> list[str]:
    """Choose parts of a network by name, pattern or kind.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layers : str, type or sequence of them, default=None
        Names or glob patterns of modules (``"blocks.*.conv1"``), names of their classes
        (``"LayerNorm"``) or the classes themselves, and ``"blocks"`` for the repeated parts of
        a residual network or a transformer; see :func:`find_blocks`. None takes all
        convolutional and fully-connected layers, as the paper does. A glob that fits any of
        these means those alone: ``"blocks.*"`` takes no norm and no attention.
    exclude : str, type or sequence of them, default=None
        What to leave out of these, in the same terms; a glob means every part that it fits.
        Only what was chosen can be left out: ``"blocks"`` leaves the layers within the blocks.

    Returns
    -------
    list of str
        In the network's order of definition, each once.

    Raises
    ------
    ValueError
        When a pattern matches nothing, or nothing is left.
    TypeError
        When ``layers`` or ``exclude`` holds anything but str and type.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.coverage import select_layers
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LayerNorm(2), nn.Linear(2, 1))
    >>> select_layers(network)
    ['0', '3']
    >>> select_layers(network, "LayerNorm")
    ['2']
    >>> select_layers(network, ["0", nn.ReLU, "LayerNorm"], exclude="1")
    ['0', '2']
    """
    default = list(monitored_layers(module))
    if layers is None and not default:
        raise ValueError(
            f"the network {type(module).__name__} has no convolutional or fully-connected layer."
        )
    chosen = set(default) if layers is None else _matches_of_all("layers", layers, module, default)
    if exclude is not None:
        chosen -= _matches_of_all("exclude", exclude, module, [])
    if not chosen:
        raise ValueError(f"exclude is {exclude!r}: it leaves no layer of those chosen.")
    return [name for name, _ in module.named_modules() if name in chosen]


def named_layers(layers: LayerChoice, module: nn.Module) -> set[str]:
    """Return the layers that were asked for one by one, by their names, and so must run.

    Parameters
    ----------
    layers : str, type or sequence of them
        As for :func:`select_layers`.
    module : torch.nn.Module
        The network.

    Returns
    -------
    set of str
        Without those that a pattern, a class or ``"blocks"`` stands for.
    """
    listed = [layers] if isinstance(layers, (str, type)) else layers or []
    return {name for name, _ in module.named_modules() if name in listed}


def find_blocks(module: nn.Module) -> list[str]:
    """Find the repeated parts of a network: residual blocks, transformer blocks.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    list of str
        Names of the modules of one class that stand in a row in a container
        (``nn.Sequential``, ``nn.ModuleList``, ``nn.ModuleDict``) and have two matrices or
        kernels at least. Of nested ones the outermost, unless it is a mere stage, most of whose
        weights lie in blocks of its own. Not found are blocks that are attributes of a module
        (Inception, timm's RegNetY), containers themselves (ConvMixer), or alone in their stage
        if no other stage has several of their class.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.coverage import find_blocks
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> find_blocks(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    ['layers.0', 'layers.1']
    """
    kinds = set()
    for container in module.modules():
        if isinstance(container, _CONTAINERS):
            counts = Counter(type(child) for child in container.children())
            kinds |= {kind for kind, times in counts.items() if times > 1}
    kinds = {kind for kind in kinds if not issubclass(kind, _CONTAINERS)}
    parts = {
        name: part
        for name, part in module.named_modules()
        if type(part) in kinds and name and sum(p.ndim > 1 for p in part.parameters()) > 1
    }
    return [name for name in parts if name in set(_without_stages(parts))]


def _without_stages(parts: dict[str, nn.Module]) -> list[str]:
    """Choose among parts that lie within each other, as :func:`find_blocks` says."""
    chosen = []
    for outer in _outermost(parts):
        inner = {name: part for name, part in parts.items() if name.startswith(f"{outer}.")}
        held = sum(_n_weights(parts[name]) for name in _outermost(inner))
        is_stage = 2 * held > _n_weights(parts[outer])
        chosen += _without_stages(inner) if is_stage else [outer]
    return chosen


def _outermost(parts: dict[str, nn.Module]) -> list[str]:
    found: list[str] = []
    for name in parts:  # an outer part comes before those within it
        if not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return found


def _n_weights(part: nn.Module) -> int:
    return sum(weights.numel() for weights in part.parameters())


def _matches_of_all(
    parameter: str, choices: LayerChoice, module: nn.Module, default: list[str]
) -> set[str]:
    listed = [choices] if isinstance(choices, (str, type)) else choices
    if not isinstance(listed, Collection) or not all(isinstance(c, (str, type)) for c in listed):
        raise TypeError(
            f"{parameter} is {choices!r}: expected None, names or glob patterns, or module types."
        )
    if not listed:
        raise ValueError(f"{parameter} is empty: expected None, names or glob patterns.")
    return set().union(*(_matches(parameter, choice, module, default) for choice in listed))


def _matches(parameter: str, choice: str | type, module: nn.Module, default: list[str]) -> set[str]:
    parts = dict(module.named_modules())
    if isinstance(choice, type):
        found = {name for name, part in parts.items() if isinstance(part, choice) and name}
    elif choice == "blocks":
        found = set(find_blocks(module))
    elif choice in parts:
        found = {choice}
    else:
        matching = {name for name in parts if fnmatchcase(name, choice)}
        # a pattern such as "*" means layers; one that fits no layer means other parts
        found = matching & set(default) or matching
        found |= {name for name, part in parts.items() if type(part).__name__ == choice}
    if not found:
        shown = choice.__name__ if isinstance(choice, type) else choice
        raise ValueError(f"{parameter}: {shown!r} {_why_nothing(shown, parts, default)}")
    return found


def _why_nothing(choice: str, parts: dict[str, nn.Module], default: list[str]) -> str:
    """Say why a choice matches nothing, and what is near."""
    if choice == "blocks":
        return (
            "matches nothing, for no parts of the network repeat: give names, globs or classes "
            "of its parts."
        )
    some = f"none of {_first(default)}, nor another part" if default else "no part of the network"
    names = [name for name in parts if name] + [type(part).__name__ for part in parts.values()]
    lowered = {name.lower(): name for name in ["blocks", *names]}
    near = get_close_matches(choice.lower(), lowered)
    hint = f" Near: {[lowered[name] for name in near]}." if near else ""
    return f"matches {some}.{hint}"


def _first(names: list[str]) -> str:
    """Show the first names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{names[:SHOWN]}{more}"
