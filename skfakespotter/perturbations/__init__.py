"""Perturbations: what happens to a picture on its way, as attacks and as augmentation."""

from skfakespotter.perturbations._augmentation import AugmentedClassifier, augment, takes_groups
from skfakespotter.perturbations._delegate import Delegate
from skfakespotter.perturbations._levels import (
    ATTACKS,
    BATCH_SIZE,
    SHARING,
    check_attacks,
    naming,
    paper_attacks,
    sharing_attacks,
)
from skfakespotter.perturbations._pseudofakes import PseudoFakes
from skfakespotter.perturbations._sharing import (
    AVIFCompression,
    Beautify,
    Border,
    H264Compression,
    MessengerChain,
    RandomCrop,
    Screenshot,
    WebPCompression,
)
from skfakespotter.perturbations._simulators import SelfBlending, UpsamplingSimulator
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Perturbation,
    Resize,
    to_uint8,
)

__all__ = [
    "ATTACKS",
    "BATCH_SIZE",
    "SHARING",
    "AVIFCompression",
    "AugmentedClassifier",
    "Beautify",
    "Border",
    "Delegate",
    "GaussianBlur",
    "GaussianNoise",
    "H264Compression",
    "JPEGCompression",
    "MessengerChain",
    "Perturbation",
    "PseudoFakes",
    "RandomCrop",
    "Resize",
    "Screenshot",
    "SelfBlending",
    "UpsamplingSimulator",
    "WebPCompression",
    "augment",
    "check_attacks",
    "naming",
    "paper_attacks",
    "sharing_attacks",
    "takes_groups",
    "to_uint8",
]
