"""Frames: a clip on disk becomes upright uint8 RGB pictures with their times, one by one."""

import os
import warnings
from dataclasses import dataclass
from itertools import islice
from numbers import Integral, Real

import numpy as np
from PIL import Image

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

    def __str__(self):
        text = super().__str__()
        return text if self.index is not None else text.replace("picture", "clip", 1)


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
    image: np.ndarray


def iter_frames(path, *, every=1, max_frames=None):
    """Decode a clip lazily, one frame in memory at a time.

    Times are the clip's own time stamps, so that a variable frame rate is kept. The rotation
    and mirroring that a phone writes beside the pictures is applied. Only local files are
    opened, and a file that points to others (a playlist) cannot make the decoder fetch from
    the network. Pixels are taken as square.

    Parameters
    ----------
    path : str or PathLike
        The clip, in any format that FFmpeg reads.
    every : int or float, default=1
        An int: give each ``every``-th frame, beginning with the first. A float: give the
        first frame in each ``every`` seconds.
    max_frames : int, default=None
        Stop after this many frames were given.

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
        When a clip is broken or truncated: all frames that decode have been given, and the
        warning names the path and the time of the last one. Damage that the decoder patches
        over without a word cannot be known.

    Examples
    --------
    >>> from skfakespotter.video import iter_frames
    >>> list(iter_frames("no/such/clip.mp4"))
    Traceback (most recent call last):
    ...
    skfakespotter.video._frames.VideoError: clip ('no/such/clip.mp4'): no such file
    """
    check_sampling(every, max_frames)
    problems = []
    return _warn_of(problems, read_frames(path, every, max_frames, problems))


def check_sampling(every, max_frames):
    """Check which frames are asked for; raise ValueError that names the parameter."""
    number = isinstance(every, Real) and not isinstance(every, bool)
    lowest = 1 if isinstance(every, Integral) else np.nextafter(0, 1)
    if not number or not lowest <= every < np.inf:
        raise ValueError(
            f"every is {every!r}: expected an int of at least 1 (frames), or a float above 0 "
            "(seconds)."
        )
    if max_frames is not None and not (isinstance(max_frames, Integral) and max_frames >= 1):
        raise ValueError(f"max_frames is {max_frames!r}: expected None or an int of at least 1.")


def read_frames(path, every, max_frames, problems):
    """Yield frames as :func:`iter_frames` does, adding to ``problems`` instead of warning.

    Parameters
    ----------
    path, every, max_frames
        As for :func:`iter_frames`.
    problems : list
        Gets a sentence when the clip turns out broken or truncated.

    Yields
    ------
    Frame
        The frames asked for.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        kind = "is a folder; expected a clip" if os.path.isdir(path) else "no such file"
        raise VideoError(kind, path=path)
    for index, time, picture in islice(_sample(_decode(path, problems), every), max_frames):
        yield Frame(index, time, _upright(picture))


def _warn_of(problems, frames):
    yield from frames
    for problem in problems:
        warnings.warn(problem, UserWarning, stacklevel=2)


def _sample(decoded, every):
    """Pass on each n-th frame, or the first in each interval of seconds."""
    last = -1
    for index, time, picture in decoded:
        # the small number: 0.3 s / 0.1 s is just below 3 in floating point
        interval = index / every if isinstance(every, Integral) else time / every + 1e-6
        if int(interval) > last:
            last = int(interval)
            yield index, time, picture


def _decode(path, problems):
    """Yield index, time and PyAV frame of all frames that decode."""
    faults, n_packets, index, start, time = [], 0, 0, None, 0.0
    with _open(path) as container:
        stream = _stream(container, path)
        for packet in _packets(container, stream, faults):
            n_packets += packet.size > 0
            for picture in _pictures(packet, faults):
                stamp = index / (stream.average_rate or 25) if picture.pts is None else picture.time
                start = stamp if start is None else start
                time = float(stamp - start)
                yield index, time, picture
                index += 1
        if index == 0:
            cause = f" ({faults[0]})" if faults else ""
            raise VideoError(f"holds no frame that can be decoded{cause}", path=path)
        if faults or _is_short(container, stream, n_packets, time):
            cause = faults[0] if faults else "it ends early"
            problems.append(
                f"{path!r} is broken or truncated: {index} frames decode, "
                f"the last at {time:.2f} s ({cause})."
            )


def _open(path):
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'clips are decoded by PyAV: pip install "skfakespotter[video]"'
        ) from error
    try:
        # playlists and references inside a file may name local files, never the network
        return av.open(path, container_options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"cannot be read as a clip ({error.strerror})", path=path) from error


def _stream(container, path):
    """Give the first moving-picture stream, its decoder held to Pillow's limit on size."""
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:  # cover art of a song
            if Image.MAX_IMAGE_PIXELS:
                stream.codec_context.options = {"max_pixels": str(Image.MAX_IMAGE_PIXELS)}
            return stream
    raise VideoError("holds no video stream", path=path)


def _packets(container, stream, faults):
    try:
        yield from container.demux(stream)
    except (_error_type(), OSError) as error:
        faults.append(error.strerror)


def _pictures(packet, faults):
    """Decode a packet; a damaged one, or a picture flagged as damaged, is noted and left out."""
    try:
        pictures = packet.decode()
    except (_error_type(), OSError) as error:
        faults.append(error.strerror)
        return []
    if any(picture.is_corrupt for picture in pictures):
        faults.append("damaged pictures")
    return [picture for picture in pictures if not picture.is_corrupt]


def _error_type():
    from av import FFmpegError

    return FFmpegError


def _is_short(container, stream, n_packets, time):
    """Tell whether the clip holds less than its header says."""
    if stream.frames:
        return n_packets < stream.frames
    if container.duration is None or len(container.streams) > 1:  # a sound track may be longer
        return False
    two_frames = 2 / (stream.average_rate or 25)
    return time + two_frames < container.duration / 1e6  # microseconds


def _upright(picture):
    """Apply the display matrix [[a, b], [c, d]]: x' = a x + c y, y' = b x + d y."""
    image = picture.to_ndarray(format="rgb24")
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
