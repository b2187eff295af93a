"""Faces: where they are in a picture, and how each network wants to see them."""

from skfakespotter.faces._aligner import FaceAligner, FaceRecord
from skfakespotter.faces._detectors import Face, find_faces
from skfakespotter.faces._lazy import Cropping, LazyFace
from skfakespotter.faces._templates import crop_face

__all__ = [
    "Cropping",
    "Face",
    "FaceAligner",
    "FaceRecord",
    "LazyFace",
    "crop_face",
    "find_faces",
]
