"""CapturedFunction: the steps of a function on a GPU, recorded once and launched as one.

A network of thirty layers, each watched, is some two hundred launches a batch. On a fast GPU
the host needs longer for these than the device for the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MOST = 8  # recordings of a function, each of which holds as much memory as a run takes
Inputs = tuple[torch.Tensor | None, ...]


class CapturedFunction:
    """A function of tensors as CUDA graphs.

    Its steps may depend on the shapes of the inputs, not on their values. For inputs of other
    shapes it is captured anew; the eight recordings used last are kept.

    Parameters
    ----------
    function : callable
        Maps tensors on a GPU, or None, to a tensor on it.

    References
    ----------
    A. Gray, "Getting Started with CUDA Graphs", NVIDIA, 2019.
    """

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        self.function = function
        self._recordings: dict[tuple, _Recording] = {}

    def __call__(self, *inputs: torch.Tensor | None) -> torch.Tensor:
        """Launch the recording, after it is made.

        Parameters
        ----------
        *inputs : Tensor or None
            Of the function, on one GPU; at least one Tensor.

        Returns
        -------
        Tensor
            What the function returns.

        Raises
        ------
        RuntimeError
            When the function waits for the device, or the device's memory does not suffice.
        """
        shapes = tuple(x if x is None else x.shape for x in inputs)
        recording = self._recordings.pop(shapes, None)
        while len(self._recordings) >= MOST:
            del self._recordings[next(iter(self._recordings))]
        self._recordings[shapes] = recording or _Recording(self.function, inputs)
        return self._recordings[shapes].replay(inputs)


class _Recording:
    """A graph, the memory that its inputs are copied to, and its output."""

    def __init__(self, function: Callable[..., torch.Tensor], inputs: Inputs) -> None:
        self.inputs = [x if x is None else x.clone() for x in inputs]
        self.device = next(x.device for x in inputs if x is not None)
        self.graph, self.is_free = torch.cuda.CUDAGraph(), torch.cuda.Event()
        with torch.cuda.device(self.device):
            aside, here = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                # libraries make room for themselves at the first run; a capture that fails
                # would leave torch's memory in disorder
                if waits(function, self.inputs):
                    raise RuntimeError("the function waits for the device")
                # other threads may go on: they decode, and find faces on the same device
                with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
                    self.output = function(*self.inputs)
            here.wait_stream(aside)
            self.is_free.record()

    def replay(self, inputs: Inputs) -> torch.Tensor:
        with torch.cuda.device(self.device):
            torch.cuda.current_stream().wait_event(self.is_free)  # of a call in another stream
            for own, given in zip(self.inputs, inputs, strict=True):
                if own is not None and given is not None:
                    own.copy_(given)
            self.graph.replay()
            found = self.output.clone()  # the next replay overwrites it
            self.is_free.record()
        return found


def waits(function: Callable, inputs: Any) -> bool:
    """Run a function and tell whether it needs values of its tensors on the host.

    Parameters
    ----------
    function : callable
        Of tensors.
    inputs : sequence of Tensor or None
        What to run it on.

    Returns
    -------
    bool
        True where it asks for a value or for places of values, or copies between devices.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.coverage._captured import waits
    >>> waits(torch.relu, [torch.zeros(2)]), waits(torch.nonzero, [torch.zeros(2)])
    (False, True)
    """
    with _Calls() as calls, _Operations() as operations:
        function(*inputs)
    return calls.wait or operations.wait


class _Calls(TorchFunctionMode):
    """Sees what Python asks of tensors while it is entered."""

    ASKING = frozenset({"__bool__", "__float__", "__index__", "__int__", "item", "tolist", "numpy"})
    wait = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self.wait |= getattr(func, "__name__", "") in self.ASKING
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Sees every operation of torch while it is entered."""

    TAGS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})
    wait = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, output)) if isinstance(t, torch.Tensor)]
        several = len({t.device for t in tensors if t.ndim}) > 1  # a number alone is no copy
        by_mask = "index_put" in func.name() and any(t.dtype == torch.bool for t in tensors[1:])
        self.wait |= several or by_mask or not self.TAGS.isdisjoint(func.tags)
        return output
