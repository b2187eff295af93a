"""Delegates: classifiers that train another one on more than they are given, and answer by it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skfakespotter._typing import Pictures


class Delegate(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base of classifiers of pictures whose ``fit`` sets ``estimator_``, which then answers.

    Parameters
    ----------
    estimator : classifier
        What a clone of is trained.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    @property
    def classes_(self) -> NDArray:
        """Labels, as the fitted estimator has them."""
        check_is_fitted(self)
        return self.estimator_.classes_

    def predict(self, X: Pictures) -> NDArray:
        """Predict the label of each picture.

        Parameters
        ----------
        X : sequence of pictures
            Pictures, as they come.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(lambda self: hasattr(self._delegate(), "predict_proba"))
    def predict_proba(self, X: Pictures) -> NDArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : sequence of pictures
            Pictures, as they come.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Probabilities, columns as ``classes_``.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(lambda self: hasattr(self._delegate(), "decision_function"))
    def decision_function(self, X: Pictures) -> NDArray:
        """Return the signed distance from the boundary, positive for ``classes_[1]``.

        Parameters
        ----------
        X : sequence of pictures
            Pictures, as they come.

        Returns
        -------
        ndarray of shape (n,)
            Scores.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def _delegate(self) -> Any:
        return getattr(self, "estimator_", self.estimator)
