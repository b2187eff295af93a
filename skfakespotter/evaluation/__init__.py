"""Evaluation: figures with intervals, protocols that keep groups apart, robustness."""

from skfakespotter.evaluation._metrics import DetectionReport, choose_threshold, detection_report
from skfakespotter.evaluation._plot import (
    RobustnessDisplay,
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._protocols import (
    cross_generator,
    detection_learning_curve,
    leave_one_generator_out,
    within_pair,
)
from skfakespotter.evaluation._robustness import robustness_cross_val, robustness_curve

__all__ = [
    "DetectionReport",
    "RobustnessDisplay",
    "ScoreIntervalDisplay",
    "ScoreMatrixDisplay",
    "TrainingSizeDisplay",
    "choose_threshold",
    "cross_generator",
    "detection_learning_curve",
    "detection_report",
    "leave_one_generator_out",
    "robustness_cross_val",
    "robustness_curve",
    "within_pair",
]
