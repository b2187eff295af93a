"""Base of the transformers that take pictures and learn nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, TransformerMixin

from skfakespotter._typing import Pictures
from skfakespotter.images import check_images


class StatelessPictureTransformer(TransformerMixin, BaseEstimator):
    """Checks in ``fit`` and tells scikit-learn so; ``transform`` works without ``fit``.

    A subclass has ``transform`` and, where it has parameters, ``_parameter_constraints``.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {}

    def fit(self, X: Pictures, y: Any = None) -> Self:
        """Check the parameters and that ``X`` holds pictures; nothing is learned.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            See :func:`skfakespotter.images.check_images`.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self
            The transformer.

        Raises
        ------
        TypeError, ValueError
            For a bad parameter, or an input that is not a sequence of pictures.
        """
        self._check_params()
        check_images(X)
        return self

    def _check_params(self):
        """Check the parameters; a subclass adds what concerns two of them at once."""
        self._validate_params()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags
