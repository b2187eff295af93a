"""Measure two networks and their union on every pair.

    python benchmarks/networks.py --data FOLDER [--limit N] [--out FOLDER]

FOLDER holds ``faces/``, one subfolder per pair with ``real/`` and ``fake/``, and
``weights/mobilefacenet_casia.ckpt``. dlib's network and MobileFaceNet each watch the faces cut
for them; the union is a FeatureUnion of both. In "union" every feature has the same weight,
so that the network with more channels has more say; in "balanced union" the vectors of each
network are divided by the square root of their length, so that both have the same. Five folds,
by photograph where edits of it are in the pair; thresholds, scaling and a support vector
machine (RBF, C=10) from the training folds alone. Pictures without a face are left out.
"""

import argparse
import csv
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from pairs import PAIRS, describe_pair
from report.pictures import list_pictures
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter.cache import CoverageCache
from skfakespotter.evaluation import within_pair
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import crop_face
from skfakespotter.images import load_image

RECIPE = "recipes.mobilefacenet:mobilefacenet"
UNIONS = ("union", "balanced union")
CHUNK = 48  # pictures of one parallel task
STORE_BYTES = 6 * 10**9  # of one pair's records; the largest pair needs a part of it
COLUMNS = ["pair", "granularity", "network", "n", "n_missing", "auc", "low", "high"]
COLUMNS += ["fold_auc", "gain", "gain_low", "gain_high"]


def main(arguments=None):
    """Cut, watch, cross-validate and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--limit", type=int, help="pictures of a pair, both classes together")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/networks"))
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    start, rows = time.perf_counter(), []
    networks = load_networks(options.data / "weights" / "mobilefacenet_casia.ckpt")
    for pair in options.pairs:
        rows += measure_pair(options.data / "faces", pair, networks, options)
        print(f"{pair}: {time.perf_counter() - start:.0f} s since the start", flush=True)
    write(rows, options, time.perf_counter() - start)


def load_networks(weights):
    """Load dlib's network, and MobileFaceNet through the extension point for any module."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    return {"dlib": load_backbone("dlib"), "mobilefacenet": load_backbone(RECIPE, weights=weights)}


def measure_pair(data, pair, networks, options):
    """Give the rows of one pair."""
    pictures = list_pictures(data, pair, options.limit)
    templates = [network.template for network in networks.values()]
    found, chips = cut_faces(pictures.paths, templates, options.n_jobs)
    y, groups = pictures.y[found], pictures.groups[found]
    chips, store = dict(zip(networks, chips, strict=True)), CoverageCache(max_bytes=STORE_BYTES)
    rows, X = [], np.arange(len(y))
    for granularity in ("layer", "channel"):
        results = {}
        for name in [*networks, *UNIONS]:
            chosen = networks if name in UNIONS else [name]
            branches = [
                (n, branch(networks[n], chips[n], granularity, store, balance=name != UNIONS[0]))
                for n in chosen
            ]
            results[name] = within_pair(make_detector(branches), X, y, groups=groups)
        for name, result in results.items():
            figure = result.report()["AUC"]
            gain = gain_over(results, name, networks) if name in UNIONS else [""] * 3
            facts = [pair, granularity, name, len(y), int(np.sum(~found))]
            row = [*facts, *figure, result.fold_auc.mean(), *gain]
            rows.append(dict(zip(COLUMNS, row, strict=True)))
            print(f"{pair} {granularity} {name}: AUC {figure.value:.4f}", flush=True)
    return rows


def cut_faces(paths, templates, n_jobs):
    """Find each face once and cut it for every template.

    Returns
    -------
    found : ndarray of shape (n,), bool
        Where there is a face.
    chips : list of ndarray, uint8
        One array a template, a row for each face found.
    """
    starts = range(0, len(paths), CHUNK)
    chunks = Parallel(n_jobs)(
        delayed(_cut_chunk)(paths[start : start + CHUNK], templates) for start in starts
    )
    cut = [crops for chunk in chunks for crops in chunk]
    chips = zip(*(crops for crops in cut if crops), strict=True)
    return np.array([bool(crops) for crops in cut]), [np.stack(of_one) for of_one in chips]


def _cut_chunk(paths, templates):
    images = [load_image(path) for path in paths]
    faces = [find_faces(image) for image in images]
    return [
        [crop_face(image, found[0], template=template) for template in templates if found]
        for image, found in zip(images, faces, strict=True)
    ]


def branch(backbone, faces, granularity, store, *, balance):
    """Watch one network on the faces cut for it.

    Parameters
    ----------
    backbone : Backbone
        The network.
    faces : ndarray of shape (n, h, w, 3), uint8
        All faces of the pair.
    granularity : {"layer", "channel"}
        Of the coverage.
    store : CoverageCache
        So that folds need no further passes.
    balance : bool
        Divide the scaled vectors by the square root of their length.

    Returns
    -------
    Pipeline
        It takes positions in the faces, so that branches with different faces share one X.
    """
    take = FunctionTransformer(lambda rows: faces[rows])
    coverage = NeuronCoverageTransformer(backbone, granularity=granularity, cache=store)
    share = FunctionTransformer(_equal_say if balance else None)
    steps = [("coverage", coverage), ("scale", StandardScaler()), ("share", share)]
    return Pipeline([("faces", take), *steps])


def make_detector(branches):
    """Join the branches; gamma is one over the features, or over the balanced networks."""
    balanced = branches[0][1]["share"].func is not None
    kernel = partial(rbf_kernel, gamma=1 / len(branches) if balanced else None)
    return make_pipeline(FeatureUnion(branches), SVC(C=10, kernel=kernel))


def _equal_say(X):
    return X / np.sqrt(X.shape[1])


def gain_over(results, union, networks, n_bootstraps=1000):
    """Compare a union with the better of the networks, on the same resamples.

    Parameters
    ----------
    results : dict of str to WithinPairResult
        By name, on the same pictures.
    union : str
        Which union.
    networks : iterable of str
        The networks alone.
    n_bootstraps : int, default=1000
        Resamples of whole groups. "Better" is decided once, on all pictures: deciding it
        anew in every resample would favour the networks.

    Returns
    -------
    (float, float, float)
        Difference of the AUC, and the ends of its 95 % interval.
    """
    better = max(networks, key=lambda name: _auc(results[name], None)[0])
    fake = results[union].y_true == 1
    group = number_groups(results[union].groups, len(fake))
    gains = [
        _auc(results[union], weights) - _auc(results[better], weights)
        for weights in [None, *(drawn for drawn, _ in resample(fake, group, n_bootstraps))]
    ]
    low, high = np.quantile(np.concatenate(gains[1:]), [0.025, 0.975])
    return gains[0][0], low, high


def _auc(result, weights):
    """AUC of all scores together, once for each row of weights."""
    if weights is None:
        weights = np.ones((1, len(result.scores)))
    fake = result.y_true == 1
    figures = weighted_figures(fake, result.scores, result.threshold, weights)
    return figures[:, FIGURES.index("AUC")]


def write(rows, options, seconds):
    """Write the rows as CSV and as Markdown, one line a pair."""
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "networks.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            kept = {k: f"{v:.5f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(kept)
    limit = f" --limit {options.limit}" if options.limit else ""
    lines = [
        "# Two networks and their union",
        "",
        f"`python benchmarks/networks.py --data FOLDER{limit}`, {seconds / 60:.1f} minutes.",
        "",
        " ".join(__doc__.strip().split("\n\n")[2].splitlines()),
        "",
        "AUC of the scores of all five folds together, in brackets 95 % bootstrap intervals by",
        "photograph. Gain: the union minus the better of the two networks alone, its interval from",
        "the same resamples for both. The mean AUC of the folds is in `networks.csv`.",
    ]
    for granularity in ("layer", "channel"):
        lines += ["", f"## Coverage per {granularity}", "", *_table(rows, granularity)]
    text = "\n".join(lines) + "\n"
    (options.out / "README.md").write_text(text, encoding="utf-8")


def _table(rows, granularity):
    chosen = [row for row in rows if row["granularity"] == granularity]
    names = list(dict.fromkeys(row["network"] for row in chosen))
    heads = [head for name in names for head in [name, *["gain"] * (name in UNIONS)]]
    yield f"| pair | kind of fake | faces (left out) | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 3) + "|"
    for pair in dict.fromkeys(row["pair"] for row in chosen):
        of_pair = [row for row in chosen if row["pair"] == pair]
        faces = f"{of_pair[0]['n']} ({of_pair[0]['n_missing']})"
        cells = [pair, describe_pair(pair).kind, faces]
        for row in of_pair:
            cells.append(f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]")
            if row["network"] in UNIONS:
                ends = f"[{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]"
                cells.append(f"{row['gain']:+.3f} {ends}")
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
