"""train_detector: from labeled pictures to a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from skfakespotter._typing import Device, Labels, Pictures
from skfakespotter.backbones import load_backbone
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._fitting import fit_detector, held_out_scores
from skfakespotter.detectors._measuring import measure_faces, sample_coverage
from skfakespotter.detectors._table import FaceTable
from skfakespotter.evaluation import detection_report, positive_label
from skfakespotter.faces import Cropping, FaceNote
from skfakespotter.images import ImageError, check_images
from skfakespotter.perturbations import check_attacks

MIN_GROUPS = 20  # photographs, and fakes, to train and calibrate on


def train_detector(
    X: Pictures,
    y: Labels,
    *,
    name: str,
    family: str | None = None,
    sources: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    attacks: Any = None,
    backbone: Any = "dlib",
    cropping: Cropping | None = None,
    device: Device = "auto",
    random_state: int = 0,
    verbose: int = 0,
) -> Detector:
    """Train a detector of one family of fakes on pictures, and calibrate it.

    Of every picture the main face is counted, as it is and mirrored, and that of one perturbed
    copy; pictures without a face are left out. The calibration is as wide as the photographs: give
    real ones of every source that the detector is to be used on, and say which is which.

    Parameters
    ----------
    X : sequence of pictures
        Real photographs and fakes of one family.
    y : array-like of shape (n,)
        Labels: 0 or "real", 1 or "fake".
    name : str
        What to call the detector.
    family : str, default=None
        The fakes in words; None takes ``name``.
    sources : array-like of shape (n,), default=None
        Where each picture comes from. The false-positive rate is promised for the worst
        source. None: all photographs are of one source.
    groups : array-like of shape (n,), default=None
        Pictures that belong together, such as a photograph and its edited version. None:
        each stands alone.
    attacks : dict or None, default=None
        What the copies suffer; see :func:`skfakespotter.perturbations.check_attacks`.
    backbone : str, default="dlib"
        The network to watch, by name.
    cropping : Cropping, default=None
        How faces are found and cropped; None as :class:`~skfakespotter.FaceAligner` does for
        the network.
    device : str, default="auto"
        Where the network computes, and faces are found.
    random_state : int, default=0
        Draws the perturbations and the folds.
    verbose : int, default=0
        Above 0, show progress.

    Returns
    -------
    Detector
        Trained and calibrated; :func:`skfakespotter.save_detector` keeps it.

    Raises
    ------
    ValueError
        When labels are not of two classes, or too few pictures show a face.

    Examples
    --------
    ::

        pictures = load_folders("my_faces")
        detector = train_detector(pictures.data, pictures.target, name="mine",
                                  groups=pictures.groups, verbose=1)
        save_detector(detector, "mine.npz")
    """
    pictures: Any = check_images(X)
    y = np.asarray(y)
    check_consistent_length(pictures, y, sources, groups)
    fake = y == positive_label(y)
    cropping = cropping or Cropping(template=load_backbone(backbone).alignment)
    notes = [FaceNote() for _ in pictures]  # the faces of the sample are wanted twice
    coverage = sample_coverage(pictures, cropping, backbone=backbone, device=device, notes=notes)
    rng = np.random.default_rng(random_state)
    pool = [t for levels in check_attacks(attacks, random_state).values() for _, t in levels]
    drawn = rng.integers(len(pool), size=len(pictures))

    def perturb(index: int, picture: Any) -> Any:
        try:
            return pool[drawn[index]].transform([picture])[0]
        except ImageError:  # left out, as the picture itself is
            return picture

    parts = [
        measure_faces(pictures, coverage, cropping, change=change, notes=known, verbose=verbose)
        for change, known in ((None, notes), (perturb, None))
    ]
    index = np.concatenate([part.index for part in parts])
    table = FaceTable(
        counts=np.concatenate([part.counts for part in parts]).astype(np.float32),
        fake=fake[index],
        source=_texts(["photographs"] * len(pictures) if sources is None else sources)[index],
        groups=_texts(np.arange(len(pictures)) if groups is None else groups)[index],
        copy=np.arange(len(index)) >= len(parts[0].index),
        width=np.concatenate([part.width for part in parts]),
        sharpness=np.concatenate([part.sharpness for part in parts]),
    )
    _check_enough(table)
    scores = held_out_scores(table, n_channels=coverage.n_channels_, random_state=random_state)
    return fit_detector(
        table,
        scores,
        name=name,
        family=family or name,
        coverage=coverage,
        cropping=cropping,
        card=_plain_card(table, scores, len(pictures)),
    )


def _texts(values: Any) -> NDArray[np.str_]:
    return np.array([str(value) for value in values])


def _check_enough(table: FaceTable) -> None:
    for label, chosen in (("real photographs", ~table.fake), ("fakes", table.fake)):
        n_groups = len(np.unique(table.groups[chosen]))
        if n_groups < MIN_GROUPS:
            raise ValueError(
                f"X shows the faces of {n_groups} {label} only: expected {MIN_GROUPS} at least."
            )


def _plain_card(table: FaceTable, scores: NDArray[np.float64], n_pictures: int) -> dict[str, Any]:
    """Write the card of what is known without further measurements."""
    clean = ~table.copy
    report = detection_report(
        table.fake[clean].astype(int),
        scores[clean],
        threshold=0,
        groups=table.groups[clean],
        n_bootstraps=200,
    )
    real, fake = (int((clean & (table.fake == of)).sum()) for of in (False, True))
    row = [real, fake, report["AUC"]._asdict()]
    header = ["photographs", "fakes", "AUC"]
    return {
        "facts": {
            "Trained on": f"{fake:,} fakes and {real:,} photographs; {n_pictures - real - fake:,} "
            "pictures without a face were left out"
        },
        "tables": {"Held-out figures": {"header": header, "rows": [row]}},
    }
