"""Digests: what tells a network from all others whose results may differ.

The text of a network and its weights do not say all: ``repr`` shows neither the number of heads
of an attention nor whether a block normalizes first, and buffers may be left out of the state.
So the attributes of its parts count too, as far as they are numbers, texts or names. They are
left out of parts that show all they do in their ``repr``: plain torch layers and the networks of
this package. Their digests, which detectors that ship are bound to, then depend on no attribute
that a later torch may add.

What runs of a network leave behind must not count. Attributes that are None, tensors, empty, or
called a cache are such, or may become so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

_DIGESTS: WeakKeyDictionary[nn.Module, tuple[tuple, str]] = WeakKeyDictionary()
_SHOWN = {
    *(nn.Identity, nn.Sequential, nn.Flatten, nn.ReLU, nn.Sigmoid, nn.MaxPool2d),
    *(nn.AdaptiveAvgPool2d, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
}
_OF_ANY_MODULE = set(vars(nn.Module())) | {"_compiled_call_impl"}
# Where a network came from, where it lies, how it saves memory in training
_WITHOUT_EFFECT = {
    *("name_or_path", "_is_hf_initialized", "_use_kernels", "device"),
    *("gradient_checkpointing", "grad_checkpointing"),
}
_WORDS = (bool, int, float, complex, str, bytes, torch.dtype, type(None))
_NAMED = (FunctionType, BuiltinFunctionType, MethodType, type)


def network_state(module: nn.Module) -> tuple:
    """Describe a network so that any change of it shows, without reading its weights.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    tuple
        Attributes of the parts; place in memory and version of every tensor. Changes through
        ``tensor.data`` do not raise torch's version and are not seen.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return _facts(module), *((_place(t), t.dtype, t.shape, _version(t)) for t in tensors)


def digest(module: nn.Module) -> str:
    """Hash layers, attributes and weights; again only when they have changed.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    str
        SHA-256, in hexadecimal. Equal for copies, in other processes too, on any device, in
        training and in evaluation mode.

    Raises
    ------
    TypeError
        When the network's state holds anything but tensors, numbers, texts, and tuples, lists
        and dicts of these; it names the key.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones._digests import digest
    >>> two, four = (nn.MultiheadAttention(4, heads) for heads in (2, 4))
    >>> _ = four.load_state_dict(two.state_dict())
    >>> str(two) == str(four), digest(two) == digest(four)
    (True, False)
    """
    state = network_state(module)
    known = _DIGESTS.get(module)
    if known is not None and known[0] == state:
        return known[1]
    sha = hashlib.sha256(str(module).encode())
    for fact in state[0]:
        sha.update(f"{fact}\n".encode())
    for key, value in [*module.state_dict().items(), *_unsaved_buffers(module)]:
        for piece in _pieces(key, value):
            sha.update(piece)
    _DIGESTS[module] = state, sha.hexdigest()
    return _DIGESTS[module][1]


def _facts(module: nn.Module) -> tuple[str, ...]:
    """List the attributes of all parts that repr() may not show."""
    facts = []
    for name, part in module.named_modules():
        if type(part) in _SHOWN or type(part).__module__.startswith("skfakespotter."):
            continue
        for key, value in sorted(vars(part).items()):
            empty = value is None or (isinstance(value, (tuple, list)) and not value)
            if not (empty or key in _OF_ANY_MODULE | _WITHOUT_EFFECT or "cache" in key):
                text = _text(value)
                facts += [] if text is None else [f"{name}.{key}={text}"]
    return tuple(facts)


def _text(value: Any) -> str | None:
    """Write a value so that every process writes it alike; None where that is not sure."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.generic):
        return _text(value.item())
    if isinstance(value, _WORDS):
        return repr(value)
    if isinstance(value, _NAMED):
        return value.__qualname__
    if isinstance(value, partial):
        given = tuple(sorted(value.keywords.items()))
        return _text((value.func, value.args, given))
    if isinstance(value, (tuple, list)):
        texts = [_text(item) for item in value]
        return None if None in texts else f"({', '.join(map(str, texts))})"
    return None


def _unsaved_buffers(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """List the buffers that are in no state dict."""
    for name, part in module.named_modules():
        for key in sorted(part._non_persistent_buffers_set):
            buffer = part._buffers.get(key)
            if buffer is not None and "cache" not in key:
                yield f"{name}.{key}", buffer


def _pieces(key: str, value: Any) -> Iterator[Any]:
    """List what to hash of an entry of the state, which need not be a tensor."""
    if isinstance(value, torch.Tensor):
        yield f"{key} {value.dtype} {tuple(value.shape)}".encode()
        dense = value.detach().cpu()
        if dense.layout is not torch.strided:
            dense = dense.to_dense()
        if dense.is_quantized:
            dense = dense.dequantize()
        yield dense.contiguous().view(-1).view(torch.uint8).numpy()
    elif isinstance(value, Mapping):
        for name in value:
            yield from _pieces(f"{key}.{name}", value[name])
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from _pieces(f"{key}.{i}", item)
    elif (text := _text(value)) is not None:
        yield f"{key} {text}".encode()
    else:
        raise TypeError(
            f"the network's state holds a {type(value).__name__} under {key!r}: expected tensors, "
            "numbers, str, and tuples, lists and dicts of these (see get_extra_state)."
        )


def _place(tensor: torch.Tensor) -> int:
    return tensor.data_ptr() if tensor.layout is torch.strided else id(tensor)


def _version(tensor: torch.Tensor) -> int:
    # tensors made in inference mode carry no version, and refuse to be changed outside of it
    return 0 if tensor.is_inference() else tensor._version
