"""Average the evidence over many edited faces: where a detector sees each kind of edit.

    python benchmarks/evidence_maps.py --data FOLDER --work FOLDER [--out FOLDER] [--pictures N]

FOLDER and the work folder are those of ``benchmarks/detectors.py``, which has to run first. As
in ``benchmarks/localization.py``, each model is trained without the photographs that are averaged,
and faces are averaged with their mirror images. The result, ``evidence_maps.npz``, holds one map
of 75 x 75 places per kind of edit and no picture; ``docs/front.py`` draws it.
"""

from pathlib import Path

import numpy as np
from detectors import Everything, fit_coverage
from localization import EDITS, crop_pairs, evidence_of, fit_without, photographs, total
from options import make_parser

from skfakespotter.faces import Cropping


def main() -> None:
    """Average and save."""
    parser = make_parser(__doc__, data="one folder of pictures for each pair")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=40, help="edited pictures of each kind")
    parser.add_argument("--face-detector", default=Cropping().detector)
    options = parser.parse_args()
    cropping = Cropping(detector=options.face_detector)
    work = options.work / cropping.detector
    coverage = fit_coverage(options.data, work, cropping)
    everything, usual = Everything(work), photographs(options.data, cropping)
    maps = {}
    for pair in EDITS:
        pairs = crop_pairs(options.data / pair, cropping, options.pictures)
        names = [name for name, _, _ in pairs]
        weights = fit_without(pair, everything, names, coverage.n_channels_)
        edited = np.stack([fake for _, _, fake in pairs])
        change = average(coverage, weights, edited) - average(coverage, weights, usual)
        maps[pair] = change.astype(np.float32)
        print(f"{pair}: {len(pairs)} faces, evidence {change.sum():+.2f}", flush=True)
    np.savez_compressed(options.out / "evidence_maps.npz", **maps)


def average(coverage, weights, crops):
    """Return the mean evidence of faces and of their mirror images, mirrored back."""
    straight, mirrored = (
        total(evidence_of(coverage, weights, of), {}).mean(0) for of in (crops, crops[:, :, ::-1])
    )
    return (straight + mirrored[:, ::-1]) / 2


if __name__ == "__main__":
    main()
