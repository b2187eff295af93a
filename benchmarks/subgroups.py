"""Errors by subgroup: generator, source, and what can be measured of a face without guessing.

    python benchmarks/subgroups.py --data FOLDER [--work FOLDER] [--out FOLDER] [--limit 200]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. One detector is trained on
all pairs together and scores every picture out of fold, photographs and their edits kept together;
``detection_report(by=...)`` then gives its figures by generator, source, face width, brightness,
sharpness and pose, and the gap of each subgroup to all others. Nothing is said of persons.
"""

from pathlib import Path

import numpy as np
from options import RESULTS, make_parser
from pairs import PAIRS, describe_pair, list_pictures
from sklearn.svm import SVC
from table import format_table, spell, write_page
from work import Work

from skfakespotter import (
    FaceAligner,
    detection_report,
    make_fakespotter,
    picture_attributes,
    within_pair,
)

ALIGNER = FaceAligner()
SHOWN = ("AUC", "FPR", "FNR")
PHOTOGRAPHS = {  # where the photographs of a source come from
    "stylegan": "FFHQ",
    "stylegan2": "Unsplash",
    "pggan": "CIPLAB",
    "stargan": "CelebA",
    "stgan": "CelebA",
    "faceswap": "OpenForensics",
}


def gather(options):
    """Return pictures with a face, labels, groups and attributes of all pairs."""
    parts = []
    for pair in options.pairs:
        paths, y, groups = list_pictures(options.data, pair, options.limit)
        records = ALIGNER.locate(paths.tolist())
        found = np.array([record.status == "found" for record in records])
        facts = describe_pair(pair)
        source = PHOTOGRAPHS.get(facts.source, facts.source)
        measured = picture_attributes(paths.tolist(), records)
        words = {"generator": np.where(y == 1, facts.generator, "photograph"), "source": source}
        columns = {name: np.broadcast_to(value, y.shape) for name, value in words.items()}
        parts.append(
            {name: own[found] for name, own in {**columns, **measured}.items()}
            | {"path": paths[found], "y": y[found], "group": groups[found]}
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def score(options, table):
    """Score all pictures out of fold by one detector trained on all pairs."""
    detector = make_fakespotter(
        granularity="channel",
        align=ALIGNER,
        classifier=SVC(C=10),
        cache="memory",
        random_state=0,
    )
    result = within_pair(detector, table["path"].tolist(), table["y"], groups=table["group"])
    return {"scores": result.scores, "threshold": result.threshold}


def main(arguments=None):
    """Score, report by subgroup, save."""
    parser = make_parser(__doc__, data="one subfolder per pair", out=RESULTS / "subgroups")
    parser.add_argument("--work", type=Path, default=Path("subgroups_work"))
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--limit", type=int, default=200, help="pictures of a pair")
    options = parser.parse_args(arguments)
    work = Work(options.work)
    work.claim(
        data=str(options.data.resolve()),
        limit=options.limit,
        pairs=options.pairs,
        detector=ALIGNER.detector,
    )
    table = work.once("table", lambda: gather(options))
    scored = work.once("scores", lambda: score(options, table))
    by = {name: table[name] for name in table if name not in ("path", "y", "group")}
    report = detection_report(
        table["y"], scored["scores"], threshold=scored["threshold"], groups=table["group"], by=by
    )
    options.out.mkdir(parents=True, exist_ok=True)
    report.to_csv(options.out / "subgroups.csv")
    shown = [one for one in report.subgroups if one.value != "photograph"]  # in every other row
    rows = [
        [
            one.attribute,
            one.value,
            one.n_real,
            one.n_fake,
            *(f"{one.figures[name].value:.3f}" for name in SHOWN),
            *(spell(*one.gaps[name], sign="+") for name in SHOWN),
        ]
        for one in shown
    ]
    header = ["attribute", "subgroup", "real", "fake", *SHOWN, *(f"gap in {n}" for n in SHOWN)]
    overall = ", ".join(f"{name} {report.overall[name].value:.3f}" for name in SHOWN)
    write_page(
        options.out / "README.md",
        "Errors by subgroup",
        f"python benchmarks/subgroups.py --data FOLDER --limit {options.limit}",
        "Coverage per channel with a support vector machine, trained on "
        f"{len(options.pairs)} pairs together ({', '.join(options.pairs)}), {options.limit} "
        f"pictures of each, five folds; {len(table['y'])} faces found by {ALIGNER.detector!r}. "
        f"All together: {overall}. Gaps are to all other pictures, in brackets their 95 % "
        "intervals; of twenty one lies beyond by chance. Fakes of a generator are measured "
        "against all photographs.",
        format_table(header, rows),
    )


if __name__ == "__main__":
    main()
