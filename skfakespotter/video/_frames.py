"""Frames: a clip on disk becomes upright uint8 RGB pictures with their times, one by one."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, RealNotInt

from skfakespotter._params import checked
from skfakespotter._typing import Path
from skfakespotter.images import ImageError, load_image, readable_suffixes
from skfakespotter.video._decoding import RATE, decode, to_rgb
from skfakespotter.video._errors import VideoError

SAMPLING: dict[str, list[Any]] = {  # which frames may be asked for
    "every": [
        Interval(Integral, 1, None, closed="left"),
        Interval(RealNotInt, 0, None, closed="neither"),
    ],
    "burst": [Interval(Integral, 1, None, closed="left")],
    "max_frames": [Interval(Integral, 1, None, closed="left"), None],
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame of a clip.

    Attributes
    ----------
    index : int
        Position among the decoded frames, from 0.
    time : float
        Seconds after the clip's first frame, from the clip's own time stamps.
    image : ndarray of shape (h, w, 3), uint8
        RGB, upright.
    """

    index: int
    time: float
    image: NDArray[np.uint8]


@checked(**SAMPLING)
def iter_frames(
    path: Path, *, every: int | float = 1, burst: int = 1, max_frames: int | None = None
) -> Iterator[Frame]:
    """Decode a clip lazily, one frame in memory at a time.

    Times are the clip's own time stamps, so that a variable frame rate is kept; where they
    start anew, as in recordings that were joined, the parts follow each other. The rotation
    and mirroring that a phone writes beside the pictures is applied. Only local files are
    opened, and a file that points to others (a playlist) cannot make the decoder fetch from
    the network. Pixels are taken as square.

    Parameters
    ----------
    path : str or PathLike
        The clip, in any format that FFmpeg reads, or a folder of its frames as pictures.
        These come in the order of the numbers in their names, and have no times: 25 a second
        are assumed.
    every : int or float, default=1
        An int: take each ``every``-th frame, beginning with the first. A float: take the
        first frame in each ``every`` seconds.
    burst : int, default=1
        Frames in a row that are taken each time: ``every=100, burst=28`` takes 28 consecutive
        frames of each hundred.
    max_frames : int, default=None
        Stop after this many frames.

    Yields
    ------
    Frame
        Index, time in seconds, and the picture.

    Raises
    ------
    VideoError
        When the file is missing, is no clip, or not a single frame decodes.
    ImportError
        When PyAV, the extra ``video``, is not installed.

    Warns
    -----
    UserWarning
        When a clip is broken or truncated: all frames that decode were yielded, and the
        warning names the path and the time of the last one. Damage that the decoder patches
        over without a word cannot be known.

    Examples
    --------
    >>> from skfakespotter.video import iter_frames
    >>> list(iter_frames("no/such/clip.mp4"))
    Traceback (most recent call last):
    ...
    skfakespotter.video._errors.VideoError: clip ('no/such/clip.mp4'): no such file
    """
    problems: list[str] = []
    return _warn_of(problems, read_frames(path, every, max_frames, problems, burst))


def read_frames(
    path: Path,
    every: int | float,
    max_frames: int | None,
    problems: list[str],
    burst: int = 1,
) -> Iterator[Frame]:
    """Yield frames as :func:`iter_frames` does, adding to ``problems`` instead of warning.

    Parameters
    ----------
    path, every, max_frames, burst
        As for :func:`iter_frames`.
    problems : list of str
        Gets a sentence when the clip turns out broken or truncated.

    Yields
    ------
    Frame
        The frames asked for.
    """
    path = os.fspath(path)
    decoded: Iterator[tuple[int, float, Any]]
    convert: Callable[[Any], NDArray[np.uint8]]
    if os.path.isdir(path):
        decoded, convert = _pictures_of(path), load_frame
    elif os.path.isfile(path):
        decoded, convert = decode(path, problems), to_rgb
    else:
        raise VideoError("no such file", path=path)
    undone = (Frame(*entry) for entry in decoded)
    for frame in sample(undone, every, burst, max_frames):
        try:
            image = convert(frame.image)
        except VideoError as error:
            raise error.at(None, error.path or path) from error
        yield Frame(frame.index, frame.time, image)


def sample(
    frames: Iterable[Frame], every: int | float, burst: int, max_frames: int | None
) -> Iterator[Frame]:
    """Pass on each n-th frame, or the first in each interval of seconds, and its followers.

    Parameters
    ----------
    frames : iterable of Frame
        All frames of a clip.
    every, burst, max_frames
        As for :func:`iter_frames`.

    Yields
    ------
    Frame
        The frames asked for.
    """
    last, left, given = -1, 0, 0
    for frame in frames:
        # the small number: 0.3 s / 0.1 s is just below 3 in floating point
        whole = isinstance(every, Integral)
        interval = frame.index / every if whole else frame.time / every + 1e-6
        if int(interval) > last:
            last, left = int(interval), burst
        if left:
            left, given = left - 1, given + 1
            yield frame
            if given == max_frames:
                return


def load_frame(path: Any) -> NDArray[np.uint8]:
    """Load a frame that was stored as a picture.

    Parameters
    ----------
    path : str
        The picture.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB.

    Raises
    ------
    VideoError
        When it cannot be read.
    """
    try:
        return load_image(path)
    except ImageError as error:
        raise VideoError(f"holds a frame that {error.reason}", path=path) from error


def _pictures_of(folder):
    """List the frames in a folder: index, time, path."""
    readable = readable_suffixes()
    names = [
        name
        for name in os.listdir(folder)
        if os.path.splitext(name)[1].lower() in readable and not name.startswith(".")
    ]
    if not names:
        raise VideoError("is a folder without pictures; expected a clip or its frames", path=folder)
    for index, name in enumerate(sorted(names, key=_numbers)):
        yield index, index / RATE, os.path.join(folder, name)


def _numbers(name):
    """Sort frame_2 before frame_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _warn_of(problems, frames):
    yield from frames
    for problem in problems:
        warnings.warn(problem, UserWarning, stacklevel=2)
