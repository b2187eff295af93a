"""What the stateless transformers from pictures to numbers have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._base import StatelessPictureTransformer
from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures
from skfakespotter.images import check_images


class PictureFeatures(StatelessPictureTransformer):
    """Base of transformers that describe each picture by a fixed number of figures.

    A subclass has the property ``_n_features_out``, ``_describe(image)`` from a uint8 RGB
    array (h, w, 3) to a vector of that length, ``_feature_names()`` and, where it has
    parameters, ``_parameter_constraints``. Pictures are decoded ahead, in threads.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines._base import PictureFeatures
    >>> class MeanColor(PictureFeatures):
    ...     _n_features_out = 3
    ...     def _describe(self, image):
    ...         return image.mean(axis=(0, 1))
    ...     def _feature_names(self):
    ...         return ["red", "green", "blue"]
    >>> MeanColor().transform([np.full((4, 4, 3), 7, np.uint8)])
    array([[7., 7., 7.]], dtype=float32)
    """

    _dtype: type = np.float32

    def transform(self, X: Pictures) -> NDArray:
        """Describe each picture.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            See :func:`skfakespotter.images.check_images`.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            One row per picture.

        Raises
        ------
        TypeError, ValueError
            For a bad parameter, or an input that is not a sequence of pictures.
        ImageError
            At the first picture that cannot be used; names its index and path.
        """
        self._check_params()
        return self._describe_all(check_images(X))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray:
        """Name the columns.

        Parameters
        ----------
        input_features : ignored
            Pictures have no columns.

        Returns
        -------
        ndarray of shape (n_features,), object
            Names.
        """
        self._check_params()
        return np.array(self._feature_names(), dtype=object)

    def _describe_all(self, X: Any) -> NDArray:
        row = np.dtype((self._dtype, (self._n_features_out,)))
        return np.fromiter(iter_images(X, self._describe), dtype=row, count=len(X))
