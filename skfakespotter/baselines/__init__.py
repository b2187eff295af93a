"""Baselines: detectors from the literature, each as a Pipeline on pictures.

``BASELINES`` maps a name to a function that takes ``random_state`` and returns an unfitted
Pipeline; :func:`make_baseline` calls it. All of them have ``predict_proba``. What needs torch
is imported when first used, so that this package loads without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skfakespotter._names import public_names
from skfakespotter.baselines._artifacts import VisualArtifacts
from skfakespotter.baselines._cooccurrence import CooccurrenceMatrices
from skfakespotter.baselines._cues import (
    CUE_NAMES,
    CheapCues,
    cheap_cue_baseline,
    luminance,
    picture_cues,
    with_file_size,
)
from skfakespotter.baselines._head_pose import HeadPoseDifference
from skfakespotter.baselines._landmarks import FaceLandmarks
from skfakespotter.baselines._pixels import PixelValues
from skfakespotter.baselines._recipes import BASELINES, make_baseline
from skfakespotter.baselines._saturation import SaturationStatistics
from skfakespotter.baselines._spectrum import LogSpectrum

if TYPE_CHECKING:
    from skfakespotter.baselines._cnn_detection import CNNDetection
    from skfakespotter.baselines._cooccurrence_cnn import CooccurrenceCNNClassifier
    from skfakespotter.baselines._mesonet import MesoInceptionClassifier
    from skfakespotter.baselines._network import FaceEmbedding, MeanActivations
    from skfakespotter.baselines._resnet_classifier import ResNetClassifier
    from skfakespotter.baselines._spectrum_cnn import SpectrumCNNClassifier

__all__ = [
    "BASELINES",
    "CUE_NAMES",
    "CNNDetection",
    "CheapCues",
    "CooccurrenceCNNClassifier",
    "CooccurrenceMatrices",
    "FaceEmbedding",
    "FaceLandmarks",
    "HeadPoseDifference",
    "LogSpectrum",
    "MeanActivations",
    "MesoInceptionClassifier",
    "PixelValues",
    "ResNetClassifier",
    "SaturationStatistics",
    "SpectrumCNNClassifier",
    "VisualArtifacts",
    "cheap_cue_baseline",
    "luminance",
    "make_baseline",
    "picture_cues",
    "with_file_size",
]


_NEEDING_TORCH = {
    "CNNDetection": "_cnn_detection",
    "CooccurrenceCNNClassifier": "_cooccurrence_cnn",
    "FaceEmbedding": "_network",
    "MeanActivations": "_network",
    "MesoInceptionClassifier": "_mesonet",
    "ResNetClassifier": "_resnet_classifier",
    "SpectrumCNNClassifier": "_spectrum_cnn",
}

__getattr__, __dir__ = public_names(__name__, _NEEDING_TORCH)
