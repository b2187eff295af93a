"""Norms: the batch normalizations that are applied directly to a layer's output."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skfakespotter.backbones._backbone import monitored_layers

_PLAIN = {_BatchNorm.forward, nn.SyncBatchNorm.forward}
_CLOSE = 1e-5  # of the largest entry


def find_norms(network: nn.Module, x: torch.Tensor) -> dict[str, str]:
    """Find the batch normalizations that are applied directly to a layer's output.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. It is run once; twice where a class of its own extends a batch
        normalization.
    x : Tensor of shape (n, ...)
        Network input.

    Returns
    -------
    dict of str to str
        Name of the normalization by name of the convolutional or fully-connected layer. A
        layer that runs more often than its normalization, or shares it, is left out, and so is
        a normalization that does more than normalize.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.backbones import find_norms
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> find_norms(network, torch.zeros(1, 3, 8, 8))
    {'0': '1'}
    """
    layers = monitored_layers(network)
    norms = {name: part for name, part in network.named_modules() if isinstance(part, _BatchNorm)}
    if not (layers and norms):
        return {}
    steps = _steps_after(network, x)
    norms = {name: norm for name, norm in norms.items() if steps.get(name, []) == []}
    made_by: dict[int, tuple[str, int]] = {}
    kept = []  # while an output lives, no other has its id
    runs: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()

    def after_layer(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple, output: Any) -> None:
            made_by[id(output)] = name, getattr(output, "_version", 0)
            kept.append(output)
            runs[name] += 1

        return hook

    def before_norm(name: str) -> Any:
        def hook(norm: nn.Module, inputs: tuple) -> None:
            runs[name] += 1
            layer, version = made_by.get(id(inputs[0]), (None, 0)) if inputs else (None, 0)
            if layer and inputs[0]._version == version:  # else a ReLU changed it in place
                pairs[layer, name] += 1

        return hook

    # tensors made in inference mode have no version
    with ExitStack() as stack, torch.inference_mode(False), torch.no_grad():
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(after_layer(name)).remove)
        for name, norm in norms.items():
            stack.callback(norm.register_forward_pre_hook(before_norm(name)).remove)
        network(x)
    return {
        layer: norm for (layer, norm), times in pairs.items() if runs[layer] == runs[norm] == times
    }


def split_norms(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Take apart the modules that normalize and then do more, as timm's BatchNormAct2d does.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. It is changed.
    x : Tensor of shape (n, ...)
        Network input, which is run once where there is such a module.

    Returns
    -------
    torch.nn.Module
        The same. In the place of such a module stands a sequence: a plain batch normalization
        called "norm", then the module's children under their names. One whose children, one
        after another, do not give its output is left as it is: its value between normalization
        and the rest cannot be had.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.backbones._norms import split_norms
    >>> class NormReLU(nn.BatchNorm2d):
    ...     def __init__(self, n):
    ...         super().__init__(n)
    ...         self.act = nn.ReLU()
    ...     def forward(self, x):
    ...         return self.act(super().forward(x))
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), NormReLU(4)).eval()
    >>> [name for name, _ in split_norms(network, torch.ones(1, 3, 8, 8)).named_modules()]
    ['', '0', '1', '1.norm', '1.act']
    """
    apart: dict[int, nn.Module] = {}
    steps = {name: found for name, found in _steps_after(network, x).items() if found}
    for name in steps:
        norm = network.get_submodule(name)
        if "norm" not in dict(norm.named_children()):
            parts = OrderedDict([("norm", _plain(norm)), *norm.named_children()])
            apart[id(norm)] = nn.Sequential(parts).train(norm.training)
    # a module may stand in several places
    for name, part in list(network.named_modules(remove_duplicate=False)):
        if id(part) in apart and name:
            network.set_submodule(name, apart[id(part)])
    return network


def _steps_after(network: nn.Module, x: torch.Tensor) -> dict[str, list[nn.Module] | None]:
    """Find what the classes that extend a batch normalization do after it.

    It is none of their children, or all one after another; None stands for something else.
    """
    steps: dict[str, list[nn.Module] | None] = {}
    before: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(norm: nn.Module, inputs: tuple) -> None:
            before[name] = inputs[0].clone()

        return hook

    def compare(name: str, norm: Any) -> Any:
        children = [child for child in norm.children() if not isinstance(child, nn.Identity)]

        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            for tried in (children, []):
                value = _BatchNorm.forward(norm, before[name])
                for child in tried:
                    value = child(value)
                if _close(output, value) and steps.get(name, tried) == tried:
                    steps[name] = tried
                    return
            steps[name] = None

        return hook

    norms = {name: part for name, part in network.named_modules() if isinstance(part, _BatchNorm)}
    extended = {name: norm for name, norm in norms.items() if type(norm).forward not in _PLAIN}
    if extended:
        with ExitStack() as stack, torch.no_grad():
            for name, norm in extended.items():
                stack.callback(norm.register_forward_pre_hook(keep(name)).remove)
                stack.callback(norm.register_forward_hook(compare(name, norm)).remove)
            network(x)
    return steps


def _close(a: Any, b: torch.Tensor) -> bool:
    if not isinstance(a, torch.Tensor) or a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= _CLOSE * b.abs().max())


def _plain(norm: nn.Module) -> nn.Module:
    """Return the same normalization as an object of the torch class that was extended."""
    plain = copy.copy(norm)
    plain.__class__ = next(
        kind for kind in type(norm).__mro__ if getattr(kind, "forward", None) in _PLAIN
    )
    plain._modules = {}
    return plain
