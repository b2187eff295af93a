"""Perturbations: what happens to a picture on its way, as attacks and as augmentation."""

from .augmentation import AugmentedClassifier, augment
from .levels import ATTACKS, check_attacks, paper_attacks
from .transformers import GaussianBlur, GaussianNoise, JPEGCompression, Resize

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
