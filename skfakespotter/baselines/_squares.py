"""Squares: networks trained on three square planes a picture, as scikit-learn classifiers."""

from __future__ import annotations

from math import isqrt
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNetClassifier
from torch import nn

from skfakespotter._device import PRECISIONS, computing_in, resolve_device
from skfakespotter._typing import Labels
from skfakespotter.images import MIN_SIDE

# constraints of parameters that some subclasses have
WEIGHT_DECAY = [Interval(Real, 0, None, closed="left")]
PRECISION = [StrOptions(set(PRECISIONS))]


class Squares(nn.Sequential):
    """Layers that take rows of 3 * side**2 numbers as pictures, and give float32 logits.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skfakespotter.baselines._squares import Squares
    >>> Squares(nn.AdaptiveAvgPool2d(1), nn.Flatten())(torch.ones(2, 3 * 16 * 16)).shape
    torch.Size([2, 3])
    """

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Reshape rows to pictures, and return what the layers make of them.

        Parameters
        ----------
        X : Tensor of shape (n, 3 * side**2)
            Planes one after the other, row by row.

        Returns
        -------
        Tensor of shape (n, 2), float32
            Logits of the two classes.
        """
        side = isqrt(X.shape[1] // 3)
        return super().forward(X.reshape(-1, 3, side, side)).float()


class SquareClassifier(ClassifierMixin, BaseEstimator):
    """Base of classifiers that train a network from planes to two logits by cross-entropy.

    A subclass has the parameters ``lr``, ``max_epochs``, ``batch_size``, ``device``,
    ``random_state`` and ``verbose``, and ``_build()``, which draws a network from torch's
    generator. Its optimizer is Adam with ``weight_decay``, unless ``_options()`` says otherwise.
    ``precision`` is float32 where it is no parameter.
    """

    _from: str  # what gives such columns, for messages
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "lr": [Interval(Real, 0, None, closed="neither")],
    }

    @property
    def _least_side(self) -> int:
        return MIN_SIDE

    def _build(self) -> nn.Module:
        raise NotImplementedError(f"{type(self).__name__} has no _build()")

    def _options(self) -> dict[str, Any]:
        """Return further parameters of skorch's classifier."""
        return {
            "optimizer": torch.optim.Adam,
            "optimizer__weight_decay": self.weight_decay,
            "lr": self.lr,
        }

    def fit(self, X: ArrayLike, y: Labels) -> SquareClassifier:
        """Train the network anew.

        Parameters
        ----------
        X : array-like of shape (n, 3 * side**2)
            Three square planes a picture, row by row.
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
        if 3 * side**2 != n_columns or side < self._least_side:
            raise ValueError(
                f"X has {n_columns} columns: expected 3 * side**2, side at least "
                f"{self._least_side}, as {self._from} gives them."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported. "
                f"y holds {len(self.classes_)} class(es): expected two."
            )
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        with torch.random.fork_rng(), self._computing():
            torch.manual_seed(seed)
            self.net_ = self._make_net().fit(data, codes.astype(np.int64))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Return the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Planes as in ``fit``.

        Returns
        -------
        ndarray of shape (n,), float64
            Positive where ``classes_[1]`` is the likelier.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        # a torch DataLoader draws a seed even where it only reads
        with torch.random.fork_rng(), self._computing():
            logits = self.net_.forward(X).double().cpu().numpy()
        return logits[:, 1] - logits[:, 0]

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Planes as in ``fit``.

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
            Planes as in ``fit``.

        Returns
        -------
        ndarray of shape (n,)
            Labels as in ``classes_``.
        """
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def _computing(self) -> Any:
        precision = getattr(self, "precision", "float32")
        return computing_in(precision, resolve_device(self.device))

    def _make_net(self) -> NeuralNetClassifier:
        return NeuralNetClassifier(
            self._build(),
            criterion=nn.CrossEntropyLoss,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            device=str(resolve_device(self.device)),
            verbose=self.verbose,
            **self._options(),
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
