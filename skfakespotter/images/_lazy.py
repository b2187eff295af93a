"""LazyPicture: pixels that are made when they are needed, and what is noted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter.images._errors import ImageError


@dataclass(frozen=True, eq=False)
class LazyPicture:
    """A picture, such as a face, whose pixels are made when they are needed.

    Attributes
    ----------
    picture : picture
        What to decode first.
    note : object, default=None
        What is written down while the pixels are made. Its method ``take`` copies another one:
        what a process has noted comes back with the pixels.
    """

    picture: Any
    note: Any = field(default=None, kw_only=True, repr=False)

    @property
    def may_be_missing(self) -> bool:
        """Whether a MissingFaceError leaves it out; any other error ends the run."""
        return False

    @property
    def made_together(self) -> bool:
        """Whether it is better made together with others."""
        return False

    @staticmethod
    def make_together(
        pictures: Sequence[Any], images: Sequence[NDArray[np.uint8]], device: Any
    ) -> list[NDArray[np.uint8] | ImageError]:
        """Return the pixels of each picture, or an error that says what is wrong.

        Parameters
        ----------
        pictures : sequence of pictures
            Of one class.
        images : sequence of ndarray of shape (h, w, 3), uint8
            What their files show, RGB.
        device : str or torch.device
            Where a face detector that can use it runs.

        Returns
        -------
        list of (ndarray of shape (h', w', 3), uint8, or ImageError)
            One for each picture.
        """
        raise NotImplementedError


def with_notes(pictures: Sequence[Any], made: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pair what a process has made of pictures with what it has noted of them.

    Parameters
    ----------
    pictures : sequence of pictures
        Those of the process.
    made : sequence
        One per picture.

    Returns
    -------
    list of (object, object)
        What was made, and the note of a :class:`LazyPicture` or None.
    """
    notes = [one.note if isinstance(one, LazyPicture) else None for one in pictures]
    return list(zip(made, notes, strict=True))


def take_notes(pictures: Sequence[Any], pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Return what a process has made, after its notes were copied to those of the pictures here.

    Parameters
    ----------
    pictures : sequence of pictures
        Those of this process.
    pairs : sequence of (object, object)
        From :func:`with_notes`, in the process that made them.

    Returns
    -------
    list
        What was made.
    """
    for picture, (_, note) in zip(pictures, pairs, strict=True):
        if note is not None:
            picture.note.take(note)
    return [made for made, _ in pairs]
