"""What a grid search costs with and without the cache: pictures through the network.

    python benchmarks/cache.py --data FOLDER [--per-class 100] [--out FOLDER]

FOLDER holds ``real/`` and ``fake/``; faces are found and aligned first. Every run is a fresh
process, so that nothing is warm but what is meant to be; the pictures are counted by a hook
on the network in every process that runs it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from counting import BACKBONE, LOG, read_count
from options import HERE, make_parser
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from table import save_table

from skfakespotter import CoverageCache, FaceAligner, NeuronCoverageTransformer, load_folders

GRID = {"svc__C": [0.1, 1, 10, 100, 1000], "svc__gamma": [1e-4, 1e-3, 1e-2, 1e-1]}
HEADER = ["cache", "n_jobs", "pictures through the network", "per picture", "seconds", "score"]
CLAIMED = 0.0005  # share of a layer's neurons by which counts may differ


def search(crops, cache, n_jobs):
    """Run the search of one row in this process; print its score."""
    crops = np.load(crops)
    coverage = NeuronCoverageTransformer(BACKBONE, device="cpu", cache=cache or None)
    model = make_pipeline(coverage, StandardScaler(), SVC())
    found = GridSearchCV(model, GRID, cv=5, n_jobs=int(n_jobs)).fit(crops["X"], crops["y"])
    print(f"{found.best_score_:.6f}")


def run(crops, cache, n_jobs, folder):
    """Run a search in a fresh process: seconds, pictures through the network, score."""
    log = folder / "forward.log"
    read_count(log)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), LOG: log}
    code = "import sys, cache; cache.search(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(crops), cache or "", str(n_jobs)]
    start = time.perf_counter()
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    return time.perf_counter() - start, read_count(log), output.strip()


def differences(X, y, store):
    """Largest difference of counts, in neurons, between cached and uncached, and its share."""
    largest = share = 0
    for fold in range(5):
        train = np.arange(len(X)) % 5 != fold
        plain = NeuronCoverageTransformer("dlib", device="cpu").fit(X[train])
        stored = NeuronCoverageTransformer("dlib", device="cpu", cache=store).fit(X[train])
        difference = np.abs(plain.transform(X[:64]) - stored.transform(X[:64]))
        largest = max(largest, difference.max())
        share = max(share, (difference / plain.n_neurons_).max())
    return int(largest), float(share)


def main(arguments=None):
    """Align, search, compare, save."""
    parser = make_parser(__doc__, data="real/ and fake/")
    parser.add_argument("--per-class", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options, folder):
    """Make the table."""
    X, y = align(options.data, options.per_class)
    crops = folder / "crops.npz"
    np.savez(crops, X=X, y=y)
    rows = []
    plan = [("off", None, 1), ("memory", "memory", 1)]
    plan += [("folder, cold", str(folder / "one"), 1), ("folder, warm", str(folder / "one"), 1)]
    plan += [("folder, cold", str(folder / "two"), 2), ("folder, warm", str(folder / "two"), 2)]
    for name, cache, n_jobs in plan:
        seconds, pictures, score = run(crops, cache, n_jobs, folder)
        row = [name, n_jobs, pictures, f"{pictures / len(X):.2f}", f"{seconds:.1f}", score]
        rows.append(row)
        print(*row, sep="\t", flush=True)
    for kind in ("one", "two"):
        entry = CoverageCache(folder / kind).info()[0]
        print(
            kind, entry["pictures"], "pictures,", entry["bytes"] // entry["pictures"], "bytes each"
        )
    per_picture = entry["bytes"] // entry["pictures"]
    largest, share = differences(X, y, CoverageCache())
    notes = [
        f"{len(X)} aligned faces, GridSearchCV(cv=5) over 20 candidates of an SVC, torch "
        f"{torch.__version__}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads.",
        "Three passes of a blank picture a process, which measure the network, are counted too.",
        f"On disk: {per_picture:,} bytes per picture.",
        f"Counts with and without the cache differ by at most {largest} neurons, {share:.4%} of a "
        f"layer (claimed: at most {CLAIMED:.2%}).",
    ]
    command = "python benchmarks/cache.py --data FOLDER"
    save_table(
        options.out, "cache", "A search with and without the cache", command, HEADER, rows, notes
    )


def align(data, per_class):
    """Return so many aligned faces of each class, evenly spaced, and their labels."""
    pictures = load_folders(data)
    aligner, crops, labels = FaceAligner(n_jobs=-1), [], []
    for label in (0, 1):
        paths = [p for p, t in zip(pictures.data, pictures.target, strict=True) if t == label]
        step = max(1, len(paths) // (per_class + per_class // 4))
        records = aligner.locate(paths[::step])
        found = [r.path for r in records if r.status == "found"][:per_class]
        crops.append(aligner.transform(found))
        labels += [label] * len(found)
    return np.concatenate(crops), np.array(labels)


if __name__ == "__main__":
    main()
