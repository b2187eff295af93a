"""How far the store's windows reach: thresholds of smaller training sets, and bytes kept.

    python benchmarks/windows.py --data FOLDER [--subsets 20] [--out benchmarks/results]

FOLDER holds ``real/`` and ``fake/``. The store is filled by a fit on all aligned faces; a window
must hold the threshold of a subset, or its pictures cross the network again.
"""

import argparse
from pathlib import Path

import numpy as np
from table import save_table

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_folders
from skfakespotter.cache import CoverageCache
from skfakespotter.cache._records import covers


def main(arguments=None):
    """Fill a store, draw subsets, print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subsets", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    data = load_folders(options.data)
    faces = FaceAligner(n_jobs=-1, on_missing="center").transform(data.data)
    rng, rows = np.random.default_rng(0), []
    faces = rng.permutation(faces)
    store = fill(faces)
    files = [file for shelf in store._shelves.values() for file in shelf.files.values()]
    files = [file for file in files if (file.low <= file.high).all()]  # the pilot keeps sums only
    coverage = NeuronCoverageTransformer(cache=store)  # every fit below is from the sums kept
    for size in (len(faces) // 2, len(faces) // 4, len(faces) // 10):
        missed = []
        for _ in range(options.subsets):
            subset = faces[rng.permutation(len(faces))[:size]]
            thresholds = coverage.fit(subset).thresholds_
            missed += [not covers(file.low, file.high, thresholds) for file in files]
        rows.append([size, options.subsets, f"{np.mean(missed):.1%}"])
    kept = {n: fill(faces[:n]).info()[0]["bytes"] / n for n in (200, len(faces))}
    notes = [
        f"{len(faces)} faces of {options.data.name}, network dlib, {len(files)} files of records.",
        "Kept in memory: "
        + ", ".join(f"{b / 1e3:.0f} kB a picture of {n}" for n, b in kept.items()),
    ]
    header = ["training pictures", "subsets", "files whose window misses the threshold"]
    command = "python benchmarks/windows.py --data FOLDER"
    save_table(options.out, "windows", "Windows of the store", command, header, rows, notes)


def fill(faces):
    """Give a store that has seen the faces in one fit."""
    store = CoverageCache()
    NeuronCoverageTransformer(cache=store).fit(faces)
    return store


if __name__ == "__main__":
    main()
