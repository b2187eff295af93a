"""Attention: the operator that torch's exporter writes for it since opset 23."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from skfakespotter.backbones._onnx_layers import UnsupportedError

# What else the operator can do, and torch's function cannot
REST = {"softcap": 0, "left_window_size": -1, "right_window_size": -1, "softmax_precision": 1}


def attention(
    attributes: dict,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None = None,
    *past: Any,
) -> torch.Tensor:
    """Weigh values by how well queries match keys, as torch's attention does.

    Parameters
    ----------
    attributes : dict
        Of the node.
    q, k, v : Tensor of shape (n, heads, tokens, width) or (n, tokens, heads * width)
        Queries, keys and values, as many heads each.
    mask : Tensor, default=None
        True, or 0, where a query may see a key.
    *past : None
        Of language models; refused.

    Returns
    -------
    Tensor
        Of the queries' shape, as wide as the values.
    """
    if any(x is not None for x in past):
        raise UnsupportedError("keys and values of earlier tokens")
    for name, value in REST.items():
        if attributes.get(name, value) != value:
            raise UnsupportedError(f"{name}={attributes[name]}")
    flat, heads = q.ndim == 3, attributes.get("q_num_heads", 0)
    if flat:
        if not 0 < heads == attributes.get("kv_num_heads"):
            raise UnsupportedError("another number of heads for keys than for queries")
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    if q.ndim != 4 or not q.shape[:2] == k.shape[:2] == v.shape[:2]:
        raise UnsupportedError(f"shapes {[tuple(x.shape) for x in (q, k, v)]}")
    if mask is not None and mask.shape[-1:] != k.shape[2:3]:
        raise UnsupportedError(f"a mask of shape {tuple(mask.shape)} for {k.shape[2]} keys")
    causal = bool(attributes.get("is_causal", 0))
    found = F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=causal, scale=attributes.get("scale")
    )
    return found.transpose(1, 2).flatten(2) if flat else found


def attention_cost(
    attributes: dict, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *mask: torch.Tensor | None
) -> tuple[int, int]:
    """Return how many weights it holds for a moment, and how many multiplications it takes."""
    pairs = math.prod(q.shape[:-1]) * k.shape[-2]
    work = pairs * (k.shape[-1] + v.shape[-1])  # of all heads, whether side by side or not
    return pairs * (attributes.get("q_num_heads", 1) if q.ndim == 3 else 1), work
