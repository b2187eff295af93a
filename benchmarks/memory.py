"""Peak memory with a thousand and with ten thousand pictures.

    python benchmarks/memory.py [--pictures 1000 10000] [--runs 3] [--out benchmarks/results]

Every run is a fresh process that reads JPEGs, a hundred generated ones over and over. The peak is
that of the resident memory of the whole process, with torch and the network in it.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from options import HERE, make_parser
from table import save_table

STEPS = {
    "fit": "coverage.fit(paths)",
    "transform, per layer": "coverage.fit(paths[:100]).transform(paths)",
    "transform, per channel": (
        "coverage.set_params(granularity='channel').fit(paths[:100]).transform(paths)"
    ),
}
WIDTHS = {"transform, per layer": 30, "transform, per channel": 3_680}


def main(arguments=None):
    """Measure every step with every number of pictures."""
    parser = make_parser(__doc__)
    parser.add_argument("--pictures", type=int, nargs=2, default=[1_000, 10_000])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    few, many = options.pictures
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        for step in STEPS:
            small, large = (
                min(peak(step, folder, n) for _ in range(options.runs)) for n in options.pictures
            )
            result = WIDTHS.get(step, 0) * (many - few) * 4 / 2**20
            shares = f"{large / small - 1:+.1%}", f"{(large - result) / small - 1:+.1%}"
            rows.append([step, f"{small:.0f}", f"{large:.0f}", shares[0], f"{result:.0f}"])
            rows[-1].append(shares[1])
    header = ["step", f"{few:,} pictures, MiB", f"{many:,} pictures, MiB", "more"]
    header += ["of it results, MiB", "more, without results"]
    notes = [
        "Network dlib, no cache; the lowest of three runs; results are the array that is returned."
    ]
    command = "python benchmarks/memory.py"
    save_table(options.out, "memory", "Peak memory", command, header, rows, notes)


def make(folder):
    """Write a hundred pictures."""
    from PIL import Image

    from skfakespotter import make_pictures

    for index, picture in enumerate(make_pictures(100, size=256, random_state=0)[0]):
        Image.fromarray(picture).save(f"{folder}/{index:03d}.jpg")


def peak(step, folder, n_pictures):
    """Run a step in a fresh process; return its peak in MiB."""
    code = "import sys, memory; memory.run(*sys.argv[1:])"
    command = [sys.executable, "-c", code, step, folder, str(n_pictures)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def run(step, folder, n_pictures):
    """Do a step and print the peak of the resident memory."""
    from skfakespotter import NeuronCoverageTransformer

    files = sorted(map(str, Path(folder).glob("*.jpg")))
    paths = files * (int(n_pictures) // len(files))
    coverage = NeuronCoverageTransformer(compile=False, device="cpu")
    exec(STEPS[step], {"coverage": coverage, "paths": paths})
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    main()
