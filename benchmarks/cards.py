"""Cards: what is measured of a detector, as the tables of its model card."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from measured import ATTACKS, COPIES, FAMILIES
from pairs import PAIRS
from sklearn.metrics import roc_auc_score

from skfakespotter import detection_report
from skfakespotter.detectors import Calibration

RATES = (0.01, 0.05)
GROUP_HEADER = ("photographs", "fakes", "AUC", "recall at 1 %", "photographs flagged")
REPEATS = 50  # random halves that the promise is checked on
TERMS = {  # of use of the photographs
    "FFHQ": "CC BY-NC-SA 4.0, photographs under their own licenses",
    "Unsplash": "Unsplash license",
    "CIPLAB": "research use",
    "CelebA": "non-commercial research",
    "OpenForensics": "research use",
}


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
        f"{sources}; of up to {COPIES} faces of each folder a copy, perturbed before the face was "
        "found",
        "Terms of use of the pictures": terms,
        "Figures": "five folds that keep the versions of a photograph together; every face is "
        "scored by a model that has not seen its photograph; 95 % intervals by bootstrap",
    }


def evaluate(pair, table, used, scores, columns, cells) -> Iterator[tuple[str, dict]]:
    """Yield the tables of the card."""
    known, s = table.rows(used), scores[used]
    attack, brightness, turn = (columns[name][used] for name in ("attack", "brightness", "turn"))
    clean = ~known.copy
    calibration = calibrate(known, s, clean)
    yield "Held-out figures", figures_table(known, s, calibration)
    yield "False positives by source", sources_table(table, used, scores, pair, cells)
    yield "Under attack", attacks_table(known, s, attack, calibration)
    yield "By width of the face", width_table(known, s, calibration)
    thirds = {"sharpness": known.sharpness, "brightness": brightness, "turn": turn}
    yield (
        "By sharpness, brightness and turn of the face",
        thirds_table(known, s, thirds, calibration),
    )
    yield "Fakes it was not trained on", others_table(table, used, scores, calibration)


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
        "note": "Recall at a false-positive rate of 1 % and 5 % on the worst source, measured or "
        "not.",
    }


def sources_table(table, used, scores, pair, cells):
    """Check the promise on photographs of each source: known, not calibrated on, not trained on."""
    clean = used & ~table.copy
    photographs = clean & ~table.fake
    names = np.unique(table.source[photographs]).tolist()
    halves = flagged_in_halves(table, used, scores, names)
    rows = []
    for name in names:
        here = photographs & (table.source == name)
        calibration = calibrate(table, scores, clean & ~here)
        unseen, aside = cells.held_out_without(pair, name)
        neither = calibrate(table, unseen, clean & aside & ~here)
        shares = [
            float((s[here] > c.threshold(rate)).mean())
            for s, c in ((scores, calibration), (unseen, neither))
            for rate in RATES
        ]
        rows.append([name, int(here.sum()), *halves[name], *shares])
    return {
        "header": [
            "source", "photographs", "promised 1 %", "promised 5 %", "perturbed, promised 1 %",
            "not calibrated on, 1 %", "not calibrated on, 5 %",
            "nor trained on, 1 %", "nor trained on, 5 %",
        ],
        "rows": rows,
        "note": f"Share flagged. Promised: mean of {REPEATS} random halves of the photographs, "
        "thresholds from one half, shares from the other. Not calibrated on: the thresholds come "
        "from the other sources. Nor trained on: the model does, too, as with a source that nobody "
        "has measured.",
    }  # fmt: skip


def flagged_in_halves(table, used, scores, names):
    """Calibrate on one half of the photographs, count on the other; return means by source."""
    rng, real = np.random.default_rng(0), used & ~table.fake
    kinds = ((RATES[0], 0), (RATES[1], 0), (RATES[0], 1))
    found = {name: [[] for _ in kinds] for name in names}
    groups, number = np.unique(table.groups, return_inverse=True)
    for _ in range(REPEATS):
        here = (rng.random(len(groups)) < 0.5)[number]
        calibration = calibrate(table, scores, used & here & ~table.copy)
        for place, (rate, copies) in enumerate(kinds):
            above = scores > calibration.threshold(rate)
            for name in names:
                rows = real & ~here & (table.copy == copies) & (table.source == name)
                found[name][place].append(above[rows].mean())
    return {name: [float(np.mean(shares)) for shares in of] for name, of in found.items()}


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
    rows = []
    for low, high in pairwise([0, 70, 100, 140, np.inf]):
        chosen = ~table.copy & (table.width >= low) & (table.width < high)
        rows += list_figures(f"{low:g} to {high:g}", table, scores, chosen, calibration)
    return {"header": ["pixels", *GROUP_HEADER], "rows": rows}


def thirds_table(table, scores, attributes, calibration):
    """Tabulate figures by thirds of what can be measured of a face without guessing."""
    rows = []
    for name, values in attributes.items():
        edges = [-np.inf, *np.nanquantile(values[~table.copy], [1 / 3, 2 / 3]), np.inf]
        words = f"below {edges[1]:.3g}", "between", f"above {edges[2]:.3g}"
        for word, (low, high) in zip(words, pairwise(edges), strict=True):
            chosen = ~table.copy & (values >= low) & (values < high)
            rows += list_figures(f"{name} {word}", table, scores, chosen, calibration)
    return {
        "header": ["faces", *GROUP_HEADER],
        "rows": rows,
        "note": "Thirds of all faces. Sharpness as in the limits above; brightness: mean "
        "luminance, 0 to 255; turn: how far the nose lies off the middle of the eyes, in their "
        "distance (`picture_attributes`). Sources differ in these: a row may tell of its sources.",
    }


def list_figures(name, table, scores, chosen, calibration):
    """Return the row of a group of faces, or none where they are too few."""
    fake, real = scores[chosen & table.fake], scores[chosen & ~table.fake]
    if min(len(fake), len(real)) < 20:
        return []
    auc = float(roc_auc_score(table.fake[chosen], scores[chosen]))
    shares = (float((of > calibration.threshold(RATES[0])).mean()) for of in (fake, real))
    return [[name, len(real), len(fake), auc, *shares]]


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
