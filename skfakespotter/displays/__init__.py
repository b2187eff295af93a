"""Displays: pictures of results. They take plain data; matplotlib is imported when one draws."""

from .protocols import ScoreIntervalDisplay, ScoreMatrixDisplay, TrainingSizeDisplay
from .robustness import RobustnessDisplay

__all__ = [
    "RobustnessDisplay",
    "ScoreIntervalDisplay",
    "ScoreMatrixDisplay",
    "TrainingSizeDisplay",
]
