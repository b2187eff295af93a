"""Measure what the wrong alignment costs: each network on each template.

    python benchmarks/templates.py --data FOLDER [--weights FILE] [--limit N] [--out FOLDER]

FOLDER holds ``real/`` and ``fake/``. Without ``--weights``, MobileFaceNet's file is searched
for as ``find_weights`` does, and the network left out when there is none. Each cell is the
AUC of five folds, split by file name, of per-channel coverage, scaled, and a support vector
machine (C=10); "center" takes no alignment but the center of the picture. Pictures in which
no face is found are taken by their center in every column.
"""

from pathlib import Path

import numpy as np
from options import RESULTS, find_recipes, make_parser
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from table import format_table, write_csv, write_page

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_backbone, load_folders
from skfakespotter.faces import TEMPLATES

MOBILEFACENET = "recipes.mobilefacenet:mobilefacenet"


def main(arguments=None):
    """Align, count, cross-validate and write the tables."""
    parser = make_parser(__doc__, data="real/ and fake/", out=RESULTS / "templates")
    parser.add_argument("--weights", type=Path, help="MobileFaceNet's file")
    parser.add_argument("--limit", type=int, help="pictures of each class")
    options = parser.parse_args(arguments)
    paths, labels, groups = pictures(options.data, options.limit)
    rows = []
    for network in networks(options.weights):
        for template in [*TEMPLATES, "center"]:
            scores = measure(network, template, paths, labels, groups)
            own = template == (network.template or "dlib")
            rows.append([network.name, template, own, len(paths), scores.mean(), scores.std()])
            print(f"{network.name} on {template}: AUC {scores.mean():.3f}", flush=True)
    write(rows, options.out, options.data.name)


def pictures(folder, limit):
    """List paths, labels and groups, the first ``limit`` of each class."""
    bunch = load_folders(folder)
    kept = [np.flatnonzero(bunch.target == label)[:limit] for label in (0, 1)]
    kept = np.concatenate(kept)
    return [bunch.data[i] for i in kept], bunch.target[kept], bunch.groups[kept]


def networks(weights):
    """Load dlib's network, and MobileFaceNet where its weights are."""
    found = [load_backbone("dlib")]
    find_recipes()
    try:
        found.append(load_backbone(MOBILEFACENET, weights=weights))
    except FileNotFoundError as error:
        print(f"without MobileFaceNet: {error}")
    return found


def measure(network, template, paths, labels, groups):
    """Return the AUC of each fold; whole pictures are fitted to the network by their center."""
    faces = paths
    if template != "center":
        height = network.input_size[0]  # at the network's own resolution
        faces = FaceAligner(template=template, size=height, on_missing="center").transform(paths)
    coverage = NeuronCoverageTransformer(network, granularity="channel").fit_transform(faces)
    model = make_pipeline(StandardScaler(), SVC(C=10))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return cross_val_score(model, coverage, labels, groups=groups, cv=folds, scoring="roc_auc")


def write(rows, folder, data):
    """Write the rows as CSV, and as a Markdown table with one line a network."""
    header = ["network", "template", "trained_with_it", "n_pictures", "auc", "auc_std"]
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / f"{data}.csv", header, rows)
    lines = {}
    for name, _, own, _, mean, std in rows:
        cell = f"{mean:.3f} ± {std:.3f}"
        lines.setdefault(name, [name]).append(f"**{cell}**" if own else cell)
    write_page(
        folder / f"{data}.md",
        f"Templates on {data}",
        "python benchmarks/templates.py --data FOLDER",
        format_table(["network", *TEMPLATES, "center"], lines.values()),
        f"AUC on {data} ({rows[0][3]} pictures, 5 folds, mean and standard deviation); in bold "
        "the template that the network was trained with.",
    )


if __name__ == "__main__":
    main()
