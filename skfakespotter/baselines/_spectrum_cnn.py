"""A small convolutional network over log-spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from skfakespotter._typing import Device, RandomState
from skfakespotter.baselines._squares import WEIGHT_DECAY, SquareClassifier, Squares


class SpectrumCNN(Squares):
    """Three 3x3/2 convolutions with batch normalization, 4x4 average pool, dropout, two logits.

    Parameters
    ----------
    widths : sequence of int, default=(16, 32, 64)
        Filters of each convolution.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.baselines._spectrum_cnn import SpectrumCNN
    >>> SpectrumCNN()(torch.zeros(2, 3 * 32 * 32)).shape
    torch.Size([2, 2])
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in zip((3, *widths), widths, strict=False):
            convolution = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU()]
        # the pool keeps a coarse place: at which frequencies a peak stands tells the classes apart
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.5)]
        super().__init__(*layers, nn.Linear(16 * widths[-1], 2))


class SpectrumCNNClassifier(SquareClassifier):
    """Small convolutional network on log-spectra, a small form of AutoGAN's detector.

    The publication [1]_ trains a ResNet-34 that knows ImageNet for ten epochs
    (``make_baseline("autogan")``); this network starts from nothing and has 26,000 weights instead
    of 21 million, so that it learns from a thousand pictures in a minute without an accelerator.
    Without pretraining it memorizes the speckle of single cells, and does better on averaged ones
    (``LogSpectrum(pool=8)``). Adam on the cross-entropy of two logits.

    Parameters
    ----------
    widths : sequence of int, default=(16, 32, 64)
        Filters of the convolutions, each of which halves the side.
    lr : float, default=1e-3
        Learning rate of Adam.
    max_epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=32
        Pictures per step.
    weight_decay : float, default=1e-4
        L2 penalty in Adam.
    device : str, default="cpu"
        Where to compute: "auto" takes CUDA, then MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds the first weights and the order of the pictures. torch's own generator is
        left as found.
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
    .. [1] X. Zhang, S. Karaman, S.-F. Chang. Detecting and Simulating Artifacts in GAN
       Fake Images. WIFS 2019. arXiv:1907.06515.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines import SpectrumCNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["real", "fake"] * 20)
    >>> X = rng.normal(size=(40, 3 * 16 * 16)) + (y == "fake")[:, None]
    >>> SpectrumCNNClassifier(batch_size=8, random_state=0).fit(X, y).predict(X[:2])
    array(['real', 'fake'], dtype='<U4')
    """

    _from = "LogSpectrum"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SquareClassifier._parameter_constraints,
        "widths": [tuple, list],
        "weight_decay": WEIGHT_DECAY,
    }

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64),
        *,
        lr: float = 1e-3,
        max_epochs: int = 20,
        batch_size: int = 32,
        weight_decay: float = 1e-4,
        device: Device = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.widths = widths
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build(self) -> nn.Module:
        return SpectrumCNN(self.widths)
