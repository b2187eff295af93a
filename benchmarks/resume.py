"""Ten thousand pictures scored in bounded memory, killed in the middle, and resumed.

    python benchmarks/resume.py [--pictures 10000] [--out benchmarks/results]

The folder holds that many files, copies of twenty noisy versions of one photograph with a face.
``skfakespotter score FOLDER --out scores.csv`` runs in a process of its own, which is killed
(SIGKILL, so that nothing can be tidied up) once half of the rows are written, and started
again. The peak is that of the resident memory of the whole process; a tenth of the pictures,
scored in one go, stand beside it.
"""

import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from options import make_parser
from PIL import Image
from skimage.data import astronaut
from table import save_table

from skfakespotter import list_detectors

VERSIONS = 20
RUN = """
import resource, sys
from skfakespotter.cli import main
main(["score", sys.argv[1], "--out", sys.argv[2], "--quiet"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main(arguments=None):
    """Score a tenth, score all with a kill in between, compare."""
    parser = make_parser(__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        few, many = (
            make_folder(Path(folder, name), n)
            for name, n in (("few", options.pictures // 10), ("many", options.pictures))
        )
        rows = [[f"{len(few):,}, in one go", *score(few, Path(folder, "few.csv"))]]
        out = Path(folder, "many.csv")
        n_detectors = len(list_detectors())
        killed = kill_at(many, out, options.pictures * n_detectors // 2)
        # the last picture's rows may be cut off, and are written again
        kept = out.read_bytes().splitlines(keepends=True)[: -n_detectors - 1]
        rows.append([f"{options.pictures:,}, killed", *killed])
        rows.append(["resumed", *score(many, out)])
        check(out, many, n_detectors, b"".join(kept))
    notes = [
        f"{n_detectors} detectors, {os.cpu_count()} cores, shared with other work; a row of a "
        f"detector a face. {len(kept) - 1:,} rows were written before the kill and are in the file "
        f"as they were; at the end it holds {len(many) * n_detectors:,} rows, one for each picture "
        "and detector, in the order of the pictures: none is lost, none is there twice, and copies "
        "of one picture have one score."
    ]
    header = ["pictures", "seconds", "peak, MiB"]
    command = "python benchmarks/resume.py"
    save_table(options.out, "resume", "A folder of any size", command, header, rows, notes)


def make_folder(folder, n):
    """Write the versions, and link the others to them; return all names."""
    folder.mkdir()
    rng, face = np.random.default_rng(0), astronaut()[:256, 100:356].astype(float)
    names = [folder / f"{i:05d}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        if i < VERSIONS:
            noisy = np.clip(face + rng.normal(0, 1 + i / 5, face.shape), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(name, quality=92)
        else:
            os.link(names[i % VERSIONS], name)
    return names


def start(pictures, out):
    """Start scoring in a process of its own."""
    command = [sys.executable, "-c", RUN, str(pictures[0].parent), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def score(pictures, out):
    """Score to the end; return seconds and peak."""
    began = time.perf_counter()
    peak = float(start(pictures, out).communicate()[0])
    return f"{time.perf_counter() - began:.0f}", f"{peak:.0f}"


def kill_at(pictures, out, n_rows):
    """Score until so many rows are there, then kill; return seconds and peak so far."""
    began, process = time.perf_counter(), start(pictures, out)
    while process.poll() is None and count_rows(out) < n_rows:
        time.sleep(0.5)
        status = Path(f"/proc/{process.pid}/status").read_text()
    if process.poll() is not None:
        raise RuntimeError("scoring ended before it was killed: raise --pictures.")
    process.send_signal(signal.SIGKILL)
    process.wait()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return f"{time.perf_counter() - began:.0f}", f"{int(peak.split()[1]) / 1024:.0f}"


def count_rows(out):
    """Count the lines of a file, without the header."""
    return max(0, out.read_bytes().count(b"\n") - 1) if out.exists() else 0


def check(out, pictures, n_detectors, kept):
    """Fail unless every picture has its rows once, and what was written before is still there."""
    with open(out, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = [str(picture) for picture in pictures for _ in range(n_detectors)]
    if [row["picture"] for row in rows] != expected:
        raise AssertionError("rows are lost, there twice, or out of order.")
    if not out.read_bytes().startswith(kept):
        raise AssertionError("rows that were written before the kill have changed.")
    scores = np.array([float(row["score"]) for row in rows]).reshape(-1, n_detectors)
    for version in range(VERSIONS):
        spread = np.ptp(scores[version::VERSIONS], axis=0).max()
        if spread > 1e-4:
            raise AssertionError(f"copies of one picture differ by {spread}.")


if __name__ == "__main__":
    main()
