"""Faces: all faces of a picture, cropped as a detector wants them, with what else it asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from skfakespotter._typing import Picture
from skfakespotter.detectors._quality import face_width, sharpness
from skfakespotter.faces import Cropping, Face, find_faces
from skfakespotter.images import load_image
from skfakespotter.perturbations import JPEGCompression, Resize

# What any site does to an upload. A verdict that does not survive it is none.
LIGHT = (JPEGCompression(85), Resize(0.8))


@dataclass(frozen=True, eq=False)
class CroppedFace:
    """One face of a picture.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        The picture, RGB.
    found : Face
        Where the face is.
    cropping : Cropping
        How it is cropped.
    """

    image: NDArray[np.uint8]
    found: Face
    cropping: Cropping

    @cached_property
    def crop(self) -> NDArray[np.uint8]:
        """The aligned face, (h, w, 3), RGB."""
        return self.cropping.crop_found(self.image, self.found)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of the picture."""
        return self.found.box

    @property
    def width(self) -> float:
        """Longer side of the box, in pixels of the picture."""
        return face_width(self.found.box)

    @cached_property
    def sharpness(self) -> float:
        """See :func:`skfakespotter.detectors._quality.sharpness`."""
        return sharpness(self.crop)

    def light_crops(self) -> list[NDArray[np.uint8]]:
        """Crop the same place of the picture recompressed, and resized, lightly.

        Returns
        -------
        list of ndarray of shape (h, w, 3), uint8
            One crop for each of ``LIGHT``.
        """
        copies = [change.transform([self.image])[0] for change in LIGHT]
        return [self.cropping.crop_found(copy, self.found) for copy in copies]


def read_faces(picture: Picture, cropping: Cropping) -> list[CroppedFace]:
    """Find all faces of a picture.

    Parameters
    ----------
    picture : path, PIL image or ndarray
        The picture.
    cropping : Cropping
        How faces are found and cropped.

    Returns
    -------
    list of CroppedFace
        Main face first; empty where none is found.

    Raises
    ------
    ImageError
        For a picture that cannot be read.
    """
    image = load_image(picture)
    found = find_faces(image, cropping.detector)
    return [CroppedFace(image, face, cropping) for face in found]
