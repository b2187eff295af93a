"""Explanation: evidence for fake by layer and by place in the face."""

from skfakespotter._names import public_names
from skfakespotter.explanation._evidence import layer_evidence, smooth, spread
from skfakespotter.explanation._explain import Explanation, explain
from skfakespotter.explanation._page import write_report
from skfakespotter.explanation._plot import (
    CoverageProfileDisplay,
    ExplanationDisplay,
    LayerImportanceDisplay,
)

__all__ = [
    "CoverageProfileDisplay",
    "Explanation",
    "ExplanationDisplay",
    "LayerImportanceDisplay",
    "explain",
    "layer_evidence",
    "smooth",
    "spread",
    "write_report",
]

__getattr__, __dir__ = public_names(__name__)
