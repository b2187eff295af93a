"""An attacker who knows the detector: AUC and fakes that pass as real, by the size of the change.

    python benchmarks/adversarial.py --data FOLDER [--out benchmarks/results] [--n 150] [--test 30]

FOLDER/stylegan holds ``real/`` and ``fake/``. Detectors are trained on n aligned faces of each
class, as they are or with perturbed copies, and asked about attacked faces that they were not
trained on: attacked through the detector itself (white box) or through the other one (transfer).
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.linear_model import LogisticRegression
from table import save_table

from skfakespotter import (
    AdversarialAttack,
    AugmentedClassifier,
    FaceAligner,
    detection_report,
    load_folders,
    make_fakespotter,
)


def main():
    """Train, attack, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--n", type=int, default=150, help="training faces of each class")
    parser.add_argument("--test", type=int, default=30, help="attacked faces of each class")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1, 2, 4, 8], help="levels")
    options = parser.parse_args()
    data = load_folders(options.data / "stylegan", groups="stem")
    order = np.random.default_rng(0).permutation(len(data.data))
    sides = [order[data.target[order] == label] for label in (0, 1)]
    train = np.concatenate([side[: options.n] for side in sides])
    test = np.concatenate([side[options.n : options.n + options.test] for side in sides])
    align = FaceAligner(on_missing="center").transform
    X, y = align([data.data[i] for i in train]), data.target[train]
    X_test, y_test = align([data.data[i] for i in test]), data.target[test]
    linear = LogisticRegression(C=0.01, max_iter=1000)
    plain = make_fakespotter(granularity="channel", align=False, classifier=linear)
    detectors = {
        "trained on faces": plain.fit(X, y),
        "and on perturbed copies": AugmentedClassifier(plain, random_state=0).fit(X, y),
    }
    rows = []
    for through, known in detectors.items():
        for epsilon in (0, *options.epsilon):
            start = perf_counter()
            attacked = AdversarialAttack(known, epsilon).transform(X_test) if epsilon else X_test
            seconds = (perf_counter() - start) / len(X_test)
            for name, detector in detectors.items():
                scores = detector.predict_proba(attacked)[:, 1]
                report = detection_report(y_test, scores)
                auc, missed = report["AUC"], report["FNR"].value
                box = "white box" if through == name else "transfer"
                rows.append(
                    [
                        name,
                        box,
                        f"{epsilon:g}",
                        f"{auc.value:.3f}",
                        f"{missed:.2f}",
                        f"{seconds:.2f}",
                    ]
                )
                print(*rows[-1], flush=True)
    save_table(
        options.out,
        "adversarial",
        "An attacker who knows the detector",
        f"python benchmarks/adversarial.py --data FOLDER --n {options.n} --test {options.test} "
        f"--epsilon {' '.join(f'{epsilon:g}' for epsilon in options.epsilon)}",
        ["detector", "attack", "epsilon (of 255)", "AUC", "fakes that pass", "seconds a picture"],
        rows,
        ["Faces of FFHQ and StyleGAN, aligned; ten steps of projected gradient descent."],
    )


if __name__ == "__main__":
    main()
