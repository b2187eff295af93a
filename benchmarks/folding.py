"""What folding batch normalisations gains, and how many neurons it moves across the threshold.

    python benchmarks/folding.py [--weights FILE] [--out benchmarks/results]

The networks come unfolded: VGGFace2's ResNet-50 with random weights, and with ``--weights`` the
MobileFaceNet of that file. Thresholds and counts are of the convolutions' own outputs, before
the normalisation, either way.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from table import save_table

from skfakespotter.backbones import Backbone
from skfakespotter.backbones.vggface2 import random_network
from skfakespotter.coverage._monitor import NeuronMonitor

CPU = torch.device("cpu")


def main(arguments=None):
    """Time both forms of each network in turns, compare counts, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    rows = [measure(backbone, options.rounds) for backbone in backbones(options.weights)]
    header = ["network", "normalisations folded", "plain pass", "counting", "neurons moved"]
    notes = [
        "Plain pass and counting: how many times as fast as without folding. Neurons moved: per "
        "picture, of all, at equal thresholds. The best of "
        f"{options.rounds} rounds in turns; {torch.get_num_threads()} threads."
    ]
    command = "python benchmarks/folding.py --weights FILE"
    save_table(options.out, "folding", "Folding", command, header, rows, notes)


def backbones(weights):
    """Give the networks, unfolded."""
    yield Backbone("vggface2_resnet50", random_network(fold=False), input_size=(224, 224))
    if weights:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
        from recipes.mobilefacenet import MobileFaceNet, read_weights

        network = MobileFaceNet().eval()
        read_weights(network, weights)
        yield Backbone("mobilefacenet", network, input_size=(112, 96))


def measure(backbone, rounds):
    """Give the row of a network."""
    network, folded = backbone.on(CPU), backbone.folded_on(CPU)
    shape = backbone.best_batch(CPU), 3, *backbone.input_size
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    plain, faster = NeuronMonitor(network), NeuronMonitor(network, folded=folded)
    units = np.array([plain.sums(x).mean(0).numpy(), list(plain.n_neurons.values())])
    thresholds = dict(zip(plain.layer_names, (units[0] / units[1]).tolist(), strict=True))
    ways = [
        lambda: network(x),
        lambda: folded.module(x),
        lambda: plain.counts(x, thresholds),
        lambda: faster.counts(x, thresholds),
    ]
    seconds = np.full((rounds + 1, len(ways)), np.inf)
    with torch.inference_mode():
        for row in seconds:
            for i, way in enumerate(ways):
                start = time.perf_counter()
                way()
                row[i] = time.perf_counter() - start
    best = seconds[1:].min(0)
    moved = plain.counts(x, thresholds, "channel") - faster.counts(x, thresholds, "channel")
    n_norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    neurons = f"{moved.abs().sum().item() / len(x):.2f} of {int(units[1].sum()):,}"
    gains = f"{best[0] / best[1]:.2f}", f"{best[2] / best[3]:.2f}"
    return [backbone.name, f"{len(folded.scale)} of {n_norms}", *gains, neurons]


if __name__ == "__main__":
    main()
