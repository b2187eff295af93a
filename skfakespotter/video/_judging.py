"""Judge: from the faces of a clip to its verdict, with all that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from skfakespotter.evaluation import fake_response
from skfakespotter.video._reading import Clip
from skfakespotter.video._results import ClipScore, TrackScore
from skfakespotter.video._windows import Windows

AGGREGATES = ("mean", "median", "max", "top-k", "log-odds")
PIECE = 1024  # faces that the detector gets at a time, so that memory does not grow with a clip


@dataclass(frozen=True)
class Judge:
    """A fitted detector, and how what it says of faces becomes a verdict.

    Attributes
    ----------
    detector : classifier
        Takes crops, or windows of them.
    positive : label
        The label of fakes.
    windows : Windows
        How tracks are cut.
    aggregate, top_k, min_width
        See :class:`skfakespotter.video.VideoScorer`.
    """

    detector: Any
    positive: Any
    windows: Windows
    aggregate: str
    top_k: int
    min_width: float

    def judge(self, clip: Clip) -> ClipScore:
        """Score a clip, its tracks and their faces.

        Parameters
        ----------
        clip : Clip
            What was found in it.

        Returns
        -------
        ClipScore
            The verdict is that of the most fake person among those who may decide.
        """
        if clip.status != "scored":
            return ClipScore(clip.path, clip.status, None, clip.reason, clip.frames, clip.times)
        cuts = [self.windows.cut(track) for track in clip.tracks]
        scores = self._scores([item for track in clip.tracks for item in self.windows.items(track)])
        of_tracks = np.split(scores, np.cumsum([len(cut) for cut in cuts])[:-1])
        totals = [self._combine(scores) if len(scores) else np.nan for scores in of_tracks]
        may_decide = self._may_decide(clip.tracks, totals)
        columns = clip.tracks, cuts, of_tracks, totals, may_decide
        tracks = tuple(map(_track_score, *columns))
        decisive = max((t for t in tracks if t.may_decide), key=lambda track: track.score)
        return ClipScore(
            clip.path,
            "scored",
            decisive.score,
            clip.reason,
            clip.frames,
            clip.times,
            tracks,
            decisive.id,
        )

    def _scores(self, items):
        """Ask the detector, piece by piece."""
        piece = PIECE // (self.windows.length or 1) or 1
        starts = range(0, len(items), piece)
        parts = [items[start : start + piece] for start in starts]
        asked = (fake_response(self.detector, "predict_proba", p, self.positive) for p in parts)
        return np.concatenate(list(asked))

    def _may_decide(self, tracks, totals):
        """Mark the tracks that have enough faces and are wide enough, as far as there are any."""
        scored = [track for track, total in zip(tracks, totals, strict=True) if not np.isnan(total)]
        enough = min(self.windows.min_faces, max(map(len, scored)))
        long = [track for track in scored if len(track) >= enough]
        wide = [track for track in long if track.width >= self.min_width]
        chosen = {track.id for track in wide or long}
        return [track.id in chosen for track in tracks]

    def _combine(self, scores: NDArray) -> float:
        if self.aggregate == "top-k":
            return float(np.sort(scores)[-self.top_k :].mean())
        if self.aggregate == "log-odds":
            tiny = np.finfo(float).eps
            return float(expit(logit(np.clip(scores, tiny, 1 - tiny)).mean()))
        return float(getattr(np, self.aggregate)(scores))


def _track_score(track, parts, scores, total, may_decide):
    """Describe what was said of a track and of each of its faces."""
    of_faces = np.full(len(track), np.nan)
    for part, score in zip(parts, scores, strict=True):
        of_faces[part] = score
    frames, times, boxes = map(np.array, (track.frames, track.times, track.boxes))
    return TrackScore(track.id, frames, times, boxes, of_faces, total, may_decide)
