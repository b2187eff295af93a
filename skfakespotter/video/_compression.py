"""Compression: what a clip looks like after it was encoded again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter.video._decoding import RATE, import_av
from skfakespotter.video._frames import Frame

CRF = Interval(Integral, 0, 51, closed="both")  # H.264's rate factors


@checked(crf=[CRF])
def compress_frames(frames: Iterable[Frame], crf: int) -> Iterator[Frame]:
    """Encode frames by H.264 and decode them again, as happens to a clip that is passed on.

    Unlike JPEG, a video codec predicts frames from each other, so that its losses move with
    the picture. A few frames are in memory at a time.

    Parameters
    ----------
    frames : iterable of Frame
        All of one size, consecutive frames of one clip: the codec sees what it is given.
    crf : int
        Constant rate factor, from 0 (no loss but that of color at half the resolution) to 51.
        FaceForensics++ calls 23 high and 40 low quality; six more halve the bit rate.

    Yields
    ------
    Frame
        The same frames with other pictures.

    Raises
    ------
    ValueError
        For another rate factor, or frames of several sizes.
    ImportError
        When PyAV, the extra ``video``, is not installed.

    References
    ----------
    A. Rossler et al., "FaceForensics++", ICCV 2019, section 3.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.video import Frame, compress_frames
    >>> frames = [Frame(i, i / 25, astronaut()) for i in range(3)]
    >>> [frame.index for frame in compress_frames(frames, 40)]
    [0, 1, 2]
    """
    return _compress(frames, int(crf))


def _compress(frames, crf):
    av = import_av()
    encoder, decoder = None, av.CodecContext.create("h264", "r")
    decoder.thread_count = 1  # more threads would hold back as many frames
    waiting: deque[Frame] = deque()
    for number, frame in enumerate(frames):
        if encoder is None:
            shape = frame.image.shape
            encoder = _encoder(av, shape, crf)
        if frame.image.shape != shape:
            raise ValueError(
                f"frame {frame.index} has the shape {frame.image.shape} and the first {shape}: "
                "expected frames of one size."
            )
        waiting.append(frame)
        picture = av.VideoFrame.from_ndarray(_even(frame.image), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, RATE)
        for packet in encoder.encode(picture):
            yield from _take(decoder.decode(packet), waiting, shape)
    if encoder is None:
        return
    for packet in encoder.encode(None):
        yield from _take(decoder.decode(packet), waiting, shape)
    yield from _take(decoder.decode(None), waiting, shape)


def _encoder(av, shape, crf):
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = (side + side % 2 for side in shape[:2])
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", RATE, Fraction(1, RATE)
    encoder.options = {"crf": str(crf), "preset": "veryfast"}
    encoder.thread_count = 1
    return encoder


def _take(pictures, waiting, shape):
    """Join decoded pictures to the frames that wait for them; both come in one order."""
    for picture in pictures:
        frame = waiting.popleft()
        image = picture.to_ndarray(format="rgb24", threads=1)[: shape[0], : shape[1]]
        yield Frame(frame.index, frame.time, np.ascontiguousarray(image))


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column where their number is odd: colors are halved."""
    rows, columns = (side % 2 for side in image.shape[:2])
    if rows or columns:
        image = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
