"""Coverage: the method of the paper, from a network's outputs to thresholds and counts."""

from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._equations import ExactSums, exceeds, softly_exceeds, threshold
from skfakespotter.coverage._layers import Layout, find_blocks, select_layers
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.coverage._outputs import Neurons, evaluating, first_tensor
from skfakespotter.coverage._parallel import ParallelStatistics
from skfakespotter.coverage._statistics import Part, Statistics

__all__ = [
    "DirectStatistics",
    "ExactSums",
    "Layout",
    "NeuronMonitor",
    "Neurons",
    "ParallelStatistics",
    "Part",
    "Statistics",
    "evaluating",
    "exceeds",
    "find_blocks",
    "first_tensor",
    "select_layers",
    "softly_exceeds",
    "threshold",
]
