"""Faces: where they are in a picture, and how each network wants to see them."""

from skfakespotter._names import public_names
from skfakespotter.faces._aligner import FaceAligner, FaceRecord
from skfakespotter.faces._detectors import find_all, find_faces
from skfakespotter.faces._dlib import landmarks, load_dlib, steady_landmarks
from skfakespotter.faces._face import Face
from skfakespotter.faces._geometry import similarity, warp
from skfakespotter.faces._identity import check_crops, crops_of
from skfakespotter.faces._lazy import Cropping, LazyFace
from skfakespotter.faces._notes import FaceNote, find_noted
from skfakespotter.faces._templates import (
    TEMPLATES,
    crop_face,
    crop_size,
    dlib_centers,
    five_points,
)

__all__ = [
    "TEMPLATES",
    "Cropping",
    "Face",
    "FaceAligner",
    "FaceNote",
    "FaceRecord",
    "LazyFace",
    "check_crops",
    "crop_face",
    "crop_size",
    "crops_of",
    "dlib_centers",
    "find_all",
    "find_faces",
    "find_noted",
    "five_points",
    "landmarks",
    "load_dlib",
    "similarity",
    "steady_landmarks",
    "warp",
]

__getattr__, __dir__ = public_names(__name__)
