"""Clips: frames, the faces followed through them, and one verdict each."""

from skfakespotter.video._compression import compress_frames
from skfakespotter.video._datasets import load_clips
from skfakespotter.video._errors import VideoError
from skfakespotter.video._frames import Frame, iter_frames
from skfakespotter.video._plot import ClipScoreDisplay
from skfakespotter.video._results import ClipReport, ClipScore, TrackScore, clip_report
from skfakespotter.video._scorer import VideoScorer, balanced_weights
from skfakespotter.video._sheet import contact_sheet
from skfakespotter.video._temporal import CoverageOverTime
from skfakespotter.video._tracks import Track, follow_faces

__all__ = [
    "ClipReport",
    "ClipScore",
    "ClipScoreDisplay",
    "CoverageOverTime",
    "Frame",
    "Track",
    "TrackScore",
    "VideoError",
    "VideoScorer",
    "balanced_weights",
    "clip_report",
    "compress_frames",
    "contact_sheet",
    "follow_faces",
    "iter_frames",
    "load_clips",
]
