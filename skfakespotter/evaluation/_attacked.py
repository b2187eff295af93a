"""Attacked: a detector as it sees attacked pictures, in the shape that scorers take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils.metaestimators import available_if

from skfakespotter.evaluation._scoring import fake_response
from skfakespotter.perturbations import naming


class Attacked(ClassifierMixin, BaseEstimator):
    """Stand-in for the estimators on attacked pictures, so that any scorer works.

    Its ``X`` are positions of pictures. A response (decision values, probabilities, labels) is
    computed once, batch by batch, each picture by the estimator of its fold, and then looked
    up: a scorer gets the one it asks for, and resamples cost nothing.

    Parameters
    ----------
    folds : list of (classifier, ndarray of int)
        Fitted estimators, and the positions of the pictures that each is asked about.
    X : list or ndarray
        All pictures.
    pos_label : label
        What the estimators call fakes; here fakes are 1.
    batch_size : int
        Pictures perturbed at a time.
    key : (str, intensity)
        Name and intensity of the attack, for messages.
    attack : transformer or None
        None leaves the pictures as they are.

    Attributes
    ----------
    responses : dict of str to ndarray of shape (n,)
        What was asked for so far, by method.
    """

    classes_ = np.array([0, 1])

    def __init__(
        self,
        folds: list[tuple[Any, NDArray]],
        X: Any,
        pos_label: Any,
        batch_size: int,
        key: tuple[str, Any],
        attack: Any,
    ) -> None:
        self.folds = folds
        self.X = X
        self.pos_label = pos_label
        self.batch_size = batch_size
        self.key = key
        self.attack = attack
        self.responses: dict[str, NDArray] = {}

    @available_if(lambda self: hasattr(self.folds[0][0], "predict"))
    def predict(self, X: NDArray) -> NDArray:
        """Return 1 for fake, 0 for real, of the pictures at the positions ``X``."""
        return self._respond("predict")[X]

    @available_if(lambda self: hasattr(self.folds[0][0], "predict_proba"))
    def predict_proba(self, X: NDArray) -> NDArray:
        """Return P(real) and P(fake) of the pictures at the positions ``X``."""
        fake = self._respond("predict_proba")[X]
        return np.column_stack([1 - fake, fake])

    @available_if(lambda self: hasattr(self.folds[0][0], "decision_function"))
    def decision_function(self, X: NDArray) -> NDArray:
        """Return values that rise towards fake, of the pictures at the positions ``X``."""
        return self._respond("decision_function")[X]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _respond(self, method: str) -> NDArray:
        if method not in self.responses:
            parts = [
                (batch, self._fake(estimator, method, batch))
                for estimator, rows in self.folds
                for batch in (rows[part] for part in gen_batches(len(rows), self.batch_size))
            ]
            rows, values = map(np.concatenate, zip(*parts, strict=True))
            self.responses[method] = values[np.argsort(rows)]
        return self.responses[method]

    def _fake(self, estimator: Any, method: str, rows: NDArray) -> NDArray:
        """One response for each picture: label 1, probability or larger value = fake."""
        pictures = _safe_indexing(self.X, rows)
        attack, intensity = self.key
        with naming(self.X, rows, self.attack and f"under attack {attack!r} at {intensity}"):
            if self.attack is not None:
                pictures = self.attack.transform(pictures)
            return fake_response(estimator, method, pictures, self.pos_label)
