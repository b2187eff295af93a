"""Backbone: a network to watch, with its input format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from skfakespotter.backbones._digests import digest
from skfakespotter.backbones._pixels import along_row, scale_pixels

WHOLE = "whole"  # the template of networks that see whole pictures
# What the outputs of a network mean; part of every fingerprint. Raise it when that changes.
NEURON = "outputs after the batch normalization"


class WeightsError(ValueError):
    """A weight file that does not fit its network.

    Parameters
    ----------
    path : path
        The file.
    reason : str
        What is wrong and what was expected.
    key : str, default=None
        The layer or key concerned.
    """

    def __init__(self, path: str | os.PathLike, reason: str, key: str | None = None) -> None:
        super().__init__(os.fspath(path), reason, key)

    def __str__(self) -> str:
        path, reason, key = self.args
        return f"{path!r}{f', layer {key!r}' if key else ''}: {reason}"


@dataclass(frozen=True, eq=False, repr=False)
class Backbone:
    """A network of faces, or of whole pictures, with its input format.

    It is immutable. The transformer makes and keeps the copies that run on a device.

    Parameters
    ----------
    name : str
        What to call it in messages.
    module : torch.nn.Module
        The network. It is watched in evaluation mode, and never moved or changed.
    input_size : (int, int), default=None
        Height and width of the pictures it takes, in pixels. None: it takes arrays of
        numbers as they are, or pictures of any one size.
    crop : float, default=1.0
        Part of the shorter side that is kept of pictures of another size (a center crop).
    template : str, default=None
        The alignment that the network was trained with, for ``FaceAligner(template=...)``:
        "dlib", "arcface", "sphereface", "vggface2"; "whole" for a network of whole pictures,
        which are resized and cropped to the center (``crop``); None when it is unknown.
    mean, scale : float or sequence of 3 floats, default=0.0 and 1.0
        The network sees ``(pixels - mean) / scale``, pixels from 0 to 255, per channel in
        the network's channel order.
    channel_order : "RGB" or "BGR", default="RGB"
        Order in which the network takes the channels.
    license, source : str, default=""
        License and origin of the weights.
    recipe : (str, str or None), default=None
        Name and weights from which :func:`load_backbone` made it. A pickle holds the recipe
        instead of the weights.

    Attributes
    ----------
    fingerprint : str
        SHA-256 over the input format, the layers with their attributes, and the weights, in
        hexadecimal. Backbones with equal fingerprints give equal results, unless their classes
        have one name and compute different things.

    Raises
    ------
    ValueError
        When ``channel_order`` is unknown, or layers have no weights yet.

    Notes
    -----
    If a batch normalization directly follows a layer, a neuron's output is the value after it,
    for every network.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones import Backbone
    >>> Backbone("toy", nn.Conv2d(3, 8, 3), input_size=(32, 32), scale=255.0)
    <Backbone 'toy': 1 conv and fc layers, input (32, 32)>
    """

    name: str
    module: nn.Module
    input_size: tuple[int, int] | None = None
    crop: float = 1.0
    template: str | None = None
    mean: float | Sequence[float] = 0.0
    scale: float | Sequence[float] = 1.0
    channel_order: str = "RGB"
    license: str = ""
    source: str = ""
    recipe: tuple[str, str | None] | None = None

    def __post_init__(self) -> None:
        if self.channel_order not in ("RGB", "BGR"):
            raise ValueError(f"channel_order is {self.channel_order!r}: expected 'RGB' or 'BGR'.")
        if type(self.module).__name__ == "OptimizedModule":  # of torch.compile: hides its layers
            object.__setattr__(self, "module", self.module._orig_mod)
        parameters = chain(self.module.parameters(), self.module.buffers())
        if any(is_lazy(p) for p in parameters):
            raise ValueError(
                f"backbone {self.name!r} has lazy layers without weights: call it once on an input."
            )

    def __repr__(self) -> str:
        count = len(monitored_layers(self.module))
        size = f"input {self.input_size}" if self.input_size else "any input"
        return f"<Backbone {self.name!r}: {count} conv and fc layers, {size}>"

    def preprocess(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn pictures into the network's input, on the device where they lie.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, h, w), uint8
            RGB.

        Returns
        -------
        Tensor of shape (n, 3, h, w), float32
            Network input, channels last in memory.
        """
        rows = pixels.shape[3], pixels.shape[1], pixels.device
        mean, scale = along_row(self.mean, *rows), along_row(self.scale, *rows)
        return scale_pixels(pixels, mean, scale, self.channel_order)

    @property
    def sees_faces(self) -> bool:
        """Whether the network is known to see aligned faces."""
        return self.template not in (None, WHOLE)

    @property
    def alignment(self) -> str:
        """Template for a FaceAligner before the network; "dlib" where none is known.

        Raises
        ------
        ValueError
            For a network of whole pictures.
        """
        if self.template == WHOLE:
            raise ValueError(
                f"backbone {self.name!r} sees whole pictures, not faces: pass align=False to "
                "make_fakespotter, or a FaceAligner to show it faces."
            )
        return self.template or "dlib"

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the input format, the layers and the weights, in hexadecimal."""
        format_ = (self.input_size, self.crop, self.mean, self.scale, self.channel_order)
        text = repr((NEURON, format_, digest(self.module)))
        return hashlib.sha256(text.encode()).hexdigest()

    def made_by(self, recipe: tuple[str, str | None]) -> Backbone:
        """Return a copy that knows how it was made.

        Parameters
        ----------
        recipe : (str, str or None)
            Name and weights.

        Returns
        -------
        Backbone
            With the module of this one.
        """
        return replace(self, recipe=recipe)

    def __deepcopy__(self, memo: dict) -> Backbone:
        return self  # clone() must not copy the weights


def monitored_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Find the convolutional and fully-connected layers, in order of definition.

    Parameters
    ----------
    module : torch.nn.Module
        A network.

    Returns
    -------
    dict of str to torch.nn.Module
        Layers by qualified name.
    """
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
