"""What folding batch normalizations gains, and how many neurons it moves across the threshold.

    python benchmarks/folding.py [--weights FILE] [--out benchmarks/results]

The networks come unfolded: VGGFace2's ResNet-50 with random weights, and with ``--weights`` the
MobileFaceNet of that file. A neuron is the value after the normalization, either way.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from options import find_recipes, make_parser
from table import save_table
from timing import time_in_turns

from skfakespotter import Backbone, NeuronMonitor
from skfakespotter.backbones import place
from skfakespotter.backbones.vggface2 import random_network

CPU = torch.device("cpu")


def main(arguments=None):
    """Time both forms of each network in turns, compare counts, save."""
    parser = make_parser(__doc__, rounds=6)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args(arguments)
    rows = [measure(backbone, options.rounds) for backbone in backbones(options.weights)]
    header = ["network", "normalizations folded", "plain pass", "counting", "neurons moved"]
    notes = [
        "Plain pass and counting: how many times as fast as without folding. Neurons moved: per "
        "picture, of all, at equal thresholds. The best of "
        f"{options.rounds} rounds in turns; {torch.get_num_threads()} threads."
    ]
    command = "python benchmarks/folding.py --weights FILE"
    save_table(options.out, "folding", "Folding", command, header, rows, notes)


def backbones(weights):
    """Return the networks, unfolded."""
    yield Backbone("vggface2_resnet50", random_network(fold=False), input_size=(224, 224))
    if weights:
        find_recipes()
        from recipes.mobilefacenet import MobileFaceNet, read_weights

        network = MobileFaceNet().eval()
        read_weights(network, weights)
        yield Backbone("mobilefacenet", network, input_size=(112, 96))


def measure(backbone, rounds):
    """Return the row of a network."""
    placed = place(backbone, CPU, (3, *backbone.input_size))
    network = copy.deepcopy(backbone.module).eval().to(memory_format=torch.channels_last)
    shape = placed.best_batch, 3, *backbone.input_size
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    plain, faster = NeuronMonitor(network), NeuronMonitor(placed.module)
    sums = plain.sums(x).mean(0).numpy()
    units = np.array([plain.n_neurons[name] for name in plain.layer_names])
    thresholds = dict(zip(plain.layer_names, (sums / units).tolist(), strict=True))
    ways = {
        "plain": lambda: network(x),
        "folded": lambda: placed.module(x),
        "counting": lambda: plain.counts(x, thresholds),
        "counting, folded": lambda: faster.counts(x, thresholds),
    }
    with torch.inference_mode():
        best = time_in_turns(ways, rounds)
    moved = plain.counts(x, thresholds, "channel") - faster.counts(x, thresholds, "channel")
    before, after = (
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in module.modules())
        for module in (network, placed.module)
    )
    neurons = f"{moved.abs().sum().item() / len(x):.2f} of {int(units.sum()):,}"
    gains = [best["plain"] / best["folded"], best["counting"] / best["counting, folded"]]
    return [backbone.name, f"{before - after} of {before}", *(f"{g:.2f}" for g in gains), neurons]


if __name__ == "__main__":
    main()
