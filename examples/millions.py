"""
A folder of millions: shards, a store and a run that resumes
============================================================

The pictures are cut into shards. For every shard the transformer is fitted and saved; the
fitted shards merge, exactly and in any order, into the transformer of all pictures; and with
it every shard's counts are written. A file that exists is a shard that is done: stopped at
any time, on purpose or not, the run goes on where it was. Several machines may work on
one run by taking different ``--part i/n`` of the shards, and with ``--cache`` the second
round needs no forward pass.

    python examples/millions.py PICTURES RESULTS [--cache FOLDER] [--part 1/4] [--dask ADDRESS]

Without arguments it runs on generated pictures in a temporary folder.
"""

import argparse
import contextlib
import csv
import hashlib
import os
import tempfile
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from skfakespotter import FaceAligner, NeuronCoverageTransformer, make_pictures
from skfakespotter.images import find_images
from skfakespotter.transformer import merge_transformers


def main():
    """Run, or go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--backbone", default="dlib")
    parser.add_argument("--aligned", action="store_true", help="the pictures are aligned faces")
    parser.add_argument("--cache", help="folder of the store, shared by all machines")
    parser.add_argument("--shard-size", type=int, default=2000)
    parser.add_argument("--part", default="1/1", help="i/n: only every n-th shard, from the i-th")
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--dask", help="address of a Dask scheduler")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.pictures is None:
            demonstrate(options, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if options.dask:
            from distributed import Client

            stack.enter_context(Client(options.dask))
            stack.enter_context(joblib.parallel_config(backend="dask"))
        run(options)


def run(options):
    """Fit every shard, merge, count every shard."""
    shards = cut(find_images(options.pictures), options.shard_size)
    part, n_parts = map(int, options.part.split("/"))
    mine = list(shards.items())[part - 1 :: n_parts]
    options.results.mkdir(parents=True, exist_ok=True)
    coverage = NeuronCoverageTransformer(
        options.backbone, granularity="channel", cache=options.cache, n_jobs=options.n_jobs
    )
    aligner = None if options.aligned else FaceAligner(n_jobs=options.n_jobs)
    fitted = [options.results / f"{name}.joblib" for name in shards]
    done = sum(fit_shard(coverage, aligner, paths, options.results / name) for name, paths in mine)
    print(f"fitted {done} shards of {len(mine)}; {len(mine) - done} were done before")
    if missing := [path for path in fitted if not path.exists()]:
        print(f"{len(missing)} shards are left to other parts: run again when they are done")
        return
    whole = merge_transformers(filter(None, map(joblib.load, fitted)))
    write(options.results / "coverage.joblib", lambda path: joblib.dump(whole, path))
    done = sum(count_shard(whole, aligner, paths, options.results / name) for name, paths in mine)
    print(f"counted {done} shards of {len(mine)}, at thresholds from {whole.n_samples_seen_} faces")


def cut(paths, size):
    """Cut into shards that each hold a sample of the whole folder.

    Their means are then close to that of all pictures, and what the store keeps around the
    one serves the other.
    """
    n_shards = -(-len(paths) // size)
    shards = [paths[start::n_shards] for start in range(n_shards)]
    return {hashlib.sha256("\n".join(map(str, s)).encode()).hexdigest()[:16]: s for s in shards}


def fit_shard(coverage, aligner, paths, target):
    """Save the fitted transformer of a shard, unless it is there; None without any face."""
    if (file := target.with_suffix(".joblib")).exists():
        return False
    found, faces = align(aligner, paths)
    fitted = coverage.fit(faces) if found else None
    write(file, lambda path: joblib.dump(fitted, path))
    return True


def count_shard(coverage, aligner, paths, target):
    """Save paths and counts of a shard, unless they are there."""
    if (file := target.with_suffix(".npy")).exists():
        return False
    found, faces = align(aligner, paths)
    counts = coverage.transform(faces) if found else np.zeros((0, 0), np.float32)
    write(target.with_suffix(".csv"), lambda path: write_list(path, found))
    write(file, lambda path: save_array(path, counts.astype(np.uint16)))
    return True


def align(aligner, paths):
    """Give the paths in which a face is found, and the faces."""
    if aligner is None:
        return paths, paths
    found = [record.path for record in aligner.locate(paths) if record.status == "found"]
    return found, aligner.transform(found) if found else []


def write(path, save):
    """Write under another name first, so that a file with its own name is complete."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    save(temporary)
    os.replace(temporary, path)


def write_list(path, rows):
    """Write one path per line."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([row] for row in rows)


def save_array(path, array):
    """Write an array without a suffix of numpy's choosing."""
    with open(path, "wb") as file:
        np.save(file, array)


def demonstrate(options, folder):
    """Make a small folder of pictures for the toy network."""
    options.pictures, options.results = folder / "pictures", folder / "results"
    options.backbone, options.aligned, options.shard_size = "toy_image", True, 40
    options.cache = options.cache or str(folder / "store")
    options.pictures.mkdir()
    for index, picture in enumerate(make_pictures(200, random_state=0)[0]):
        Image.fromarray(picture).save(options.pictures / f"{index:04d}.png")


if __name__ == "__main__":
    main()
