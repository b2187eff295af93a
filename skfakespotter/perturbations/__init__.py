"""Perturbations: what happens to a picture on its way, as attacks and as augmentation."""

from skfakespotter.perturbations._augmentation import AugmentedClassifier, augment
from skfakespotter.perturbations._levels import ATTACKS, check_attacks, paper_attacks
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
)

__all__ = [
    "ATTACKS",
    "AugmentedClassifier",
    "GaussianBlur",
    "GaussianNoise",
    "JPEGCompression",
    "Resize",
    "augment",
    "check_attacks",
    "paper_attacks",
]
