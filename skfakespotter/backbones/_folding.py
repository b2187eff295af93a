"""Folding: batch normalizations merged into the layers before them.

At inference a batch normalization is a constant scale and shift per channel. Folded into the
convolution before it, it costs nothing, and the convolution gives the normalized value, which
is the one that is watched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

from skfakespotter.backbones._copies import share_weights
from skfakespotter.backbones._norms import find_norms

TOLERANCE = 1e-4  # of the largest entry of an output, by which both networks may differ
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


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
        A copy that gives the output of the original. A normalization that cannot be folded
        without changing it stays, as where a layer's output is also used without it. None when
        nothing is folded.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.backbones._folding import fold_batch_norms
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    >>> fold_batch_norms(network, torch.zeros(1, 3, 8, 8))[1]
    Identity()
    """
    pairs = list(find_norms(network, x).items())
    with torch.inference_mode():
        expected = _tensors(network(x))
    folded = _fold(network, pairs, x, expected)
    return None if folded is network else folded


def _fold(network: nn.Module, pairs: list[tuple[str, str]], x: torch.Tensor, expected: list) -> Any:
    """Fold the pairs that keep the output: all, or each half's by itself."""
    folded, count = share_weights(network), 0
    for layer_name, norm_name in pairs:
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        fused = _fuse(layer, norm)
        if fused is not None:
            folded.set_submodule(layer_name, fused)
            folded.set_submodule(norm_name, nn.Identity())
            count += 1
    if count and _agree(folded, x, expected):
        return folded
    if not count or len(pairs) == 1:
        return network
    half = len(pairs) // 2
    return _fold(_fold(network, pairs[:half], x, expected), pairs[half:], x, expected)


def _fuse(layer: Any, norm: Any) -> nn.Module | None:
    if norm.running_var is None:  # it normalizes by the batch
        return None
    if layer._forward_pre_hooks:  # as of pruning, which compute the weight anew for each pass
        return None
    if type(layer) in _CONVOLUTIONS:
        return fuse_conv_bn_eval(layer, norm)
    if type(layer) is nn.Linear:
        return fuse_linear_bn_eval(layer, norm)
    return None  # transposed ones order their weights otherwise; subclasses may do anything


def _agree(folded: nn.Module, x: torch.Tensor, expected: list[torch.Tensor]) -> bool:
    with torch.inference_mode():
        found = _tensors(folded(x))
    return len(found) == len(expected) and all(
        a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
        for a, b in zip(found, expected, strict=True)
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
