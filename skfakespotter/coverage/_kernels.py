"""Kernels: sums and counts over a layer's neurons, as fast as memory can be read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skfakespotter._workers import in_threads
from skfakespotter.coverage._equations import exceeds

BLOCK = 2**21  # outputs compared at a time on a CPU: their marks stay in its cache
ROW = 512  # marks that are added at a time
HALF = torch.bfloat16, torch.float16


class Counter:
    """Sums and counts over the units of each channel, with a buffer that all layers share.

    On a CPU the buffer saves the page faults of fresh memory, which take longer than the
    arithmetic.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage._kernels import Counter
    >>> values = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]]])
    >>> Counter().above(values, 1.5)
    tensor([[2., 1.]])
    >>> Counter().total(values)
    tensor([[6., 5.]])
    """

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.float32)

    def above(self, values: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
        """Count what exceeds the threshold; equation 2, channel by channel.

        Comparing into float32 and summing that is exact below 2^24 units and about three
        times faster on a CPU than summing booleans.

        Parameters
        ----------
        values : Tensor of shape (n, channels, units per channel)
            Outputs.
        threshold : float or Tensor of shape (channels, 1)
            What they are compared with, in float32 at least.

        Returns
        -------
        Tensor of shape (n, channels), float32
            Whole numbers.
        """
        if values.is_cuda:
            return count_above(values, threshold)
        n, channels, units = values.shape
        step = max(1, BLOCK // max(1, channels * units)) if values.device.type == "cpu" else n
        counts = torch.empty((n, channels), device=values.device, dtype=torch.float32)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            torch.sum(self._marks(values[rows], threshold), 2, out=counts[rows])
        return counts

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum the outputs, pairwise, in float32 at least.

        Parameters
        ----------
        values : Tensor of shape (n, channels, units per channel)
            Outputs.

        Returns
        -------
        Tensor of shape (n, channels)
            Sums.
        """
        return total(values) if values.is_cuda else self.widened(values).sum(2)

    def widened(self, values: torch.Tensor) -> torch.Tensor:
        """Return half-precision outputs in float32, until the buffer is used again.

        Parameters
        ----------
        values : Tensor of shape (n, channels, units per channel)
            Outputs.

        Returns
        -------
        Tensor of shape (n, channels, units per channel)
            The values themselves in any other precision.
        """
        return self._room(values).copy_(values) if values.dtype in HALF else values

    def _marks(self, values: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
        marks = self._room(values)
        if values.dtype in HALF:  # else the threshold is rounded too
            values = marks.copy_(values)
        return exceeds(values, threshold, out=marks)

    def _room(self, values: torch.Tensor) -> torch.Tensor:
        """Return a part of the buffer in the shape, and the memory layout, of the values."""
        if self._buffer.numel() < values.numel() or self._buffer.device != values.device:
            self._buffer = torch.empty(values.numel(), device=values.device, dtype=torch.float32)
        if values.is_contiguous() or values.mT.is_contiguous():
            return self._buffer.as_strided(values.shape, values.stride())
        return self._buffer[: values.numel()].view(values.shape)


def total(values: torch.Tensor) -> torch.Tensor:
    """Sum the outputs of each channel, in float32 at least, without a copy of them.

    Parameters
    ----------
    values : Tensor of shape (n, channels, units per channel)
        Outputs.

    Returns
    -------
    Tensor of shape (n, channels)
        Sums.
    """
    return values.sum(2, dtype=torch.float32) if values.dtype in HALF else values.sum(2)


def count_fused(values: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Count what exceeds the threshold, in terms that ``torch.compile`` fuses.

    Parameters
    ----------
    values : Tensor of shape (n, channels, units per channel)
        Outputs.
    threshold : Tensor of shape (channels, 1), float32
        What they are compared with, in float32 at least.

    Returns
    -------
    Tensor of shape (n, channels), float32
        Whole numbers.
    """
    return exceeds(values, threshold).sum(2, dtype=torch.int32).float()


def count_above(values: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """Count what exceeds the threshold, on a GPU.

    Parameters
    ----------
    values : Tensor of shape (n, channels, units per channel)
        Outputs.
    threshold : float or Tensor of shape (channels, 1), float32
        What they are compared with, in float32 at least.

    Returns
    -------
    Tensor of shape (n, channels), float32
        Whole numbers.
    """
    kernel = _triton_kernel(values.device)
    if kernel is not None and values.dtype in (torch.float32, *HALF):
        return kernel(values, threshold)
    if not isinstance(threshold, torch.Tensor):  # a number would be rounded to half precision
        threshold = torch.full((1, 1), threshold, dtype=torch.float32, device=values.device)
    marks = torch.empty_like(values, dtype=torch.float16)  # half as much to write as float32
    return exceeds(values, threshold, out=marks).sum(2, dtype=torch.float32)


@cache
def _triton_kernel(device: torch.device) -> Callable | None:
    """Return the kernel that reads each output once; None where Triton is missing or fails."""
    from skfakespotter.coverage import _triton

    try:  # it needs a C compiler, a folder to write to, and a card that is not too old
        _triton.count_above(torch.zeros(1, 1, 1, device=device), 0.0)
    except Exception:  # of many kinds
        return None
    return _triton.count_above


def observe(
    values: torch.Tensor, low: float | torch.Tensor, high: float | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Count the outputs above ``high`` and list those in (low, high].

    On a CPU by NumPy, which compares into booleans six times as fast as torch.

    Parameters
    ----------
    values : Tensor of shape (n, channels, units per channel), float32
        Outputs.
    low, high : float or Tensor of shape (channels, 1)
        Bounds.

    Returns
    -------
    above : Tensor of shape (n, channels), float32
        Whole numbers.
    picture, channel, value : Tensor of one length
        Of each output inside, in memory order.
    """
    if values.device.type != "cpu":
        return Counter().above(values, high), *_between(values, low, high)
    n, n_channels, n_units = values.shape
    starts = range(0, n, max(1, BLOCK // max(1, n_channels * n_units)))
    parts = in_threads(
        lambda start: _observe_block(values[start : start + starts.step], start, low, high),
        starts,
        n_threads=torch.get_num_threads(),
    )
    above, *inside = (torch.from_numpy(np.concatenate(of)) for of in zip(*parts, strict=True))
    picture, channel, value = inside
    return above.float(), picture, channel, value


def _observe_block(
    values: torch.Tensor, start: int, low: float | torch.Tensor, high: float | torch.Tensor
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Do the work of :func:`observe` for pictures from ``start`` on."""
    n_channels, n_units = values.shape[1:]
    channels_last = values.mT.is_contiguous()
    memory = (values.mT if channels_last else values.contiguous()).numpy()
    low, high = (_along(bound, channels_last) for bound in (low, high))
    over, inside = exceeds(memory, high), exceeds(memory, low)
    place = np.flatnonzero(np.not_equal(inside, over, out=inside))
    above = _count_places(over) if channels_last else np.count_nonzero(over, axis=2)
    picture, rest = np.divmod(place, n_channels * n_units)
    channel = rest % n_channels if channels_last else rest // n_units
    return above.astype(np.int32), picture + start, channel, memory.reshape(-1)[place]


def _count_places(marks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count marks (n, places, channels) of each channel, eight times as fast as ``sum``.

    Short rows are slow to add, so several places are laid side by side; and bytes are added as
    bytes, at most 255 of them, before they are widened.
    """
    n, n_places, n_channels = marks.shape
    beside = max(1, ROW // n_channels)
    whole = n_places - n_places % beside
    rows = marks[:, :whole].view(np.uint8).reshape(n, -1, beside * n_channels)
    counts = np.zeros((n, beside * n_channels), np.int32)
    for start in range(0, rows.shape[1], 255):
        counts += np.add.reduce(rows[:, start : start + 255], axis=1, dtype=np.uint8)
    left = marks[:, whole:].view(np.uint8).sum(1, dtype=np.int32)
    return counts.reshape(n, beside, n_channels).sum(1, dtype=np.int32) + left


def _along(bound: float | torch.Tensor, channels_last: bool) -> Any:
    """Lay the bounds of the channels along the channels' axis."""
    if not isinstance(bound, torch.Tensor):
        return bound
    return bound.numpy().T if channels_last else bound.numpy()


def _between(
    values: torch.Tensor, low: float | torch.Tensor, high: float | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """List picture, channel and value of the outputs in (low, high], in memory order."""
    n_pictures, n_channels, n_units = values.shape
    inside = exceeds(values, low) & ~exceeds(values, high)
    channels_last = values.mT.is_contiguous()
    if channels_last:
        values, inside = values.mT, inside.mT
    rows = values.reshape(n_pictures, -1)
    picture, place = torch.nonzero(inside.reshape(n_pictures, -1), as_tuple=True)
    channel = place % n_channels if channels_last else place // n_units
    return picture, channel, rows[picture, place]
