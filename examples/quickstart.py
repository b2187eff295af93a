"""
Quickstart: from pictures to a verdict
======================================

Without arguments it runs on data that need no download:

1. fit the whole pipeline, network included, on generated pictures;
2. search over classifiers of coverage that was measured on real and GAN-made faces, and
   print the paper's figures on held-out photographs;
3. save the detector, load it in a fresh process and score a real photograph;
4. ask the detectors that ship about the same photograph.

With ``--data FOLDER`` it does the same on your pictures; the folder holds ``real/`` and ``fake/``.
The detector also scores the pictures named at the end.

    python examples/quickstart.py [--data FOLDER] [--out FOLDER] [--epochs N] [PICTURE ...]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import skimage
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import (
    DetectionCurveDisplay,
    FaceAligner,
    FakeSpotterClassifier,
    detection_report,
    load_coverage_sample,
    load_folders,
    make_fakespotter,
    make_pictures,
)
from skfakespotter.detectors import score_each, summarize

CLASSIFIERS = {
    "FakeSpotterClassifier": FakeSpotterClassifier(random_state=0),
    "SVC": CalibratedClassifierCV(SVC(C=10), ensemble=False),
    "LogisticRegression": LogisticRegression(C=0.1, max_iter=2000),
    "RandomForestClassifier": RandomForestClassifier(300, random_state=0),
}
ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"  # NASA, public domain

# What a program that only scores looks like: nothing of this file is needed.
SCORING = """
import sys, joblib
from skfakespotter import FaceAligner
model, *pictures = sys.argv[1:]
detector = joblib.load(model)
for record in FaceAligner().locate(pictures):
    if record.status == "found":
        p = detector.predict_proba([record.path])[0, 1]
        print(f"  {p:.3f} probability of fake: {record.path}")
    else:
        print(f"  not scored, {record.status} ({record.reason or 'no face'}): {record.path}")
"""


def main(arguments=None):
    """Run the job on the embedded data, or on a folder."""
    parser = argparse.ArgumentParser(description="Spot AI-synthesized faces.")
    parser.add_argument("--data", type=Path, help="folder with real/ and fake/")
    parser.add_argument("--out", type=Path, default=Path("report"), help="where results go")
    parser.add_argument("--epochs", type=int, help="of the paper's network; few for a quick look")
    parser.add_argument("pictures", nargs="*", help="pictures to score")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.epochs:
        CLASSIFIERS["FakeSpotterClassifier"].set_params(max_epochs=options.epochs)
    if options.data:
        detector = learn_from_folder(options.data, options.out)
    else:
        fit_generated_pictures()
        detector = learn_from_measured_table(options.out)
    score_in_fresh_process(detector, options.out, options.pictures)
    ask_the_panel([str(ASTRONAUT), *options.pictures])


def fit_generated_pictures():
    """Fit the paper's pipeline end to end; these are not faces, so nothing is aligned."""
    X, y = make_pictures(200, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    classifier = clone(CLASSIFIERS["FakeSpotterClassifier"])
    detector = make_fakespotter(align=False, classifier=classifier).fit(X_train, y_train)
    print("Generated pictures, camera against generator; the whole pipeline is fitted here")
    print(detection_report(y_test, detector.predict_proba(X_test)[:, 1]), "\n")


def learn_from_measured_table(out):
    """Search on coverage that was measured on faces; give a detector of new pictures."""
    train = load_coverage_sample(pair="stylegan", split="train")
    test = load_coverage_sample(pair="stylegan", split="test")
    print("FFHQ photographs against StyleGAN, measured coverage per layer")
    search = search_classifier(train.data, train.target, train.groups)
    report(search, test.data, test.target, test.groups, out)
    return make_pipeline(FaceAligner(), train.transformer(), *last_steps(search))


def learn_from_folder(folder, out):
    """Align, count, search and report on the user's own pictures."""
    pictures = load_folders(folder)
    records = FaceAligner(n_jobs=-1, verbose=1).locate(pictures.data)
    for record in records:
        if record.status != "found":
            print(f"left out, {record.status}: {record.path}")
    faces = [record.index for record in records if record.status == "found"]
    if not faces:
        sys.exit(f"no face was found in any picture of {folder}")
    paths = [pictures.data[i] for i in faces]
    y, groups = pictures.target[faces], pictures.groups[faces]
    print(f"{folder}: {len(faces)} faces in {len(records)} pictures, coverage per channel")

    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(paths, y, groups))
    features = make_fakespotter(granularity="channel")[:2]
    features.set_params(align__n_jobs=-1, align__verbose=1, coverage__verbose=1)
    Z_train = features.fit_transform([paths[i] for i in train])
    search = search_classifier(Z_train, y[train], groups[train])
    Z_test = features.transform([paths[i] for i in test])
    report(search, Z_test, y[test], groups[test], out)
    features.set_params(align__n_jobs=None, align__verbose=0, coverage__verbose=0)
    return make_pipeline(*last_steps(features), *last_steps(search))


def search_classifier(Z, y, groups):
    """Choose the classifier by cross-validation; a group stays on one side of a split."""
    pipeline = Pipeline([("scale", StandardScaler()), ("classifier", None)])
    grid = {"classifier": list(CLASSIFIERS.values())}
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=folds, verbose=1)
    search.fit(Z, y, groups=groups)
    for name, score in zip(CLASSIFIERS, search.cv_results_["mean_test_score"], strict=True):
        print(f"  {name:22} cross-validated AUC {score:.3f}")
    return search


def last_steps(fitted):
    """Give the fitted steps of a Pipeline, or of the best one of a search."""
    pipeline = getattr(fitted, "best_estimator_", fitted)
    return [step for _, step in pipeline.steps]


def report(search, Z, y, groups, out):
    """Print the paper's figures on held-out pictures and draw two curves."""
    scores = search.predict_proba(Z)[:, 1]
    print(detection_report(y, scores, groups=groups))
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), layout="constrained")
    for kind, panel in zip(("precision-recall", "roc"), axes, strict=True):
        DetectionCurveDisplay.from_predictions(y, scores, kind=kind, groups=groups, ax=panel)
    figure.suptitle(f"{len(y)} held-out pictures; bands are 95 % intervals")
    for name in ("curves.png", "curves.pdf"):  # to look at, and for a paper
        figure.savefig(out / name, dpi=150)
    print(f"curves: {out / 'curves.png'} and {out / 'curves.pdf'}\n")


def score_in_fresh_process(detector, out, pictures):
    """Save the detector and let another process load it and score pictures."""
    model = out / "detector.joblib"
    joblib.dump(detector, model)
    print(f"saved {model} ({model.stat().st_size / 1024:.0f} KiB); scored in a fresh process:")
    command = [sys.executable, "-c", SCORING, str(model), str(ASTRONAUT), *pictures]
    subprocess.run(command, check=True)


def ask_the_panel(pictures):
    """Print what the detectors that ship say: what each knows, promises and finds."""
    print("\nwhat the detectors that ship say, each wrong about 1 % of photographs at most:")
    for rows in score_each(pictures):
        for row in rows:
            if row.status == "scored":
                print(f"  {row.detector:20} p = {row.p:.3f}  {row.verdict}")
        print(f"  {Path(rows[0].picture).name}: {summarize(rows)}")


if __name__ == "__main__":
    main()
