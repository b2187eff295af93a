"""Smooth: a detector whose counts are sums of sigmoids, so that its decision has a gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from skfakespotter.backbones import find_norms, load_backbone
from skfakespotter.classifier import FakeSpotterClassifier
from skfakespotter.coverage import Neurons
from skfakespotter.perturbations import Delegate
from skfakespotter.transformer import NeuronCoverageTransformer


class SmoothDetector:
    """What a fitted pipeline decides about aligned faces, with a gradient.

    A neuron's part in a count, 1 where its output exceeds the threshold, becomes
    ``sigmoid(slope * (output - threshold) / s)``, s the standard deviation of the layer's
    outputs about the threshold in the batch. As the slope grows the count becomes the true one.

    Parameters
    ----------
    detector : fitted Pipeline
        See :class:`skfakespotter.AdversarialAttack`.

    Raises
    ------
    TypeError
        For a detector of another form.
    """

    def __init__(self, detector: Any) -> None:
        steps = list(_flatten(detector))
        self.coverage, *scalers, self.classifier = steps if len(steps) > 1 else [None, *steps]
        if not isinstance(self.coverage, NeuronCoverageTransformer) or not all(
            isinstance(step, StandardScaler) for step in scalers
        ):
            raise TypeError(_expected(steps))
        self.scalers = [_scaling(step) for step in scalers]
        self.head = _head(self.classifier, steps)
        self.backbone = load_backbone(self.coverage.backbone)
        # a copy: hooks and gradients of an attack are nobody else's
        self.network = copy.deepcopy(self.backbone.module).cpu().eval().requires_grad_(False)
        classes = self.classifier.classes_.tolist()
        self.sign = -1.0 if classes[0] == "fake" else 1.0
        self._watched: dict[str, nn.Module] = {}

    def decide(self, pixels: torch.Tensor, slope: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return decisions and their gradients.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, h, w), float32
            RGB, 0 to 255.
        slope : float
            Of the sigmoids, per standard deviation of the layer's outputs.

        Returns
        -------
        decisions : Tensor of shape (n,)
            Positive for fake.
        gradients : Tensor of shape (n, 3, h, w)
            Of each picture's decision.
        """
        pixels = pixels.detach().requires_grad_()
        with torch.enable_grad():
            features = self.counts(pixels, slope)
            for mean, scale in self.scalers:
                features = (features - mean) / scale
            decisions = self.sign * self.head(features)
            (gradients,) = torch.autograd.grad(decisions.sum(), pixels)
        return decisions.detach(), gradients

    def counts(self, pixels: torch.Tensor, slope: float) -> torch.Tensor:
        """Compute the smooth counts, in the order and the unit of the transformer's columns.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, h, w), float32
            RGB, 0 to 255.
        slope : float
            Of the sigmoids.

        Returns
        -------
        Tensor of shape (n, n_features), float32
            Smooth counts.
        """
        options, columns, start = self.coverage, [], 0
        for i, values in enumerate(self._outputs(self._network_input(pixels))):
            n_channels, n_units = values.shape[1:]
            per_layer = len(options.thresholds_) == len(options.layer_names_)
            own = slice(i, i + 1) if per_layer else slice(start, start + n_channels)
            xi = torch.from_numpy(options.thresholds_[own].astype(np.float32))
            apart = values - xi[:, None]
            spread = apart.detach().std().clamp_min(1e-12)
            count = torch.sigmoid(slope * apart / spread).sum(2)
            if options.granularity == "layer":
                count, n_units = count.sum(1, keepdim=True), n_units * n_channels
            columns.append(count / n_units if options.output == "fraction" else count)
            start += n_channels
        return torch.cat(columns, 1)

    def _network_input(self, pixels: torch.Tensor) -> torch.Tensor:
        size = self.backbone.input_size
        if size is not None and pixels.shape[2:] != tuple(size):
            pixels = functional.interpolate(pixels, tuple(size), mode="bicubic", antialias=True)
        if self.backbone.channel_order == "BGR":
            pixels = pixels.flip(1)
        mean, scale = (
            torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)
            for value in (self.backbone.mean, self.backbone.scale)
        )
        return (pixels - mean) / scale

    def _outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Run the network; return the outputs of each layer's neurons, (n, channels, units)."""
        names = list(self.coverage.layer_names_)
        if not self._watched:
            norms, modules = (
                find_norms(self.network, x.detach()),
                dict(self.network.named_modules()),
            )
            self._watched = {name: modules[norms.get(name, name)] for name in names}
        neurons = Neurons(self.coverage.neuron, self.coverage.tokens, self.coverage.rectify)
        outputs: dict[str, torch.Tensor] = {}

        def keep(name: str) -> Callable:
            def hook(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
                # a copy: the network may change its own in place
                outputs[name] = neurons.of(layer, output.clone())

            return hook

        hooks = [part.register_forward_hook(keep(name)) for name, part in self._watched.items()]
        try:
            self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return [outputs[name] for name in names]


def _flatten(detector: Any) -> Iterator[Any]:
    """Yield the steps of a fitted detector, those of pipelines within it too."""
    if isinstance(detector, FrozenEstimator):
        yield from _flatten(detector.estimator)
    elif isinstance(detector, Pipeline):
        for _, step in detector.steps:
            if step is not None and step != "passthrough":
                yield from _flatten(step)
    elif isinstance(detector, Delegate):
        yield from _flatten(detector.estimator_)
    elif len(getattr(detector, "experts_", ())) == 1:  # its calibration is monotone
        yield from _flatten(detector.experts_[0][1])
    else:
        yield detector


def _scaling(scaler: StandardScaler) -> tuple[torch.Tensor, torch.Tensor]:
    mean = np.zeros(1) if scaler.mean_ is None else scaler.mean_
    scale = np.ones(1) if scaler.scale_ is None else scaler.scale_
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(scale.astype(np.float32))


def _head(classifier: Any, steps: list[Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function from scaled features (n, m) to decisions for ``classes_[1]``."""
    if isinstance(classifier, FakeSpotterClassifier):
        module = copy.deepcopy(classifier.net_.module_).cpu().eval().requires_grad_(False)

        def decide(features: torch.Tensor) -> torch.Tensor:
            logits = module(features)
            return logits[:, 1] - logits[:, 0]

        return decide
    weights = np.ravel(getattr(classifier, "coef_", ())).astype(np.float32)
    if not len(weights) or len(classifier.classes_) != 2:
        raise TypeError(_expected(steps))
    w, b = torch.from_numpy(weights), float(np.ravel(classifier.intercept_)[0])
    return lambda features: features @ w + b


def _expected(steps: list[Any]) -> str:
    return (
        f"detector has the steps {[type(step).__name__ for step in steps]}: expected a "
        "NeuronCoverageTransformer, a StandardScaler or none, and a linear classifier or "
        "FakeSpotterClassifier. Align the faces beforehand, and leave the aligner out; attack "
        "other detectors by transfer from such a one."
    )
