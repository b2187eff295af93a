"""Types that stand in many signatures, each named once.

The aliases are strings, so that nothing here imports torch; shapes and ranges stand in the
docstrings of whatever takes or returns them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image

if TYPE_CHECKING:
    import torch

    from skfakespotter.backbones import Backbone
    from skfakespotter.cache import CoverageCache

__all__ = [
    "BackboneLike",
    "Cache",
    "Device",
    "Devices",
    "Items",
    "Labels",
    "LayerChoice",
    "Path",
    "Picture",
    "Pictures",
    "RandomState",
    "SupportsArray",
]


class SupportsArray(Protocol):
    """Whatever gives its pixels by numpy's protocol, such as a face that is cropped on demand."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...


# A file or folder, as every function of the standard library takes it.
Path: TypeAlias = "str | os.PathLike[str]"

# One picture: a file, its bytes, a file object, pixels, or what gives its pixels on demand.
Picture: TypeAlias = "Path | bytes | BinaryIO | Image | NDArray[Any] | torch.Tensor | SupportsArray"

# Many pictures: a sequence, an array (n, h, w, 3) or a tensor (n, 3, h, w).
Pictures: TypeAlias = "Sequence[Picture] | NDArray[Any] | torch.Tensor"

# What a detector judges: pictures, paths of clips, or rows of numbers.
Items: TypeAlias = "Pictures | Sequence[Any] | ArrayLike"

# A network to watch: its name, itself, or with its input format.
BackboneLike: TypeAlias = "str | torch.nn.Module | Backbone"

# Layers of a network: names, globs, classes; None for the paper's choice.
LayerChoice: TypeAlias = "str | type | Sequence[str | type] | None"

# One label per picture: 0 is real, 1 is fake.
Labels: TypeAlias = "ArrayLike"

# Where tensors are computed: "auto", "cpu", "cuda:1", ...
Device: TypeAlias = "str | torch.device"

# One device, or several that share the work.
Devices: TypeAlias = "Device | list[Device] | tuple[Device, ...]"

# Where to remember what the network said: nowhere, the user's folder, memory, a folder.
Cache: TypeAlias = "bool | Literal['memory'] | Path | CoverageCache | None"

# What scikit-learn takes for `random_state`.
RandomState: TypeAlias = "int | np.random.RandomState | None"
