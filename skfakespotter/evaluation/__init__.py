"""Evaluation: figures with intervals, protocols that keep groups apart, robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skfakespotter._labels import positive_label
from skfakespotter._names import public_names
from skfakespotter.evaluation._attributes import picture_attributes
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._bound import PerceptualBound, structural_similarity
from skfakespotter.evaluation._comparison import ComparisonResult, compare
from skfakespotter.evaluation._differences import Difference
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._plot import (
    DetectionCurveDisplay,
    ReliabilityDisplay,
    RobustnessDisplay,
    ScoreDistributionDisplay,
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
from skfakespotter.evaluation._queries import QueryAttack
from skfakespotter.evaluation._report import DetectionReport, Figure
from skfakespotter.evaluation._results import (
    CrossGeneratorResult,
    LearningCurveResult,
    LeaveOneOutResult,
    RobustnessCurve,
    WithinPairResult,
)
from skfakespotter.evaluation._robustness import robustness_cross_val, robustness_curve
from skfakespotter.evaluation._scoring import fake_response, soft_method
from skfakespotter.evaluation._stability import StabilityResult, stability
from skfakespotter.evaluation._subgroups import Subgroup, SubgroupReport
from skfakespotter.evaluation._thresholds import choose_threshold

if TYPE_CHECKING:
    from skfakespotter.evaluation._adversarial import AdversarialAttack

__all__ = [
    "FIGURES",
    "AdversarialAttack",
    "ComparisonResult",
    "CrossGeneratorResult",
    "DetectionCurveDisplay",
    "DetectionReport",
    "Difference",
    "Figure",
    "LearningCurveResult",
    "LeaveOneOutResult",
    "PerceptualBound",
    "QueryAttack",
    "ReliabilityDisplay",
    "RobustnessCurve",
    "RobustnessDisplay",
    "ScoreDistributionDisplay",
    "ScoreIntervalDisplay",
    "ScoreMatrixDisplay",
    "StabilityResult",
    "Subgroup",
    "SubgroupReport",
    "TrainingSizeDisplay",
    "WithinPairResult",
    "choose_threshold",
    "compare",
    "cross_generator",
    "detection_learning_curve",
    "detection_report",
    "fake_response",
    "leave_one_generator_out",
    "number_groups",
    "picture_attributes",
    "positive_label",
    "resample",
    "robustness_cross_val",
    "robustness_curve",
    "soft_method",
    "stability",
    "structural_similarity",
    "weighted_figures",
    "within_pair",
]

__getattr__, __dir__ = public_names(
    __name__,
    {"AdversarialAttack": "_adversarial"},  # which needs torch
)
