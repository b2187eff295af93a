"""LazyFace: a picture whose face is found and cropped when its pixels are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import crop_face, crop_size
from skfakespotter.images import ImageError, MissingFaceError, fit_to, load_image, path_of


@dataclass(frozen=True)
class Cropping:
    """How a face is found and cropped; hashable, and part of what a model was fitted with.

    Attributes
    ----------
    detector, template, size, padding, on_missing
        See :class:`skfakespotter.FaceAligner`.
    """

    detector: str = "dlib"
    template: str = "dlib"
    size: int | None = None
    padding: float = 0.25
    on_missing: str = "raise"

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Find the main face of a picture and crop it.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
            RGB.

        Returns
        -------
        ndarray of shape (h', w', 3), uint8
            RGB.

        Raises
        ------
        MissingFaceError
            When there is no face, unless ``on_missing="center"``.
        ImageError
            When there is no face and the center is shorter than 16 pixels.
        """
        if found := find_faces(image):
            options = {"template": self.template, "size": self.size, "padding": self.padding}
            return crop_face(image, found[0], **options)
        if self.on_missing == "center":
            return fit_to(image, crop_size(self.template, self.size))
        raise MissingFaceError(
            "has no face that the face detector finds; drop it (FaceAligner.locate tells which), "
            "or pass on_missing='center'"
        )


@dataclass(frozen=True, eq=False)
class LazyFace:
    """A picture whose face is found and cropped when its pixels are needed.

    Attributes
    ----------
    picture : picture
        See :mod:`skfakespotter.images`.
    cropping : Cropping
        How.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import astronaut
    >>> from skfakespotter import FaceAligner
    >>> (face,) = FaceAligner(lazy=True).transform([astronaut()])
    >>> np.asarray(face).shape
    (150, 150, 3)
    """

    picture: Any
    cropping: Cropping

    @property
    def may_be_missing(self) -> bool:
        """Whether a batch goes on without this picture where it shows no face."""
        return self.cropping.on_missing == "nan"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Find and crop the face: (h, w, 3), uint8, RGB."""
        try:
            return np.asarray(self.cropping.crop(load_image(self.picture)), dtype)
        except ImageError as error:
            raise error.at(error.index, path_of(self.picture)) from error
