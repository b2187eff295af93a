"""Smooth: a detector whose counts are sums of sigmoids, so that its decision has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from skfakespotter._detector_parts import take_apart
from skfakespotter.coverage import DirectStatistics, softly_exceeds
from skfakespotter.perturbations import to_uint8


class SmoothDetector:
    """What a fitted pipeline decides about aligned faces, with a gradient.

    A neuron's part in a count, 1 where its output exceeds the threshold, is replaced by
    :func:`skfakespotter.coverage.softly_exceeds`.

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
        try:
            self.parts = take_apart(detector)
        except TypeError as error:
            raise TypeError(
                f"{error} Attack other detectors by transfer from such a one."
            ) from error
        if self.parts.cropping is not None:
            raise TypeError(
                "detector has a FaceAligner: align the faces beforehand, and leave the aligner out."
            )
        self._direct: DirectStatistics | None = None

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
        decisions : Tensor of shape (n,), float64
            Positive for fake.
        gradients : Tensor of shape (n, 3, h, w), float32
            Of each picture's decision.
        """
        pixels = pixels.detach().requires_grad_()
        with torch.enable_grad():
            decisions = self.parts.decide(self.counts(pixels, slope))
            (gradients,) = torch.autograd.grad(decisions.sum(), pixels)
        return decisions.detach(), gradients

    def counts(self, pixels: torch.Tensor, slope: float) -> torch.Tensor:
        """Compute the smooth counts.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, h, w), float32
            RGB, 0 to 255.
        slope : float
            Of the sigmoids.

        Returns
        -------
        Tensor of shape (n, n_channels in all), float32
            Smooth counts of each channel, where the network computes.
        """
        direct, thresholds = self._watched(pixels), self.parts.coverage.thresholds_
        x = self._network_input(direct, pixels)
        xi = direct.layout.split_thresholds(thresholds.astype(np.float32), x.device)

        def count(name: str, values: torch.Tensor) -> torch.Tensor:
            return softly_exceeds(values.float(), xi[name], slope).sum(2)

        return direct.monitor.collect(x, count, gradients=True)

    def _watched(self, pixels: torch.Tensor) -> DirectStatistics:
        """Return the network that the detector watches, for faces of this size."""
        if self._direct is None:
            faces = to_uint8(pixels.detach().permute(0, 2, 3, 1).numpy())
            _, self._direct = self.parts.coverage.direct_statistics(faces)
        return self._direct

    def _network_input(self, direct: DirectStatistics, pixels: torch.Tensor) -> torch.Tensor:
        size = list(direct.shape[1:])
        if list(pixels.shape[2:]) != size:
            pixels = functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        # of a copy, because what is uint8 elsewhere is scaled in place
        x = direct.backbone.preprocess(pixels.clone())
        return x.contiguous().to(direct.replicas[0].network.device)
