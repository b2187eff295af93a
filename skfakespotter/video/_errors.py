"""VideoError: a clip that cannot be used."""

from __future__ import annotations

from skfakespotter.images import ImageError


class VideoError(ImageError):
    """A clip that cannot be used, with its place in the input.

    Parameters
    ----------
    reason : str
        What is wrong with the clip and what was expected.
    index : int, default=None
        Position in the input.
    path : str, default=None
        File.

    Examples
    --------
    >>> from skfakespotter.video import VideoError
    >>> str(VideoError("holds no frame that can be decoded", path="a.mp4"))
    "clip ('a.mp4'): holds no frame that can be decoded"
    """

    def __str__(self) -> str:
        place = "clip" if self.index is None else f"X[{self.index}]"
        return f"{place}{f' ({self.path!r})' if self.path else ''}: {self.reason}"
