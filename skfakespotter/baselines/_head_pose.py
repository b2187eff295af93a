"""Head pose: a face that was put into another head looks another way than the head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

# Of the iBUG points, from 0: the jaw, and then the center, brows, nose and corners of the mouth
JAW, CENTER = range(17), (*range(17, 36), 48, 54)
WHOLE = (*JAW, *CENTER)
# the same points of a face that is seen in a mirror
MIRRORED = (*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 54, 48)
FLAT = 1e-9  # sizes below are taken for none
_MIRROR = [WHOLE.index(point) for point in MIRRORED]


class HeadPoseDifference(TransformerMixin, BaseEstimator):
    """Pose of the whole face's landmarks minus that of the central ones.

    A swap replaces the inside of a face and leaves its contour, so that the two may look in
    different directions [1]_. Both poses are found under weak perspective. ``fit`` learns the
    three-dimensional shape of the landmarks by factorization [2]_, where the publication takes
    a fixed one of another tool; no label is looked at. The shape is symmetric: faces seen in a
    mirror are among the views.

    Attributes
    ----------
    shape_ : ndarray of shape (38, 3)
        Jaw, brows, nose and corners of the mouth of the mean training face, in pixels of the
        crops: x to the right, y downwards, z away from the camera.
    n_features_in_ : int
        136.

    References
    ----------
    .. [1] X. Yang, Y. Li, S. Lyu, "Exposing Deep Fakes Using Inconsistent Head Poses",
       ICASSP 2019. arXiv:1811.00661.
    .. [2] C. Tomasi, T. Kanade, "Shape and Motion from Image Streams under Orthography:
       a Factorization Method", International Journal of Computer Vision 9, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines import HeadPoseDifference
    >>> rng = np.random.default_rng(0)
    >>> HeadPoseDifference().fit_transform(rng.normal(size=(20, 136))).shape
    (20, 12)
    """

    def fit(self, X: ArrayLike, y: Any = None) -> HeadPoseDifference:
        """Learn the shape of a face from many that look in many directions.

        Parameters
        ----------
        X : array-like of shape (n, 136)
            Landmarks x0, y0, ..., x67, y67 in pixels, as of :class:`FaceLandmarks`.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self
            Fitted.

        Raises
        ------
        ValueError
            For another number of columns, or fewer than three faces.
        """
        points = self._points(X, reset=True)
        if len(points) < 3:
            raise ValueError(f"n_samples={len(points)}: expected at least three faces.")
        mirrored = points[:, _MIRROR] * [-1, 1]
        self.shape_ = factorize(np.concatenate([points, mirrored]))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Subtract the central landmarks' pose from the whole face's.

        Parameters
        ----------
        X : array-like of shape (n, 136)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n, 12)
            The nine numbers of the difference of the rotation matrices, row by row, and the
            difference of the places (x, y, and the logarithm of the scale, for the distance).
        """
        check_is_fitted(self)
        points, n_jaw = self._points(X, reset=False), len(JAW)
        whole, at_whole = find_poses(points, self.shape_)
        central, at_central = find_poses(points[:, n_jaw:], self.shape_[n_jaw:])
        turned = (whole - central).reshape(len(points), 9)
        return np.hstack([turned, at_whole - at_central])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the columns.

        Parameters
        ----------
        input_features : ignored
            They are landmarks.

        Returns
        -------
        ndarray of shape (12,), object
            Names.
        """
        turns = [f"R{row}{column}" for row in "xyz" for column in "xyz"]
        return np.array([*turns, "x", "y", "log scale"], dtype=object)

    def _points(self, X, reset):
        X = validate_data(self, X, dtype=np.float64, reset=reset)
        if X.shape[1] != 136:
            raise ValueError(f"X has {X.shape[1]} columns: expected 136, as of FaceLandmarks.")
        return X.reshape(len(X), 68, 2)[:, list(WHOLE)]


def factorize(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the shape of which all faces are views under weak perspective.

    Parameters
    ----------
    points : ndarray of shape (n, n_points, 2)
        Landmarks of n faces.

    Returns
    -------
    ndarray of shape (n_points, 3)
        Their mean is 0; the mean view looks along z, and the middle is nearer than the rim.
    """
    n, n_points, _ = points.shape
    seen = (points - points.mean(axis=1, keepdims=True)).transpose(0, 2, 1)
    u, s, vt = np.linalg.svd(seen.reshape(2 * n, n_points), full_matrices=False)
    views, shape = u[:, :3] * s[:3], vt[:3]
    to_metric = _metric(views[0::2], views[1::2])
    views = (views @ to_metric).reshape(n, 2, 3)
    shape = np.linalg.solve(to_metric, shape).T
    rows, _ = _nearest_rotation(views.mean(axis=0)[None])
    shape = shape @ rows[0].T
    middle = np.hypot(*(shape[:, :2] - shape[:, :2].mean(axis=0)).T)
    if np.corrcoef(middle, shape[:, 2])[0, 1] < 0:
        shape[:, 2] *= -1  # weak perspective does not tell a face from its mask
    return shape


def find_poses(
    points: NDArray[np.float64], shape: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find how a shape is turned, placed and scaled in each picture, in the least squares.

    Parameters
    ----------
    points : ndarray of shape (n, n_points, 2)
        Landmarks of n faces.
    shape : ndarray of shape (n_points, 3)
        The same points in space.

    Returns
    -------
    rotations : ndarray of shape (n, 3, 3)
        From the shape to the camera.
    places : ndarray of shape (n, 3)
        x and y of the shape's origin, in units of the shape; logarithm of the scale.
    """
    center = shape.mean(axis=0)
    middle = points.mean(axis=1)
    affine = (points - middle[:, None]).transpose(0, 2, 1) @ np.linalg.pinv(shape - center).T
    rotations, scales = _nearest_rotation(affine)
    origin = middle - scales[:, None] * (rotations[:, :2] @ center)
    return rotations, np.column_stack([origin / scales[:, None], np.log(scales)])


def _nearest_rotation(affine):
    """Return the rotations whose first two rows, times a scale, come nearest; and the scales."""
    u, s, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    third = np.cross(rows[:, 0], rows[:, 1])
    scales = np.maximum(s.mean(axis=1), FLAT)  # all points in one
    return np.concatenate([rows, third[:, None]], axis=1), scales


def _metric(x, y):
    """Find the matrix that makes all views scaled rotations: rows orthogonal and equally long.

    Both are linear in the six numbers of the symmetric Q = G G^T, and leave its size open.
    """
    equations = np.vstack([_products(x, x) - _products(y, y), _products(x, y)])
    q = np.linalg.svd(equations, full_matrices=False)[2][-1]
    size = (_products(x, x) @ q).mean()
    if abs(size) < FLAT:  # such as points on one line: no view tells depth
        return np.eye(3)
    q = q / size  # a mean scale of 1: the shape is in pixels
    upper = np.zeros((3, 3))
    upper[np.triu_indices(3)] = q
    values, vectors = np.linalg.eigh((upper + upper.T) / 2)
    # where noise makes Q indefinite the face is flat in that direction, and nearly so it stays
    return vectors * np.sqrt(np.maximum(values, 1e-3 * values.max()))


def _products(a, b):
    """Return rows r with a Q b^T = r q, where q is the diagonal of Q and twice what is above it."""
    outer = a[:, :, None] * b[:, None]
    rows, columns = np.triu_indices(3)
    return (outer + outer.transpose(0, 2, 1))[:, rows, columns] / 2
