"""Perturbations: what happens to a picture on its way, as attacks and as augmentation."""

from skfakespotter._names import public_names
from skfakespotter.perturbations._attacks import (
    ATTACKS,
    BATCH_SIZE,
    SHARING,
    check_attacks,
    naming,
    paper_attacks,
    sharing_attacks,
)
from skfakespotter.perturbations._augmentation import AugmentedClassifier, augment, takes_groups
from skfakespotter.perturbations._beautify import Beautify
from skfakespotter.perturbations._codecs import AVIFCompression, H264Compression, WebPCompression
from skfakespotter.perturbations._delegate import Delegate
from skfakespotter.perturbations._framing import Border, RandomCrop
from skfakespotter.perturbations._pseudofakes import PseudoFakes
from skfakespotter.perturbations._self_blending import SelfBlending
from skfakespotter.perturbations._sharing import MessengerChain, Screenshot
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Perturbation,
    Resize,
    draw_seed,
    own_generator,
    to_uint8,
)
from skfakespotter.perturbations._upsampling import UpsamplingSimulator

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
    "draw_seed",
    "naming",
    "own_generator",
    "paper_attacks",
    "sharing_attacks",
    "takes_groups",
    "to_uint8",
]

__getattr__, __dir__ = public_names(__name__)
