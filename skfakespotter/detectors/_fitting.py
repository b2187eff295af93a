"""Fitting: from measured faces to a linear model, its calibration and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import check_consistent_length

from skfakespotter._channels import sum_by_layer
from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._limits import Limits
from skfakespotter.detectors._moments import PENALTY, Moments, discriminate
from skfakespotter.detectors._table import FaceTable
from skfakespotter.faces import Cropping
from skfakespotter.transformer import NeuronCoverageTransformer

N_FOLDS = 5


def fit_linear(
    table: FaceTable, *, n_channels: ArrayLike | None = None, penalty: float = PENALTY
) -> tuple[NDArray[np.float64], float]:
    """Fit a linear discriminant to faces.

    Parameters
    ----------
    table : FaceTable
        Faces, copies included.
    n_channels : array-like of shape (n_layers,), default=None
        Channels of each layer; see :func:`discriminate`.
    penalty : float, default=1.0
        See :func:`discriminate`.

    Returns
    -------
    weights : ndarray of shape (n_features,)
        Of the counts as they are.
    intercept : float
        Added to the weighted sum.
    """
    real, fake = (table.rows(table.fake == label).moments() for label in (False, True))
    return discriminate(real, fake, penalty=penalty, n_channels=n_channels)


def held_out_scores(
    table: FaceTable,
    *,
    n_channels: ArrayLike | None = None,
    penalty: float = PENALTY,
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Score every face by a model that was trained on other photographs.

    Parameters
    ----------
    table : FaceTable
        Faces, copies included.
    n_channels, penalty
        See :func:`fit_linear`.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    ndarray of shape (n,)
        Scores.
    """
    scores = np.empty(len(table))
    fold = fold_of(table, random_state)
    parts = {
        (label, k): table.rows((fold == k) & (table.fake == label)).moments()
        for label in (False, True)
        for k in np.unique(fold[table.fake == label]).tolist()
    }
    for k in range(N_FOLDS):
        real, fake = (
            Moments.total(of for (side, other), of in parts.items() if side == label and other != k)
            for label in (False, True)
        )
        weights, intercept = discriminate(real, fake, penalty=penalty, n_channels=n_channels)
        scores[fold == k] = table.counts[fold == k] @ weights.astype(np.float32) + intercept
    return scores


def fold_of(table: FaceTable, random_state: int = 0) -> NDArray[np.int64]:
    """Assign faces to folds that keep groups together, with sources and labels in proportion.

    Parameters
    ----------
    table : FaceTable
        Faces.
    random_state : int, default=0
        Seed.

    Returns
    -------
    ndarray of shape (n,), int
        Fold of each face, from 0 to 4.
    """
    fold = np.empty(len(table), np.int64)
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=random_state)
    strata = np.char.add(table.source, np.where(table.fake, "+", "-"))
    for number, (_, test) in enumerate(splitter.split(fold, strata, table.groups)):
        fold[test] = number
    return fold


def fit_detector(
    table: FaceTable,
    scores: ArrayLike,
    *,
    name: str,
    family: str,
    coverage: NeuronCoverageTransformer,
    cropping: Cropping,
    model: tuple[NDArray[np.float64], float] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Detector:
    """Fit a detector to all faces, and calibrate it on scores that were held out.

    Parameters
    ----------
    table : FaceTable
        Faces, copies included.
    scores : array-like of shape (n,)
        From :func:`held_out_scores`.
    name, family : str
        See :class:`Detector`.
    coverage : NeuronCoverageTransformer
        Fitted; it counted.
    cropping : Cropping
        How the faces were cropped.
    model : (ndarray of shape (n_features,), float), default=None
        Weights and intercept; None: those of :func:`fit_linear`.
    card : mapping, default=None
        See :class:`Detector`.

    Returns
    -------
    Detector
        Fitted and calibrated.
    """
    scores = np.asarray(scores)
    check_consistent_length(table.fake, scores)
    weights, intercept = model or fit_linear(table, n_channels=coverage.n_channels_)
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
        backbone=cast("str", coverage.backbone),
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
    totals = sum_by_layer(np.asarray(counts, np.float64), layers["n_channels"])
    return totals / np.asarray(layers["n_neurons"])
