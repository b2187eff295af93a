"""Detector: a linear model on per-channel coverage that knows one family of fakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._typing import Device, Pictures
from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._card import card_text
from skfakespotter.detectors._limits import Limits
from skfakespotter.detectors._measuring import BATCH, count_faces
from skfakespotter.faces import Cropping, FaceAligner
from skfakespotter.images import ImageError, check_images
from skfakespotter.transformer import NeuronCoverageTransformer

FPR = 0.01  # promised on the worst source, unless another rate is chosen


@dataclass(frozen=True, eq=False, repr=False)
class Detector:
    r"""A linear detector of one family of fakes, with calibration and limits.

    The score of a face is linear in the counts of its channels, the mean of the face as it is and
    mirrored,
    :math:`s = b + \sum_c w_c n_c`, so :func:`skfakespotter.explain` splits it exactly by layer
    and place. :attr:`calibration` holds
    the scores of photographs and fakes that were not trained on.

    Make one with :func:`skfakespotter.train_detector`, or take one that ships from
    :func:`skfakespotter.load_detector`.

    Parameters
    ----------
    name : str
        What to call it in commands and tables.
    family : str
        The fakes it was trained on, in words: "StyleGAN".
    backbone, fingerprint : str
        The network it watches, and the digest of its weights.
    layers : Mapping
        ``names``, list of str; ``thresholds``, float64, ``n_neurons`` and ``n_channels``, int,
        each an ndarray of shape (n_layers,).
    cropping : Cropping
        How faces are found and cropped.
    weights : ndarray of shape (n_channels in all,), float32
        Of the counts.
    intercept : float
        Added to their weighted sum.
    calibration : Calibration
        Scores of photographs, source by source, and of fakes.
    limits : Limits
        Which faces it was measured on; for others the verdict is "cannot say".
    baselines : Mapping of str to ndarray of shape (h, w), float32
        Expected evidence at each place of a layer's map, over real photographs: the zero
        line of explanations. Empty: zero.
    card : Mapping
        Model card: data, figures, what it is not for. ``str(detector)`` prints it.

    Examples
    --------
    >>> from skfakespotter import load_detector
    >>> detector = load_detector("stylegan")
    >>> detector.family
    'StyleGAN'
    >>> 0 < detector.recall(0.05) <= 1
    True
    """

    name: str
    family: str
    backbone: str
    fingerprint: str
    layers: Mapping[str, Any]
    cropping: Cropping
    weights: NDArray[np.float32]
    intercept: float
    calibration: Calibration
    limits: Limits
    baselines: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Detector({self.name!r}, family={self.family!r})"

    def __str__(self) -> str:
        return card_text(self)

    @property
    def classes_(self) -> NDArray[np.int64]:
        """Labels: 0 real, 1 fake."""
        return np.array([0, 1])

    @cached_property
    def coverage(self) -> NeuronCoverageTransformer:
        """The fitted transformer of aligned faces; a score takes it of the mirrored face, too."""
        return self.coverage_on("auto")

    def coverage_on(self, device: Device) -> NeuronCoverageTransformer:
        """Build the fitted transformer of aligned faces for a device.

        Parameters
        ----------
        device : str
            Where the network computes.

        Returns
        -------
        NeuronCoverageTransformer
            Counts per channel.
        """
        return fitted_coverage(self.backbone, self.fingerprint, self.layers, device)

    def aligner(self, **params: Any) -> FaceAligner:
        """Build the aligner of the faces it was trained on.

        Parameters
        ----------
        **params
            Further parameters: ``lazy``, ``on_missing``, ...

        Returns
        -------
        FaceAligner
            With the detector's cropping.
        """
        return FaceAligner(**{**asdict(self.cropping), **params})

    def decide(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Compute scores from counts.

        Parameters
        ----------
        counts : ndarray of shape (n, n_channels in all)
            From :func:`skfakespotter.detectors._measuring.count_faces`.

        Returns
        -------
        ndarray of shape (n,)
            Scores; larger means more fake.
        """
        return np.asarray(counts, np.float64) @ self.weights.astype(np.float64) + self.intercept

    def decision_function(self, X: Pictures) -> NDArray[np.float64]:
        """Compute the score of the main face of every picture.

        Parameters
        ----------
        X : sequence of pictures
            Pictures, each with a face; :func:`skfakespotter.score_pictures` takes any.

        Returns
        -------
        ndarray of shape (n,)
            Scores; larger means more fake.

        Raises
        ------
        ImageError
            For a picture that cannot be read or shows no face.
        """
        pictures: Any = check_images(X)
        aligner, scores = self.aligner(), [np.empty(0)]
        for start in range(0, len(pictures), BATCH):
            try:
                crops: Any = aligner.transform(pictures[start : start + BATCH])
            except ImageError as error:
                raise error.at(start + (error.index or 0)) from error
            scores.append(self.decide(count_faces(self.coverage, crops)))
        return np.concatenate(scores)

    def predict(self, X: Pictures, *, fpr: float = FPR) -> NDArray[np.int64]:
        """Predict which pictures resemble the family at the promised false-positive rate.

        Parameters
        ----------
        X : sequence of pictures
            As for :meth:`decision_function`.
        fpr : float, default=0.01
            Promised rate on the worst source.

        Returns
        -------
        ndarray of shape (n,), int
            1 where the score is above ``threshold(fpr)``. 0 is no proof of a photograph.
        """
        return (self.p_value(self.decision_function(X)) <= fpr).astype(int)

    def p_value(self, scores: Any) -> NDArray[np.float64]:
        """Compute p-values against the worst source; see :class:`Calibration`.

        Parameters
        ----------
        scores : array-like of float
            Scores.

        Returns
        -------
        ndarray
            Values in (0, 1], in the shape of ``scores``.
        """
        return self.calibration.p_value(scores)

    def threshold(self, fpr: float = FPR) -> float:
        """Find the score above which a face resembles the family.

        Parameters
        ----------
        fpr : float, default=0.01
            Promised false-positive rate on the worst source.

        Returns
        -------
        float
            A score.
        """
        return self.calibration.threshold(fpr)

    def recall(self, fpr: float = FPR) -> float:
        """Measure the share of held-out fakes of the family above the threshold.

        Parameters
        ----------
        fpr : float, default=0.01
            Promised false-positive rate on the worst source.

        Returns
        -------
        float
            From 0 to 1.
        """
        return self.calibration.recall(fpr)


def fitted_coverage(
    backbone: str, fingerprint: str, layers: Mapping[str, Any], device: Device = "auto"
) -> NeuronCoverageTransformer:
    """Build a fitted transformer of counts per channel from what a detector stores.

    Parameters
    ----------
    backbone, fingerprint : str
        Network and digest of its weights.
    layers : Mapping
        See :class:`Detector`.
    device : str, default="auto"
        Where the network computes.

    Returns
    -------
    NeuronCoverageTransformer
        Fitted.
    """
    return NeuronCoverageTransformer.from_thresholds(
        layers["thresholds"],
        layer_names=layers["names"],
        n_neurons=layers["n_neurons"],
        n_channels=layers["n_channels"],
        backbone_fingerprint=fingerprint,
        backbone=backbone,
        granularity="channel",
        device=device,
    )
