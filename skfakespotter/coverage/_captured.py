"""CapturedFunction: the steps of a function on a GPU, recorded once and launched as one.

A network of thirty layers, each watched, is some two hundred launches a batch. On a fast GPU
the host needs longer for these than the device for the work.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

MOST = 8  # recordings of a function, each of which holds as much memory as a run takes
Inputs = tuple[torch.Tensor | None, ...]


class CapturedFunction:
    """A function of tensors as CUDA graphs.

    Its steps may depend on the shapes of the inputs, not on their values: a function that waits
    for the device cannot be captured. For inputs of other shapes it is captured anew; the eight
    recordings used last are kept.

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
            When the function cannot be captured, or the device's memory does not suffice.
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
            with torch.cuda.stream(aside):  # libraries make room for themselves at the first run
                function(*self.inputs)
            here.wait_stream(aside)
            # other threads may go on: they decode, and find faces on the same device
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.output = function(*self.inputs)
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
