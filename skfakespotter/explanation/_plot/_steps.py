"""Steps: where a pipeline counts neurons, and which layer each of its counts belongs to."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skfakespotter.transformer import NeuronCoverageTransformer


def split_at_coverage(estimator: Any) -> tuple[Any, NeuronCoverageTransformer, Any]:
    """Split a fitted pipeline behind its transformer.

    Parameters
    ----------
    estimator : NeuronCoverageTransformer or Pipeline
        Fitted; a pipeline holds one transformer.

    Returns
    -------
    head : transformer
        From pictures to counts.
    coverage : NeuronCoverageTransformer
        Its last step.
    tail : Pipeline or None
        From counts to scores; None where nothing follows.

    Raises
    ------
    TypeError
        When there is no NeuronCoverageTransformer.
    """
    if isinstance(estimator, NeuronCoverageTransformer):
        return estimator, estimator, None
    if isinstance(estimator, Pipeline):
        for place, (_, step) in enumerate(estimator.steps):
            if isinstance(step, NeuronCoverageTransformer):
                rest = place + 1 < len(estimator.steps)
                return estimator[: place + 1], step, estimator[place + 1 :] if rest else None
    raise TypeError(
        f"estimator is a {type(estimator).__name__} without a NeuronCoverageTransformer: expected "
        "one, or a fitted Pipeline that holds one as a step."
    )
