"""Pictures of what an evaluation measured."""

from skfakespotter.evaluation._plot._protocols import (
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._plot._robustness import RobustnessDisplay

__all__ = [
    "RobustnessDisplay",
    "ScoreIntervalDisplay",
    "ScoreMatrixDisplay",
    "TrainingSizeDisplay",
]
