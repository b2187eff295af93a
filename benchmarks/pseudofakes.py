"""Learning without fakes: how well detectors trained on simulated fakes spot real ones.

    python benchmarks/pseudofakes.py --data FOLDER --work FOLDER [--out FOLDER] [--n 150]

FOLDER of the data holds one subfolder per pair, each with ``real/`` and ``fake/``; that of the work
keeps what was measured, so that a run that was stopped goes on. Trained on n photographs of a pair
and on fakes made of them, on the photographs and n fakes of the pair, or on all three; tested on
as many other photographs and fakes.
"""

from functools import partial
from pathlib import Path

import numpy as np
from options import make_parser
from pairs import PAIRS, list_pictures
from sklearn.linear_model import LogisticRegression
from table import save_table
from work import Work, run_stages

from skfakespotter import (
    FaceAligner,
    PseudoFakes,
    SelfBlending,
    UpsamplingSimulator,
    detection_report,
    make_baseline,
    make_fakespotter,
)

DEFAULT = ("stylegan", "stargan_brown_hair", "faceswap")  # of one source, and large
SIMULATORS = {
    "upsampling, transposed": UpsamplingSimulator("transposed"),
    "upsampling, nearest": UpsamplingSimulator("nearest"),
    "upsampling, bilinear": UpsamplingSimulator("bilinear"),
    "self-blending": SelfBlending(),
}
ALIGNER = FaceAligner(on_missing="center", lazy=True)


def make_detectors(work):
    """Return what is trained: coverage per channel with a linear model, and AutoGAN's spectrum."""
    linear = LogisticRegression(C=0.01, max_iter=1000)
    cache = str(work.folder / "coverage")
    return {
        "coverage": make_fakespotter(
            granularity="channel", align=ALIGNER, classifier=linear, cache=cache
        ),
        "spectrum-linear": make_baseline("spectrum-linear", random_state=0),
    }


def list_ways():
    """Return by name the simulator, if any, and whether the fakes of the pair are trained on."""
    ways = {"fakes of the pair": (None, True)}
    for name, simulator in SIMULATORS.items():
        ways |= {name: (simulator, False), f"{name}, and fakes": (simulator, True)}
    return ways


def measure(options, pair, detector, simulator, with_fakes):
    """Train one way and return the AUC with its interval."""
    paths, y, _ = list_pictures(options.data, pair)
    order = np.random.default_rng(0).permutation(len(y))
    sides = [order[y[order] == label] for label in (0, 1)]
    train = np.concatenate([side[: options.n] for side in sides[: 1 + with_fakes]])
    test = np.concatenate([side[options.n : 2 * options.n] for side in sides])
    if simulator is not None:
        detector = PseudoFakes(detector, simulator, random_state=0)
    fitted = detector.fit(paths[train].tolist(), y[train])
    scores = fitted.predict_proba(paths[test].tolist())[:, 1]
    return tuple(detection_report(y[test], scores)["AUC"])


def main(arguments=None):
    """Train, test, save."""
    parser = make_parser(__doc__, data="one subfolder per pair")
    parser.add_argument("--work", type=Path, default=Path("pseudofakes_work"))
    parser.add_argument("--n", type=int, default=150, help="photographs to train on")
    parser.add_argument("--pairs", nargs="+", default=DEFAULT, choices=PAIRS)
    options = parser.parse_args(arguments)
    work = Work(options.work)
    work.claim(data=str(options.data.resolve()), n=options.n, detector=ALIGNER.detector)
    names = [
        (pair, detector, way)
        for pair in options.pairs
        for detector in make_detectors(work)
        for way in list_ways()
    ]
    stages = [
        (
            "/".join(name),
            options.n,
            partial(
                measure, options, name[0], make_detectors(work)[name[1]], *list_ways()[name[2]]
            ),
        )
        for name in names
    ]
    run_stages(work, stages)
    save_table(
        options.out,
        "pseudofakes",
        "Learning without fakes",
        "python benchmarks/pseudofakes.py --data FOLDER --work FOLDER",
        ["pair", "detector", "trained on photographs and", "AUC", "low", "high"],
        [[*name, *(f"{value:.3f}" for value in work.load("/".join(name)))] for name in names],
        [
            f"{options.n} photographs to train on, {options.n} and as many fakes to test on. "
            f"Faces found by {ALIGNER.detector!r}; in brackets 95 % intervals."
        ],
    )


if __name__ == "__main__":
    main()
