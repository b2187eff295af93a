"""
From a search to a detector that can be trusted with any picture
================================================================

What is searched is the whole pipeline, with the aligner inside: the winner takes pictures as
they come, so nobody has to remember how its faces were cropped. Its probabilities are
calibrated on held-out folds, edited versions of a photograph stay together, and the file holds
neither network weights nor a cache.

On generated pictures and a toy network; with ``--data FOLDER``, which holds ``real/`` and
``fake/``, on dlib's network. Pictures named at the end are scored.

    python examples/search_and_save.py [--data FOLDER] [--out FILE] [PICTURE ...]
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from skfakespotter import (
    ExpertStack,
    load_folders,
    make_fakespotter,
    make_pictures,
    score_pictures,
)


def main():
    """Search, save, load, score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("report/detector.joblib"))
    parser.add_argument("pictures", nargs="*")
    options = parser.parse_args()
    backbone, X, y, groups = load(options.data)

    # calibrated on held-out folds; swap the expert, or add others
    classifier = ExpertStack([("linear", LogisticRegression(max_iter=1000))])
    detector = make_fakespotter(
        backbone,
        granularity="channel",
        align=options.data is not None,
        classifier=classifier,
        cache="memory",  # one forward pass for all candidates
        kinds=options.data.name if options.data else "generated toys",  # said with every score
    )
    search = GridSearchCV(
        detector,
        {"classifier__linear__C": [0.001, 0.01, 0.1]},
        cv=StratifiedGroupKFold(3, shuffle=True, random_state=0),
        scoring="roc_auc",
    )
    # the first keeps groups together in the search, the second in the calibration
    search.fit(X, y, groups=groups, classifier__groups=groups)
    print(f"{search.best_params_}, cross-validated AUC {search.best_score_:.3f}")

    options.out.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(search.best_estimator_, options.out)
    print(f"saved {options.out}: {options.out.stat().st_size / 1024:.0f} KiB")

    loaded = joblib.load(options.out)
    for row in score_pictures(options.pictures, loaded) if options.pictures else ():
        print(f"{row.picture}: {row.verdict}; {row.reason}")


def load(folder):
    """Return the network's name, pictures, labels and groups."""
    if folder is None:
        X, y = make_pictures(60, size=32, strength=4, random_state=0)
        return "toy_image", X, y, np.arange(len(y))
    pictures = load_folders(folder)
    return "dlib", pictures.data, pictures.target, pictures.groups


if __name__ == "__main__":
    main()
