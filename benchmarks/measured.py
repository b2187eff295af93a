"""Measured faces: counts of every picture of all pairs, kept in a work folder.

What is measured of a pair is kept, so that a run that was stopped goes on where it was. The
work folder holds counts, no picture.
"""

import json
from dataclasses import replace

import numpy as np
from pairs import PAIRS

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    load_folders,
    picture_attributes,
)
from skfakespotter.detectors._measuring import measure_faces, sample_coverage
from skfakespotter.detectors._table import FaceTable
from skfakespotter.images import load_image
from skfakespotter.perturbations import paper_attacks

FOR_THRESHOLDS = 50  # pictures of each folder that the thresholds of equation 1 are taken over
COPIES = 100  # perturbed copies of each folder at most
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


def fit_coverage(data, work, cropping):
    """Compute the thresholds over some pictures of every folder, once."""
    path = work / "thresholds.npz"
    if not path.exists():
        chosen = []
        for pair in PAIRS:
            pictures = load_folders(data / pair)
            for label in (0, 1):
                of_class = np.flatnonzero(pictures.target == label)
                chosen += [pictures.data[i] for i in evenly(of_class, FOR_THRESHOLDS)]
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
    y = pictures.target
    drawn = np.random.default_rng(0).integers(len(ATTACKS), size=len(y))
    rows = np.arange(len(y))
    if attacked:
        rows = np.concatenate([evenly(np.flatnonzero(y == label), COPIES) for label in (0, 1)])
    if PHOTOGRAPHS[folder.name] is None:
        rows = rows[y[rows] == 1]

    def perturb(i, picture):
        return ATTACKS[drawn[rows[i]]][2].transform([load_image(picture)])[0]

    change = perturb if attacked else None
    chosen = [pictures.data[i] for i in rows]
    faces = measure_faces(chosen, coverage, cropping, change=change, verbose=1)
    found = rows[faces.index]
    save(
        path,
        counts=faces.counts,
        index=found,
        width=faces.width,
        sharpness=faces.sharpness,
        target=y[found],
        groups=pictures.groups[found],
        attack=drawn[found] if attacked else np.full(len(found), -1),
    )


def measure_attributes(folder, work, cropping):
    """Measure the brightness and the turn of the main face of every picture."""
    path = work / f"{folder.name}-attributes.npz"
    if not path.exists():
        print(f"measuring {path.name}", flush=True)
        pictures = load_folders(folder).data
        records = FaceAligner(cropping.detector, verbose=1).locate(pictures)
        found = picture_attributes(pictures, records)
        save(path, brightness=found["brightness"], turn=found["turn"])


def evenly(rows, n):
    """Choose n rows at most, evenly."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))]


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
            with np.load(work / f"{name}-attributes.npz") as found:
                attributes = {key: found[key] for key in found.files}
            for variant in ("clean", "attacked"):
                with np.load(work / f"{name}-{variant}.npz") as found:
                    part = {key: found[key] for key in found.files}
                part |= {key: values[part["index"]] for key, values in attributes.items()}
                part["pair"] = np.full(len(part["target"]), name)
                part["source"] = np.where(part["target"] == 1, name, PHOTOGRAPHS[name] or name)
                side = np.where(part["target"] == 1, "fake", "real")
                own = part["groups"].astype(str)
                place = pair.source if pair.paired else np.char.add(f"{pair.source}/", side)
                part["group"] = np.char.add(np.char.add(place, "/"), own)
                for key, values in part.items():
                    columns.setdefault(key, []).append(values)
        c = self.columns = {key: np.concatenate(parts) for key, parts in columns.items()}
        self.table = FaceTable(
            counts=c["counts"].astype(np.float32),
            fake=c["target"] == 1,
            source=c["source"],
            groups=c["group"],
            copy=c["attack"] >= 0,
            width=c["width"],
            sharpness=c["sharpness"],
        )

    def of_family(self, pair):
        """Return all faces with the fakes of one family marked, and which are of it or photographs.

        The fakes of others are not marked: they are scored, never trained on.
        """
        family = self.table.fake & (self.table.source == pair)
        return replace(self.table, fake=family), family | ~self.table.fake
