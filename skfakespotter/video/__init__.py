"""Clips: frames, the faces followed through them, and one verdict each."""

from skfakespotter._names import public_names
from skfakespotter.video._compression import compress_frames
from skfakespotter.video._contact_sheet import contact_sheet
from skfakespotter.video._datasets import load_clips
from skfakespotter.video._errors import VideoError
from skfakespotter.video._frames import Frame, iter_frames
from skfakespotter.video._pipeline import make_clipspotter
from skfakespotter.video._plot import ClipScoreDisplay
from skfakespotter.video._protocols import (
    ClipEvaluation,
    across_data_sets,
    leave_one_method_out,
    within_methods,
)
from skfakespotter.video._results import ClipReport, ClipScore, TrackScore, clip_report
from skfakespotter.video._scorer import VideoScorer
from skfakespotter.video._temporal import CoverageOverTime
from skfakespotter.video._tracks import Track, follow_faces
from skfakespotter.video._weights import balanced_weights

__all__ = [
    "ClipEvaluation",
    "ClipReport",
    "ClipScore",
    "ClipScoreDisplay",
    "CoverageOverTime",
    "Frame",
    "Track",
    "TrackScore",
    "VideoError",
    "VideoScorer",
    "across_data_sets",
    "balanced_weights",
    "clip_report",
    "compress_frames",
    "contact_sheet",
    "follow_faces",
    "iter_frames",
    "leave_one_method_out",
    "load_clips",
    "make_clipspotter",
    "within_methods",
]

__getattr__, __dir__ = public_names(__name__)
