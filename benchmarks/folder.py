"""From a folder of JPEGs to features: how near the overlapped stages come to the slowest one.

    python benchmarks/folder.py --data FOLDER [--pictures 1280] [--out benchmarks/results]

FOLDER holds portraits; their aligned faces are written to a temporary folder as JPEGs of their
own. Stages: decoding alone, decoding with finding and cropping the face by each face detector, and
counting neurons per channel. Overlapped, the pictures are made ahead while the network computes:
by CenterFace in a thread, by dlib, which holds the interpreter's lock, in processes.

Two settings. "a core each": the network computes on one thread, the pictures are made by another
thread or one process, so the stages do not take each other's cores, as on a machine with a GPU.
"all cores": both use all cores and so share them; then no overlap can come nearer than the work
of both together, which is the last column's bound.
"""

import os
import tempfile
from functools import partial

import torch
from joblib import Parallel, delayed
from options import make_parser
from PIL import Image
from table import save_table
from timing import best

from skfakespotter import FaceAligner, NeuronCoverageTransformer
from skfakespotter.images import find_images, load_image


def main(arguments=None):
    """Time each stage and both overlapped, print a table and save it."""
    parser = make_parser(__doc__, data="portraits", rounds=3)
    parser.add_argument("--pictures", type=int, default=1280)
    options = parser.parse_args(arguments)
    pictures = find_images(options.data)[: options.pictures]
    records = FaceAligner("dlib", n_jobs=-1).locate(pictures)  # which misses more
    found = [record.path for record in records if record.status == "found"]
    crops = FaceAligner(n_jobs=-1).transform(found)
    with tempfile.TemporaryDirectory() as folder:
        faces = [f"{folder}/{i:05d}.jpg" for i in range(len(crops))]
        for path, crop in zip(faces, crops, strict=True):
            Image.fromarray(crop).save(path, quality=95)
        rows = [
            row
            for setting, n_cores in (("a core each", 1), ("all cores", os.cpu_count()))
            for row in measure(setting, n_cores, found, faces, crops, options.rounds)
        ]
    header = ["setting", "from", "making, pictures/s", "counting, pictures/s"]
    header += ["overlapped, pictures/s", "of the slowest stage", "of the shared cores' bound"]
    side = Image.open(found[0]).size[0]
    notes = [
        f"{len(found)} portraits of {side} px, network dlib, default batches, "
        f"{os.cpu_count()} cores, torch {torch.__version__}; best of {options.rounds} rounds.",
    ]
    size = f"--pictures {options.pictures} --rounds {options.rounds}"
    command = f"python benchmarks/folder.py --data FOLDER {size}"
    save_table(options.out, "folder", "From JPEGs to features", command, header, rows, notes)


def measure(setting, n_cores, portraits, faces, crops, rounds):
    """Yield a row for aligned faces, and one for portraits with each face detector."""
    torch.set_num_threads(n_cores)
    coverage = NeuronCoverageTransformer(granularity="channel", compile=False).fit(crops[:64])
    counting = len(crops) / best(lambda: coverage.transform(crops), rounds)
    decode = Parallel(n_cores)
    ways = {"aligned faces": (faces, lambda: decode(map(delayed(load_image), faces)), n_cores)}
    for detector, prefetch in (("centerface", None), ("dlib", n_cores)):
        aligner = FaceAligner(detector, n_jobs=prefetch)
        X = FaceAligner(detector, lazy=True).transform(portraits)
        ways[f"portraits, {detector}"] = X, partial(aligner.transform, portraits), prefetch
    for kind, (X, make, prefetch) in ways.items():
        coverage.set_params(prefetch=prefetch)
        making = len(X) / best(make, rounds)
        both = len(X) / best(partial(coverage.transform, X), rounds)
        slowest, bound = min(making, counting), 1 / (1 / making + 1 / counting)
        shares = f"{both / slowest:.2f}", f"{both / bound:.2f}" if n_cores > 1 else ""
        yield [setting, kind, *(f"{rate:.0f}" for rate in (making, counting, both)), *shares]


if __name__ == "__main__":
    main()
