"""Face detectors: which faces they find, how fast, and what their crops are worth.

    python benchmarks/detection.py --data FOLDER --work FOLDER [--faces-only] [--out FOLDER]

FOLDER of the data holds a folder for each pair of real and fake faces, each with ``real/`` and
``fake/``; that of the work keeps crops and figures, so that a run that was stopped goes on.

Three crops of the template "dlib" are compared: dlib's own; CenterFace's box, made like one of
dlib's, with dlib's five-point predictor; and CenterFace's five points, put by a similarity to where
they lie on average in dlib's crops. The AUC is that of coverage with a support vector machine, on
the pictures whose faces both detectors find, in the same folds. ``--faces-only`` leaves it out.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from options import make_parser
from pairs import PAIRS, describe_pair
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from table import save_table

from skfakespotter import NeuronCoverageTransformer, within_pair
from skfakespotter.faces import crop_face
from skfakespotter.faces._centerface import find_centerface
from skfakespotter.faces._dlib import box_for_dlib, find_dlib, landmarks
from skfakespotter.images import find_images, load_image

COMMAND = "python benchmarks/detection.py --data FOLDER --work FOLDER"
CROPS = ("dlib", "CenterFace's box, dlib's landmarks", "CenterFace's points")
BATCH = 64  # pictures


def main(arguments=None):
    """Find, crop and score pair by pair; save a table of faces and one of AUCs."""
    parser = make_parser(__doc__, data="one subfolder per pair")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--faces-only", action="store_true", help="leave the AUC out: minutes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    found, scores = {}, {}
    for pair in options.pairs:
        found[pair] = search(options.data / pair, options.work / f"{pair}.npz")
        if not options.faces_only:
            scores[pair] = score(options.work, pair, found[pair])
    save_faces(found, options.out)
    if scores:
        save_scores(scores, options.out)


def search(folder, file):
    """Find and crop the faces of a pair, once; return what was found, picture by picture."""
    if not file.exists():
        paths = find_images(folder)
        rows, crops = [], []
        for start in range(0, len(paths), BATCH):
            for row, three in look(paths[start : start + BATCH]):
                rows.append(row)
                if three:
                    crops.append(three)
        seconds, faces = np.array([r[:2] for r in rows]), np.array([r[2:] for r in rows])
        np.savez(
            file,
            fake=[p.parent.name == "fake" for p in paths],
            groups=[p.name if describe_pair(folder.name).paired else str(p) for p in paths],
            seconds=seconds,
            found=faces,
            crops=np.array(crops),
        )
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files if name != "crops"}


def look(paths):
    """Yield seconds and success of dlib and CenterFace, and three crops where both find a face."""
    images = [load_image(path) for path in paths]
    start = time.thread_time()
    found = find_centerface(images)
    network = (time.thread_time() - start) / len(images)
    for image, ours in zip(images, found, strict=True):
        start = time.thread_time()
        theirs = find_dlib(image)
        row = (time.thread_time() - start, network, bool(theirs), bool(ours))
        both = theirs and ours
        yield (
            row,
            (
                [crop_face(image, f) for f in (theirs[0], _predicted(image, ours[0]), ours[0])]
                if both
                else None
            ),
        )


def _predicted(image, face):
    """Let dlib's predictor find its landmarks of a face that CenterFace has found."""
    box = box_for_dlib(face)
    return replace(face, box=box, landmarks=landmarks(image, box, 5), scheme="eye corners")


def score(work, pair, found):
    """Cross-validate each crop per layer and per channel; keep what is done."""
    file = work / "scores.json"
    with np.load(work / f"{pair}.npz") as stored:
        crops = stored["crops"]
    both = found["found"].all(1)
    y, groups = found["fake"][both].astype(int), found["groups"][both]
    for number, name in enumerate(CROPS):
        for granularity in ("channel", "layer"):
            known = json.loads(file.read_text()) if file.exists() else {}
            key = f"{pair}/{name}/{granularity}"
            if key not in known:
                coverage = NeuronCoverageTransformer(granularity=granularity, cache=work / "cache")
                model = make_pipeline(coverage, StandardScaler(), SVC(C=10))
                result = within_pair(model, crops[:, number], y, groups=groups)
                file.write_text(json.dumps({**known, key: float(result.fold_auc.mean())}))
    known = json.loads(file.read_text())
    return {key: value for key, value in known.items() if key.startswith(f"{pair}/")}


def save_faces(found, out):
    """Save how many faces each detector finds."""
    rows = []
    for pair, facts in found.items():
        for kind, fake in (("real", False), ("fake", True)):
            here = facts["fake"] == fake
            n, hits = here.sum(), facts["found"][here].sum(0)
            milliseconds = 1e3 * np.median(facts["seconds"][here], axis=0)
            for detector, hit, each in zip(("dlib", "CenterFace"), hits, milliseconds, strict=True):
                missed = f"{100 * (n - hit) / n:.2f} %"
                rows.append([pair, kind, detector, n, hit, n - hit, missed, f"{each:.1f}"])
    header = ["pair", "class", "detector", "pictures", "found", "missed", "missed, %", "ms"]
    n, hits = (
        sum(len(f["fake"]) for f in found.values()),
        sum(f["found"].sum(0) for f in found.values()),
    )
    notes = [
        f"Of {n} pictures dlib misses {n - hits[0]} ({100 * (n - hits[0]) / n:.2f} %), CenterFace "
        f"{n - hits[1]} ({100 * (n - hits[1]) / n:.2f} %). Milliseconds are processor time of one "
        f"thread for a picture, landmarks included, the median; CenterFace in batches of {BATCH}. "
        f"torch {torch.__version__}."
    ]
    save_table(out, "detection", "Face detectors", COMMAND, header, rows, notes)


def save_scores(scores, out):
    """Save the AUC of every pair and crop, and the means."""
    rows, means = [], []
    for granularity in ("layer", "channel"):
        table = np.array(
            [[s[f"{pair}/{name}/{granularity}"] for name in CROPS] for pair, s in scores.items()]
        )
        for pair, values in zip(scores, table, strict=True):
            rows.append([pair, granularity, *(f"{value:.4f}" for value in values)])
        rows.append(["mean", granularity, *(f"{value:.4f}" for value in table.mean(0))])
        means.append(table.mean(0))
    header = ["pair", "granularity", *CROPS]
    notes = ["AUC, five folds, StandardScaler and SVC(C=10), pictures whose faces both find."]
    save_table(out, "detection_auc", "What crops are worth", COMMAND, header, rows, notes)


if __name__ == "__main__":
    main()
