"""MesoInception-4: a small convolutional network over faces."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from skfakespotter._typing import Device, RandomState
from skfakespotter.baselines._squares import WEIGHT_DECAY, SquareClassifier, Squares


class _Inception(nn.Module):
    """Four ways side by side: 1x1, and 3x3 with holes of 0, 1 and 2 pixels."""

    def __init__(self, n_in: int, *widths: int) -> None:
        super().__init__()
        ways = [nn.Sequential(nn.Conv2d(n_in, widths[0], 1), nn.ReLU())]
        for reach, width in enumerate(widths[1:], start=1):
            wide = nn.Conv2d(width, width, 3, padding=reach, dilation=reach)
            ways.append(nn.Sequential(nn.Conv2d(n_in, width, 1), nn.ReLU(), wide, nn.ReLU()))
        self.ways = nn.ModuleList(ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x) for way in self.ways], dim=1)


class MesoInception4(Squares):
    """Two inception blocks, two 5x5 convolutions, 16 hidden units, two logits.

    Pictures of 256 pixels come out of the last pool as 8 x 8 cells; those of other sides as well.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.baselines._mesonet import MesoInception4
    >>> network = MesoInception4()
    >>> sum(p.numel() for p in network.parameters()), network(torch.zeros(2, 3 * 256**2)).shape
    (28632, torch.Size([2, 2]))
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            *(_Inception(3, 1, 4, 4, 2), nn.BatchNorm2d(11), nn.MaxPool2d(2)),
            *(_Inception(11, 2, 4, 4, 2), nn.BatchNorm2d(12), nn.MaxPool2d(2)),
            *(nn.Conv2d(12, 16, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(16)),
            *(nn.AdaptiveMaxPool2d(8), nn.Flatten(), nn.Dropout(0.5)),
            *(nn.Linear(16 * 8 * 8, 16), nn.LeakyReLU(0.1), nn.Dropout(0.5), nn.Linear(16, 2)),
        ]
        super().__init__(*layers)


class MesoInceptionClassifier(SquareClassifier):
    """MesoInception-4, which looks at details of middle size in faces.

    The published network [1]_ with two logits and their cross-entropy in place of one unit and
    the squared error, trained from nothing by Adam. The authors train for millions of steps on
    faces of 256 pixels; how long and at which size is for the user to choose.

    Parameters
    ----------
    lr : float, default=1e-3
        Learning rate of Adam.
    max_epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=32
        Pictures per step.
    weight_decay : float, default=0.0
        L2 penalty in Adam.
    device : str, default="cpu"
        Where to compute: "auto" takes CUDA, then MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds the first weights, the order of the pictures and dropout. torch's own generator
        is left as found.
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
    .. [1] D. Afchar, V. Nozick, J. Yamagishi, I. Echizen, "MesoNet: a Compact Facial Video
       Forgery Detection Network", WIFS 2018. arXiv:1809.00888.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines import MesoInceptionClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.normal(size=(40, 3 * 32 * 32)) + y[:, None]
    >>> classifier = MesoInceptionClassifier(batch_size=8, max_epochs=3, random_state=0)
    >>> classifier.fit(X, y).predict_proba(X[:3]).shape
    (3, 2)
    """

    _from = "PixelValues"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SquareClassifier._parameter_constraints,
        "weight_decay": WEIGHT_DECAY,
    }

    def __init__(
        self,
        *,
        lr: float = 1e-3,
        max_epochs: int = 20,
        batch_size: int = 32,
        weight_decay: float = 0.0,
        device: Device = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build(self) -> nn.Module:
        return MesoInception4()
