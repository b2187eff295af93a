"""Detectors: what ships, what it knows, and what its scores allow to say."""

from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._evaluating import VerdictReport, evaluate_detector
from skfakespotter.detectors._faces import CroppedFace, read_faces
from skfakespotter.detectors._fitting import fit_detector, fit_linear, fold_of, held_out_scores
from skfakespotter.detectors._items import iter_named, list_items
from skfakespotter.detectors._limits import Limits
from skfakespotter.detectors._measuring import (
    MeasuredFaces,
    count_faces,
    main_faces,
    measure_faces,
    sample_coverage,
)
from skfakespotter.detectors._moments import Moments, discriminate
from skfakespotter.detectors._rows import RowFile, write_rows
from skfakespotter.detectors._scoring import score_each, score_pictures
from skfakespotter.detectors._store import list_detectors, load_detector, save_detector
from skfakespotter.detectors._table import FaceTable
from skfakespotter.detectors._training import train_detector
from skfakespotter.detectors._verdicts import ScoreRow, kind_of, summarize

__all__ = [
    "Calibration",
    "CroppedFace",
    "Detector",
    "FaceTable",
    "Limits",
    "MeasuredFaces",
    "Moments",
    "RowFile",
    "ScoreRow",
    "VerdictReport",
    "count_faces",
    "discriminate",
    "evaluate_detector",
    "fit_detector",
    "fit_linear",
    "fold_of",
    "held_out_scores",
    "iter_named",
    "kind_of",
    "list_detectors",
    "list_items",
    "load_detector",
    "main_faces",
    "measure_faces",
    "read_faces",
    "sample_coverage",
    "save_detector",
    "score_each",
    "score_pictures",
    "summarize",
    "train_detector",
    "write_rows",
]
