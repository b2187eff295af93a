"""Errors: what is wrong with a picture, and where it stands in the input."""

from __future__ import annotations

from collections.abc import Sequence


class ImageError(ValueError):
    """A picture that cannot be used, with its place in the input.

    Parameters
    ----------
    reason : str
        What is wrong with the picture and what was expected.
    index : int, default=None
        Position in the input.
    path : str, default=None
        File, when the picture is one.

    Examples
    --------
    >>> from skfakespotter import ImageError
    >>> str(ImageError("is truncated", index=3, path="a.jpg"))
    "X[3] ('a.jpg'): is truncated"
    """

    def __init__(self, reason: str, index: int | None = None, path: str | None = None):
        super().__init__(reason, index, path)
        self.reason, self.index, self.path = reason, index, path

    def __str__(self) -> str:
        place = "picture" if self.index is None else f"X[{self.index}]"
        return f"{place}{f' ({self.path!r})' if self.path else ''}: {self.reason}"

    def at(self, index: int | None, path: str | None = None) -> ImageError:
        """Return the same error with another place in the input.

        Parameters
        ----------
        index : int
            Position in the input.
        path : str, default=None
            File; None keeps what is known.

        Returns
        -------
        ImageError
            A new error of the same class.

        Examples
        --------
        >>> from skfakespotter import ImageError
        >>> str(ImageError("is truncated", path="a.jpg").at(7))
        "X[7] ('a.jpg'): is truncated"
        """
        return type(self)(self.reason, index, path or self.path)


class MissingFaceError(ImageError):
    """A picture in which no face was found.

    Parameters
    ----------
    reason : str, default="has no face that the face detector finds"
        What is wrong with the picture and what was expected.
    index : int, default=None
        Position in the input.
    path : str, default=None
        File.

    Examples
    --------
    >>> from skfakespotter.images import MissingFaceError
    >>> str(MissingFaceError(index=2))
    'X[2]: has no face that the face detector finds'
    """

    REASON = "has no face that the face detector finds"

    def __init__(self, reason: str = REASON, index: int | None = None, path: str | None = None):
        super().__init__(reason, index, path)


def name_positions(positions: Sequence[int]) -> str:
    """Name pictures by their places in the input, five at most.

    Parameters
    ----------
    positions : sequence of int
        Places.

    Returns
    -------
    str
        For messages.

    Examples
    --------
    >>> from skfakespotter.images import name_positions
    >>> name_positions([1, 3])
    'X[1], X[3]'
    """
    return ", ".join(f"X[{i}]" for i in positions[:5]) + (", ..." if len(positions) > 5 else "")
