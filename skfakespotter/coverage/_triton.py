"""Triton: the kernel that counts on a GPU, and reads each output once.

Torch alone writes a mark for every output and reads it again. The comparison is that of
:func:`skfakespotter.coverage.exceeds`, which the tests hold it to.
"""

from __future__ import annotations

import torch

try:  # torch brings it along where it can use it
    import triton
    import triton.language as tl
except ImportError:
    triton = None

UNITS = 2048  # of a channel that one program counts
TILE = 4096  # outputs that it compares at a time


def count_above(values: torch.Tensor, threshold: float | torch.Tensor) -> torch.Tensor:
    """Count what exceeds the threshold; equation 2, channel by channel.

    Parameters
    ----------
    values : Tensor of shape (n, channels, units per channel), of at most 32 bits
        Outputs, on a GPU, in any memory layout.
    threshold : float or Tensor of shape (channels, 1), float32
        What they are compared with, in float32.

    Returns
    -------
    Tensor of shape (n, channels), float32
        Whole numbers.
    """
    n, channels, units = values.shape
    counts = torch.zeros((n, channels), device=values.device, dtype=torch.float32)
    across = min(triton.next_power_of_2(channels), 32)
    along = min(triton.next_power_of_2(units), TILE // across)
    grid = (n, triton.cdiv(channels, across), triton.cdiv(units, UNITS))
    options = {
        "EACH": isinstance(threshold, torch.Tensor),
        "UNITS": min(UNITS, along * triton.cdiv(units, along)),
        "ACROSS": across,
        "ALONG": along,
    }
    with torch.cuda.device(values.device):  # Triton launches on the current one
        _count[grid](values, threshold, counts, channels, units, *values.stride(), **options)
    return counts


def _count(
    values,
    threshold,
    counts,
    channels,
    units,
    to_row,
    to_channel,
    to_unit,
    EACH: tl.constexpr,
    UNITS: tl.constexpr,
    ACROSS: tl.constexpr,
    ALONG: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * ACROSS + tl.arange(0, ACROSS)
    known = channel < channels
    xi = tl.load(threshold + channel, mask=known, other=0.0) if EACH else threshold
    start = values + row * to_row + channel[None, :] * to_channel
    found = tl.zeros((ALONG, ACROSS), dtype=tl.int32)
    for first in range(0, UNITS, ALONG):
        unit = tl.program_id(2) * UNITS + first + tl.arange(0, ALONG)
        inside = known[None, :] & (unit < units)[:, None]
        value = tl.load(start + unit[:, None] * to_unit, mask=inside, other=float("-inf"))
        found += (value.to(tl.float32) > xi).to(tl.int32)
    # whole numbers below 2^24 are exact in any order
    tl.atomic_add(counts + row * channels + channel, tl.sum(found, 0).to(tl.float32), mask=known)


if triton is not None:
    _count = triton.jit(_count)
