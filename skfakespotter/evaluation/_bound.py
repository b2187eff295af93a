"""Bound: how much of an attack's change is left when the picture has to look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from skfakespotter.perturbations import to_uint8

_SIGMA, _RADIUS = 1.5, 5  # of Wang et al.'s window
_STABLE = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # their constants, for values up to 255
_HALVINGS = 7


@dataclass(frozen=True)
class PerceptualBound:
    """What an attacked face must keep, so that people see the same picture of the same person.

    A change that goes too far is scaled down, picture by picture, until both bounds hold.

    Parameters
    ----------
    min_similarity : float, default=None
        Least :func:`structural_similarity` of the attacked face to the face, up to 1. None sets no
        bound.
    identity : transformer, default=None
        From aligned faces to descriptors of the person, (n, n_features), such as
        ``FaceEmbedding()``. None sets no bound.
    max_distance : float, default=0.6
        Largest Euclidean distance of the two descriptors. With dlib's network two pictures below
        0.6 are taken for one person [1]_.

    References
    ----------
    .. [1] http://dlib.net/face_recognition.py.html

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation import PerceptualBound, structural_similarity
    >>> face = np.random.default_rng(0).integers(64, 192, (1, 32, 32, 3)).astype(np.uint8)
    >>> attacked = 255 - face
    >>> limited = PerceptualBound(0.9).limit(face, attacked)
    >>> bool(structural_similarity(face[0], limited[0]) >= 0.9)
    True
    """

    min_similarity: float | None = None
    identity: Any = None
    max_distance: float = 0.6

    def __post_init__(self) -> None:
        if self.min_similarity is not None and not self.min_similarity <= 1:
            raise ValueError(f"min_similarity is {self.min_similarity}: expected at most 1.")
        if not self.max_distance > 0:
            raise ValueError(f"max_distance is {self.max_distance}: expected a number above 0.")

    def limit(self, faces: NDArray, attacked: NDArray) -> NDArray:
        """Scale changes down as far as the bounds ask for.

        Parameters
        ----------
        faces, attacked : ndarray of shape (n, h, w, 3), uint8
            Before and after the attack.

        Returns
        -------
        ndarray of shape (n, h, w, 3), uint8
            Faces between the two that keep the bounds: ``attacked`` itself where it does.
        """
        holds = self._make_check(faces)
        change = attacked.astype(np.float64) - faces
        good, share = np.where(holds(attacked), 1.0, 0.0), np.full(len(faces), 0.5)
        done, step, best = good == 1, 0.25, np.where(_wide(good == 1), attacked, faces)
        for _ in range(_HALVINGS if not done.all() else 0):
            tried = to_uint8(faces + _wide(share) * change)
            kept = holds(tried) & ~done
            best = np.where(_wide(kept), tried, best)
            share += np.where(kept, step, -step)
            step /= 2
        return best

    def _make_check(self, faces: NDArray) -> Callable[[NDArray], NDArray]:
        persons = None if self.identity is None else self.identity.fit_transform(faces)

        def holds(changed: NDArray) -> NDArray:
            kept = np.ones(len(faces), dtype=bool)
            if self.min_similarity is not None:
                pairs = zip(faces, changed, strict=True)
                kept &= np.array([structural_similarity(*pair) for pair in pairs]) >= (
                    self.min_similarity
                )
            if persons is not None:
                apart = np.linalg.norm(self.identity.transform(changed) - persons, axis=1)
                kept &= apart <= self.max_distance
            return kept

        return holds


def structural_similarity(one: NDArray, other: NDArray) -> float:
    """Compute the mean structural similarity of two pictures.

    The index of [1]_ with its Gaussian window of 11 x 11 pixels, mean over channels and all
    places at which the window lies inside.

    Parameters
    ----------
    one, other : ndarray of shape (h, w, 3)
        Pictures of one size, values 0 to 255, sides of 11 pixels at least.

    Returns
    -------
    float
        1 for equal pictures; falls as they differ.

    References
    ----------
    .. [1] Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural
       Similarity", IEEE Transactions on Image Processing 13, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation import structural_similarity
    >>> gray = np.full((16, 16, 3), 100)
    >>> round(structural_similarity(gray, gray), 6), structural_similarity(gray, gray + 100) < 0.9
    (1.0, True)
    """
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)

    def mean(values: NDArray) -> NDArray:
        smooth = gaussian_filter(values, (_SIGMA, _SIGMA, 0), radius=(_RADIUS, _RADIUS, 0))
        return smooth[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]

    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + _STABLE[0]) / (mean_a**2 + mean_b**2 + _STABLE[0])
    structure = (2 * shared + _STABLE[1]) / (spread_a + spread_b + _STABLE[1])
    return float((light * structure).mean())


def _wide(values: NDArray) -> NDArray:
    return values.reshape(-1, 1, 1, 1)
