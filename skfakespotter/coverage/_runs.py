"""Runs: what every module of a network gives, and which dimensions count pictures and channels."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from skfakespotter.coverage._axes import last_by_kind, last_by_width
from skfakespotter.coverage._outputs import first_tensor


@dataclass(frozen=True)
class Run:
    """One run of a module, as far as its output's first tensor tells.

    Parameters
    ----------
    name : str
        Of the module.
    began : int
        Runs that had ended when it began; those from there on lie within it.
    shape : tuple of int or None
        Of the tensor; None where there is none.
    dtype : torch.dtype or None
        Whether it holds complex numbers.
    passed_on : bool
        Whether it is the very tensor that the run before gave.
    shape_of_two : tuple of int, default=None
        Of the same run for two pictures instead of one.
    """

    name: str
    began: int
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    passed_on: bool
    shape_of_two: tuple[int, ...] | None = None

    @property
    def picture_axis(self) -> int | None:
        """The dimension that counts pictures: 0, or 1 of (tokens, pictures, channels).

        None where neither does: layers on windows, or on constants.
        """
        one, two = self.shape or (), self.shape_of_two or ()
        if len(one) != len(two) or len(one) < 2:
            return None
        axes = (0, 1) if len(one) == 3 else (0,)
        return next((axis for axis in axes if (one[axis], two[axis]) == (1, 2)), None)

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of one picture's output; () where nothing counts pictures."""
        axis = self.picture_axis
        if axis is None or self.shape is None:
            return ()
        return self.shape[:axis] + self.shape[axis + 1 :]

    def of_two_rows(self) -> Run:
        """Return what the run for two pictures is like if each has a row of its own."""
        if self.shape is None or self.shape[:1] != (1,):
            return self
        return replace(self, shape=(2, *self.shape[1:]))


def record_runs(module: nn.Module, x: torch.Tensor) -> list[Run]:
    """Run a network and record what its modules give, in the order in which they end.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    x : Tensor of shape (n, ...)
        Network input.

    Returns
    -------
    list of Run
        Without ``shape_of_two``.
    """
    runs: list[Run] = []
    began: dict[str, int] = {}
    last: torch.Tensor | None = None

    def begin(name: str) -> Callable:
        def hook(part: nn.Module, inputs: Any) -> None:
            began[name] = len(runs)

        return hook

    def end(name: str) -> Callable:
        def hook(part: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal last
            tensor = first_tensor(output)
            shape = None if tensor is None else tuple(tensor.shape)
            dtype = None if tensor is None else tensor.dtype
            passed_on = tensor is not None and tensor is last
            runs.append(Run(name, began[name], shape, dtype, passed_on))
            last = tensor

        return hook

    with ExitStack() as stack:
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):  # takes no hooks
                continue
            stack.callback(part.register_forward_pre_hook(begin(name)).remove)
            stack.callback(part.register_forward_hook(end(name)).remove)
        module(x)
    return runs


def compare_runs(of_one: Sequence[Run], of_two: Sequence[Run]) -> list[Run]:
    """Join the runs for one picture and for two, so that they know what counts pictures.

    Parameters
    ----------
    of_one, of_two : sequence of Run
        As :func:`record_runs` returns them.

    Returns
    -------
    list of Run
        Those for one picture with ``shape_of_two``.
    """
    others: dict[str, deque[Run]] = defaultdict(deque)
    for run in of_two:
        others[run.name].append(run)
    return [
        replace(run, shape_of_two=others[run.name].popleft().shape) if others[run.name] else run
        for run in of_one
    ]


def find_last_channels(module: nn.Module, runs: Sequence[Run]) -> list[bool | None]:
    """Tell of every run whether the last dimension of its output counts channels.

    A shape alone does not tell (n, channels, length) from (n, tokens, channels). So it follows,
    in this order, from the kind of the module; from the layers within it that give this shape,
    if they agree; from the widths of the layers within it; and from what ran before it and gave
    this shape.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    runs : sequence of Run
        As :func:`compare_runs` returns them.

    Returns
    -------
    list of bool or None
        None where nothing tells.
    """
    parts = dict(module.named_modules())
    found: list[bool | None] = []
    known: dict[tuple[int, ...], list[tuple[int, bool, bool]]] = defaultdict(list)
    for i, run in enumerate(runs):
        if len(run.size) < 2:
            found.append(None)
            continue
        by_kind = last = last_by_kind(parts[run.name], run.size)
        if last is None and run.passed_on and runs[i - 1].size == run.size:
            last = found[i - 1]
        elif last is None:
            last = _by_neighbors(parts[run.name], run, known[run.size])
        found.append(last)
        if last is not None:
            known[run.size].append((i, last, by_kind is not None))
    return found


def _by_neighbors(
    part: nn.Module, run: Run, alike: Sequence[tuple[int, bool, bool]]
) -> bool | None:
    """Look at the runs of one shape: their places, where their channels are, and if surely so."""
    within = {last for i, last, sure in alike if i >= run.began and sure}
    if len(within) == 1:
        return within.pop()
    by_width = None if within else last_by_width(part, run.size)
    if by_width is not None:
        return by_width
    return next((last for i, last, _ in reversed(alike) if i < run.began), None)
