"""Make the table behind ``load_coverage_sample`` from folders of pictures.

    python benchmarks/coverage_sample.py --data FOLDER [--out FOLDER]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Pictures in which no
face is found are left out and counted. The table holds counts and labels, no picture.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from options import make_parser
from pairs import PAIRS

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_folders

PER_CLASS = {"train": 40, "test": 12}  # pictures whose channels are kept, of each pair and class


def main():
    """Align, count, split and save."""
    parser = make_parser(
        __doc__, data="one subfolder per pair", out=Path("skfakespotter/datasets/data")
    )
    options = parser.parse_args()
    faces, columns, missing = align_pairs(options.data)
    train = columns["split"] == 0
    transformer = NeuronCoverageTransformer("dlib", granularity="channel", verbose=1)
    transformer.fit(faces[train])
    counts = transformer.transform(faces)
    first_channels = np.r_[0, np.cumsum(transformer.n_channels_)[:-1]]
    rows = channel_rows(columns)
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        options.out / "coverage_sample.npz",
        layer_counts=np.add.reduceat(counts, first_channels, axis=1).astype(np.uint32),
        channel_counts=np.asfortranarray(counts[rows].astype(np.uint16)),  # compresses better
        channel_rows=rows,
        thresholds=transformer.thresholds_,
        n_neurons=transformer.n_neurons_,
        n_channels=transformer.n_channels_,
        **columns,
    )
    facts = {
        "backbone": "dlib",
        "backbone_fingerprint": transformer.backbone_fingerprint_,
        "layer_names": transformer.layer_names_,
        "pairs": list(PAIRS),
        "kind": {pair: facts[0] for pair, facts in PAIRS.items()},
        "generator": {pair: facts[1] for pair, facts in PAIRS.items()},
        "description": describe(columns, missing),
    }
    (options.out / "coverage_sample.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(facts["description"])


def align_pairs(data):
    """Return all faces, one row of columns per face, and how many pictures had none."""
    faces, columns, missing = [], {"target": [], "pair": [], "groups": [], "split": []}, {}
    for number, (pair, (_, _, paired, source)) in enumerate(PAIRS.items()):
        pictures = load_folders(data / pair)
        aligner = FaceAligner(verbose=1)
        found = np.array([record.status == "found" for record in aligner.locate(pictures.data)])
        missing[pair] = int((~found).sum())
        kept = np.flatnonzero(found)
        faces.append(aligner.transform([pictures.data[i] for i in kept]))
        for i in kept:
            side = "" if paired else f"/{pictures.target_names[pictures.target[i]]}"
            group = f"{source}{side}/{pictures.groups[i]}"
            columns["target"].append(pictures.target[i])
            columns["pair"].append(number)
            columns["groups"].append(group)
            # one photograph in five is for testing, chosen by its name alone
            columns["split"].append(hashlib.sha1(group.encode()).digest()[0] % 5 == 0)
    types = {"target": np.uint8, "pair": np.uint8, "groups": str, "split": np.uint8}
    columns = {key: np.array(values, types[key]) for key, values in columns.items()}
    return np.concatenate(faces), columns, missing


def channel_rows(columns):
    """Choose the first few rows of every pair, class and part of the split."""
    rows = []
    for pair in range(len(PAIRS)):
        for target in (0, 1):
            for split, n_rows in enumerate(PER_CLASS.values()):
                chosen = columns["pair"] == pair
                chosen &= (columns["target"] == target) & (columns["split"] == split)
                rows.append(np.flatnonzero(chosen)[:n_rows])
    return np.sort(np.concatenate(rows))


def describe(columns, missing):
    """Say in words what the table holds."""
    lines = [
        "Neuron coverage of real and GAN-made faces, measured with skfakespotter on the network",
        "'dlib': faces aligned by FaceAligner, thresholds (equation 1) from the training part of",
        "all pairs together. Pictures without a detected face are left out.",
        "",
    ]
    for number, pair in enumerate(PAIRS):
        of_pair = columns["pair"] == number
        real, fake = np.bincount(columns["target"][of_pair])
        test = columns["split"][of_pair].mean()
        counts = f"{real} real, {fake} fake, {missing[pair]} left out"
        lines.append(f"{pair}: {counts}, {test:.0%} in the test part")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
