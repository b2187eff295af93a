"""Compare a stack of unlike experts with its best member, pair by pair.

    python benchmarks/stack.py --data FOLDER --work FOLDER [--limit 300] [--out FOLDER]

FOLDER holds ``faces/``, one subfolder per pair with ``real/`` and ``fake/``, and
``weights/mobilefacenet_casia.ckpt``. Four experts: coverage per channel of dlib's network and of
MobileFaceNet, mean activations of dlib's, co-occurrence matrices of the whole picture; each a
ridge classifier on standardized features. An ``ExpertStack`` learns their weights from five inner
folds; five outer folds score every picture once. All folds keep the versions of a photograph
together. Thresholds and scaling of the features, which know no labels, come from all pictures
of the pair; features are kept in the work folder.
"""

from pathlib import Path

import numpy as np
from options import find_recipes, make_parser
from pairs import PAIRS, list_pictures
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from table import save_table, spell

from skfakespotter import (
    CooccurrenceMatrices,
    ExpertStack,
    FaceAligner,
    NeuronCoverageTransformer,
    load_backbone,
)
from skfakespotter.baselines import MeanActivations

RECIPE = "recipes.mobilefacenet:mobilefacenet"
ALPHA = 1.0  # of the ridge classifier, times the number of features
N_FOLDS, N_BOOTSTRAPS = 5, 1000


def main(arguments=None):
    """Compute features, cross-validate, compare, write."""
    parser = make_parser(__doc__, data="faces/ and weights/")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--limit", type=int, help="pictures of a pair, both classes together")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for pair in options.pairs:
        path = options.work / f"{pair}-{options.limit}.npz"
        if not path.exists():
            np.savez(path, **measure(options.data, pair, options.limit))
        with np.load(path) as kept:
            features = {key: kept[key] for key in kept.files}
        rows.append(judge(pair, features.pop("y"), features.pop("groups"), features))
        print(*rows[-1], flush=True)
    limit = f" --limit {options.limit}" if options.limit else ""
    header = ["pair", "faces", *features, "stack", "stack minus the best member", "weights"]
    save_table(
        options.out,
        "stack",
        "A stack of unlike experts",
        f"python benchmarks/stack.py --data FOLDER --work FOLDER{limit}",
        header,
        rows,
        [
            "AUC. The best member is chosen on these very scores, which favors it. In brackets "
            f"95 % intervals of the difference, {N_BOOTSTRAPS:,} resamples by photograph. Weights: "
            "of the members, in the order of the columns, in units of their standard deviations, "
            "mean of the folds."
        ],
    )


def measure(data, pair, limit):
    """Compute the features of every expert."""
    print(f"measuring {pair}", flush=True)
    find_recipes()
    weights = data / "weights" / "mobilefacenet_casia.ckpt"
    networks = {"dlib": "dlib", "mobilefacenet": load_backbone(RECIPE, weights=weights)}
    paths, y, groups = list_pictures(data / "faces", pair, limit)
    found = np.array([r.status == "found" for r in FaceAligner().locate(paths.tolist())])
    paths, features = paths[found].tolist(), {}
    for name, network in networks.items():
        faces = FaceAligner(template=load_backbone(network).template).transform(paths)
        coverage = NeuronCoverageTransformer(network, granularity="channel")
        features[f"coverage of {name}"] = coverage.fit_transform(faces)
        if name == "dlib":
            features["mean activations"] = MeanActivations(network).fit_transform(faces)
    features["co-occurrence"] = CooccurrenceMatrices().fit_transform(paths)
    return {"y": y[found], "groups": groups[found], **features}


def judge(pair, y, groups, features):
    """Return the row of a pair: AUC of all members and of the stack, and what the stack gains."""
    experts = []
    for name, values in features.items():
        values = StandardScaler().fit_transform(values.astype(np.float64))
        take = FunctionTransformer(lambda rows, values=values: values[rows])
        ridge = RidgeClassifier(ALPHA * values.shape[1], class_weight="balanced")
        experts.append((name, make_pipeline(take, ridge)))
    scores, weights = np.empty((len(y), len(experts) + 1)), []
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(y, y, groups):
        stack = ExpertStack(experts).fit(train, y[train], groups=groups[train])
        scores[test] = np.c_[stack.expert_decisions(test), stack.decision_function(test)]
        weights.append(list(stack.weights_.values()))
    areas = [roc_auc_score(y, of) for of in scores.T]
    best = int(np.argmax(areas[:-1]))
    low, high = difference(y, scores[:, -1], scores[:, best], groups)
    gain = spell(areas[-1] - areas[best], low, high, sign="+")
    told = ", ".join(f"{weight:.1f}" for weight in np.mean(weights, axis=0))
    return [pair, len(y), *(f"{area:.3f}" for area in areas), gain, told]


def difference(y, one, other, groups):
    """Return the 95 % interval of a difference of AUCs, by a bootstrap of the photographs."""
    rng, found = np.random.default_rng(0), []
    names, number = np.unique(groups, return_inverse=True)
    of_group = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    while len(found) < N_BOOTSTRAPS:
        rows = np.concatenate([of_group[i] for i in rng.integers(len(names), size=len(names))])
        if 0 < y[rows].mean() < 1:
            found.append(roc_auc_score(y[rows], one[rows]) - roc_auc_score(y[rows], other[rows]))
    return np.quantile(found, [0.025, 0.975])


if __name__ == "__main__":
    main()
