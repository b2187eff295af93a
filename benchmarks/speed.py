"""Speed of the transformer against the plain forward pass and what a user finds today.

    python benchmarks/speed.py [--pictures 256] [--rounds 3] [--out benchmarks/results]

All rows run the same network on the same pictures in one process, in turns, so that the
ratios hold on a noisy machine; the best of the rounds counts. "literal" is the usual code
of this field: pictures one by one, a hook per layer that moves the activation to numpy and
counts there.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter.backbones import monitored_layers
from skfakespotter.device import resolve_device

BATCH_SIZE = 64


def main():
    """Time every way of counting, print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    device = resolve_device(options.device)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (options.pictures, 150, 150, 3), dtype=np.uint8)
    ways, check = ways_to_count(pictures, device)
    seconds = dict.fromkeys(ways, np.inf)
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, (run, share) in ways.items():
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            seconds[name] = min(seconds[name], (time.perf_counter() - start) / share)
    report(seconds, check(), len(pictures), device, options.out)


def ways_to_count(pictures, device):
    """Name the ways; each has a function and the share of the pictures it handles."""
    backbone = load_backbone("dlib")
    network = backbone.on(device)
    layer = NeuronCoverageTransformer(device=str(device), batch_size=BATCH_SIZE).fit(pictures)
    channel = NeuronCoverageTransformer(granularity="channel", device=str(device))
    channel.fit(pictures[:BATCH_SIZE])
    few = max(1, len(pictures) // 8)
    original = backbone.module  # as published code runs it: no channels_last

    def plain():
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH_SIZE):
                batch = torch.from_numpy(pictures[start : start + BATCH_SIZE])
                network(backbone.preprocess(batch.permute(0, 3, 1, 2).to(device)))

    thresholds = dict(zip(layer.layer_names_, layer.thresholds_, strict=True))

    def literal():
        return literal_counts(original, backbone, pictures[:few], thresholds)

    def flipped():
        return np.abs(literal() - layer.transform(pictures[:few])).sum() / few

    ways = {
        "plain forward pass, channels_last": (plain, 1),
        "transform, per layer": (lambda: layer.transform(pictures), 1),
        "transform, per channel": (lambda: channel.transform(pictures), 1),
        "fit (thresholds)": (lambda: layer.fit(pictures), 1),
        "hooks to numpy, batches of 64": (
            lambda: numpy_counts(network, backbone, pictures[:BATCH_SIZE], thresholds, device),
            BATCH_SIZE / len(pictures),
        ),
        "literal: one by one, hooks to numpy": (literal, few / len(pictures)),
    }
    return ways, flipped


def literal_counts(network, backbone, pictures, thresholds):
    """Count as the usual script does: one picture at a time, activations in numpy."""
    rows = []
    for picture in pictures:
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None]
        rows.append(hooked(network, backbone.preprocess(batch.contiguous()), thresholds)[:, 0])
    return np.array(rows)


def numpy_counts(network, backbone, pictures, thresholds, device):
    """Count in numpy after a batched forward pass that keeps every activation."""
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
    return hooked(network, backbone.preprocess(batch), thresholds)


def hooked(network, x, thresholds):
    """Move every layer's output to numpy and count there: (n_layers, n_pictures)."""
    activations = {}
    handles = [
        layer.register_forward_hook(
            lambda _, __, output, name=name: activations.update({name: output.cpu().numpy()})
        )
        for name, layer in monitored_layers(network).items()
    ]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    axes = {2: 1, 4: (1, 2, 3)}
    return np.array(
        [(activations[n] > t).sum(axis=axes[activations[n].ndim]) for n, t in thresholds.items()]
    )


def synchronize(device):
    """Wait for a GPU, so that seconds are seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(seconds, flipped, n_pictures, device, out):
    """Print and save pictures per second and the ratio to the plain forward pass."""
    plain = seconds["plain forward pass, channels_last"]
    ours = seconds["transform, per layer"]
    rows = [
        (name, f"{n_pictures / s:.0f}", f"{plain / s:.2f}", f"{s / ours:.1f}")
        for name, s in seconds.items()
    ]
    header = ("way", "pictures/s", "speed / plain forward", "time / transform")
    lines = [" | ".join(header), " | ".join("---" for _ in header), *map(" | ".join, rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    text = (
        f"{table}\n\nNetwork dlib, {n_pictures} pictures of 150 px, batches of {BATCH_SIZE}, "
        f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}. The literal "
        f"counts differ by {flipped:.2f} neurons a picture (of 619,840).\n"
    )
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.md").write_text(f"# Speed\n\n`python benchmarks/speed.py`\n\n{text}")
    with open(out / "speed.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
