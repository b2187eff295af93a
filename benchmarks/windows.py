"""How far the cache's windows reach: smaller training sets' pictures that pass again, bytes kept.

    python benchmarks/windows.py --data FOLDER [--subsets 20] [--out benchmarks/results]

FOLDER holds ``real/`` and ``fake/``. The cache is filled by a fit on all aligned faces, so that a
fit on a subset needs no network; its ``transform`` does for pictures whose window does not hold
the new thresholds. What passes is kept with a wider window.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from counting import BACKBONE, LOG, read_count
from options import make_parser
from table import save_table

from skfakespotter import CoverageCache, FaceAligner, NeuronCoverageTransformer, load_folders


def main(arguments=None):
    """Fill a cache, draw subsets, print a table and save it."""
    parser = make_parser(__doc__, data="real/ and fake/")
    parser.add_argument("--subsets", type=int, default=20)
    options = parser.parse_args(arguments)
    data = load_folders(options.data)
    faces = FaceAligner(n_jobs=-1, on_missing="center").transform(data.data)
    rng = np.random.default_rng(0)
    faces = rng.permutation(faces)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[LOG] = log = str(Path(folder, "forward.log"))
        rows = [
            [size, options.subsets, *passes_again(fill(faces), faces, size, options.subsets, log)]
            for size in (len(faces) // 2, len(faces) // 4, len(faces) // 10)
        ]
        read_count(log)
        kept = {n: fill(faces[:n]).info()[0]["bytes"] / n for n in (200, len(faces))}
        n_passed = read_count(log) / (200 + len(faces))
    notes = [
        f"{len(faces)} faces of {options.data.name}, network dlib; the first fit sent "
        f"{n_passed:.2f} pictures a face through the network.",
        "Kept in memory: "
        + ", ".join(f"{b / 1e3:.0f} kB a picture of {n}" for n, b in kept.items()),
    ]
    header = ["training pictures", "subsets", "pictures that passed again, in the first subset"]
    header += ["on average over the subsets"]
    command = "python benchmarks/windows.py --data FOLDER"
    save_table(options.out, "windows", "Windows of the cache", command, header, rows, notes)


def passes_again(cache, faces, size, n_subsets, log):
    """Return which share of a subset passes the network: of the first, and on average."""
    rng, shares = np.random.default_rng(0), []
    coverage = NeuronCoverageTransformer(BACKBONE, device="cpu", cache=cache)
    read_count(log)
    for _ in range(n_subsets):
        subset = faces[rng.permutation(len(faces))[:size]]
        coverage.fit(subset).transform(subset)
        shares.append(read_count(log) / size)
    return [f"{share:.1%}" for share in (shares[0], np.mean(shares))]


def fill(faces):
    """Make a cache that has seen the faces in one fit."""
    cache = CoverageCache()
    NeuronCoverageTransformer(BACKBONE, device="cpu", cache=cache).fit(faces)
    return cache


if __name__ == "__main__":
    main()
