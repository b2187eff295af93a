"""A small convolutional network over log-spectra."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNetClassifier
from torch import nn

from skfakespotter._device import resolve_device
from skfakespotter._typing import Device, Labels, RandomState
from skfakespotter.images import MIN_SIDE


class SpectrumCNN(nn.Sequential):
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

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Reshape rows of 3 * side**2 numbers to pictures, and return their logits.

        Parameters
        ----------
        X : Tensor of shape (n, 3 * side**2)
            Spectra, channel by channel, row by row.

        Returns
        -------
        Tensor of shape (n, 2)
            Logits of the two classes.
        """
        side = isqrt(X.shape[1] // 3)
        return super().forward(X.reshape(-1, 3, side, side))


class SpectrumCNNClassifier(ClassifierMixin, BaseEstimator):
    """Small convolutional network on log-spectra, a small form of AutoGAN's detector.

    The publication [1]_ trains a ResNet-34 that knows ImageNet for ten epochs; this network
    starts from nothing and has 26,000 weights instead of 21 million, so that it learns
    from a thousand pictures in a minute without an accelerator. It is not the published
    detector at its best: without pretraining it memorizes the speckle of single cells, and
    does better on averaged ones (``LogSpectrum(pool=8)``). Adam on the cross-entropy of
    two logits.

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

    _parameter_constraints: ClassVar = {
        "widths": [tuple, list],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
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

    def fit(self, X: ArrayLike, y: Labels) -> SpectrumCNNClassifier:
        """Train the network from new weights.

        Parameters
        ----------
        X : array-like of shape (n, 3 * side**2)
            What :class:`LogSpectrum` gives; ``side`` is 16 at least.
        y : array-like of shape (n,)
            Two labels, numbers or strings.

        Returns
        -------
        self
            The fitted classifier.

        Raises
        ------
        ValueError
            When the columns are not three squares, or the classes are not two.
        """
        self._validate_params()
        data, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        n_columns = data.shape[1]
        side = isqrt(n_columns // 3)
        if 3 * side**2 != n_columns or side < MIN_SIDE:
            raise ValueError(
                f"X has {n_columns} columns: expected 3 * side**2, side at least {MIN_SIDE}, "
                "as LogSpectrum gives them."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. "
                f"y holds {len(self.classes_)} class(es): expected two."
            )
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net_ = self._make_net().fit(data, codes.astype(np.int64))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Return the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Spectra.

        Returns
        -------
        ndarray of shape (n,), float64
            Positive where ``classes_[1]`` is the likelier.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        with torch.random.fork_rng():  # a torch DataLoader draws a seed even where it only reads
            logits = self.net_.forward(X).double().cpu().numpy()
        return logits[:, 1] - logits[:, 0]

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Spectra.

        Returns
        -------
        ndarray of shape (n, 2), float64
            Columns in the order of ``classes_``; the rows sum to 1.
        """
        odds = self.decision_function(X)
        return np.column_stack([expit(-odds), expit(odds)])

    def predict(self, X: ArrayLike) -> NDArray:
        """Return the likelier label.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Spectra.

        Returns
        -------
        ndarray of shape (n,)
            Labels as in ``classes_``.
        """
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def _make_net(self) -> NeuralNetClassifier:
        return NeuralNetClassifier(
            SpectrumCNN,
            module__widths=self.widths,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            device=str(resolve_device(self.device)),
            verbose=self.verbose,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
