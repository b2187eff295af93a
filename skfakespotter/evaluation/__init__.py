"""Evaluation: figures with intervals, protocols that keep groups apart, robustness."""

from .metrics import DetectionReport, choose_threshold, detection_report
from .protocols import (
    cross_generator,
    detection_learning_curve,
    leave_one_generator_out,
    within_pair,
)
from .robustness import robustness_cross_val, robustness_curve

__all__ = [
    "DetectionReport",
    "choose_threshold",
    "cross_generator",
    "detection_learning_curve",
    "detection_report",
    "leave_one_generator_out",
    "robustness_cross_val",
    "robustness_curve",
    "within_pair",
]
