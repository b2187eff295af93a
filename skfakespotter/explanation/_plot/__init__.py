"""Pictures of what a network's layers see and of what a detector makes of it."""

from skfakespotter.explanation._plot._explanation import ExplanationDisplay
from skfakespotter.explanation._plot._importance import LayerImportanceDisplay
from skfakespotter.explanation._plot._profile import CoverageProfileDisplay

__all__ = ["CoverageProfileDisplay", "ExplanationDisplay", "LayerImportanceDisplay"]
