"""What half precision does to counts and to accuracy.

    python benchmarks/precision.py --data FOLDER [--out benchmarks/results]

FOLDER holds ``real/`` and ``fake/``. Thresholds are fitted in each precision, and five folds of
StandardScaler and a support vector machine (C=10) are scored on the counts.
"""

import numpy as np
from options import make_parser
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from table import save_table

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_folders


def main(arguments=None):
    """Count in every precision, compare, cross-validate and save."""
    parser = make_parser(__doc__, data="real/ and fake/")
    options = parser.parse_args(arguments)
    data = load_folders(options.data)
    faces = FaceAligner("dlib", n_jobs=-1, on_missing="center").transform(data.data)
    rows, exact = [], None
    for precision in ("float32", "bfloat16"):
        coverage = NeuronCoverageTransformer(granularity="channel", precision=precision).fit(faces)
        counts = coverage.transform(faces)
        exact = counts if exact is None else exact
        n_neurons = coverage.n_neurons_.sum()
        moved = np.abs(counts - exact).sum(1).mean()
        model = make_pipeline(StandardScaler(), SVC(C=10))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        auc = cross_val_score(
            model, counts, data.target, groups=data.groups, cv=folds, scoring="roc_auc"
        )
        rows.append([precision, f"{moved:.0f}", f"{moved / n_neurons:.3%}", f"{auc.mean():.4f}"])
    header = ["precision", "neurons that differ, a picture", "of all", "AUC, per channel"]
    notes = [f"{len(faces)} faces of {options.data.name}, found by dlib, thresholds of each."]
    command = "python benchmarks/precision.py --data FOLDER"
    save_table(options.out, "precision", "Half precision", command, header, rows, notes)


if __name__ == "__main__":
    main()
