"""Array API: tensors instead of arrays, on their device, where scikit-learn is told to allow it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config


def is_dispatching() -> bool:
    """Tell whether ``sklearn.set_config(array_api_dispatch=True)`` is in force.

    Returns
    -------
    bool
        False by default.
    """
    return get_config()["array_api_dispatch"]


def is_dispatched(X: Any) -> bool:
    """Tell tensors that stay tensors from everything else.

    Parameters
    ----------
    X : object
        Any input.

    Returns
    -------
    bool
        Without dispatch, tensors are taken for arrays.
    """
    return isinstance(X, torch.Tensor) and is_dispatching()


def holds_numbers(X: Any) -> bool:
    """Tell arrays of floating-point numbers, which a network may take as they are.

    Parameters
    ----------
    X : object
        Any input.

    Returns
    -------
    bool
        False for pictures.
    """
    if isinstance(X, torch.Tensor):
        return X.is_floating_point() and is_dispatching()
    return isinstance(X, np.ndarray) and X.dtype.kind == "f"


def like(X: Any, array: NDArray) -> Any:
    """Turn an array into what ``X`` is, and where it is.

    Parameters
    ----------
    X : ndarray or Tensor
        An example.
    array : ndarray
        Numbers.

    Returns
    -------
    ndarray or Tensor
        On the device of ``X``.
    """
    return torch.from_numpy(array).to(X.device) if isinstance(X, torch.Tensor) else array


class ResultTable:
    """A table that is filled part by part; what is never filled stays NaN.

    Parameters
    ----------
    n_rows, width : int
        Its shape.
    device : torch.device, default=None
        Where it lies, as a tensor; None for an array.

    Attributes
    ----------
    rows : ndarray or Tensor of shape (n_rows, width), float32
        The table.
    """

    def __init__(self, n_rows: int, width: int, device: torch.device | None = None) -> None:
        self._filled = np.zeros(n_rows, bool)
        self.rows: NDArray | torch.Tensor
        if device is None:
            self.rows = np.full((n_rows, width), np.nan, np.float32)
        else:
            self.rows = torch.full((n_rows, width), torch.nan, dtype=torch.float32, device=device)

    def put(self, positions: NDArray[np.integer], values: Any) -> None:
        """Fill some rows.

        Parameters
        ----------
        positions : ndarray of shape (k,), int
            Which ones.
        values : ndarray or Tensor of shape (k, width)
            With what.
        """
        self._filled[positions] = True
        if isinstance(self.rows, np.ndarray):
            self.rows[positions] = values
            return
        values, first = torch.as_tensor(values, device=self.rows.device), int(positions[0])
        if np.array_equal(positions, np.arange(first, first + len(positions))):
            self.rows[first : first + len(positions)] = values  # no index has to be copied
        else:
            self.rows[like(self.rows, np.asarray(positions))] = values

    def missing(self) -> list[int]:
        """List the rows that were not filled.

        Returns
        -------
        list of int
            Positions, in order.
        """
        return np.flatnonzero(~self._filled).tolist()
