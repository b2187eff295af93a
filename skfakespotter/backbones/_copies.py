"""Copies of networks, which work as the originals do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def copy_network(module: nn.Module) -> nn.Module:
    """Copy a network and its weights.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    torch.nn.Module
        In the mode, of training or evaluation, that each part of the original is in.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones._copies import copy_network
    >>> copy_network(nn.Sequential(nn.Linear(2, 1)).eval()).training
    False
    """
    return _copied(module, {})


def share_weights(module: nn.Module) -> nn.Module:
    """Copy a network, but not its weights.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    torch.nn.Module
        A copy with the same tensors in memory, whose hooks and flags are its own.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return _copied(module, {id(tensor): tensor for tensor in tensors})


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    # torch refuses to copy what was computed with gradients, such as the weight that pruning and
    # the older weight normalization compute from parameters before each pass
    for part in module.modules():
        for value in vars(part).values():
            memo |= {id(t): t.detach().clone() for t in _tensors(value) if not t.is_leaf}
    copied = copy.deepcopy(module, memo)
    modes = {name: part.training for name, part in module.named_modules()}
    if copied.training != module.training:  # copies of torchvision's extractors are for training
        copied.train(module.training)
    for name, part in copied.named_modules():
        part.training = modes.get(name, part.training)
    return copied


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
