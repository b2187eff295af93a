"""Clips: files in, and of each the faces that were found in it, before any detector."""

import os
from dataclasses import dataclass

import joblib
import numpy as np

from skfakespotter._progress import track as show_progress
from skfakespotter.images import check_images
from skfakespotter.video._errors import VideoError
from skfakespotter.video._frames import read_frames
from skfakespotter.video._tracks import follow_faces


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
    frames: np.ndarray = ()
    times: np.ndarray = ()
    tracks: tuple = ()

    @property
    def chips(self):
        """The aligned faces, track after track."""
        return [chip for track in self.tracks for chip in track.chips]


def check_clips(X):
    """Check that ``X`` is a sequence of paths; give them as a list of str."""
    for index, path in enumerate(X := check_images(X)):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"X[{index}] is a {type(path).__name__}: expected the path of a clip.")
    return [os.fspath(path) for path in X]


def read_clips(paths, aligner, every, max_frames, n_jobs=None, verbose=0):
    """Decode and search clips, in order, in parallel.

    Parameters
    ----------
    paths : list of str
        The clips.
    aligner : FaceAligner
        Crops the faces.
    every, max_frames
        As for :func:`iter_frames`.
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
    clips = parallel(joblib.delayed(_read_clip)(path, aligner, every, max_frames) for path in paths)
    for (clip,) in show_progress(([clip] for clip in clips), len(paths), "clips", verbose):
        yield clip


def refuse_unscored(clips):
    """Raise ValueError that names the clips without a score, if there are any."""
    if unscored := describe_unscored(clips):
        raise ValueError(
            f"{unscored}. Drop these clips (score_clips tells which and why), "
            "or pass on_missing='nan'."
        )


def describe_unscored(clips):
    """Name the clips without a score and say why; an empty string when there is none."""
    named = [
        f"X[{index}] ({clip.path!r}): {clip.reason}"
        for index, clip in enumerate(clips)
        if clip.status != "scored"
    ]
    return f"{len(named)} of {len(clips)} clips have no score: " + "; ".join(named) if named else ""


def _read_clip(path, aligner, every, max_frames):
    problems, seen = [], []

    def note(frames):
        for frame in frames:
            seen.append((frame.index, frame.time))
            yield frame

    try:
        tracks = follow_faces(note(read_frames(path, every, max_frames, problems)), aligner)
    except VideoError as error:
        return Clip(path, "unreadable", error.reason)
    problem = problems[0] if problems else None
    status, reason = "scored", problem
    if not tracks:
        status, reason = "no face", f"no face in {len(seen)} frames"
    frames, times = zip(*seen, strict=True)
    return Clip(path, status, reason, problem, np.array(frames), np.array(times), tuple(tracks))
