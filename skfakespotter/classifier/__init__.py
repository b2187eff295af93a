"""The classifier: the paper's shallow network on coverage vectors."""

from skfakespotter._names import public_names
from skfakespotter.classifier._classifier import FakeSpotterClassifier

__all__ = ["FakeSpotterClassifier"]

__getattr__, __dir__ = public_names(__name__)
