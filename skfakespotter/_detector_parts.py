"""DetectorParts: a fitted detector taken apart into what crops, what counts and what decides."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from skfakespotter._channels import neurons_per_channel
from skfakespotter._labels import positive_label
from skfakespotter.classifier import FakeSpotterClassifier
from skfakespotter.experts import ExpertStack
from skfakespotter.faces import Cropping, FaceAligner
from skfakespotter.perturbations import Delegate
from skfakespotter.transformer import NeuronCoverageTransformer

_EXPECTED = (
    "detector has a step {}, through which a score cannot be followed: expected a fitted Pipeline "
    "of FaceAligner (or none), NeuronCoverageTransformer, StandardScalers, and a linear "
    "classifier, an SVC of RBF kernel, a FakeSpotterClassifier or an ExpertStack of such."
)


class Decision(NamedTuple):
    """A function that has a gradient.

    Attributes
    ----------
    of : callable
        Maps features, a float64 Tensor (n, n_features), to decisions (n,).
    is_linear : bool
        Whether its gradient is the same everywhere.
    """

    of: Callable[[torch.Tensor], torch.Tensor]
    is_linear: bool


@dataclass(frozen=True, eq=False)
class DetectorParts:
    """The parts of a detector.

    Parameters
    ----------
    cropping : Cropping or None
        How it crops faces; None for one of aligned faces.
    coverage : NeuronCoverageTransformer
        Fitted; it makes the features.
    decision : Decision
        From the features; positive for fake.
    """

    cropping: Cropping | None
    coverage: NeuronCoverageTransformer
    decision: Decision

    def features(self, counts: torch.Tensor) -> torch.Tensor:
        """Join counts to the transformer's features.

        Parameters
        ----------
        counts : Tensor of shape (n, n_channels in all)
            Active neurons of each channel.

        Returns
        -------
        Tensor of shape (n, n_features), float64
            On the CPU.
        """
        coverage, counts = self.coverage, counts.cpu().double()
        n_channels, n_neurons = coverage.n_channels_, coverage.n_neurons_
        if coverage.granularity == "layer":
            parts = counts.split(n_channels.tolist(), 1)
            counts = torch.stack([part.sum(1) for part in parts], 1)
        else:
            n_neurons = neurons_per_channel(n_neurons, n_channels)
        return counts / torch.from_numpy(n_neurons) if coverage.output == "fraction" else counts

    def decide(self, counts: torch.Tensor) -> torch.Tensor:
        """Compute decisions.

        Parameters
        ----------
        counts : Tensor of shape (n, n_channels in all)
            Active neurons of each channel.

        Returns
        -------
        Tensor of shape (n,), float64
            Positive for fake.
        """
        return self.decision.of(self.features(counts))

    def expand(self, counts: ArrayLike | None = None) -> tuple[NDArray[np.float64], float]:
        """Expand the decision to first order: ``weights @ counts + intercept``.

        Parameters
        ----------
        counts : array-like of shape (n_channels in all,), default=None
            Where; None: at 0, which is anywhere for a linear decision.

        Returns
        -------
        weights : ndarray of shape (n_channels in all,), float64
            Of a neuron of each channel.
        intercept : float
            Added to their weighted sum.
        """
        at = np.zeros(self.coverage.n_channels_.sum()) if counts is None else np.asarray(counts)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.tensor(at[None], dtype=torch.float64, requires_grad=True)
            (decision,) = self.decide(x)
            (gradient,) = torch.autograd.grad(decision, x)
        weights = gradient[0].numpy()
        return weights, float(decision.detach()) - float(weights @ at)


def take_apart(detector: Any) -> DetectorParts:
    """Take a detector apart.

    Parameters
    ----------
    detector : fitted Pipeline
        Which may be within one, frozen, calibrated as one classifier, or trained with
        perturbed copies: the decision is then that of the classifier within.

    Returns
    -------
    DetectorParts
        Its parts.

    Raises
    ------
    TypeError
        For a detector of another form; it names the step.
    ValueError
        When its labels do not say which one means fake.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import make_fakespotter, make_pictures
    >>> from skfakespotter._detector_parts import take_apart
    >>> X, y = make_pictures(8, random_state=0)
    >>> detector = make_fakespotter("toy_image", align=False, classifier=LogisticRegression())
    >>> parts = take_apart(detector.fit(X, y))
    >>> parts.cropping is None, parts.decision.is_linear
    (True, True)
    """
    check_is_fitted(detector)
    steps, cropping = _steps(detector), None
    if isinstance(steps[0], FaceAligner):
        cropping = steps.pop(0).cropping
    if len(steps) < 2 or not isinstance(steps[0], NeuronCoverageTransformer):
        raise TypeError(_EXPECTED.format(type(steps[0]).__name__ if steps else "FaceAligner"))
    coverage, *rest = steps
    decide, is_linear = _decision(rest)
    classes = rest[-1].classes_.tolist()
    sign = -1.0 if classes[0] == positive_label(classes) else 1.0
    return DetectorParts(cropping, coverage, Decision(lambda x: sign * decide(x), is_linear))


def _steps(detector: Any) -> list[Any]:
    """List the steps of a detector, those of pipelines within it too."""
    if isinstance(detector, FrozenEstimator):
        return _steps(detector.estimator)
    if isinstance(detector, Delegate):
        return _steps(detector.estimator_)
    if isinstance(detector, CalibratedClassifierCV) and len(detector.calibrated_classifiers_) == 1:
        return _steps(detector.calibrated_classifiers_[0].estimator)
    if isinstance(detector, Pipeline):
        steps = [step for _, step in detector.steps if step not in (None, "passthrough")]
        return [part for step in steps for part in _steps(step)]
    if isinstance(detector, ExpertStack) and len(detector.experts_) == 1:
        ((name, expert),) = detector.experts_
        *before, last = _steps(expert)
        alone = copy.copy(detector)  # what makes its features goes before it
        alone.experts_ = [(name, last)]
        return [*before, alone]
    return [detector]


def _decision(steps: list[Any]) -> Decision:
    """Compose scalers and a classifier."""
    *scalers, classifier = steps
    decide, is_linear = _rule(classifier)
    scale, shift = np.ones(1), np.zeros(1)
    for step in scalers:
        if not isinstance(step, StandardScaler):
            raise TypeError(_EXPECTED.format(type(step).__name__))
        mean = step.mean_ if step.with_mean else 0.0  # it has learned one all the same
        std = step.scale_ if step.with_std else 1.0
        scale, shift = scale / std, (shift - mean) / std
    a, b = torch.from_numpy(scale), torch.from_numpy(shift)
    return Decision(lambda x: decide(x * a + b), is_linear)


def _rule(classifier: Any) -> Decision:
    """Return the decision of a classifier, positive for ``classes_[1]``."""
    if isinstance(classifier, ExpertStack):
        return _stacked(classifier)
    if isinstance(classifier, FakeSpotterClassifier):
        network = copy.deepcopy(classifier.net_.module_).cpu().double().eval()
        network.requires_grad_(False)
        return Decision(lambda x: network(x).diff(dim=1)[:, 0], False)
    if isinstance(classifier, SVC) and classifier.kernel == "rbf":
        return _radial(classifier)
    if hasattr(classifier, "coef_") and len(np.atleast_2d(classifier.coef_)) == 1:
        return linear(np.ravel(classifier.coef_), float(np.ravel(classifier.intercept_)[0]))
    raise TypeError(_EXPECTED.format(type(classifier).__name__))


def _stacked(stack: ExpertStack) -> Decision:
    experts = [_decision(_steps(expert)) for _, expert in stack.experts_]

    def decide(x: torch.Tensor) -> torch.Tensor:
        decisions = torch.stack([expert.of(x) for expert in experts], 1)
        return decisions @ torch.from_numpy(stack.coef_) + stack.intercept_

    return Decision(decide, all(expert.is_linear for expert in experts))


def _radial(svc: SVC) -> Decision:
    vectors, dual = torch.from_numpy(svc.support_vectors_), torch.from_numpy(svc.dual_coef_[0])

    def decide(x: torch.Tensor) -> torch.Tensor:
        # not all the differences at once, which would fill the memory
        apart = x.square().sum(1)[:, None] - 2 * x @ vectors.T + vectors.square().sum(1)
        return torch.exp(-svc._gamma * apart) @ dual + float(svc.intercept_[0])

    return Decision(decide, False)


def linear(weights: ArrayLike, intercept: float) -> Decision:
    """Return a weighted sum of features.

    Parameters
    ----------
    weights : array-like of shape (n_features,)
        Of the features.
    intercept : float
        Added to their weighted sum.

    Returns
    -------
    Decision
        Linear.
    """
    w = torch.tensor(np.asarray(weights), dtype=torch.float64)
    return Decision(lambda x: x @ w + intercept, True)
