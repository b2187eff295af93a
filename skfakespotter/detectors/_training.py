"""Training: from measured faces to a detector, its calibration and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_consistent_length

from skfakespotter._typing import Device, Labels, Pictures
from skfakespotter.backbones import load_backbone
from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._limits import Limits
from skfakespotter.detectors._measuring import measure_faces, sample_coverage
from skfakespotter.evaluation import detection_report, positive_label
from skfakespotter.faces import Cropping
from skfakespotter.images import ImageError, check_images
from skfakespotter.perturbations import check_attacks
from skfakespotter.transformer import NeuronCoverageTransformer

C = 0.01  # inverse strength of the penalty
N_FOLDS = 5
FEW = 300  # fakes, below which a perturbed copy weighs a tenth of a picture: a copy whose traces
COPY_WEIGHT = 0.1  # are ruined teaches noise, which only many fakes outweigh
MIN_GROUPS = 20  # photographs, and fakes, to train and calibrate on


@dataclass(frozen=True, eq=False)
class FaceTable:
    """Faces that were measured, one row each.

    Parameters
    ----------
    counts : ndarray of shape (n, n_channels in all)
        Active neurons per channel.
    fake : ndarray of shape (n,), bool
        Whether the face is a fake of the family.
    source : ndarray of shape (n,), str
        Where the photograph, or the fake, comes from.
    groups : ndarray of shape (n,), str
        Faces of one photograph, whatever was done to it.
    copy : ndarray of shape (n,), bool
        Whether the face is a perturbed copy.
    width, sharpness : ndarray of shape (n,)
        See :mod:`skfakespotter.detectors._quality`.
    """

    counts: NDArray[Any]
    fake: NDArray[np.bool_]
    source: NDArray[np.str_]
    groups: NDArray[np.str_]
    copy: NDArray[np.bool_]
    width: NDArray[np.float64]
    sharpness: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.fake)

    def rows(self, chosen: NDArray[Any]) -> FaceTable:
        """Return a part of the table.

        Parameters
        ----------
        chosen : ndarray of bool or int
            Rows.

        Returns
        -------
        FaceTable
            These rows.
        """
        return FaceTable(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def fit_linear(
    counts: NDArray[Any],
    fake: NDArray[np.bool_],
    *,
    copy: NDArray[np.bool_] | None = None,
    C: float = C,
) -> tuple[NDArray[np.float64], float]:
    """Fit a linear model to counts: a logistic regression on standardized counts.

    Parameters
    ----------
    counts : ndarray of shape (n, n_features)
        Counts.
    fake : ndarray of shape (n,), bool
        Labels.
    copy : ndarray of shape (n,), bool, default=None
        Which rows are perturbed copies. Below 300 fakes each weighs a tenth of a picture.
        None: none is a copy.
    C : float, default=0.01
        Inverse strength of the penalty.

    Returns
    -------
    weights : ndarray of shape (n_features,)
        Of the counts as they are.
    intercept : float
        Added to the weighted sum.
    """
    scaler = StandardScaler().fit(counts)
    # stopping early is one more penalty: held-out figures do not gain from the last digits
    model = LogisticRegression(C=C, class_weight="balanced", tol=1e-3, max_iter=500)
    each = None
    if copy is not None and np.sum(fake & ~copy) < FEW:
        each = np.where(copy, COPY_WEIGHT, 1.0)
    model.fit(scaler.transform(counts), fake, sample_weight=each)
    weights = model.coef_[0].astype(np.float64) / scaler.scale_
    return weights, float(model.intercept_[0] - scaler.mean_ @ weights)


def held_out_scores(
    table: FaceTable,
    *,
    trained: NDArray[np.bool_] | None = None,
    C: float = C,
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Score every face by a model that was trained on other photographs.

    Parameters
    ----------
    table : FaceTable
        Faces, copies included.
    trained : ndarray of shape (n,), bool, default=None
        Faces to train on; the others are scored only. None: all.
    C : float, default=0.01
        See :func:`fit_linear`.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    ndarray of shape (n,)
        Scores.
    """
    scores = np.empty(len(table))
    trained = np.ones(len(table), bool) if trained is None else trained
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=random_state)
    strata = np.char.add(table.source, np.where(table.fake, "+", "-"))
    for train, test in folds.split(table.counts, strata, table.groups):
        train = train[trained[train]]
        rows = table.rows(train)
        weights, intercept = fit_linear(rows.counts, rows.fake, copy=rows.copy, C=C)
        scores[test] = table.counts[test] @ weights.astype(np.float32) + intercept
    return scores


def fit_detector(
    table: FaceTable,
    scores: ArrayLike,
    *,
    name: str,
    family: str,
    coverage: NeuronCoverageTransformer,
    cropping: Cropping,
    C: float = C,
    card: Mapping[str, Any] | None = None,
) -> Detector:
    """Fit a detector to all faces, and calibrate it on scores that were held out.

    Parameters
    ----------
    table : FaceTable
        Faces, copies included.
    scores : array-like of shape (n,)
        From :func:`held_out_scores`.
    name, family, cropping, card
        See :class:`Detector`.
    coverage : NeuronCoverageTransformer
        Fitted; it counted.
    C : float, default=0.01
        See :func:`fit_linear`.

    Returns
    -------
    Detector
        Fitted and calibrated.
    """
    scores = np.asarray(scores)
    check_consistent_length(table.fake, scores)
    weights, intercept = fit_linear(table.counts, table.fake, copy=table.copy, C=C)
    own = ~table.fake & ~table.copy
    real = {
        str(source): np.sort(scores[own & (table.source == source)]).astype(np.float32)
        for source in np.unique(table.source[own])
    }
    fake = np.sort(scores[table.fake & ~table.copy]).astype(np.float32)
    layers = {
        "names": list(coverage.layer_names_),
        "thresholds": np.asarray(coverage.thresholds_),
        "n_neurons": np.asarray(coverage.n_neurons_),
        "n_channels": np.asarray(coverage.n_channels_),
    }
    shares = layer_shares(table.counts, layers)
    return Detector(
        name=name,
        family=family,
        backbone=coverage.backbone,
        fingerprint=coverage.backbone_fingerprint_,
        layers=layers,
        cropping=cropping,
        weights=weights.astype(np.float32),
        intercept=intercept,
        calibration=Calibration(real, fake),
        limits=Limits.of_faces(table.width, table.sharpness, shares),
        card=dict(card or {}),
    )


def layer_shares(counts: NDArray[Any], layers: Mapping[str, Any]) -> NDArray[np.float64]:
    """Sum counts over each layer, and divide by its neurons.

    Parameters
    ----------
    counts : ndarray of shape (n, n_channels in all)
        Counts per channel.
    layers : Mapping
        See :class:`Detector`.

    Returns
    -------
    ndarray of shape (n, n_layers)
        Shares of active neurons, from 0 to 1.
    """
    first = np.r_[0, np.cumsum(layers["n_channels"])[:-1]]
    totals = np.add.reduceat(np.asarray(counts, np.float64), first, axis=1)
    return totals / np.asarray(layers["n_neurons"])


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

    Of every picture the main face is counted, and that of one perturbed copy; pictures without
    a face are left out. The calibration is as wide as the photographs: give real ones of every
    source that the detector is to be used on, and say which is which.

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
        Where the network computes.
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
    cropping = cropping or Cropping(template=load_backbone(backbone).template or "dlib")
    coverage = sample_coverage(pictures, cropping, backbone=backbone, device=device)
    rng = np.random.default_rng(random_state)
    pool = [t for levels in check_attacks(attacks, random_state).values() for _, t in levels]
    drawn = rng.integers(len(pool), size=len(pictures))

    def perturb(index: int, picture: Any) -> Any:
        try:
            return pool[drawn[index]].transform([picture])[0]
        except ImageError:  # left out, as the picture itself is
            return picture

    parts = [
        measure_faces(pictures, coverage, cropping, change=change, verbose=verbose)
        for change in (None, perturb)
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
    scores = held_out_scores(table, random_state=random_state)
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
    """Say what is known without further measurements."""
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
