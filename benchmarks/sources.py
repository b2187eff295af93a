"""Photographs against photographs: what the cheap cues tell of the source, with no fake in sight.

    python benchmarks/sources.py --data FOLDER [--out benchmarks/results]

FOLDER holds the pairs; the ``real/`` halves of pairs from different sources are told apart by
the cheap-cue baseline, as real and fake are elsewhere.
"""

from itertools import combinations

import numpy as np
from options import make_parser
from pairs import describe_pair
from sklearn.model_selection import StratifiedKFold, cross_val_score
from table import save_table

from skfakespotter.baselines import make_baseline
from skfakespotter.images import find_images

SETS = "stylegan", "stylegan2", "pggan", "faceswap"


def main(arguments=None):
    """Compare every two sources, print a table and save it."""
    parser = make_parser(__doc__, data="one subfolder per pair")
    parser.add_argument("--limit", type=int, default=400)
    options = parser.parse_args(arguments)
    rows = []
    for one, two in combinations(SETS, 2):
        first, second = (
            find_images(options.data / s / "real")[: options.limit] for s in (one, two)
        )
        X = [str(path) for path in [*first, *second]]
        y = np.repeat([0, 1], [len(first), len(second)])
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        auc = cross_val_score(make_baseline("cheap-cues"), X, y, cv=folds, scoring="roc_auc")
        rows.append([describe_pair(one).source, describe_pair(two).source, f"{auc.mean():.3f}"])
    notes = [f"At most {options.limit} photographs of each; no fake is among them."]
    command = "python benchmarks/sources.py --data FOLDER"
    header = ["photographs of", "photographs of", "AUC of the cheap cues"]
    save_table(options.out, "sources", "Two sources, no fakes", command, header, rows, notes)


if __name__ == "__main__":
    main()
