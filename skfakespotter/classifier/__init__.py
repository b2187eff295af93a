"""The classifier: the paper's shallow network on coverage vectors."""

from skfakespotter.classifier._classifier import FakeSpotterClassifier
from skfakespotter.classifier._training import (
    HeldBack,
    MeanCrossEntropy,
    MultilayerPerceptron,
    TensorBatches,
)

__all__ = [
    "FakeSpotterClassifier",
    "HeldBack",
    "MeanCrossEntropy",
    "MultilayerPerceptron",
    "TensorBatches",
]
