"""Decoding: PyAV opens a clip, and pictures come out with their times, whatever the container."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter.video._errors import VideoError

RATE = 25  # frames a second, of clips that do not say
DISORDER = 1.0  # seconds by which damage may put pictures out of order
# How files of a container begin: offset, bytes, and what FFmpeg calls the format. Without its
# index such a file may be taken for a raw stream, and then noise is decoded.
_SIGNATURES = (
    (4, b"ftyp", "mp4"),
    (0, b"RIFF", "avi"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
)


def decode(path: str, problems: list[str]) -> Iterator[tuple[int, float, Any]]:
    """Decode all pictures of a clip that decode.

    Parameters
    ----------
    path : str
        A file.
    problems : list of str
        Gets a sentence when the clip turns out broken or truncated.

    Yields
    ------
    index : int
        Position among the decoded pictures.
    time : float
        Seconds after the first, never smaller than that of the picture before.
    picture : av.VideoFrame
        The picture, see :func:`to_rgb`.

    Raises
    ------
    VideoError
        When the file is no clip, or not a single picture decodes.
    """
    faults: list[str] = []
    clock, index = _Clock(), 0
    with _open(path) as container:
        stream = _stream(container, path)
        clock.step = 1 / float(stream.average_rate or stream.guessed_rate or RATE)
        for packet in _packets(container, stream, faults):
            for picture in _pictures(packet, faults):
                yield index, clock.read(picture.pts, picture.time_base), picture
                index += 1
    if index == 0:
        cause = f" ({faults[0]})" if faults else ""
        raise VideoError(f"holds no frame that can be decoded{cause}", path=path)
    if not faults and _is_cut_off(path):
        faults.append("it ends early")
    if faults:
        problems.append(
            f"{path!r} is broken or truncated: {index} frames decode, "
            f"the last at {clock.now:.2f} s ({faults[0]})."
        )


def to_rgb(picture: Any) -> NDArray[np.uint8]:
    """Convert a picture to RGB and turn it upright.

    The display matrix [[a, b], [c, d]] says x' = a x + c y, y' = b x + d y.

    Parameters
    ----------
    picture : av.VideoFrame
        From :func:`decode`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB.

    Raises
    ------
    VideoError
        When its format cannot be converted.
    """
    try:
        # one thread: PyAV's default starts two a picture, which last until garbage is collected
        image = picture.to_ndarray(format="rgb24", threads=1)
    except (_error_type(), OSError, ValueError) as error:
        raise VideoError(f"holds a picture that cannot be converted to RGB ({error})") from error
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def import_av() -> Any:
    """Import PyAV, or say how to install it."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'clips are decoded by PyAV: pip install "skfakespotter[video]"'
        ) from error
    return av


class _Clock:
    """Seconds since the first picture, from time stamps that may be missing or start anew.

    Recordings that were joined byte by byte, such as MPEG transport streams, begin again at
    zero: a stamp well before the last one is the first of another part, and follows the last
    one by a frame. One that is only a little before it is out of order, as after damage.
    """

    def __init__(self) -> None:
        self.now: float | None = None
        self.step = 1 / RATE
        self._offset: float | None = None  # what is added to the clip's own stamps

    def read(self, stamp: int | None, time_base: Any) -> float:
        following = 0.0 if self.now is None else self.now + self.step
        if stamp is None or time_base is None:
            self.now = following
            return self.now
        seconds = float(stamp * time_base)
        if self._offset is None or seconds + self._offset < (self.now or 0.0) - DISORDER:
            self._offset = following - seconds
        self.now = max(seconds + self._offset, self.now or 0.0)
        return self.now


def _open(path):
    av = import_av()
    # a name such as "http:a.mp4" or "concat:a|b" is a file all the same
    url = "file:" + os.path.abspath(path)
    try:
        # playlists and references inside a file may name local files, never the network
        options = {"protocol_whitelist": "file"}
        container = av.open(url, container_options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"cannot be read as a clip ({error.strerror})", path=path) from error
    _refuse_lost_index(container, path)
    return container


def _refuse_lost_index(container, path):
    """Refuse files whose index is gone: what FFmpeg makes of them is not what players show."""
    with open(path, "rb") as file:
        begin = file.read(16)
        boxes = _boxes(file, os.path.getsize(path)) if begin[4:8] == b"ftyp" else ()
        without_index = boxes and b"moov" not in {kind for kind, _ in boxes}
    for offset, signature, name in _SIGNATURES:
        expected = begin[offset:].startswith(signature) and (name != "avi" or b"AVI " in begin)
        if expected and (name not in container.format.name or without_index):
            container.close()
            raise VideoError(
                f"cannot be read as a clip (begins as {name}, and its index is lost)", path=path
            )


def _stream(container, path):
    """Find the first moving-picture stream, its decoder held to Pillow's limit on size."""
    for stream in container.streams.video:
        if stream.disposition & stream.disposition.attached_pic:  # cover art of a song
            continue
        if stream.codec_context is None:
            raise VideoError("is encoded in a way for which there is no decoder", path=path)
        if Image.MAX_IMAGE_PIXELS:
            stream.codec_context.options = {"max_pixels": str(Image.MAX_IMAGE_PIXELS)}
        return stream
    raise VideoError("holds no video stream", path=path)


def _packets(container, stream, faults):
    try:
        yield from container.demux(stream)
    except IndexError:  # PyAV counts its streams once, and damage may change their number
        faults.append("its streams change")
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
    return import_av().FFmpegError


def _is_cut_off(path: str) -> bool:
    """Tell whether a file is shorter than its own boxes say.

    Counts of frames and durations in headers do not tell: an edit list hides samples, and a
    writer leaves out still pictures, or counts from another zero.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        begin = file.read(12)
        if begin[4:8] == b"ftyp":
            return any(end > size for _, end in _boxes(file, size))
        if begin[:4] == b"RIFF":
            return 8 + int.from_bytes(begin[4:8], "little") > size
        if begin[:4] == b"\x1a\x45\xdf\xa3":
            return _end_of_segment(file) > size
    return False


def _boxes(file, size):
    """List the boxes of an MP4 or MOV file: kind, and where each ends."""
    position = 0
    boxes: list[tuple[bytes, int]] = []
    while position + 8 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < 8:  # up to the end of the file, or padding
            return [*boxes, (kind, size)]
        position += length
        boxes.append((kind, position))
    return boxes


def _end_of_segment(file):
    """Read where the segment of a Matroska or WebM file ends; 0 where it is not known."""
    file.seek(4)
    header = _read_size(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length = _read_size(file)
    return 0 if length is None else file.tell() + length


def _read_size(file):
    """Read a number of EBML: leading zeros tell its length; all ones mean unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    bits = 7 * (extra + 1)
    value = int.from_bytes(first + file.read(extra), "big") & (2**bits - 1)
    return None if value == 2**bits - 1 else value
