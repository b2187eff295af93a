"""Train the detectors that ship, measure them, and write their model cards.

    python benchmarks/detectors.py --data FOLDER --work FOLDER [--detectors FOLDER] [--docs FOLDER]

FOLDER holds one subfolder per pair (``benchmarks/pairs.py``), each with ``real/`` and
``fake/``. What is measured of a picture is kept in the work folder, pair by pair, so that a
run that was stopped goes on where it was, and training again takes minutes. The work folder
holds counts, no picture; ``--face-detector`` measures anew with another one.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from cards import RATES, calibrate, describe, evaluate, figures_table
from measured import (
    FAMILIES,
    PHOTOGRAPHS,
    Everything,
    evenly,
    fit_coverage,
    measure_attributes,
    measure_pair,
    save,
)
from options import make_parser
from pairs import PAIRS
from table import save_table, spell

from skfakespotter import load_folders
from skfakespotter.detectors import load_detector, save_detector
from skfakespotter.detectors._fitting import fit_detector, fold_of
from skfakespotter.detectors._measuring import main_faces
from skfakespotter.detectors._moments import Moments, discriminate
from skfakespotter.explanation import layer_evidence
from skfakespotter.faces import Cropping

FOR_BASELINES = 40  # photographs of each source that the zero lines are taken over
FOLDS = frozenset(range(5))


def main() -> None:
    """Measure, train, evaluate, write."""
    parser = make_parser(__doc__, data="one folder per pair")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--detectors", type=Path, default=Path("skfakespotter/detectors/data"))
    parser.add_argument("--docs", type=Path, default=Path("docs/detectors"))
    parser.add_argument("--face-detector", default=Cropping().detector)
    parser.add_argument("--only", nargs="*", default=list(PAIRS), help="train these pairs only")
    options = parser.parse_args()
    cropping = Cropping(detector=options.face_detector)
    work = options.work / cropping.detector
    coverage = fit_coverage(options.data, work, cropping)
    for attacked in (False, True):
        for pair in PAIRS:
            measure_pair(options.data / pair, work, coverage, cropping, attacked)
    for pair in PAIRS:
        measure_attributes(options.data / pair, work, cropping)
    everything = Everything(work)
    cells = Cells(everything, coverage.n_channels_)
    for pair in options.only:
        train_pair(pair, everything, cells, coverage, cropping, options, work)
    add_zero_lines(options.data, options.detectors, cropping)
    if set(options.only) == set(PAIRS):
        summarize(everything, work, options.out)


class Cells:
    """Moments of every source and family, fold by fold: every fit is a sum of them.

    Parameters
    ----------
    everything : Everything
        All faces.
    n_channels : ndarray of shape (n_layers,)
        Channels of each layer.
    """

    def __init__(self, everything, n_channels):
        self.table, self.n_channels = everything.table, n_channels
        self.fold = fold_of(self.table)
        self.sources = frozenset(np.unique(self.table.source[~self.table.fake]).tolist())
        self.cell, self.photographs = cache(self.cell), cache(self.photographs)

    def cell(self, source, k):
        """Return the moments of a source, or a family, in a fold."""
        return self.table.rows((self.table.source == source) & (self.fold == k)).moments()

    def photographs(self, folds, without=()):
        """Return the moments of all photographs in some folds, without some sources."""
        sources = sorted(self.sources.difference(without))
        return Moments.total(self.cell(source, k) for source in sources for k in folds)

    def fit(self, family, *, folds=FOLDS, without=()):
        """Fit a discriminant of a family on some folds, without some sources of photographs."""
        fake = Moments.total(self.cell(family, k) for k in folds)
        real = self.photographs(folds, without)
        return discriminate(real, fake, n_channels=self.n_channels)

    def held_out(self, family):
        """Score all faces by models that have not seen their photographs."""
        scores = np.empty(len(self.table))
        for k in FOLDS:
            rows = self.fold == k
            scores[rows] = score(self.table.counts[rows], self.fit(family, folds=FOLDS - {k}))
        return scores

    def held_out_without(self, family, source):
        """Score faces of two folds, and all of a source, by a model of the others' photographs.

        Returns
        -------
        scores, rows : ndarray of shape (n,)
            Scores, and which of them are not of the model's training.
        """
        aside = frozenset({0, 1})
        model = self.fit(family, folds=FOLDS - aside, without=(source,))
        return score(self.table.counts, model), np.isin(self.fold, list(aside))


def score(counts, model):
    """Compute scores from counts."""
    weights, intercept = model
    return counts @ weights.astype(np.float32) + intercept


def train_pair(pair, everything, cells, coverage, cropping, options, work):
    """Train one detector, measure it on held-out pictures, write it with its card."""
    path, kept = options.detectors / f"{pair}.npz", work / f"scores-{pair}.npz"
    if path.exists() and kept.exists():
        return
    print(f"training {pair}", flush=True)
    table, used = everything.of_family(pair)
    scores = cells.held_out(pair)
    known = table.rows(used)
    card = {
        "facts": describe(pair, known),
        "tables": dict(evaluate(pair, table, used, scores, everything.columns, cells)),
    }
    detector = fit_detector(
        known,
        scores[used],
        name=pair,
        family=FAMILIES[pair],
        coverage=coverage,
        cropping=cropping,
        model=cells.fit(pair),
        card=card,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_detector(detector, path)
    save(kept, scores=scores)
    options.docs.mkdir(parents=True, exist_ok=True)
    (options.docs / f"{pair}.md").write_text(str(detector), encoding="utf-8")
    print(detector, flush=True)


def add_zero_lines(data, folder, cropping):
    """Average the evidence of real photographs, place by place; one pass for all detectors."""
    detectors = {path: load_detector(path) for path in sorted(folder.glob("*.npz"))}
    if all(detector.baselines for detector in detectors.values()):
        return
    print("zero lines", flush=True)
    weights = np.stack([detector.weights for detector in detectors.values()])
    coverage = next(iter(detectors.values())).coverage
    sums, n = {}, 0
    for name in (name for name in PAIRS if PHOTOGRAPHS[name]):
        pictures = load_folders(data / name)
        chosen = evenly(np.flatnonzero(pictures.target == 0), FOR_BASELINES)
        faces = main_faces([pictures.data[i] for i in chosen], cropping)
        crops = np.stack([face.crop for _, face in faces])
        n += len(crops)
        for start in range(0, len(crops), 16):
            of_layers = layer_evidence(coverage, weights, crops[start : start + 16])
            for layer, (places, rest) in of_layers.items():
                sums[layer] = sums.get(layer, 0) + (rest if places is None else places).sum(0)
    for k, (path, detector) in enumerate(detectors.items()):
        baselines = {layer: np.asarray(of[k] / n, np.float32) for layer, of in sums.items()}
        save_detector(replace(detector, baselines=baselines), path)


def summarize(everything, work, out):
    """Tabulate all detectors, and how many photographs at least one of them flags."""
    rows, any_flags = [], dict.fromkeys(RATES, False)
    for pair in PAIRS:
        table, used = everything.of_family(pair)
        with np.load(work / f"scores-{pair}.npz") as kept:
            scores = kept["scores"]
        known, s = table.rows(used), scores[used]
        calibration = calibrate(known, s, ~known.copy)
        figures = figures_table(known, s, calibration)["rows"]
        for rate in RATES:
            any_flags[rate] = any_flags[rate] | (scores > calibration.threshold(rate))
        rows.append([FAMILIES[pair], *(spell(**c) for c in (*figures[0][3:], *figures[1][3:]))])
    photographs = ~table.copy & (everything.columns["target"] == 0)
    notes = [
        "At the promised rate on the worst source, measured or not; perturbed: one of 20 attacks, "
        "drawn."
    ]
    for rate in RATES:
        shares = {
            str(k): float(any_flags[rate][photographs & (table.source == k)].mean())
            for k in np.unique(table.source[photographs])
        }
        listed = ", ".join(f"{k} {share:.1%}" for k, share in shares.items())
        notes.append(f"Photographs that at least one of seven flags at {rate:.0%} each: {listed}.")
    header = ["fakes of", "AUC", "recall at 1 %", "recall at 5 %"]
    header += [f"perturbed: {name}" for name in header[1:]]
    command = "python benchmarks/detectors.py --data FOLDER --work FOLDER"
    save_table(out, "detectors", "Detectors that ship", command, header, rows, notes)


if __name__ == "__main__":
    main()
