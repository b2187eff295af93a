"""Geometry: the similarity that fits points best, and pictures mapped by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image


def similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    r"""Find the rotation, scale and shift that takes points nearest to others.

    It minimizes :math:`\sum_i \|s R x_i + t - y_i\|^2` (Umeyama, equations 40 to 42).

    Parameters
    ----------
    source, target : array-like of shape (n, 2)
        Points x and y, in order.

    Returns
    -------
    ndarray of shape (2, 3)
        ``[s R | t]``, to be applied to the column (x, y, 1).

    References
    ----------
    S. Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns", PAMI 13(4), 1991.

    Examples
    --------
    >>> from skfakespotter.faces._geometry import similarity
    >>> found = similarity([[0, 0], [1, 0], [0, 1]], [[5, 5], [7, 5], [5, 7]])
    >>> found.round(6) + 0.0  # without a minus before zeros
    array([[2., 0., 5.],
           [0., 2., 5.]])
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    center, goal = source.mean(0), target.mean(0)
    covariance = (target - goal).T @ (source - center) / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))])  # a mirror image is no rotation
    linear = (u * signs) @ vt * (singular @ signs / source.var(0).sum())
    return np.column_stack([linear, goal - linear @ center])


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Apply an affine map to a picture.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    matrix : ndarray of shape (2, 3)
        From pixels (x, y, 1) of the picture to those of the result; pixel centers lie on
        whole numbers.
    size : (int, int)
        Height and width of the result.

    Returns
    -------
    ndarray of shape (size[0], size[1], 3), uint8
        Bicubic; reduced by averaging beforehand where it becomes smaller than a half.
    """
    picture = Image.fromarray(image)
    # Pillow wants the inverse map, with pixel centers at halves
    whole = np.vstack([matrix, [0.0, 0.0, 1.0]])
    inverse = _shift(0.5) @ np.linalg.inv(whole) @ _shift(-0.5)
    factor = round(np.sqrt(np.linalg.det(inverse[:2, :2])) - 0.499)  # whole, rounded down
    if factor > 1:
        picture = picture.reduce(factor)
        inverse = np.diag([1 / factor, 1 / factor, 1.0]) @ inverse
    warped = picture.transform(
        (size[1], size[0]),
        Image.Transform.AFFINE,
        tuple(inverse[:2].ravel()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(warped)


def _shift(distance):
    return np.array([[1.0, 0.0, distance], [0.0, 1.0, distance], [0.0, 0.0, 1.0]])
