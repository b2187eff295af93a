"""FaceTable: faces that were measured, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.detectors._moments import Moments

COPY_WEIGHT = 1 / 3  # of a picture: a copy whose traces are ruined teaches noise


@dataclass(frozen=True, eq=False)
class FaceTable:
    """Faces that were measured, one row each.

    Parameters
    ----------
    counts : ndarray of shape (n, n_channels in all)
        Active neurons per channel.
    fake : ndarray of shape (n,), bool
        Whether the face is a fake of the family.
    source : ndarray of shape (n,), str
        Where the photograph, or the fake, comes from.
    groups : ndarray of shape (n,), str
        Faces of one photograph, whatever was done to it.
    copy : ndarray of shape (n,), bool
        Whether the face is a perturbed copy.
    width, sharpness : ndarray of shape (n,)
        See :mod:`skfakespotter.detectors._quality`.
    """

    counts: NDArray[Any]
    fake: NDArray[np.bool_]
    source: NDArray[np.str_]
    groups: NDArray[np.str_]
    copy: NDArray[np.bool_]
    width: NDArray[np.float64]
    sharpness: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.fake)

    def rows(self, chosen: NDArray[Any]) -> FaceTable:
        """Return a part of the table.

        Parameters
        ----------
        chosen : ndarray of bool or int
            Rows.

        Returns
        -------
        FaceTable
            These rows.
        """
        return FaceTable(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def moments(self) -> Moments:
        """Compute what a discriminant needs of the faces; a copy weighs a third of a picture.

        Returns
        -------
        Moments
            Of all rows.
        """
        return Moments.of(self.counts, np.where(self.copy, COPY_WEIGHT, 1.0))
