"""Faces: where they are in a picture, and how each network wants to see them."""

from skfakespotter.faces._aligner import FaceAligner, FaceRecord
from skfakespotter.faces._lazy import LazyFace

__all__ = ["FaceAligner", "FaceRecord", "LazyFace"]
