"""Train the detectors that ship, measure them, and write their model cards.

    python benchmarks/detectors.py --data FOLDER --work FOLDER [--out FOLDER] [--docs FOLDER]

FOLDER holds one subfolder per pair (``benchmarks/pairs.py``), each with ``real/`` and
``fake/``. What is measured of a picture is kept in the work folder, pair by pair, so that a
run that was stopped goes on where it was, and training again takes minutes. The work folder
holds counts, no picture; ``--face-detector`` measures anew with another one.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from pairs import PAIRS
from sklearn.metrics import roc_auc_score
from table import save_table

from skfakespotter import NeuronCoverageTransformer, detection_report, load_folders
from skfakespotter.detectors import (
    Calibration,
    FaceTable,
    fit_detector,
    fit_linear,
    held_out_scores,
    load_detector,
    main_faces,
    measure_faces,
    sample_coverage,
    save_detector,
)
from skfakespotter.explanation import layer_evidence
from skfakespotter.faces import Cropping
from skfakespotter.images import load_image
from skfakespotter.perturbations import paper_attacks

FOR_THRESHOLDS = 200  # pictures of each folder that the thresholds of equation 1 are taken over
FOR_BASELINES = 40  # photographs of each pair that the zero lines are taken over
RATES = (0.01, 0.05)
REPEATS = 50  # random halves that the promise is checked on
ATTACKS = [(name, lv, t) for name, levels in paper_attacks().items() for lv, t in levels]
PHOTOGRAPHS = {  # where the real pictures of each pair come from
    "stylegan": "FFHQ",
    "stylegan2": "Unsplash",
    "pggan": "CIPLAB",
    "stargan_brown_hair": "CelebA",
    "stgan_eyeglasses": "CelebA",
    "stgan_mouth_open": None,  # the same photographs as stgan_eyeglasses
    "faceswap": "OpenForensics",
}
FAMILIES = {
    "stylegan": "StyleGAN",
    "stylegan2": "StyleGAN2",
    "pggan": "PGGAN",
    "stargan_brown_hair": "StarGAN (hair color)",
    "stgan_eyeglasses": "STGAN (eyeglasses)",
    "stgan_mouth_open": "STGAN (mouth open)",
    "faceswap": "face swaps (OpenForensics)",
}
TERMS = {  # of use of the photographs
    "FFHQ": "CC BY-NC-SA 4.0, photographs under their own licenses",
    "Unsplash": "Unsplash license",
    "CIPLAB": "research use",
    "CelebA": "non-commercial research",
    "OpenForensics": "research use",
}


def main() -> None:
    """Measure, train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("skfakespotter/detectors/data"))
    parser.add_argument("--docs", type=Path, default=Path("docs/detectors"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--face-detector", default=Cropping().detector)
    parser.add_argument("--only", nargs="*", default=list(PAIRS), help="train these pairs only")
    options = parser.parse_args()
    cropping = Cropping(detector=options.face_detector)
    work = options.work / cropping.detector
    coverage = fit_coverage(options.data, work, cropping)
    for attacked in (False, True):
        for pair in PAIRS:
            measure_pair(options.data / pair, work, coverage, cropping, attacked)
    everything = Everything(work)
    for pair in options.only:
        train_pair(pair, everything, coverage, cropping, options, work)
    add_zero_lines(options.data, options.out, cropping)
    if set(options.only) == set(PAIRS):
        summarize(everything, work, options.results)


# Measuring


def fit_coverage(data, work, cropping):
    """Compute the thresholds over some pictures of every folder, once."""
    path = work / "thresholds.npz"
    if not path.exists():
        chosen = []
        for pair in PAIRS:
            pictures = load_folders(data / pair)
            for label in (0, 1):
                of_class = np.flatnonzero(pictures.target == label)
                step = max(1, len(of_class) // FOR_THRESHOLDS)
                chosen += [pictures.data[i] for i in of_class[::step][:FOR_THRESHOLDS]]
        fitted = sample_coverage(chosen, cropping, n=len(chosen))
        work.mkdir(parents=True, exist_ok=True)
        names = {"layer_names": fitted.layer_names_, "fingerprint": fitted.backbone_fingerprint_}
        sizes = {"n_neurons": fitted.n_neurons_, "n_channels": fitted.n_channels_}
        save(path, thresholds=fitted.thresholds_, facts=json.dumps(names), **sizes)
    with np.load(path) as known:
        facts = json.loads(str(known["facts"]))
        return NeuronCoverageTransformer.from_thresholds(
            known["thresholds"],
            layer_names=facts["layer_names"],
            n_neurons=known["n_neurons"],
            n_channels=known["n_channels"],
            backbone_fingerprint=facts["fingerprint"],
            granularity="channel",
        )


def measure_pair(folder, work, coverage, cropping, attacked):
    """Count the neurons of the main face of every picture, or of a perturbed copy of each."""
    path = work / f"{folder.name}-{'attacked' if attacked else 'clean'}.npz"
    if path.exists():
        return
    print(f"measuring {path.name}", flush=True)
    pictures = load_folders(folder)
    drawn = np.random.default_rng(0).integers(len(ATTACKS), size=len(pictures.data))

    def perturb(i, picture):
        return ATTACKS[drawn[i]][2].transform([load_image(picture)])[0]

    change = perturb if attacked else None
    faces = measure_faces(pictures.data, coverage, cropping, change=change, verbose=1)
    save(
        path,
        counts=faces.counts,
        index=faces.index,
        width=faces.width,
        sharpness=faces.sharpness,
        target=pictures.target[faces.index],
        groups=pictures.groups[faces.index],
        attack=drawn[faces.index] if attacked else np.full(len(faces.index), -1),
    )


def save(path, **arrays):
    """Write all or nothing."""
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)


class Everything:
    """All faces of all pairs, and what is known of each."""

    def __init__(self, work):
        columns = {}
        for name, pair in PAIRS.items():
            for variant in ("clean", "attacked"):
                with np.load(work / f"{name}-{variant}.npz") as found:
                    part = {key: found[key] for key in found.files}
                if PHOTOGRAPHS[name] is None:
                    part = {key: of[part["target"] == 1] for key, of in part.items()}
                part["pair"] = np.full(len(part["target"]), name)
                part["source"] = np.where(part["target"] == 1, name, PHOTOGRAPHS[name] or name)
                side = np.where(part["target"] == 1, "fake", "real")
                own = part["groups"].astype(str)
                place = pair.source if pair.paired else np.char.add(f"{pair.source}/", side)
                part["group"] = np.char.add(np.char.add(place, "/"), own)
                for key, values in part.items():
                    columns.setdefault(key, []).append(values)
        self.columns = {key: np.concatenate(parts) for key, parts in columns.items()}

    def of_family(self, pair):
        """Return the table of a family against all photographs, with all other fakes in it.

        The other fakes come last and are not marked: they are scored, never trained on.
        """
        c = self.columns
        real = c["target"] == 0
        table = FaceTable(
            counts=c["counts"].astype(np.float32),
            fake=c["pair"] == pair,
            source=c["source"],
            groups=c["group"],
            copy=c["attack"] >= 0,
            width=c["width"],
            sharpness=c["sharpness"],
        )
        table = replace(table, fake=table.fake & ~real)
        return table, real | table.fake


# Training


def train_pair(pair, everything, coverage, cropping, options, work):
    """Train one detector, measure it on held-out pictures, write it with its card."""
    path, kept = options.out / f"{pair}.npz", work / f"scores-{pair}.npz"
    if path.exists() and kept.exists():
        return
    print(f"training {pair}", flush=True)
    table, used = everything.of_family(pair)
    scores = held_out_scores(table, trained=used)
    known = table.rows(used)
    card = {
        "facts": describe(pair, known),
        "tables": dict(evaluate(pair, table, used, scores, everything.columns)),
    }
    detector = fit_detector(
        known,
        scores[used],
        name=pair,
        family=FAMILIES[pair],
        coverage=coverage,
        cropping=cropping,
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
    for name in PAIRS:
        if PHOTOGRAPHS[name] is None:
            continue
        pictures = load_folders(data / name)
        real = np.flatnonzero(pictures.target == 0)
        step = max(1, len(real) // FOR_BASELINES)
        chosen = [pictures.data[i] for i in real[::step][:FOR_BASELINES]]
        crops = np.stack([face.crop for _, face in main_faces(chosen, cropping)])
        n += len(crops)
        for start in range(0, len(crops), 16):
            of_layers = layer_evidence(coverage, weights, crops[start : start + 16])
            for layer, of in of_layers.items():
                sums[layer] = sums.get(layer, 0) + of.sum(0)
    for k, (path, detector) in enumerate(detectors.items()):
        baselines = {layer: np.asarray(of[k] / n, np.float32) for layer, of in sums.items()}
        save_detector(replace(detector, baselines=baselines), path)


# Evaluating


def describe(pair, known) -> dict[str, str]:
    """Say what was trained on."""
    real = ~known.fake & ~known.copy
    names, counts = np.unique(known.source[real], return_counts=True)
    sources = ", ".join(f"{n:,} {s}" for s, n in zip(names, counts.tolist(), strict=True))
    n_fake = int((known.fake & ~known.copy).sum())
    terms = "; ".join(f"{source}: {TERMS[source]}" for source in names)
    return {
        "Kind of fake": PAIRS[pair].kind,
        "Trained on": f"{n_fake:,} fakes of {FAMILIES[pair]}, and photographs: "
        f"{sources}; of each face one copy more, perturbed before the face was found",
        "Terms of use of the pictures": terms,
        "Figures": "five folds that keep the versions of a photograph together; every face is "
        "scored by a model that has not seen its photograph; 95 % intervals by bootstrap",
    }


def evaluate(pair, table, used, scores, columns) -> Iterator[tuple[str, dict]]:
    """Yield the tables of the card."""
    known, s = table.rows(used), scores[used]
    clean = ~known.copy
    calibration = calibrate(known, s, clean)
    yield "Held-out figures", figures_table(known, s, calibration)
    yield "False positives by source", sources_table(known, s)
    yield "Under attack", attacks_table(known, s, columns["attack"][used], calibration)
    yield "By width of the face", width_table(known, s, calibration)
    yield "Fakes it was not trained on", others_table(table, used, scores, calibration)


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
        rows.append([FAMILIES[pair], *(row_cell(c) for c in (*figures[0][3:], *figures[1][3:]))])
    photographs = ~table.copy & (everything.columns["target"] == 0)
    notes = ["At the promised rate on the worst source; perturbed: one of 20 attacks, drawn."]
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


def row_cell(figure):
    """Write a figure with its interval."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def calibrate(table, scores, chosen):
    """Collect held-out scores, source by source."""
    real = chosen & ~table.fake
    sources = np.unique(table.source[real]).tolist()
    of_source = {k: np.sort(scores[real & (table.source == k)]) for k in sources}
    return Calibration(
        {k: v.astype(np.float32) for k, v in of_source.items()},
        np.sort(scores[chosen & table.fake]).astype(np.float32),
    )


def figures_table(table, scores, calibration):
    """Tabulate AUC and recall, of pictures as they are and of perturbed copies."""
    rows = []
    for label, chosen in (("as they are", ~table.copy), ("perturbed", table.copy)):
        report = detection_report(
            table.fake[chosen].astype(int),
            scores[chosen],
            threshold=0,
            groups=table.groups[chosen],
            n_bootstraps=300,
        )
        fake = scores[chosen & table.fake]
        recalls = [interval(fake > calibration.threshold(rate)) for rate in RATES]
        n_real = int((chosen & ~table.fake).sum())
        rows.append([label, n_real, len(fake), report["AUC"]._asdict(), *recalls])
    return {
        "header": ["pictures", "photographs", "fakes", "AUC", "recall at 1 %", "recall at 5 %"],
        "rows": rows,
        "note": "Recall at a false-positive rate of 1 % and 5 % on the worst source.",
    }


def sources_table(table, scores):
    """Check the promise: calibrate on one half of the photographs, count on the other."""
    rng, clean = np.random.default_rng(0), ~table.copy & ~table.fake
    names = np.unique(table.source[clean]).tolist()
    found = {(name, rate, copies): [] for name in names for rate in RATES for copies in (0, 1)}
    groups, number = np.unique(table.groups, return_inverse=True)
    for _ in range(REPEATS):
        here = (rng.random(len(groups)) < 0.5)[number]
        calibration = calibrate(table, scores, here & clean)
        for rate in RATES:
            above = scores > calibration.threshold(rate)
            for name in names:
                for copies, chosen in enumerate((clean, table.copy & ~table.fake)):
                    rows = chosen & ~here & (table.source == name)
                    found[name, rate, copies].append(above[rows].mean())
    left = {name: leave_out(table, name) for name in names}
    rows = []
    for name in names:
        n = int((clean & (table.source == name)).sum())
        measured = [float(np.mean(found[name, rate, 0])) for rate in RATES]
        perturbed = float(np.mean(found[name, RATES[0], 1]))
        rows.append([name, n, *measured, perturbed, *left[name]])
    return {
        "header": [
            "source", "photographs", "promised 1 %", "promised 5 %", "perturbed, promised 1 %",
            "source left out, 1 %", "source left out, 5 %",
        ],
        "rows": rows,
        "note": f"Share flagged, mean of {REPEATS} random halves of the photographs: thresholds "
        "from one half, shares from the other. Left out: no photograph of the source in "
        "training nor in calibration, as with a source that nobody has measured.",
    }  # fmt: skip


def leave_out(table, source):
    """Train and calibrate without a source; return the shares of its photographs flagged."""
    rng = np.random.default_rng(0)
    groups, number = np.unique(table.groups, return_inverse=True)
    aside = (rng.random(len(groups)) < 0.3)[number]  # for the calibration
    without = table.fake | (table.source != source)
    train = without & ~aside
    rows = table.rows(train)
    weights, intercept = fit_linear(rows.counts, rows.fake, copy=rows.copy)
    scores = table.counts @ weights.astype(np.float32) + intercept
    calibration = calibrate(table, scores, without & aside & ~table.copy)
    photographs = ~table.fake & ~table.copy & (table.source == source)
    return [float((scores[photographs] > calibration.threshold(r)).mean()) for r in RATES]


def attacks_table(table, scores, attack, calibration):
    """Tabulate what is left under each attack."""
    rows, limit = [], calibration.threshold(RATES[0])
    for name in dict.fromkeys(name for name, _, _ in ATTACKS):
        numbers = [i for i, (other, _, _) in enumerate(ATTACKS) if other == name]
        chosen = np.isin(attack, numbers)
        fake, real = scores[chosen & table.fake], scores[chosen & ~table.fake]
        auc = roc_auc_score(table.fake[chosen], scores[chosen])
        rows.append([name, float(auc), float((fake > limit).mean()), float((real > limit).mean())])
    return {
        "header": ["attack", "AUC", "recall at 1 %", "photographs flagged"],
        "rows": rows,
        "note": "Five intensities of each, from weak to ruinous (`paper_attacks`).",
    }


def width_table(table, scores, calibration):
    """Tabulate figures by the width of the face."""
    rows, limit = [], calibration.threshold(RATES[0])
    edges = [0, 70, 100, 140, np.inf]
    for low, high in pairwise(edges):
        chosen = ~table.copy & (table.width >= low) & (table.width < high)
        fake, real = scores[chosen & table.fake], scores[chosen & ~table.fake]
        if min(len(fake), len(real)) >= 20:
            auc = float(roc_auc_score(table.fake[chosen], scores[chosen]))
            shares = [float((fake > limit).mean()), float((real > limit).mean())]
            rows.append([f"{low:g} to {high:g}", len(real), len(fake), auc, *shares])
    return {
        "header": [
            "pixels", "photographs", "fakes", "AUC", "recall at 1 %", "photographs flagged",
        ],
        "rows": rows,
    }  # fmt: skip


def others_table(table, used, scores, calibration):
    """Tabulate how many fakes of other families are flagged."""
    rows, limit = [], calibration.threshold(RATES[0])
    others = ~used & ~table.copy
    for name in np.unique(table.source[others]).tolist():
        of_name = scores[others & (table.source == name)]
        rows.append([FAMILIES[name], len(of_name), interval(of_name > limit)])
    return {
        "header": ["fakes", "pictures", "resemble the family at 1 %"],
        "rows": rows,
        "note": "What is not flagged here leaves no trace: it is not called real.",
    }


def interval(hits):
    """Wilson's 95 % interval of a share."""
    n, share, z = len(hits), float(np.mean(hits)), 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {"value": share, "low": float(middle - half), "high": float(middle + half)}


if __name__ == "__main__":
    main()
