"""Limits: the faces that a detector was measured on, beyond which it cannot say anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.005  # of the faces measured lies beyond each limit
RIDGE = 1e-3  # of the variances, lest a layer that hardly varies dominates the distance


@dataclass(frozen=True, eq=False)
class Limits:
    """Smallest width and sharpness, and largest distance, of the faces measured.

    The distance is Mahalanobis's, of the shares of active neurons, layer by layer: a face
    whose layers are active together as those of no face measured is something else, such as
    a drawing.

    Parameters
    ----------
    width : float
        Of the face, in pixels of the picture.
    sharpness : float
        See :func:`skfakespotter.detectors._quality.sharpness`.
    distance : float
        From the center.
    center : ndarray of shape (n_layers,), float32
        Mean share of active neurons.
    whitener : ndarray of shape (n_layers, n_layers), float32
        Inverse square root of their covariance.
    """

    width: float
    sharpness: float
    distance: float
    center: NDArray[np.float32]
    whitener: NDArray[np.float32]

    @classmethod
    def of_faces(
        cls, width: NDArray[np.float64], sharpness: NDArray[np.float64], shares: NDArray[np.float64]
    ) -> Limits:
        """Take the limits from the faces measured: all but half a percent lie inside each.

        Parameters
        ----------
        width, sharpness : ndarray of shape (n,)
            Of each face; a width is NaN where it is not known.
        shares : ndarray of shape (n, n_layers)
            Share of active neurons per layer.

        Returns
        -------
        Limits
            The limits.

        Examples
        --------
        >>> import numpy as np
        >>> from skfakespotter.detectors._limits import Limits
        >>> rng = np.random.default_rng(0)
        >>> limits = Limits.of_faces(np.arange(50.0, 250.0), np.ones(200), rng.random((200, 3)))
        >>> limits.complaint(width=20.0, sharpness=1.0, shares=np.full(3, 0.5))
        'the face is 20 pixels wide, smaller than the faces measured (from 51)'
        >>> limits.complaint(width=90.0, sharpness=1.0, shares=np.full(3, 0.5)) is None
        True
        """
        center = shares.mean(0)
        covariance = np.atleast_2d(np.cov(shares.T))
        covariance += RIDGE * np.trace(covariance) / len(center) * np.eye(len(center))
        values, vectors = np.linalg.eigh(covariance)
        whitener = vectors / np.sqrt(values) @ vectors.T
        distance = np.linalg.norm((shares - center) @ whitener, axis=1)
        return cls(
            float(np.nanquantile(width, TAIL)),
            float(np.quantile(sharpness, TAIL)),
            float(np.quantile(distance, 1 - TAIL)),
            center.astype(np.float32),
            whitener.astype(np.float32),
        )

    def distances(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute how far faces are from the center of those measured.

        Parameters
        ----------
        shares : ndarray of shape (n, n_layers)
            Share of active neurons per layer.

        Returns
        -------
        ndarray of shape (n,)
            Distances.
        """
        return np.linalg.norm((shares - self.center) @ self.whitener, axis=-1)

    def complaint(self, width: float, sharpness: float, shares: NDArray[np.float64]) -> str | None:
        """Return the reason why nothing can be said about a face.

        Parameters
        ----------
        width, sharpness : float
            Of the face.
        shares : ndarray of shape (n_layers,)
            Share of active neurons per layer.

        Returns
        -------
        str or None
            The reason; None for a face like those measured.
        """
        if width < self.width:
            return (
                f"the face is {width:.0f} pixels wide, smaller than the faces measured "
                f"(from {self.width:.0f})"
            )
        if sharpness < self.sharpness:
            return (
                f"the face is more blurred than the faces measured (sharpness {sharpness:.3f}, "
                f"from {self.sharpness:.3f})"
            )
        distance = float(self.distances(shares))
        if distance > self.distance:
            return (
                "the face is unlike all faces measured: a drawing, a mask or heavy processing? "
                f"(distance {distance:.1f}, up to {self.distance:.1f})"
            )
        return None
