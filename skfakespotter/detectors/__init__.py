"""Detectors: what ships, what it knows, and what its scores allow to say."""

from skfakespotter._names import public_names
from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._evaluating import VerdictReport, evaluate_detector

# not public: "X as X" lets the package's own explanation and command line import it
from skfakespotter.detectors._faces import read_faces as read_faces
from skfakespotter.detectors._inputs import iter_named as iter_named
from skfakespotter.detectors._inputs import list_items as list_items
from skfakespotter.detectors._limits import Limits
from skfakespotter.detectors._output import write_rows as write_rows
from skfakespotter.detectors._scoring import score_each, score_pictures
from skfakespotter.detectors._store import list_detectors, load_detector, save_detector
from skfakespotter.detectors._training import train_detector
from skfakespotter.detectors._verdicts import ScoreRow, kind_of, summarize

__all__ = [
    "Calibration",
    "Detector",
    "Limits",
    "ScoreRow",
    "VerdictReport",
    "evaluate_detector",
    "kind_of",
    "list_detectors",
    "load_detector",
    "save_detector",
    "score_each",
    "score_pictures",
    "summarize",
    "train_detector",
]

__getattr__, __dir__ = public_names(__name__)
