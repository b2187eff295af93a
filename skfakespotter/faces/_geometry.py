"""Geometry: the similarity that fits points best, and pictures mapped by it."""

from __future__ import annotations

from typing import Any

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


def as_pillow(image: Any) -> Any:
    """Return an array as Pillow's picture, which several calls of :func:`resize` may share."""
    return Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image


def resize(image: Any, size: tuple[int, int]) -> Any:
    """Resize a picture, bilinear and averaging where it becomes smaller.

    Parameters
    ----------
    image : ndarray or Tensor of shape (h, w, 3), uint8, or PIL image
        RGB.
    size : (int, int)
        Height and width of the result.

    Returns
    -------
    ndarray or Tensor of shape (size[0], size[1], 3), uint8
        A tensor is resized on its device, in the mean within one gray level of an
        array: Pillow reduces in two steps.
    """
    if not isinstance(image, Image.Image) and image.shape[:2] == size:
        return image
    picture, bilinear = as_pillow(image), Image.Resampling.BILINEAR
    if isinstance(picture, Image.Image):
        return np.asarray(picture.resize(size[::-1], bilinear, reducing_gap=2.0))
    from skfakespotter.faces import _tensors  # which imports torch

    return _tensors.resize(image, size)


def warp(image: Any, matrix: NDArray[np.floating], size: tuple[int, int], outside: int = 0) -> Any:
    """Apply an affine map to a picture.

    Parameters
    ----------
    image : ndarray or Tensor of shape (h, w, 3), uint8
        RGB.
    matrix : ndarray of shape (2, 3)
        From pixels (x, y, 1) of the picture to those of the result; pixel centers lie on
        whole numbers.
    size : (int, int)
        Height and width of the result.
    outside : int, default=0
        Gray level, 0 to 255, beyond the picture.

    Returns
    -------
    ndarray or Tensor of shape (size[0], size[1], 3), uint8
        Bicubic; reduced by averaging beforehand where it becomes smaller than a half. A tensor
        is mapped on its device, up to one gray level as an array.
    """
    factor, inverse = _inverse(matrix)
    if not isinstance(image, np.ndarray):
        from skfakespotter.faces import _tensors

        return _tensors.warp(image, factor, inverse, size, outside)
    picture = Image.fromarray(np.ascontiguousarray(image))
    if factor > 1:
        picture = picture.reduce(factor)
    warped = picture.transform(
        (size[1], size[0]),
        Image.Transform.AFFINE,
        tuple(inverse.ravel()),
        Image.Resampling.BICUBIC,
        fillcolor=(outside,) * 3,
    )
    return np.asarray(warped)


def _inverse(matrix: NDArray[np.floating]) -> tuple[int, NDArray[np.float64]]:
    """Return a whole factor to reduce by, and the map back; pixel centers lie on halves."""
    whole = np.vstack([matrix, [0.0, 0.0, 1.0]])
    inverse = _shift(0.5) @ np.linalg.inv(whole) @ _shift(-0.5)
    scale = np.sqrt(np.linalg.det(inverse[:2, :2]))
    factor = max(1, round(scale - 0.499))  # whole, rounded down
    return factor, (np.diag([1 / factor, 1 / factor, 1.0]) @ inverse)[:2]


def _shift(distance):
    return np.array([[1.0, 0.0, distance], [0.0, 1.0, distance], [0.0, 0.0, 1.0]])
