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

import time
from functools import partial

import numpy as np
from options import RESULTS, find_recipes, make_parser
from pairs import PAIRS, describe_pair, list_pictures
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from table import format_table, spell, write_csv, write_page

from skfakespotter import CoverageCache, FaceAligner, NeuronCoverageTransformer, load_backbone
from skfakespotter.evaluation import compare

RECIPE = "recipes.mobilefacenet:mobilefacenet"
UNIONS = ("union", "balanced union")
CACHE_BYTES = 6 * 10**9  # of one pair's records; the largest pair needs a part of it
COLUMNS = ("pair", "granularity", "network", "n", "n_missing", "auc", "low", "high")
COLUMNS += ("gain", "gain_low", "gain_high")


def main(arguments=None):
    """Cut, watch, cross-validate and write the tables."""
    parser = make_parser(__doc__, data="faces/ and weights/", out=RESULTS / "networks")
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--limit", type=int, help="pictures of a pair, both classes together")
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    start, rows = time.perf_counter(), []
    find_recipes()
    weights = options.data / "weights" / "mobilefacenet_casia.ckpt"
    networks = {
        "dlib": load_backbone("dlib"),
        "mobilefacenet": load_backbone(RECIPE, weights=weights),
    }
    for pair in options.pairs:
        rows += measure_pair(options.data / "faces", pair, networks, options)
        print(f"{pair}: {time.perf_counter() - start:.0f} s since the start", flush=True)
    write(rows, options, time.perf_counter() - start)


def measure_pair(data, pair, networks, options):
    """Return the rows of one pair."""
    paths, y, groups = list_pictures(data, pair, options.limit)
    aligner = FaceAligner("dlib", n_jobs=options.n_jobs)
    found = np.array([r.status == "found" for r in aligner.locate(paths.tolist())])
    paths, y, groups = paths[found].tolist(), y[found], groups[found]
    faces = {
        name: aligner.set_params(template=network.template).transform(paths)
        for name, network in networks.items()
    }
    cache, rows = CoverageCache(max_bytes=CACHE_BYTES), []
    for granularity in ("layer", "channel"):
        detectors = {}
        for name in [*networks, *UNIONS]:
            branches = [
                (n, branch(networks[n], faces[n], granularity, cache, balance=name != UNIONS[0]))
                for n in (networks if name in UNIONS else [name])
            ]
            detectors[name] = make_detector(branches)
        result = compare(detectors, np.arange(len(y)), y, groups=groups)
        better = max(networks, key=lambda name: result.reports[name]["AUC"].value)
        for name, report in result.reports.items():
            gain = ["", "", ""] if name in networks else gain_over(result, name, better)
            row = [pair, granularity, name, len(y), int(np.sum(~found)), *report["AUC"], *gain]
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def gain_over(result, union, network):
    """Return the difference of a union to a network, with its interval."""
    for row in result.differences:
        if {row.a, row.b} == {union, network}:
            low, high = (row.low, row.high) if row.a == union else (-row.high, -row.low)
            return row.difference if row.a == union else -row.difference, low, high
    raise KeyError((union, network))


def branch(backbone, faces, granularity, cache, *, balance):
    """Watch one network on the faces cut for it.

    Parameters
    ----------
    backbone : Backbone
        The network.
    faces : ndarray of shape (n, h, w, 3), uint8
        All faces of the pair.
    granularity : {"layer", "channel"}
        Of the coverage.
    cache : CoverageCache
        So that folds need no further passes.
    balance : bool
        Divide the scaled vectors by the square root of their length.

    Returns
    -------
    Pipeline
        It takes positions in the faces, so that branches with different faces share one X.
    """
    take = FunctionTransformer(lambda rows: faces[rows])
    coverage = NeuronCoverageTransformer(backbone, granularity=granularity, cache=cache)
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


def write(rows, options, seconds):
    """Write the rows as CSV and as Markdown, one line a pair."""
    options.out.mkdir(parents=True, exist_ok=True)
    digits = [
        [f"{value:.5f}" if isinstance(value, float) else value for value in row.values()]
        for row in rows
    ]
    write_csv(options.out / "networks.csv", COLUMNS, digits)
    limit = f" --limit {options.limit}" if options.limit else ""
    parts = [
        f"{seconds / 60:.1f} minutes; faces found by dlib.",
        " ".join(__doc__.strip().split("\n\n")[2].splitlines()),
        "AUC of the scores of all five folds together, in brackets 95 % bootstrap intervals by "
        "photograph. Gain: the union minus the better of the two networks alone (which one is "
        "decided once, on all pictures), its interval from the same resamples for both.",
    ]
    for granularity in ("layer", "channel"):
        parts += [f"## Coverage per {granularity}", tabulate(rows, granularity)]
    command = f"python benchmarks/networks.py --data FOLDER{limit}"
    write_page(options.out / "README.md", "Two networks and their union", command, *parts)


def tabulate(rows, granularity):
    """Format the rows of a granularity, one line a pair."""
    lines = {}
    for row in (row for row in rows if row["granularity"] == granularity):
        start = [row["pair"], describe_pair(row["pair"]).kind, f"{row['n']} ({row['n_missing']})"]
        cells = lines.setdefault(row["pair"], start)
        cells.append(spell(row["auc"], row["low"], row["high"]))
        if row["network"] in UNIONS:
            cells.append(spell(row["gain"], row["gain_low"], row["gain_high"], sign="+"))
    header = ["pair", "kind of fake", "faces (left out)", "dlib", "mobilefacenet"]
    return format_table([*header, "union", "gain", "balanced union", "gain"], lines.values())


if __name__ == "__main__":
    main()
