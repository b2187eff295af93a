"""Spot AI-synthesized faces by watching the neurons of a face-recognition network.

Everything public is imported from here; a name's module is loaded when the name
is first used, so that ``import skfakespotter`` does not import torch. Type checkers and
completion read the names in ``__init__.pyi`` (a test compares both lists).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AVIFCompression": "perturbations",
    "AdversarialAttack": "evaluation",
    "AuditReport": "leakage",
    "AugmentedClassifier": "perturbations",
    "Backbone": "backbones",
    "Beautify": "perturbations",
    "Border": "perturbations",
    "CNNDetection": "baselines",
    "CheapCues": "baselines",
    "CooccurrenceCNNClassifier": "baselines",
    "CooccurrenceMatrices": "baselines",
    "CoverageCache": "cache",
    "CoverageProfileDisplay": "explanation",
    "DetectionCurveDisplay": "evaluation",
    "DetectionReport": "evaluation",
    "Detector": "detectors",
    "ExpertStack": "experts",
    "Explanation": "explanation",
    "ExplanationDisplay": "explanation",
    "Face": "faces",
    "FaceAligner": "faces",
    "FaceRecord": "faces",
    "FakeSpotterClassifier": "classifier",
    "FakeSpotterPipeline": "pipeline",
    "GaussianBlur": "perturbations",
    "GaussianNoise": "perturbations",
    "H264Compression": "perturbations",
    "ImageError": "images",
    "JPEGCompression": "perturbations",
    "LayerImportanceDisplay": "explanation",
    "LogSpectrum": "baselines",
    "MessengerChain": "perturbations",
    "NeuronCoverageTransformer": "transformer",
    "NeuronMonitor": "coverage",
    "PixelValues": "baselines",
    "PseudoFakes": "perturbations",
    "QueryAttack": "evaluation",
    "RandomCrop": "perturbations",
    "ReliabilityDisplay": "evaluation",
    "ResNetClassifier": "baselines",
    "Resize": "perturbations",
    "RobustnessDisplay": "evaluation",
    "SaturationStatistics": "baselines",
    "ScoreDistributionDisplay": "evaluation",
    "ScoreIntervalDisplay": "evaluation",
    "ScoreMatrixDisplay": "evaluation",
    "Screenshot": "perturbations",
    "SelfBlending": "perturbations",
    "SpectrumCNNClassifier": "baselines",
    "TrainingSizeDisplay": "evaluation",
    "UpsamplingSimulator": "perturbations",
    "VideoScorer": "video",
    "WebPCompression": "perturbations",
    "audit": "leakage",
    "augment": "perturbations",
    "choose_threshold": "evaluation",
    "compare": "evaluation",
    "crop_face": "faces",
    "cross_generator": "evaluation",
    "detection_learning_curve": "evaluation",
    "detection_report": "evaluation",
    "evaluate_detector": "detectors",
    "explain": "explanation",
    "find_faces": "faces",
    "leave_one_generator_out": "evaluation",
    "list_backbones": "backbones",
    "list_detectors": "detectors",
    "load_backbone": "backbones",
    "load_clips": "video",
    "load_coverage_sample": "datasets",
    "load_detector": "detectors",
    "load_folders": "datasets",
    "make_baseline": "baselines",
    "make_clipspotter": "video",
    "make_fakespotter": "pipeline",
    "make_pictures": "datasets",
    "merge_transformers": "transformer",
    "paper_attacks": "perturbations",
    "picture_attributes": "evaluation",
    "reencode_images": "leakage",
    "register_backbone": "backbones",
    "robustness_cross_val": "evaluation",
    "robustness_curve": "evaluation",
    "save_detector": "detectors",
    "score_pictures": "detectors",
    "sharing_attacks": "perturbations",
    "stability": "evaluation",
    "train_detector": "detectors",
    "within_pair": "evaluation",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
