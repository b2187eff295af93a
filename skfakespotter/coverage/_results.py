"""PartialResult: a statistic of some of the pictures, as it comes from the network or a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PartialResult:
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
