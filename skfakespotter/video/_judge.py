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
    aggregate, top_k
        See :class:`skfakespotter.video.VideoScorer`.
    """

    detector: Any
    positive: Any
    windows: Windows
    aggregate: str
    top_k: int

    def judge(self, clip: Clip) -> ClipScore:
        """Score a clip, its tracks and their faces.

        Parameters
        ----------
        clip : Clip
            What was found in it.

        Returns
        -------
        ClipScore
            The verdict is the most fake person's.
        """
        if clip.status != "scored":
            return ClipScore(clip.path, clip.status, None, clip.reason, clip.frames, clip.times)
        cuts = [self.windows.cut(track) for track in clip.tracks]
        scores = self._scores([item for track in clip.tracks for item in self.windows.items(track)])
        of_tracks = np.split(scores, np.cumsum([len(cut) for cut in cuts])[:-1])
        tracks = tuple(map(self._track_score, clip.tracks, cuts, of_tracks))
        decisive = self._decisive(tracks)
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

    def _track_score(self, track, parts, scores):
        of_faces = np.full(len(track), np.nan)
        for part, score in zip(parts, scores, strict=True):
            of_faces[part] = score
        total = self._combine(scores) if len(scores) else np.nan
        columns = (np.array(column) for column in (track.frames, track.times, track.boxes))
        return TrackScore(track.id, *columns, of_faces, total)

    def _decisive(self, tracks):
        """Find the most fake track among those of enough faces, or else among all."""
        scored = [track for track in tracks if not np.isnan(track.score)]
        longest = max(len(track.scores) for track in scored)
        enough = min(self.windows.min_faces, longest)
        return max(
            (track for track in scored if len(track.scores) >= enough),
            key=lambda track: track.score,
        )

    def _combine(self, scores: NDArray) -> float:
        if self.aggregate == "top-k":
            return float(np.sort(scores)[-self.top_k :].mean())
        if self.aggregate == "log-odds":
            tiny = np.finfo(float).eps
            return float(expit(logit(np.clip(scores, tiny, 1 - tiny)).mean()))
        return float(getattr(np, self.aggregate)(scores))
