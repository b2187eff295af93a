"""Statistics: what the transformer asks of pictures, whatever computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skfakespotter.coverage._layers import Layout


@dataclass(frozen=True)
class Part:
    """A statistic of some of the pictures.

    Parameters
    ----------
    positions : ndarray of shape (k,), int
        Which pictures.
    values : ndarray or Tensor of shape (k, width)
        Their statistics.
    """

    positions: NDArray[np.integer]
    values: Any

    def __len__(self) -> int:
        return len(self.positions)


class Statistics(Protocol):
    """What the transformer needs to know of pictures, wherever it comes from."""

    @property
    def layout(self) -> Layout:
        """Names and sizes of the layers."""

    def sums(self, X: Any) -> Iterator[Part]:
        """Sum the outputs of the neurons; the inner sum of equation 1."""

    def counts(self, X: Any, thresholds: NDArray, granularity: str) -> Iterator[Part]:
        """Count the neurons above the thresholds; equation 2."""

    def for_tasks(self, X: Any, *args: Any) -> Statistics:
        """Return what tasks are to use, each of which will see only a part of ``X``."""
