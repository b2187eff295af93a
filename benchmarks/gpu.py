"""The transformer on a GPU: speed, bytes moved, and neurons that differ from the CPU's.

    python benchmarks/gpu.py [--device auto] [--pictures 4096] [--out benchmarks/results]

Without a GPU it runs on the CPU all the same, on fewer pictures, which shows that it runs and
nothing else. "resident" leaves the vectors on the device (``array_api_dispatch``); several
devices are given as ``--device cuda:0 cuda:1``.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scipy reads it when it is imported

import numpy as np
import sklearn
import torch
from table import save_table

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter._device import PRECISIONS, computing_in, resolve_devices

BATCH_SIZE = 256


def main(arguments=None):
    """Time every way, compare counts, print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", nargs="+", default=["auto"])
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    devices = resolve_devices(options.device)
    on_gpu = devices[0].type == "cuda"
    n_pictures = options.pictures or (4096 if on_gpu else 512)
    shape = (n_pictures, 150, 150, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    exact = NeuronCoverageTransformer(device="cpu", granularity="channel").fit(pictures[:256])
    counts = exact.transform(pictures[:256])
    rows = []
    for precision in PRECISIONS:
        if precision == "float16" and not on_gpu:
            continue  # CPUs emulate it, a hundred times slower
        plain = rate(lambda p=precision: forward(pictures, devices[0], p), devices, options.rounds)
        rows.append([precision, "plain forward pass, one device", f"{plain * n_pictures:.0f}"])
        rows[-1] += ["1.00", "", ""]
        for way, fields in ways().items():
            coverage = NeuronCoverageTransformer(
                device=[str(device) for device in devices],
                batch_size=BATCH_SIZE,
                precision=precision,
                **fields,
            ).fit(pictures[:BATCH_SIZE])
            resident = "resident" in way
            speed = rate(
                lambda c=coverage, r=resident: count(c, pictures, r), devices, options.rounds
            )
            width = len(coverage.get_feature_names_out())
            moved = pictures[0].nbytes + (0 if resident else 4 * width)
            rows.append([precision, way, f"{speed * n_pictures:.0f}", f"{speed / plain:.2f}"])
            rows[-1] += [f"{moved:,}", flipped(coverage, exact, counts, pictures[:256])]
    names = [torch.cuda.get_device_name(d) if d.type == "cuda" else str(d) for d in devices]
    notes = [
        f"{', '.join(names)}; {n_pictures} pictures of 150 px in memory, batches of {BATCH_SIZE}, "
        f"torch {torch.__version__}.",
        "Neurons that differ: per picture, of 619,840, at the thresholds of the CPU.",
    ]
    if not on_gpu:
        notes.insert(0, "**No GPU was used.** On a CPU nothing is copied to a device.")
    header = ["precision", "way", "pictures/s", "speed / plain pass", "bytes moved a picture"]
    header += ["neurons that differ from the CPU's"]
    name = "gpu" if on_gpu else "gpu_on_cpu"
    save_table(options.out, name, "On the device", "python benchmarks/gpu.py", header, rows, notes)


def ways():
    """Name the ways to count."""
    return {
        "per layer": {"compile": False},
        "per channel": {"compile": False, "granularity": "channel"},
        "per channel, resident": {"compile": False, "granularity": "channel"},
        "per channel, compiled": {"compile": True, "granularity": "channel"},
    }


def forward(pictures, device, precision):
    """Run the network and throw its output away."""
    backbone = load_backbone("dlib")
    network = backbone.on(device)
    with torch.inference_mode(), computing_in(precision, device):
        for start in range(0, len(pictures), BATCH_SIZE):
            pixels = torch.from_numpy(pictures[start : start + BATCH_SIZE]).to(device)
            network(backbone.preprocess(pixels.permute(0, 3, 1, 2)))


def count(coverage, pictures, resident):
    """Count, and leave the counts where they are if asked."""
    with sklearn.config_context(array_api_dispatch=resident):
        coverage.transform(pictures)


def rate(run, devices, rounds):
    """Give runs per second, the best of some rounds after one to warm up."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        for device in devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 1 / min(seconds[1:])


def flipped(coverage, exact, counts, pictures):
    """Neurons a picture by which the counts differ, at the same thresholds."""
    coverage.thresholds_ = exact.thresholds_
    found = coverage.set_params(granularity="channel").transform(pictures)
    return f"{np.abs(found - counts).sum() / len(pictures):,.1f}"


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch's own compiler
    main()
