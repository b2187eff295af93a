"""evaluate_detector: how a detector does on labeled pictures that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from skfakespotter._typing import Device, Labels, Pictures
from skfakespotter.detectors._detector import FPR, Detector
from skfakespotter.detectors._scoring import score_each
from skfakespotter.detectors._store import load_detector
from skfakespotter.detectors._verdicts import kind_of
from skfakespotter.evaluation import DetectionReport, detection_report, positive_label
from skfakespotter.images import check_images, is_path


@dataclass(frozen=True, eq=False)
class VerdictReport:
    """What :func:`evaluate_detector` returns; ``print`` shows it.

    Attributes
    ----------
    figures : DetectionReport
        AUC and the other figures of the scores, at the threshold of the promised rate.
    fpr : float
        Promised false-positive rate.
    shares : dict of str to dict
        Of real and fake pictures: the share of each kind of verdict.
    n_without : int
        Pictures without a face, or unreadable: in none of the figures.
    """

    figures: DetectionReport
    fpr: float
    shares: dict[str, dict[str, float]]
    n_without: int

    def __str__(self) -> str:
        lines = [str(self.figures), "", f"verdicts at a promised {self.fpr:g}:"]
        for label, kinds in self.shares.items():
            parts = ", ".join(f"{kind} {share:.1%}" for kind, share in kinds.items())
            lines.append(f"  {label}: {parts}")
        lines.append(f"  {self.n_without} pictures without a score")
        return "\n".join(lines)


def evaluate_detector(
    detector: Any,
    X: Pictures,
    y: Labels,
    *,
    fpr: float = FPR,
    groups: Any = None,
    device: Device = "auto",
    verbose: int = 0,
) -> VerdictReport:
    """Measure a detector on labeled pictures that it was not trained on.

    Parameters
    ----------
    detector : str, Detector or classifier
        One detector, as for :func:`skfakespotter.score_pictures`.
    X : sequence of pictures
        Pictures; of each the main face is scored.
    y : array-like of shape (n,)
        Labels: 0 or "real", 1 or "fake".
    fpr : float, default=0.01
        Promised false-positive rate on the worst source.
    groups : array-like of shape (n,), default=None
        Pictures that belong together, for the intervals.
    device : str, default="auto"
        Where the network computes.
    verbose : int, default=0
        Above 0, show progress.

    Returns
    -------
    VerdictReport
        Figures of the scores and shares of the verdicts.

    Raises
    ------
    ValueError
        When no picture of a class shows a face.

    Examples
    --------
    ::

        pictures = load_folders("my_faces")  # that the detector was not trained on
        report = evaluate_detector("mine.npz", pictures.data, pictures.target,
                                   groups=pictures.groups, verbose=1)
        print(report)
    """
    X, y = check_images(X), np.asarray(y)
    check_consistent_length(X, y, groups)
    fake = y == positive_label(y)
    if is_path(detector):
        detector = load_detector(detector)
    each = score_each(X, detector, fpr=fpr, device=device, verbose=verbose)
    main = [rows[0] for rows in each]  # one detector: the first row is the main face's
    scored = np.array([row.status == "scored" for row in main])
    kinds = np.array([kind_of(row.verdict) for row in main])
    sides = {"real": scored & ~fake, "fake": scored & fake}
    figures = detection_report(
        fake[scored].astype(int),
        np.array([row.score for row in main if row.status == "scored"], np.float64),
        threshold=detector.threshold(fpr) if isinstance(detector, Detector) else 0.5,
        groups=None if groups is None else np.asarray(groups)[scored],
    )
    shares = {
        label: {kind: float(np.mean(kinds[side] == kind)) for kind in np.unique(kinds[scored])}
        for label, side in sides.items()
    }
    return VerdictReport(figures, fpr, shares, int((~scored).sum()))
