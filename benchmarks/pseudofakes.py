"""Learning without fakes: how well detectors trained on simulated fakes spot real ones.

    python benchmarks/pseudofakes.py --data FOLDER [--out benchmarks/results] [--n 150]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Trained on n photographs of
a pair and on fakes made of them, on the photographs and n fakes of the pair, or on all three;
tested on as many other photographs and fakes.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from table import save_table

from skfakespotter import (
    FaceAligner,
    PseudoFakes,
    SelfBlending,
    UpsamplingSimulator,
    detection_report,
    load_folders,
    make_baseline,
    make_fakespotter,
)

PAIRS = ("stylegan", "faceswap")
SIMULATORS = {
    "upsampling, transposed": UpsamplingSimulator("transposed"),
    "upsampling, nearest": UpsamplingSimulator("nearest"),
    "self-blending": SelfBlending(),
}


def detectors():
    """Return what is trained: coverage per channel with a linear model, and AutoGAN's spectrum."""
    linear = LogisticRegression(C=0.01, max_iter=1000)
    aligner = FaceAligner(on_missing="center", lazy=True)
    return {
        "coverage": make_fakespotter(
            granularity="channel", align=aligner, classifier=linear, cache="memory"
        ),
        "spectrum-linear": make_baseline("spectrum-linear", random_state=0),
    }


def main():
    """Train, test, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--n", type=int, default=150, help="photographs to train on")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, choices=PAIRS)
    options = parser.parse_args()
    rows = []
    for pair in options.pairs:
        data = load_folders(options.data / pair, groups="stem")
        order = np.random.default_rng(0).permutation(len(data.data))
        sides = [order[data.target[order] == label] for label in (0, 1)]
        train = np.concatenate([side[: options.n] for side in sides])
        test = np.concatenate([side[options.n : 2 * options.n] for side in sides])
        X = np.array(data.data, dtype=object)
        real = train[data.target[train] == 0]
        for name, detector in detectors().items():
            ways = {"fakes of the pair": (detector, train)}
            for simulator, one in SIMULATORS.items():
                pseudo = PseudoFakes(detector, one, random_state=0)
                ways[simulator] = (pseudo, real)
                ways[f"{simulator}, and fakes"] = (pseudo, train)
            for way, (model, rows_of) in ways.items():
                fitted = model.fit(list(X[rows_of]), data.target[rows_of])
                scores = fitted.predict_proba(list(X[test]))[:, 1]
                auc = detection_report(data.target[test], scores)["AUC"]
                rows.append([pair, name, way, *(f"{value:.3f}" for value in auc)])
                print(*rows[-1], flush=True)
    save_table(
        options.out,
        "pseudofakes",
        "Learning without fakes",
        f"python benchmarks/pseudofakes.py --data FOLDER --n {options.n} "
        f"--pairs {' '.join(options.pairs)}",
        ["pair", "detector", "trained on photographs and", "AUC", "low", "high"],
        rows,
    )


if __name__ == "__main__":
    main()
