"""Reading: files in, and of each clip the faces that were found in it, before any detector.

The crops of a clip are written to a file as they are made and mapped into memory afterwards, so
that memory does not grow with the clip, nor with their number. In a temporary folder they last
as long as a call; in a folder that is kept, a second experiment decodes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skfakespotter._files import open_regular
from skfakespotter._progress import track as show_progress
from skfakespotter.faces import Cropping, Face, crop_size
from skfakespotter.images import check_images
from skfakespotter.video._compression import compress_frames
from skfakespotter.video._errors import VideoError
from skfakespotter.video._frames import Frame, read_frames, sample
from skfakespotter.video._smoothing import guide_points, smooth_points, steady_crop
from skfakespotter.video._tracks import Track, follow

FORMAT = 5  # changes when other faces, or other crops, are made of the same clip
BLOCK = 2**20  # bytes read at a time
_blake2b = partial(hashlib.blake2b, digest_size=16)


@dataclass(frozen=True)
class Reading:
    """How clips are read; two that are equal give equal faces.

    Attributes
    ----------
    cropping : Cropping
        How faces are found and cropped.
    every, burst, max_frames
        See :func:`skfakespotter.video.iter_frames`.
    smoothing : int, "track" or None
        See :class:`skfakespotter.video.VideoScorer`.
    crf : int or None
        Encode the clip again first, see :func:`skfakespotter.video.compress_frames`.
    """

    cropping: Cropping = field(default_factory=Cropping)
    every: int | float = 10
    burst: int = 1
    max_frames: int | None = None
    smoothing: int | str | None = None
    crf: int | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """What was found in one clip.

    Attributes
    ----------
    path : str
        The clip.
    status : {"scored", "no face", "unreadable"}
        What will come of it.
    reason : str or None
        Why it cannot be scored, or ``problem``.
    problem : str or None
        What is broken about a clip that was read in part.
    frames, times : ndarray of shape (n_frames,)
        Index and time in seconds of the frames that were looked at.
    tracks : tuple of Track
        The faces followed.
    """

    path: str
    status: str
    reason: str | None = None
    problem: str | None = None
    frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    tracks: tuple[Track, ...] = ()


def check_clips(X: Any) -> list[str]:
    """Check that ``X`` is a sequence of paths; return them as str."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(f"X is a single {type(X).__name__}: pass [X], a list of paths of clips.")
    if not hasattr(X, "__len__"):
        raise TypeError(f"X is a {type(X).__name__}: expected a list of paths of clips.")
    if len(X) == 0:
        raise ValueError("X holds no clips: expected a list of paths.")
    for index, path in enumerate(X := check_images(X)):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"X[{index}] is a {type(path).__name__}: expected the path of a clip.")
    return [os.fspath(path) for path in X]


@contextmanager
def faces_folder(cache: str | os.PathLike | None) -> Iterator[Path]:
    """Open the folder where faces are kept: the user's, or one that is gone afterwards."""
    if cache is not None:
        folder = Path(cache)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="skfakespotter-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def read_clips(
    paths: list[str], reading: Reading, folder: Path, n_jobs: int | None = None, verbose: int = 0
) -> Iterator[Clip]:
    """Decode and search clips, in order, in parallel.

    Parameters
    ----------
    paths : list of str
        The clips.
    reading : Reading
        How.
    folder : Path
        Where their faces are kept, and may be already; see :func:`faces_folder`.
    n_jobs : int, default=None
        Clips side by side.
    verbose : int, default=0
        Above 0, show a progress bar.

    Yields
    ------
    Clip
        One for each path.
    """
    parallel = joblib.Parallel(n_jobs, return_as="generator")
    done = parallel(joblib.delayed(_prepare)(path, reading, folder) for path in paths)
    steps = show_progress(([outcome] for outcome in done), len(paths), "clips", verbose)
    for path, (outcome,) in zip(paths, steps, strict=True):
        yield outcome if isinstance(outcome, Clip) else _load(outcome, path, reading, folder)


def in_a_row(frames: list[int], every: int | float, burst: int) -> list[slice]:
    """Cut a track where frames are missing: the parts in which each face follows the last.

    Parameters
    ----------
    frames : list of int
        Index of each frame that shows the face.
    every, burst
        How frames were taken, see :func:`skfakespotter.video.iter_frames`.

    Returns
    -------
    list of slice
        Parts, in order; one face that was missed does not end a part.

    Examples
    --------
    >>> from skfakespotter.video._reading import in_a_row
    >>> in_a_row([0, 1, 3, 100, 101], every=100, burst=4)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    gaps = np.diff(frames)
    if burst > 1:
        usual = 1
    else:  # seconds may be any number of frames
        usual = every if isinstance(every, Integral) else int(np.min(gaps, initial=2**31))
    edges = [0, *(np.flatnonzero(gaps > 2 * usual) + 1).tolist(), len(frames)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _prepare(path, reading, folder):
    """Make sure that a clip's faces lie in the folder; return their key, or what went wrong."""
    try:
        key = _key(path, reading)
        if _load(key, path, reading, folder) is None:
            _write(key, path, reading, folder)
    except VideoError as error:
        return Clip(path, "unreadable", error.reason)
    return key


def _key(path, reading):
    """Digest the content of a clip and how it is read."""
    digest = _blake2b(repr((FORMAT, reading)).encode())
    if os.path.isdir(path):
        names = sorted(os.listdir(path))
        files = [os.path.join(path, name) for name in names]
        digest.update("\0".join(names).encode(errors="surrogateescape"))
    elif os.path.isfile(path):
        files = [path]
    else:
        raise VideoError("no such file", path=path)
    for name in files:
        if not os.path.isfile(name):
            continue
        try:
            with open(name, "rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise VideoError(f"cannot be read ({error.strerror})", path=path) from error
    return digest.hexdigest()


def _write(key, path, reading, folder):
    """Follow the faces of a clip and write them: crops first, then the table that names them."""
    problems: list[str] = []
    handle, part = tempfile.mkstemp(dir=folder, prefix=key, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            sink = _Sink(file)
            seen, tracks = _follow(path, reading, problems, sink)
        table = {
            "crops": sink.digest.hexdigest(),
            "problem": problems[0] if problems else None,
            "seen": seen,
            "tracks": [
                {
                    "frames": track.frames,
                    "times": track.times,
                    "faces": [asdict(face) for face in track.faces],
                    "rows": track.crops,
                }
                for track in tracks
            ],
        }
        os.replace(part, folder / f"{key}.crops")
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    handle, part = tempfile.mkstemp(dir=folder, prefix=key, suffix=".part")
    text = json.dumps(table, default=float)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{_digest(text)}\n{text}")
    os.replace(part, folder / f"{key}.json")


def _digest(text):
    return _blake2b(text.encode()).hexdigest()


def _load(key, path, reading, folder):
    """Read what is known of a clip; None where that is nothing, or damaged."""
    shape = (-1, *crop_size(reading.cropping.template, reading.cropping.size), 3)
    try:
        with open_regular(folder / f"{key}.json") as file:
            digest, _, text = file.read().decode().partition("\n")
        if digest != _digest(text):
            return None
        table = json.loads(text)
        n_rows = sum(len(track["rows"]) for track in table["tracks"])
        crops = np.zeros((0, *shape[1:]), np.uint8)
        if n_rows:
            with open_regular(folder / f"{key}.crops") as file:
                if hashlib.file_digest(file, _blake2b).hexdigest() != table["crops"]:
                    return None
            crops = np.memmap(folder / f"{key}.crops", np.uint8, "r").reshape(shape)
        if len(crops) != n_rows:
            return None
        tracks = tuple(
            Track(
                number,
                entry["frames"],
                entry["times"],
                [Face(**_tuples(face)) for face in entry["faces"]],
                [crops[row] for row in entry["rows"]],
            )
            for number, entry in enumerate(table["tracks"])
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    status, reason = "scored", table["problem"]
    if not tracks:
        status, reason = "no face", f"no face in {len(table['seen'])} frames"
    frames, times = zip(*table["seen"], strict=True)
    return Clip(path, status, reason, table["problem"], np.array(frames), np.array(times), tracks)


def _tuples(face):
    box, landmarks = tuple(face["box"]), tuple(tuple(point) for point in face["landmarks"])
    return {**face, "box": box, "landmarks": landmarks}


class _Sink:
    """Crops on their way to a file; each is known by its row."""

    def __init__(self, file):
        self.file, self.n_rows, self.digest = file, 0, _blake2b()

    def __call__(self, crop):
        data = np.ascontiguousarray(crop).tobytes()
        self.file.write(data)
        self.digest.update(data)
        self.n_rows += 1
        return self.n_rows - 1


def _follow(path, reading, problems, sink):
    """Follow the faces of a clip; their crops go to the sink, in a second pass if steadied."""
    cropping, seen, points = reading.cropping, [], []

    def note(frames):
        for frame in frames:
            seen.append((frame.index, frame.time))
            yield frame

    def keep_crop(frame, face):
        return sink(cropping.crop_found(frame.image, face))

    def keep_points(frame, face):
        points.append(guide_points(frame.image, face, cropping.template))
        return len(points) - 1

    frames = note(_frames(path, reading, problems))
    if reading.smoothing is None:
        return seen, follow(frames, keep_crop, detector=cropping.detector)
    tracks = follow(frames, keep_points, detector=cropping.detector)
    wanted = _steady(tracks, points, reading)
    for frame in _frames(path, reading, []):
        for track, steady in wanted.get(frame.index, ()):
            track.crops.append(sink(steady_crop(frame.image, steady, cropping)))
    return seen, tracks


def _steady(tracks, points, reading):
    """List for each frame the tracks it shows with their steadied points; empty the tracks."""
    wanted: dict[int, list] = {}
    for track in tracks:
        own = np.array([points[row] for row in track.crops])
        for part in in_a_row(track.frames, reading.every, reading.burst):
            own[part] = smooth_points(own[part], reading.smoothing)
        track.crops = []
        for frame, steady in zip(track.frames, own, strict=True):
            wanted.setdefault(frame, []).append((track, steady))
    return wanted


def _frames(path: str, reading: Reading, problems: list[str]) -> Iterator[Frame]:
    """Decode the frames asked for, of the clip as it is or as it would be after compression."""
    if reading.crf is None:
        yield from read_frames(path, reading.every, reading.max_frames, problems, reading.burst)
        return
    whole = compress_frames(read_frames(path, 1, None, problems), reading.crf)
    yield from sample(whole, reading.every, reading.burst, reading.max_frames)
