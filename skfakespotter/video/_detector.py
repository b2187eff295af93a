"""A detector's parts: the aligner it begins with, and the step that learns from labels."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skfakespotter.faces import FaceAligner


def take_apart(estimator: Any) -> tuple[FaceAligner, Any]:
    """Split a detector into the aligner it begins with and the rest, which takes aligned faces.

    Parameters
    ----------
    estimator : classifier
        The detector, frozen or not.

    Returns
    -------
    aligner : FaceAligner
        Its own, or the default one.
    detector : classifier
        Frozen where the whole was.
    """
    frozen = isinstance(estimator, FrozenEstimator)
    inner = estimator.estimator if frozen else estimator
    if not hasattr(inner, "predict_proba"):
        raise TypeError(
            f"estimator {type(inner).__name__} has no predict_proba: wrap its classifier in "
            "CalibratedClassifierCV."
        )
    if isinstance(inner, Pipeline) and isinstance(inner.steps[0][1], FaceAligner):
        return inner.steps[0][1], FrozenEstimator(inner[1:]) if frozen else inner[1:]
    return FaceAligner(), estimator


def last_step(detector: Any) -> tuple[Any, str]:
    """Return what learns from labels, and the prefix of its keywords in ``fit``.

    Parameters
    ----------
    detector : classifier
        A Pipeline or not.

    Returns
    -------
    classifier, str
        The last step, and its name with two underscores, or nothing.
    """
    if isinstance(detector, Pipeline):
        return detector.steps[-1][1], f"{detector.steps[-1][0]}__"
    return detector, ""
