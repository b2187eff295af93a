"""Attacked: detectors as they see attacked pictures, in the shape that scorers take."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils.metaestimators import available_if

from skfakespotter.evaluation._shared_fitting import Detectors, respond_together
from skfakespotter.perturbations import naming

SOFT = ("decision_function", "predict_proba")  # what scorers of rankings ask for, in this order


class Responses:
    """What detectors say of the same pictures under one attack.

    A response (decision values, probabilities, labels) is computed when it is first asked for,
    batch by batch, each picture by the detectors of its fold; all detectors are then asked for
    the like, so that a picture is perturbed and its face found once. Later it is looked up:
    resamples cost nothing.

    Parameters
    ----------
    folds : list of (dict of classifier, ndarray of int)
        Fitted detectors by name, and the positions of the pictures that they are asked about.
    X : list or ndarray
        All pictures.
    pos_label : label
        What the detectors call fakes; here fakes are 1.
    batch_size : int
        Pictures perturbed at a time.
    key : (str, intensity)
        Name and intensity of the attack, for messages.
    attack : transformer or None
        None leaves the pictures as they are.

    Attributes
    ----------
    known : dict of (name, str) to ndarray of shape (n,)
        By detector and method, what was computed so far: 1 or 0, P(fake), or decision values
        that rise towards fake; NaN for pictures that no fold is asked about.
    """

    def __init__(
        self,
        folds: Sequence[tuple[Detectors, NDArray]],
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
        self.known: dict[tuple[Hashable, str], NDArray] = {}

    @property
    def detectors(self) -> Detectors:
        """The detectors of the first fold; those of the others have the same methods."""
        return self.folds[0][0]

    def of(self, name: Hashable, method: str) -> NDArray:
        """Return a detector's response to every picture; the others' are computed along with it."""
        if (name, method) not in self.known:
            methods = {name: method}
            for other, detector in self.detectors.items():
                alike = [method, *(SOFT if method in SOFT else ())]
                can = [m for m in alike if hasattr(detector, m)]
                if can and (other, can[0]) not in self.known:
                    methods[other] = can[0]
            self._ask(methods)
        return self.known[name, method]

    def soft(self, name: Hashable) -> NDArray | None:
        """Return the decision values or probabilities of a detector, if any were computed."""
        found = [self.known[name, method] for method in SOFT if (name, method) in self.known]
        return found[0] if found else None

    def _ask(self, methods: dict[Hashable, str]) -> None:
        values = {name: np.full(len(self.X), np.nan) for name in methods}
        for fitted, rows in self.folds:
            asked = {name: fitted[name] for name in methods}
            for batch in gen_batches(len(rows), self.batch_size):
                part = self._respond(asked, methods, rows[batch])
                for name, response in part.items():
                    values[name][rows[batch]] = response
        self.known |= {(name, method): values[name] for name, method in methods.items()}

    def _respond(
        self, asked: Detectors, methods: dict[Hashable, str], rows: NDArray
    ) -> dict[Hashable, NDArray]:
        pictures = _safe_indexing(self.X, rows)
        attack, intensity = self.key
        with naming(self.X, rows, self.attack and f"under attack {attack!r} at {intensity}"):
            if self.attack is not None:
                pictures = self.attack.transform(pictures)
            return respond_together(asked, methods, pictures, self.pos_label)


def _has(method: str) -> Callable[[Any], bool]:
    return available_if(lambda self: hasattr(self.responses.detectors[self.name], method))


class Attacked(ClassifierMixin, BaseEstimator):
    """Stand-in for a detector on attacked pictures, so that any scorer works.

    Its ``X`` are positions of pictures.

    Parameters
    ----------
    responses : Responses
        What the detectors say.
    name : hashable
        Which of them this stands for.
    """

    classes_ = np.array([0, 1])

    def __init__(self, responses: Responses, name: Hashable) -> None:
        self.responses = responses
        self.name = name

    @_has("predict")
    def predict(self, X: NDArray) -> NDArray:
        """Return 1 for fake, 0 for real, of the pictures at the positions ``X``."""
        return self.responses.of(self.name, "predict")[X].astype(int)

    @_has("predict_proba")
    def predict_proba(self, X: NDArray) -> NDArray:
        """Return P(real) and P(fake) of the pictures at the positions ``X``."""
        fake = self.responses.of(self.name, "predict_proba")[X]
        return np.column_stack([1 - fake, fake])

    @_has("decision_function")
    def decision_function(self, X: NDArray) -> NDArray:
        """Return values that rise towards fake, of the pictures at the positions ``X``."""
        return self.responses.of(self.name, "decision_function")[X]

    def __sklearn_is_fitted__(self) -> bool:
        return True
