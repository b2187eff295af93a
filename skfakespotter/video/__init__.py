"""Clips: frames, the faces followed through them, and one verdict each."""

from .frames import Frame, VideoError, iter_frames
from .results import ClipReport, ClipScore, TrackScore, clip_report
from .scorer import VideoScorer
from .sheet import contact_sheet
from .tracks import Track, follow_faces

__all__ = [
    "ClipReport",
    "ClipScore",
    "Frame",
    "Track",
    "TrackScore",
    "VideoError",
    "VideoScorer",
    "clip_report",
    "contact_sheet",
    "follow_faces",
    "iter_frames",
]
