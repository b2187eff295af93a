"""Pictures of what an evaluation measured."""

from skfakespotter.evaluation._plot._curves import DetectionCurveDisplay
from skfakespotter.evaluation._plot._distribution import ScoreDistributionDisplay
from skfakespotter.evaluation._plot._protocols import (
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._plot._reliability import ReliabilityDisplay
from skfakespotter.evaluation._plot._robustness import RobustnessDisplay

__all__ = [
    "DetectionCurveDisplay",
    "ReliabilityDisplay",
    "RobustnessDisplay",
    "ScoreDistributionDisplay",
    "ScoreIntervalDisplay",
    "ScoreMatrixDisplay",
    "TrainingSizeDisplay",
]
