"""Dispatch: tensors instead of arrays, on their device, where scikit-learn is told to allow it."""

import numpy as np
import torch
from sklearn import get_config


def is_dispatching():
    """Tell whether ``sklearn.set_config(array_api_dispatch=True)`` is in force.

    Returns
    -------
    bool
        False by default.
    """
    return get_config()["array_api_dispatch"]


def is_dispatched(X):
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


def holds_numbers(X):
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


def like(X, array):
    """Give an array as what ``X`` is, and where it is.

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


class Rows:
    """A table that is filled part by part.

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

    def __init__(self, n_rows, width, device=None):
        if device is None:
            self.rows = np.empty((n_rows, width), np.float32)
        else:
            self.rows = torch.empty((n_rows, width), dtype=torch.float32, device=device)

    def put(self, positions, values):
        """Fill some rows.

        Parameters
        ----------
        positions : ndarray of shape (k,), int
            Which ones.
        values : ndarray or Tensor of shape (k, width)
            With what.
        """
        if isinstance(self.rows, np.ndarray):
            self.rows[positions] = values
            return
        values, first = torch.as_tensor(values, device=self.rows.device), positions[0]
        if np.array_equal(positions, np.arange(first, first + len(positions))):
            self.rows[first : first + len(positions)] = values  # no index has to be copied
        else:
            self.rows[like(self.rows, positions)] = values
