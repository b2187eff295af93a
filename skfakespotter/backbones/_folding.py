"""Folding: batch normalizations merged into the layers before them.

At inference a batch normalization is a constant scale and shift per channel. Folded into the
convolution before it, it costs nothing, and the convolution gives the normalized value, which
is the one that is watched.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

from skfakespotter.backbones._backbone import monitored_layers
from skfakespotter.backbones._copies import share_weights

TOLERANCE = 1e-4  # of the largest entry of an output, by which both networks may differ
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_norms(network: nn.Module, x: torch.Tensor) -> dict[str, str]:
    """Find the batch normalizations that are applied directly to a layer's output.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. It is run once.
    x : Tensor of shape (n, ...)
        Network input.

    Returns
    -------
    dict of str to str
        Name of the normalization by name of the convolutional or fully-connected layer. A
        layer that runs more often than its normalization, or shares it, is left out.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.backbones._folding import find_norms
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> find_norms(network, torch.zeros(1, 3, 8, 8))
    {'0': '1'}
    """
    layers = monitored_layers(network)
    norms = {name: part for name, part in network.named_modules() if isinstance(part, _BatchNorm)}
    if not (layers and norms):
        return {}
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


def fold_batch_norms(network: nn.Module, x: torch.Tensor) -> nn.Module | None:
    """Fold every batch normalization that is applied directly to a layer's output.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. It is left as it is.
    x : Tensor of shape (n, ...)
        Network input, by which both networks are compared.

    Returns
    -------
    torch.nn.Module or None
        A copy that gives the output of the original. None when there is nothing to fold, or
        the outputs differ, as where a layer's output is also used without the normalization.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.backbones._folding import fold_batch_norms
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> fold_batch_norms(network, torch.zeros(1, 3, 8, 8))[1]
    Identity()
    """
    folded, count = share_weights(network), 0
    for layer_name, norm_name in find_norms(network, x).items():
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        if norm.running_var is None:  # it normalizes by the batch
            continue
        fused = _fuse(layer, norm)
        if fused is not None:
            folded.set_submodule(layer_name, fused)
            folded.set_submodule(norm_name, nn.Identity())
            count += 1
    return folded if count and _agree(folded, network, x) else None


def _fuse(layer: Any, norm: Any) -> nn.Module | None:
    if layer._forward_pre_hooks:  # as of pruning, which compute the weight anew for each pass
        return None
    if type(layer) in _CONVOLUTIONS:
        return fuse_conv_bn_eval(layer, norm)
    if type(layer) is nn.Linear:
        return fuse_linear_bn_eval(layer, norm)
    return None  # transposed ones order their weights otherwise; subclasses may do anything


def _agree(folded: nn.Module, network: nn.Module, x: torch.Tensor) -> bool:
    with torch.inference_mode():
        ours, theirs = _tensors(folded(x)), _tensors(network(x))
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
        for a, b in zip(ours, theirs, strict=True)
    )


def _tensors(output: Any) -> list[torch.Tensor]:
    """List the tensors of an output, which may be nested."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = list(output.values())
    return (
        [t for part in output for t in _tensors(part)] if isinstance(output, (list, tuple)) else []
    )
