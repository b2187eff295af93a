"""Coverage: the method of the paper, from a network's outputs to thresholds and counts."""

from skfakespotter._names import public_names
from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._equations import ExactSums, exceeds, softly_exceeds, threshold
from skfakespotter.coverage._layers import Layout, find_blocks, select_layers
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.coverage._observations import Observations
from skfakespotter.coverage._outputs import Neurons, evaluating, first_tensor
from skfakespotter.coverage._parallel import in_tasks
from skfakespotter.coverage._results import PartialResult
from skfakespotter.coverage._single_pass import SinglePassStatistics
from skfakespotter.coverage._statistics import Statistics
from skfakespotter.coverage._windows import (
    Window,
    covers,
    holds_nothing,
    hull,
    no_window,
    pilot_size,
    window_for,
)

__all__ = [
    "DirectStatistics",
    "ExactSums",
    "Layout",
    "NeuronMonitor",
    "Neurons",
    "Observations",
    "PartialResult",
    "SinglePassStatistics",
    "Statistics",
    "Window",
    "covers",
    "evaluating",
    "exceeds",
    "find_blocks",
    "first_tensor",
    "holds_nothing",
    "hull",
    "in_tasks",
    "no_window",
    "pilot_size",
    "select_layers",
    "softly_exceeds",
    "threshold",
    "window_for",
]

__getattr__, __dir__ = public_names(__name__)
