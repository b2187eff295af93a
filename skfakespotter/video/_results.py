"""Results: what is known of a clip after scoring, and figures over many clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._tables import Table
from skfakespotter._typing import Labels
from skfakespotter.evaluation import DetectionReport, detection_report


@dataclass(frozen=True, eq=False)
class TrackScore:
    """One person's face along a clip.

    Attributes
    ----------
    id : int
        Number in the clip, in order of appearance.
    frames : ndarray of shape (n_faces,), int
        Frames that show the face.
    times : ndarray of shape (n_faces,)
        Their times in seconds.
    boxes : ndarray of shape (n_faces, 4)
        Left, top, right, bottom in pixels of the frame.
    scores : ndarray of shape (n_faces,)
        P(fake) of each face, or of the window that it stands in; NaN in a window too short.
    score : float
        Their aggregate; NaN where there is nothing to score.
    may_decide : bool
        Whether the clip's score may be this track's: followed long enough, and wide enough.
    """

    id: int
    frames: np.ndarray
    times: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    score: float
    may_decide: bool = True


@dataclass(frozen=True, eq=False)
class ClipScore(Table):
    """One clip's verdict and what it rests on.

    Attributes
    ----------
    path : str
        The clip.
    status : {"scored", "no face", "unreadable"}
        What came of it. Only a scored clip has a score.
    score : float or None
        P(fake) of the most fake track among those that may decide; None unless scored.
    reason : str or None
        Why there is no score, or what is broken about a clip that was scored in part.
    frames : ndarray of shape (n_frames,), int
        Frames that were looked at.
    times : ndarray of shape (n_frames,)
        Their times in seconds.
    tracks : tuple of TrackScore
        The faces followed, every person's.
    decisive : int or None
        ``id`` of the track whose score is the clip's.

    Examples
    --------
    >>> from skfakespotter.video import ClipScore
    >>> ClipScore("a.mp4", "no face", reason="no face in 12 frames").score is None
    True
    """

    path: str
    status: str
    score: float | None = None
    reason: str | None = None
    frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    tracks: tuple = ()
    decisive: int | None = None

    @property
    def track_scores(self) -> NDArray[np.float64]:
        """Scores along the clip, (n_tracks, n_frames); NaN where a track shows no face."""
        table = np.full((len(self.tracks), len(self.frames)), np.nan)
        for row, track in zip(table, self.tracks, strict=True):
            row[np.searchsorted(self.frames, track.frames)] = track.scores
        return table

    @property
    def frame_scores(self) -> NDArray[np.float64]:
        """Score of the most fake face of each frame, (n_frames,), of tracks that may decide.

        NaN where there is none.
        """
        decide = np.array([track.may_decide for track in self.tracks], bool)
        return np.fmax.reduce(self.track_scores[decide], axis=0, initial=np.nan)

    def _columns(self):
        names = ("track", "frame", "time", "left", "top", "right", "bottom", "score")
        rows = [
            (track.id, frame, time, *box, score)
            for track in self.tracks
            for frame, time, box, score in zip(
                *(values.tolist() for values in (track.frames, track.times, track.boxes)),
                track.scores.tolist(),
                strict=True,
            )
        ]
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}


class ClipReport(NamedTuple):
    """Figures over clips; what :func:`clip_report` returns.

    Attributes
    ----------
    clip : DetectionReport
        One item per clip: its verdict.
    frame : DetectionReport
        One item per frame that shows a face: the score of its most fake face.
    n_no_face, n_unreadable : int
        Clips that were left out of both.
    """

    clip: DetectionReport
    frame: DetectionReport
    n_no_face: int
    n_unreadable: int


def clip_report(
    clip_scores: Sequence[ClipScore], y: Labels, *, groups: ArrayLike | None = None, **options: Any
) -> ClipReport:
    """Measure a detector on clips, clip by clip and frame by frame.

    Frames of one clip say much the same, so that intervals come from drawing whole clips,
    or whole groups of clips. Clips without a score are left out and counted: report their
    number beside the figures.

    Parameters
    ----------
    clip_scores : sequence of ClipScore of length n
        From :meth:`VideoScorer.score_clips`.
    y : array-like of shape (n,)
        Labels of the clips.
    groups : array-like of shape (n,), default=None
        Clips that depend on each other, such as an original and its fakes. None: each
        clip by itself.
    **options
        For :func:`skfakespotter.detection_report`: ``threshold``, ``pos_label``,
        ``n_bootstraps``, ``confidence_level``, ``random_state``.

    Returns
    -------
    ClipReport
        ``clip`` and ``frame``, each a :class:`~skfakespotter.evaluation.DetectionReport`,
        ``n_no_face`` and ``n_unreadable``.

    Raises
    ------
    ValueError
        When no clip of a class was scored, or lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.video import ClipScore, TrackScore, clip_report
    >>> def clip(path, score):
    ...     one = np.zeros(1)
    ...     track = TrackScore(0, one, one, np.zeros((1, 4)), np.array([score]), score)
    ...     return ClipScore(path, "scored", score, None, one, one, (track,))
    >>> scores = [clip("a.mp4", 0.2), clip("b.mp4", 0.9), ClipScore("c.mp4", "no face")]
    >>> report = clip_report(scores, [0, 1, 1], n_bootstraps=0)
    >>> report.clip["AUC"].value, report.n_no_face
    (1.0, 1)
    """
    labels = np.asarray(column_or_1d(y))
    units = np.asarray(np.arange(len(labels)) if groups is None else column_or_1d(groups))
    check_consistent_length(clip_scores, labels, units)
    scored = np.array([clip.status == "scored" for clip in clip_scores])
    clips = [clip for clip in clip_scores if clip.status == "scored"]
    of_clips = np.array([clip.score for clip in clips], float)
    labels, units = labels[scored], units[scored]
    of_frames = [clip.frame_scores[~np.isnan(clip.frame_scores)] for clip in clips]
    n_frames = [len(scores) for scores in of_frames]
    states = [clip.status for clip in clip_scores]
    return ClipReport(
        detection_report(labels, of_clips, groups=units, **options),
        detection_report(
            np.repeat(labels, n_frames),
            np.concatenate([np.zeros(0), *of_frames]),
            groups=np.repeat(units, n_frames),
            **options,
        ),
        states.count("no face"),
        states.count("unreadable"),
    )
