"""LinearForm: a detector as a weighted sum of counts, exactly or to first order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from skfakespotter.detectors import Detector
from skfakespotter.evaluation import positive_label
from skfakespotter.experts import ExpertStack
from skfakespotter.faces import Cropping, FaceAligner
from skfakespotter.perturbations import AugmentedClassifier
from skfakespotter.transformer import NeuronCoverageTransformer

_EXPECTED = (
    "detector has a step {}, through which a score cannot be followed: expected a Detector, or a "
    "fitted Pipeline of FaceAligner (or none), NeuronCoverageTransformer, StandardScalers and a "
    "linear classifier, an ExpertStack of such, or an SVC."
)


@dataclass(frozen=True, eq=False)
class LinearForm:
    """The score as ``weights @ counts + intercept``.

    Parameters
    ----------
    coverage : NeuronCoverageTransformer
        Fitted; it counts.
    weights : ndarray of shape (n_features,), float64
        Of its features.
    intercept : float
        Added to their weighted sum.
    baselines : dict of str to ndarray
        See :class:`skfakespotter.detectors.Detector`.
    exact : bool
        Whether that is the score everywhere, or its first-order expansion at one face.
    """

    coverage: NeuronCoverageTransformer
    weights: NDArray[np.float64]
    intercept: float
    baselines: dict[str, NDArray[np.float32]]
    exact: bool = True


def linear_form(
    detector: Any,
) -> tuple[Callable[[Any], LinearForm], tuple[NeuronCoverageTransformer, Cropping | None]]:
    """Take a detector apart.

    Parameters
    ----------
    detector : Detector or fitted Pipeline
        The detector.

    Returns
    -------
    form : callable
        ``form(counts)`` returns the LinearForm at the face of these counts, an ndarray of
        shape (1, n_features).
    parts : (NeuronCoverageTransformer, Cropping or None)
        What makes the counts, and of which crop.

    Raises
    ------
    TypeError
        When the detector is not one that can be taken apart; it says which can.
    """
    if isinstance(detector, Detector):
        linear = LinearForm(
            detector.coverage,
            detector.weights.astype(np.float64),
            detector.intercept,
            dict(detector.baselines),
        )
        return (lambda counts: linear), (detector.coverage, detector.cropping)
    check_is_fitted(detector)
    steps = _flatten(detector)
    cropping = None
    if isinstance(steps[0], FaceAligner):
        aligner = steps.pop(0)
        cropping = Cropping(**{f.name: getattr(aligner, f.name) for f in fields(Cropping)})
    if len(steps) < 2 or not isinstance(steps[0], NeuronCoverageTransformer):
        raise TypeError(_EXPECTED.format(type(steps[0]).__name__))
    coverage, *between, classifier = steps
    scale, shift = _scaling(between, len(coverage.get_feature_names_out()))
    sign = -1 if classifier.classes_[0] == positive_label(classifier.classes_) else 1

    def form(counts: NDArray[Any]) -> LinearForm:
        weights, intercept, exact = _gradient(classifier, counts * scale + shift)
        weights, intercept = sign * weights, sign * intercept
        return LinearForm(coverage, weights * scale, intercept + float(weights @ shift), {}, exact)

    return form, (coverage, cropping)


def _flatten(detector: Any) -> list[Any]:
    """List the steps of nested pipelines, augmented or not."""
    if isinstance(detector, AugmentedClassifier):
        return _flatten(detector.estimator_)
    if isinstance(detector, CalibratedClassifierCV) and len(detector.calibrated_classifiers_) == 1:
        return _flatten(detector.calibrated_classifiers_[0].estimator)
    if isinstance(detector, Pipeline):
        steps = [step for _, step in detector.steps if step not in (None, "passthrough")]
        return [*steps[:-1], *_flatten(steps[-1])]
    return [detector]


def _scaling(between: list[Any], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Join scalers into one: ``scale * x + shift``."""
    scale, shift = np.ones(n), np.zeros(n)
    for step in between:
        if not isinstance(step, StandardScaler):
            raise TypeError(_EXPECTED.format(type(step).__name__))
        mean = 0.0 if step.mean_ is None or not step.with_mean else step.mean_
        std = 1.0 if step.scale_ is None else step.scale_
        scale, shift = scale / std, (shift - mean) / std
    return scale, shift


def _gradient(classifier: Any, x: NDArray[Any]) -> tuple[NDArray[np.float64], float, bool]:
    """Expand the decision about ``x``: weights, intercept, and whether that holds everywhere."""
    if isinstance(classifier, Pipeline) and len(classifier.steps) == 1:
        return _gradient(classifier.steps[0][1], x)
    if isinstance(classifier, ExpertStack):
        parts = [_gradient(expert, x) for _, expert in classifier.experts_]
        weights = sum(c * w for c, (w, _, _) in zip(classifier.coef_, parts, strict=True))
        intercept = sum(c * b for c, (_, b, _) in zip(classifier.coef_, parts, strict=True))
        return weights, classifier.intercept_ + float(intercept), all(p[2] for p in parts)
    if isinstance(classifier, SVC) and classifier.kernel == "rbf":
        apart = classifier.support_vectors_ - x
        near = np.exp(-classifier._gamma * np.square(apart).sum(1)) * classifier.dual_coef_[0]
        weights = 2 * classifier._gamma * near @ apart
        value = float(near.sum() + classifier.intercept_[0])
        return weights, value - float(weights @ x[0]), False
    if np.shape(getattr(classifier, "coef_", 0)) == (1, x.shape[1]):
        return (
            np.asarray(classifier.coef_[0], float),
            float(np.ravel(classifier.intercept_)[0]),
            True,
        )
    raise TypeError(_EXPECTED.format(type(classifier).__name__))
