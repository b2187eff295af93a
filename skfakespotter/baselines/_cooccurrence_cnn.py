"""Nataraj et al.'s network on co-occurrence matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, ClassVar

import torch
from torch import nn

from skfakespotter._typing import Device, RandomState
from skfakespotter.baselines._squares import PRECISION, SquareClassifier, Squares

_DENSE = 256


class Brighten(nn.Module):
    """Multiply shares so that they are 1 on average: what the network's first weights suit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply planes of shares by the number of their cells."""
        return x * (x.shape[2] * x.shape[3])


class CooccurrenceCNN(Squares):
    """Per width a 3x3 convolution, a 5x5 one and 2x2 max pooling; two dense layers, two logits.

    Parameters
    ----------
    levels : int
        Side of the matrices.
    widths : sequence of int, default=(32, 64, 128)
        Filters.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.baselines._cooccurrence_cnn import CooccurrenceCNN
    >>> CooccurrenceCNN(32)(torch.zeros(2, 3 * 32 * 32)).shape
    torch.Size([2, 2])
    """

    def __init__(self, levels: int, widths: Sequence[int] = (32, 64, 128)) -> None:
        layers: list[nn.Module] = [Brighten()]
        for n_in, n_out in zip((3, *widths), widths, strict=False):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(n_out, n_out, 5, padding=2), nn.MaxPool2d(2)]
        n_flat = widths[-1] * (levels // 2 ** len(widths)) ** 2
        layers += [nn.Flatten(), nn.Linear(n_flat, _DENSE), nn.ReLU()]
        super().__init__(*layers, nn.Linear(_DENSE, _DENSE), nn.ReLU(), nn.Linear(_DENSE, 2))


class CooccurrenceCNNClassifier(SquareClassifier):
    """Nataraj et al.'s network [1]_ on :class:`CooccurrenceMatrices`, of 256 levels as published.

    Six convolutions in three pairs, of 3x3 and 5x5 and with 32, 64 and 128 filters; max pooling
    after each pair; two dense layers of 256. Adadelta on the cross-entropy. What the publication
    leaves unsaid: convolutions keep the side, pools halve it, matrices are scaled to a mean of 1.

    Parameters
    ----------
    widths : sequence of int, default=(32, 64, 128)
        Filters of each pair of convolutions.
    lr : float, default=1.0
        Factor on Adadelta's steps.
    max_epochs : int, default=50
        Passes over the training data.
    batch_size : int, default=40
        Pictures per step.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Of convolutions.
    device : str, default="auto"
        Where to compute: "auto" takes CUDA, then MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds the first weights and the order of the pictures.
    verbose : int, default=0
        1 prints the loss of each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Labels, sorted.
    net_ : skorch.NeuralNetClassifier
        The fitted network; ``net_.history`` holds the loss of each epoch.
    n_features_in_ : int
        Columns seen in fit.

    References
    ----------
    .. [1] L. Nataraj et al. Detecting GAN generated Fake Images using Co-occurrence
       Matrices. Electronic Imaging, 2019. arXiv:1903.06836.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import CooccurrenceCNNClassifier, CooccurrenceMatrices
    >>> rng, y = np.random.default_rng(0), np.arange(40) % 2
    >>> X = [rng.normal(128, 10 + 30 * label, (32, 32, 3)).clip(0, 255) for label in y]
    >>> shares = CooccurrenceMatrices(16).transform([x.astype(np.uint8) for x in X])
    >>> model = CooccurrenceCNNClassifier((4, 8), max_epochs=5, batch_size=8, random_state=0)
    >>> model.fit(shares, y).predict(shares[:2])
    array([0, 1])
    """

    _from = "CooccurrenceMatrices"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SquareClassifier._parameter_constraints,
        "widths": [tuple, list],
        "precision": PRECISION,
    }

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128),
        *,
        lr: float = 1.0,
        max_epochs: int = 50,
        batch_size: int = 40,
        precision: str = "float32",
        device: Device = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.widths = widths
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build(self) -> nn.Module:
        return CooccurrenceCNN(isqrt(self.n_features_in_ // 3), self.widths)

    def _options(self) -> dict[str, Any]:
        return {"optimizer": torch.optim.Adadelta, "lr": self.lr}
