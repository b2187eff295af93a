"""Identity: whether pictures were cropped as those that a model was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from skfakespotter.faces._lazy import Cropping, LazyFace
from skfakespotter.images import ImageError, open_picture, path_of

EXAMPLES = 16  # files whose sizes are looked at to tell crops from photographs
LARGEST_RATIO = 2.0  # of an array's side to the crop's: perturbed copies differ by less
Crops = Cropping | tuple[int, int] | None


def crops_of(X: Any, size: tuple[int, int] | None) -> Crops:
    """Tell how the faces were cropped that a model is fitted on.

    Parameters
    ----------
    X : list or ndarray of shape (n, h, w, 3)
        Checked pictures.
    size : (int, int) or None
        Height and width of the network's aligned faces; None where it knows no alignment.

    Returns
    -------
    Cropping, (int, int) or None
        The cropping of lazy faces, if they have one; the size of pictures that are crops of
        the network's own size; None for anything else.
    """
    stacked = hasattr(X, "ndim")  # an array or a tensor, of pictures of one size
    if not stacked and all(isinstance(x, LazyFace) for x in X):
        croppings = {replace(face.cropping, on_missing="raise") for face in X}
        return croppings.pop() if len(croppings) == 1 else None
    if size is None:
        return None
    sizes = [X.shape[1:3]] if stacked else map(_size_of, X[:EXAMPLES])
    return size if all(one == tuple(size) for one in sizes) else None


def check_crops(X: Sequence[Any], fitted: Crops) -> None:
    """Raise an error unless pictures are crops as those that a model was fitted on.

    Parameters
    ----------
    X : list or ndarray of shape (n, h, w, 3)
        Checked pictures.
    fitted : Cropping, (int, int) or None
        What :func:`crops_of` told; None lets everything pass.

    Raises
    ------
    ValueError
        For a lazy face of another cropping: by another face detector, for instance.
    ImageError
        For a photograph where a crop is expected. Files must have the crop's size; arrays,
        which may be perturbed copies, may differ from it by a factor of two.
    """
    if fitted is None:
        return
    size = fitted.crop_size if isinstance(fitted, Cropping) else fitted
    pictures = X[:1] if hasattr(X, "ndim") else X
    for index, picture in enumerate(pictures):
        if isinstance(picture, LazyFace):
            _check_cropping(index, replace(picture.cropping, on_missing="raise"), fitted)
            continue
        found = _size_of(picture)
        if found is not None and not _may_be_crop(picture, found, size):
            raise ImageError(
                f"is {found[1]}x{found[0]} pixels; expected a face cropped to {size[1]}x{size[0]}, "
                "as those that the transformer was fitted on: put a FaceAligner before it",
                index,
                path_of(picture),
            )


def _check_cropping(index: int, cropping: Cropping, fitted: Any) -> None:
    same = cropping == fitted if isinstance(fitted, Cropping) else cropping.crop_size == fitted
    if not same:
        raise ValueError(
            f"X[{index}] is cropped by {cropping}, but the transformer was fitted on {fitted}: "
            "take the aligner that it was fitted with, or fit again."
        )


def _may_be_crop(picture: Any, found: tuple[int, int], size: tuple[int, int]) -> bool:
    if not hasattr(picture, "ndim"):
        return found == size
    ratios = [a / b for a, b in zip(found, size, strict=True)]
    near = max(ratios) <= LARGEST_RATIO and min(ratios) >= 1 / LARGEST_RATIO
    return near and max(ratios) <= 1.25 * min(ratios)


def _size_of(picture: Any) -> tuple[int, int] | None:
    """Return height and width from the header; None where it cannot be read."""
    if hasattr(picture, "ndim"):
        return picture.shape[0], picture.shape[1]
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    try:
        with open_picture(picture, None) as opened:
            return opened.height, opened.width
    except Exception:  # comes again, by name, when it is decoded
        return None
