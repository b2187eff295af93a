"""LazyFace: a picture whose face is found and cropped when its pixels are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._workers import in_threads
from skfakespotter.faces._face import DEFAULT_DETECTOR, Face
from skfakespotter.faces._notes import FaceNote, find_noted
from skfakespotter.faces._templates import crop_face, crop_size
from skfakespotter.images import (
    ImageError,
    LazyPicture,
    MissingFaceError,
    fit_to,
    load_image,
    path_of,
)


@dataclass(frozen=True)
class Cropping:
    """How a face is found and cropped; hashable, and part of what a model was fitted with.

    Attributes
    ----------
    detector, template, size, padding, on_missing
        See :class:`skfakespotter.FaceAligner`.

    Examples
    --------
    >>> from skfakespotter import FaceAligner
    >>> FaceAligner(padding=0.5).cropping.crop_size
    (150, 150)
    """

    detector: str = DEFAULT_DETECTOR
    template: str = "dlib"
    size: int | None = None
    padding: float = 0.25
    on_missing: str = "raise"

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of a crop in pixels."""
        return crop_size(self.template, self.size)

    def crop(
        self,
        images: Sequence[NDArray[np.uint8]],
        device: Any = "cpu",
        notes: Sequence[FaceNote | None] | None = None,
    ) -> list[NDArray[np.uint8] | ImageError]:
        """Find the main face of each picture and crop it.

        Parameters
        ----------
        images : sequence of ndarray of shape (h, w, 3), uint8
            RGB; sizes may differ.
        device : str or torch.device, default="cpu"
            Where a face detector that can use it runs.
        notes : sequence of (FaceNote or None), default=None
            One per picture: where its face is, or is to be noted.

        Returns
        -------
        list of (ndarray of shape (h', w', 3), uint8, or ImageError)
            RGB; an error for a picture that shows no face, unless ``on_missing="center"``.
        """
        notes = [None] * len(images) if notes is None else notes
        found = find_noted(images, notes, self.detector, device=device)
        if self.detector == "dlib" or not all(isinstance(image, np.ndarray) for image in images):
            return list(map(self._crop, images, found))
        from skfakespotter._device import on_cores  # which imports torch

        # a GPU waits for the crops; on a CPU a worker may have been given one core
        return (on_cores if str(device) == "cpu" else in_threads)(self._crop, images, found)

    def crop_found(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """Crop a face that was found before, in this picture or in one that it was made of.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
            RGB.
        face : Face
            Where the face is.

        Returns
        -------
        ndarray of shape (h', w', 3), uint8
            RGB.
        """
        return crop_face(image, face, template=self.template, size=self.size, padding=self.padding)

    def _crop(self, image, faces):
        if faces:
            return self.crop_found(image, faces[0])
        if self.on_missing == "center":
            try:
                return fit_to(image, self.crop_size)
            except ImageError as error:
                return error
        return MissingFaceError(
            f"{MissingFaceError.REASON}; drop it (FaceAligner.locate tells which), "
            "or pass on_missing='center'"
        )


@dataclass(frozen=True, eq=False)
class LazyFace(LazyPicture):
    """A picture whose face is found and cropped when its pixels are needed.

    Attributes
    ----------
    picture : picture
        See :mod:`skfakespotter.images`.
    cropping : Cropping
        How.
    note : FaceNote or None, default=None
        Where the face is, once somebody has looked; None notes nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import astronaut
    >>> from skfakespotter import FaceAligner
    >>> (face,) = FaceAligner(lazy=True).transform([astronaut()])
    >>> np.asarray(face).shape
    (150, 150, 3)
    """

    cropping: Cropping
    note: FaceNote | None = field(default=None, kw_only=True, repr=False)

    @property
    def may_be_missing(self) -> bool:
        """Whether a batch goes on without this picture where it shows no face."""
        return self.cropping.on_missing == "nan"

    @property
    def made_together(self) -> bool:
        """Whether the face detector takes several pictures at a time."""
        return self.cropping.detector != "dlib"

    @staticmethod
    def make_together(
        faces: Sequence[LazyFace], images: Sequence[NDArray[np.uint8]], device: Any
    ) -> list[NDArray[np.uint8] | ImageError]:
        """Crop several faces, whose files are decoded already.

        Parameters
        ----------
        faces : sequence of LazyFace
            What to crop.
        images : sequence of ndarray of shape (h, w, 3), uint8
            Their pictures, RGB.
        device : str, torch.device or None
            Where a face detector that can use it runs; None: the CPU.

        Returns
        -------
        list of (ndarray of shape (h', w', 3), uint8, or ImageError)
            As of :meth:`Cropping.crop`.
        """
        made: list[NDArray[np.uint8] | ImageError] = []
        pairs = zip(faces, images, strict=True)
        for cropping, members in groupby(pairs, key=lambda pair: pair[0].cropping):
            alike, decoded = zip(*members, strict=True)
            made += cropping.crop(decoded, device or "cpu", [face.note for face in alike])
        return made

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Find and crop the face: (h, w, 3), uint8, RGB."""
        (made,) = self.cropping.crop([load_image(self.picture)], notes=[self.note])
        if isinstance(made, ImageError):
            raise made.at(None, path_of(self.picture))
        return np.asarray(made, dtype)
