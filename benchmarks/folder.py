"""From a folder of JPEGs to features: how near the overlapped stages come to the slowest one.

    python benchmarks/folder.py --data FOLDER [--pictures 1280] [--out benchmarks/results]

FOLDER holds portraits; their aligned faces are written to a temporary folder as JPEGs of their
own. Stages: decoding alone, decoding with finding and cropping the face, and counting neurons
per channel. Overlapped, the pictures are made ahead in threads, or processes where faces are
found, while the network computes.

Two settings. "a core each": the network computes on one thread, the pictures are made by one
thread or process, so the stages do not take each other's cores, as on a machine with a GPU. "all
cores": both use all cores and so share them; then no overlap can come nearer than the work of
both together, which is the last column's bound.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from table import save_table

from skfakespotter import FaceAligner, NeuronCoverageTransformer, batches
from skfakespotter._prefetch import iter_batches
from skfakespotter.images import find_images

SIZE = (150, 150)


def main(arguments=None):
    """Time each stage and both overlapped, print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    records = FaceAligner(n_jobs=-1).locate(find_images(options.data))
    found = [record.path for record in records if record.status == "found"][: options.pictures]
    chips = FaceAligner(n_jobs=-1).transform(found)
    with tempfile.TemporaryDirectory() as folder:
        faces = [f"{folder}/{i:05d}.jpg" for i in range(len(chips))]
        for path, chip in zip(faces, chips, strict=True):
            Image.fromarray(chip).save(path, quality=95)
        rows = [
            row
            for setting, n_cores in (("a core each", 1), ("all cores", os.cpu_count()))
            for row in measure(setting, n_cores, found, faces, chips, options.rounds)
        ]
    header = ["setting", "from", "making, pictures/s", "counting, pictures/s"]
    header += ["overlapped, pictures/s", "of the slowest stage", "of the shared cores' bound"]
    side = Image.open(found[0]).size[0]
    one = FaceAligner()
    seconds = best(lambda: one.transform(found[:200]), options.rounds)
    notes = [
        f"{len(found)} portraits of {side} px, network dlib, default batches, "
        f"{os.cpu_count()} cores, torch {torch.__version__}; best of {options.rounds} rounds.",
        f"Finding and cropping takes {seconds / 200 * 1e3:.1f} ms a picture and core; of "
        f"{len(records)} pictures {sum(r.status == 'found' for r in records)} show a face.",
    ]
    command = "python benchmarks/folder.py --data FOLDER"
    save_table(options.out, "folder", "From JPEGs to features", command, header, rows, notes)


def measure(setting, n_cores, portraits, faces, chips, rounds):
    """Give a row for aligned faces and one for portraits."""
    torch.set_num_threads(n_cores)
    coverage = NeuronCoverageTransformer(granularity="channel", compile=False).fit(chips[:64])
    lazy = FaceAligner(lazy=True).transform(portraits)
    counting = len(chips) / best(lambda: coverage.transform(chips), rounds)
    decode = batches.iter_images
    batches.iter_images = partial(decode, n_threads=n_cores)
    try:
        for kind, X in (("aligned faces", faces), ("portraits", lazy)):
            making = len(X) / best(lambda X=X: exhaust(iter_batches(X, 64, SIZE)), rounds)
            both = len(X) / best(lambda X=X: coverage.transform(X), rounds)
            slowest, bound = min(making, counting), 1 / (1 / making + 1 / counting)
            shares = f"{both / slowest:.2f}", f"{both / bound:.2f}" if n_cores > 1 else ""
            yield [setting, kind, *(f"{rate:.0f}" for rate in (making, counting, both)), *shares]
    finally:
        batches.iter_images = decode


def best(run, rounds):
    """Give the best seconds of so many rounds, after one to warm up."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return np.min(seconds[1:])


def exhaust(batches):
    """Take all batches and keep none."""
    for _ in batches:
        pass


if __name__ == "__main__":
    main()
