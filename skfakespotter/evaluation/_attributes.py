"""Attributes: size, light, sharpness and pose of a face, and nothing about the person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace
from sklearn.utils import check_consistent_length

from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures
from skfakespotter.images import check_images


def picture_attributes(X: Pictures, records: Sequence[Any] | None = None) -> dict[str, NDArray]:
    """Measure properties of pictures for ``detection_report(by=...)``.

    Parameters
    ----------
    X : sequence of n pictures
        See :func:`skfakespotter.images.check_images`.
    records : sequence of n FaceRecord, default=None
        From ``FaceAligner().locate(X)``. None: the whole picture counts as the face, and its
        pose is not measured.

    Returns
    -------
    dict of str to ndarray of shape (n,), float64
        ``face_width``: pixels of the picture; ``brightness``: mean luminance of the face, 0 to
        255; ``sharpness``: natural logarithm of one plus the variance of the Laplacian of the
        luminance of the face; ``turn``, with records only: how far the base of the nose lies
        from the middle between the outer corners of the eyes (of CenterFace: its tip, and their
        centers), in distances between them (0 looks into the camera; 0.1 is clearly turned).
        NaN where no face was found.

    Raises
    ------
    ImageError
        At the first picture that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import picture_attributes
    >>> X = [np.full((20, 30, 3), level, np.uint8) for level in (50, 100)]
    >>> picture_attributes(X)["brightness"].tolist(), picture_attributes(X)["face_width"].tolist()
    ([50.0, 100.0], [30.0, 30.0])
    """
    X = check_images(X)
    found = [None] * len(X) if records is None else list(records)
    check_consistent_length(X, found)
    rows = [
        _measure(image, record, records is not None)
        for image, record in zip(iter_images(X), found, strict=True)
    ]
    names = ("face_width", "brightness", "sharpness", "turn")[: 4 if records is not None else 3]
    table = np.array(rows, dtype=np.float64)
    return {name: table[:, column] for column, name in enumerate(names)}


def _measure(image: NDArray, record: Any, has_records: bool) -> tuple[float, ...]:
    height, width = image.shape[:2]
    box = (0, 0, width, height) if not has_records else record.box
    if box is None:
        return (np.nan,) * 4
    left, right = (int(np.clip(round(side), 0, width)) for side in (box[0], box[2]))
    top, bottom = (int(np.clip(round(side), 0, height)) for side in (box[1], box[3]))
    face = image[top : max(bottom, top + 1), left : max(right, left + 1)] @ [0.299, 0.587, 0.114]
    light = float(box[2] - box[0]), float(face.mean()), float(np.log1p(laplace(face).var()))
    return (*light, _turn(record.faces[0])) if has_records else light


def _turn(face: Any) -> float:
    """Return the share of the distance between the eyes by which the nose lies off its middle."""
    points = np.asarray(face.landmarks, dtype=np.float64)
    one, other, nose = points[[0, 1, 2] if face.scheme == "centers" else [0, 2, 4]]
    across = other - one
    length = np.linalg.norm(across)
    return float(abs((nose - (one + other) / 2) @ across) / length**2) if length else np.nan
