"""PlacedNetwork: a backbone on a device, in the fastest form that gives its output."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skfakespotter._forking import ForkSafeLock
from skfakespotter.backbones._backbone import Backbone
from skfakespotter.backbones._batch_invariant import steady
from skfakespotter.backbones._copies import copy_network, share_weights
from skfakespotter.backbones._digests import network_state
from skfakespotter.backbones._folding import fold_batch_norms
from skfakespotter.backbones._norms import split_norms
from skfakespotter.backbones._pixels import along_row, scale_pixels
from skfakespotter.backbones._weights import flush_denormals

LARGEST_BATCH = {"cpu": 64, "cuda": 256}  # pictures
# Of a layer's outputs. On a CPU: the largest block that the C library keeps for the next layer
LARGEST_OUTPUTS = {"cpu": 2**25, "cuda": 2**29}

_PLACED: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()
_LOCK = ForkSafeLock()


class PlacedNetwork:
    """A backbone's network in evaluation mode on a device, and how to feed it there.

    Parameters
    ----------
    backbone : Backbone
        The network; it is copied, not moved.
    device : torch.device
        Where to run.

    Attributes
    ----------
    module : torch.nn.Module
        Once prepared, the copy, with batch normalizations folded where that keeps the output,
        channels last in memory where the network can work so, and no denormal weights.
    sample : Tensor of shape (1, ...)
        Network input of the kind it will see.
    best_batch : int
        Pictures to run at a time. On a CPU the largest output of a layer stays below 32 MiB:
        beyond that, the C library fetches fresh memory from the system for every layer, which
        takes up to half the time. On a GPU it stays below 512 MiB, at most 256 pictures.
    """

    sample: torch.Tensor
    best_batch: int

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self.module, self.device = backbone.module, device
        self._format = backbone.mean, backbone.scale, backbone.channel_order
        self._copies: torch.cuda.Stream | None = None
        self._rows_needed = False  # channels last is faster, where the network allows it
        self._scaling: tuple[torch.Tensor, torch.Tensor] | None = None

    def prepare(self, shape: tuple[int, ...]) -> PlacedNetwork:
        """Copy the network to the device and put the copy into its fastest form.

        Parameters
        ----------
        shape : tuple of int
            Of one input: (3, h, w) for pictures, or (n_features,).

        Returns
        -------
        PlacedNetwork
            This object.
        """
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self.module = copy_network(self.module).to(self.device).eval().requires_grad_(False)
        self.sample = self._make_sample(shape)
        if len(shape) == 3:
            self._lay_out()
            self.sample = self._make_sample(shape)
        split_norms(self.module, self.sample)
        folded = fold_batch_norms(self.module, self.sample)
        if folded is not None:
            self.module = folded.requires_grad_(False)
            _arrange(self.module, self._layout)
        for weights in self.module.parameters():  # folding makes more of them
            flush_denormals(weights.data)
        if self.device.type == "cpu":
            steady(self.module)
        self.best_batch = self._measure()
        return self

    def input(self, batch: NDArray | torch.Tensor) -> torch.Tensor:
        """Put a batch on the device, as the network takes it.

        Parameters
        ----------
        batch : ndarray of shape (n, h, w, 3), uint8, or ndarray or Tensor of numbers
            Pictures, or network input.

        Returns
        -------
        Tensor
            Network input. It may still be on its way: what is launched next waits for it.
        """
        if not isinstance(batch, torch.Tensor):
            # torch takes neither read-only memory (joblib's memory maps) nor negative strides
            batch = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
        x = self._sent(batch)
        return self._preprocessed(x.permute(0, 3, 1, 2)) if x.dtype == torch.uint8 else x

    def _preprocessed(self, pixels: torch.Tensor) -> torch.Tensor:
        channels, width = pixels.shape[1], pixels.shape[3]
        if self._scaling is None or len(self._scaling[0]) != width * channels:
            # once, for a GPU waits for each copy
            mean, scale = (along_row(v, width, channels, self.device) for v in self._format[:2])
            self._scaling = mean, scale
        x = scale_pixels(pixels, *self._scaling, self._format[2])
        return x.contiguous() if self._rows_needed else x

    def _sent(self, batch: torch.Tensor) -> torch.Tensor:
        if self._copies is None or batch.is_cuda:
            return batch.to(self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):  # beside what is being computed
            sent = batch.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self._copies)
        sent.record_stream(computing)
        return sent

    def _make_sample(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Make an input of the kind the network will see, to learn about it."""
        random = np.random.default_rng(0)
        if len(shape) == 3:
            return self.input(random.integers(0, 256, (1, *shape[1:], 3), dtype=np.uint8))
        return self.input(random.standard_normal((1, *shape), dtype=np.float32))

    @property
    def _layout(self) -> torch.memory_format:
        return torch.contiguous_format if self._rows_needed else torch.channels_last

    def _lay_out(self) -> None:
        """Choose channels last in memory, unless the network flattens maps by ``view``."""
        _arrange(self.module, torch.channels_last)
        try:
            with torch.inference_mode():
                self.module(self.sample.contiguous(memory_format=torch.channels_last))
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            self._rows_needed = True
            _arrange(self.module, torch.contiguous_format)

    def _measure(self) -> int:
        """Run the sample once more to learn the largest output of a layer."""
        kind = self.device.type if self.device.type in LARGEST_BATCH else "cpu"
        largest, trial = 1, share_weights(self.module)

        def measure(part: nn.Module, inputs: tuple, output: object) -> None:
            nonlocal largest
            if isinstance(output, torch.Tensor):
                largest = max(largest, output.numel() * output.element_size())

        for part in trial.modules():
            part.register_forward_hook(measure)
        with torch.inference_mode():
            trial(self.sample)
        fitting = max(1, LARGEST_OUTPUTS[kind] // largest)
        return min(LARGEST_BATCH[kind], 1 << (fitting.bit_length() - 1))


def place(backbone: Backbone, device: torch.device, shape: tuple[int, ...]) -> PlacedNetwork:
    """Return a backbone's network on a device; made once, and again when it changes.

    Parameters
    ----------
    backbone : Backbone
        The network.
    device : torch.device
        Where to run.
    shape : tuple of int
        Of one input: (3, h, w) for pictures, or (n_features,).

    Returns
    -------
    PlacedNetwork
        Kept for as long as the backbone's module lives.

    Raises
    ------
    TypeError
        For a network, or a part of one, that TorchScript or torch.export made: it cannot be
        watched.
    ValueError
        For weights in another precision than float32.
    """
    format_ = (repr(backbone.mean), repr(backbone.scale), backbone.channel_order)
    key = (device, tuple(shape), format_)
    with _LOCK:
        state = network_state(backbone.module)
        known = _PLACED.setdefault(backbone.module, {})
        if key not in known or known[key][0] != state:
            _check_network(backbone)
            known[key] = state, PlacedNetwork(backbone, device).prepare(tuple(shape))
        return known[key][1]


def _check_network(backbone: Backbone) -> None:
    for name, part in backbone.module.named_modules():
        exported = isinstance(part, torch.fx.GraphModule) and "eval" in vars(part)
        if exported or isinstance(part, torch.jit.ScriptModule):
            where = f"has a part {name!r} that" if name else "is a network that"
            how = "torch.export" if exported else "TorchScript"
            raise TypeError(
                f"backbone {backbone.name!r} {where} {how} made, whose layers cannot be watched: "
                "pass the torch.nn.Module that it was made from."
            )
    for key, parameter in backbone.module.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise ValueError(
                f"backbone {backbone.name!r} has weights of {parameter.dtype} in {key!r}: expected "
                "torch.float32; convert a copy with .float(), and choose the precision of the "
                "computation with NeuronCoverageTransformer(precision=...)."
            )


def _arrange(module: nn.Module, layout: torch.memory_format) -> None:
    for parameter in module.parameters():
        if parameter.ndim == 4:  # module.to() would try kernels of Conv3d too, and fail
            parameter.data = parameter.data.contiguous(memory_format=layout)
