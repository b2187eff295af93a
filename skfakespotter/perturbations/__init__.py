"""Perturbations: what happens to a picture on its way, as attacks and as augmentation."""

from skfakespotter.perturbations._augmentation import AugmentedClassifier, augment, takes_groups
from skfakespotter.perturbations._levels import (
    ATTACKS,
    BATCH_SIZE,
    check_attacks,
    naming,
    paper_attacks,
)
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
)

__all__ = [
    "ATTACKS",
    "BATCH_SIZE",
    "AugmentedClassifier",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "Resize",
    "augment",
    "check_attacks",
    "naming",
    "paper_attacks",
    "takes_groups",
]
