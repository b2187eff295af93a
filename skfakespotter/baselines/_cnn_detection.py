"""CNNDetection: Wang et al.'s detector of CNN-made pictures, with the user's weight file."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from skfakespotter import _typing
from skfakespotter._device import resolve_device
from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Device, Labels, Pictures
from skfakespotter.baselines._pixels import standardize
from skfakespotter.baselines._resnet import ResNet
from skfakespotter.images import check_images


class CNNDetection(ClassifierMixin, BaseEstimator):
    """Wang et al.'s detector [1]_, as published: it comes trained, and ``fit`` learns nothing.

    A ResNet-50 that was trained on ProGAN's pictures of twenty kinds of objects, blurred and
    compressed at random. Pictures are taken at their own size, neither resized nor cropped;
    values in [0, 1] are standardized as for ImageNet, and the output passes a sigmoid. At 0.5
    and above a picture is called fake.

    ``make_baseline("cnn-scratch")`` trains the same architecture on your own pictures.

    Parameters
    ----------
    weights : path
        The authors' ``blur_jpg_prob0.5.pth`` or ``blur_jpg_prob0.1.pth`` [2]_, for
        non-commercial use; read without executing anything in it.
    device : str, default="auto"
        Where to compute.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        Labels.
    network_ : ResNet
        With the weights.

    References
    ----------
    .. [1] S.-Y. Wang, O. Wang, R. Zhang, A. Owens, A. A. Efros, "CNN-generated images are
       surprisingly easy to spot... for now", CVPR 2020, arXiv:1912.11035.
    .. [2] https://github.com/PeterWang512/CNNDetection

    Examples
    --------
    >>> from skfakespotter import CNNDetection
    >>> CNNDetection("blur_jpg_prob0.5.pth")
    CNNDetection(weights='blur_jpg_prob0.5.pth')
    """

    _parameter_constraints: ClassVar = {
        "weights": "no_validation",
        "device": [str, torch.device],
    }

    def __init__(self, weights: _typing.Path, *, device: Device = "auto") -> None:
        self.weights = weights
        self.device = device

    def fit(self, X: Any = None, y: Labels = (0, 1)) -> CNNDetection:
        """Read the weights and note the labels; nothing is learned.

        Parameters
        ----------
        X : ignored
            For the scikit-learn interface.
        y : array-like of shape (n,), default=(0, 1)
            Labels: 0 and 1, or ``"real"`` and ``"fake"``.

        Returns
        -------
        self
            The classifier.

        Raises
        ------
        WeightsError
            When the file is missing, broken or of another network.
        ValueError
            For other labels.
        """
        self._validate_params()
        classes = np.unique(column_or_1d(y))
        if classes.tolist() not in ([0, 1], ["fake", "real"]):
            raise ValueError(f"y holds {classes.tolist()}: expected 0 and 1, or 'real' and 'fake'.")
        self.network_ = _read(self.weights).to(resolve_device(self.device))
        self.classes_ = classes
        return self

    def decision_function(self, X: Pictures) -> NDArray:
        """Return the log-odds of ``classes_[1]``.

        Parameters
        ----------
        X : sequence of pictures
            See :func:`skfakespotter.images.check_images`.

        Returns
        -------
        ndarray of shape (n,), float64
            Positive where ``classes_[1]`` is the likelier.

        Raises
        ------
        ImageError
            At the first picture that cannot be used.
        """
        check_is_fitted(self)
        device = next(self.network_.parameters()).device
        logits = []
        with torch.inference_mode():
            for image in iter_images(check_images(X)):
                x = torch.from_numpy(standardize(image)[None]).to(device)
                logits.append(float(self.network_(x)[0, 0]))
        return np.array(logits) * (1 if self.classes_[1] == 1 else -1)

    def predict_proba(self, X: Pictures) -> NDArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : sequence of pictures
            See :func:`skfakespotter.images.check_images`.

        Returns
        -------
        ndarray of shape (n, 2), float64
            Columns in the order of ``classes_``.
        """
        odds = self.decision_function(X)
        return np.column_stack([expit(-odds), expit(odds)])

    def predict(self, X: Pictures) -> NDArray:
        """Return the likelier label.

        Parameters
        ----------
        X : sequence of pictures
            See :func:`skfakespotter.images.check_images`.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        odds = self.decision_function(X)
        real, fake = (0, 1) if self.classes_[1] == 1 else (1, 0)  # their places
        called = odds >= 0 if fake else odds <= 0
        return self.classes_[np.where(called, fake, real)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        return tags


def _read(path: _typing.Path) -> ResNet:
    with torch.device("meta"):
        network = ResNet(50, 1)
    return network.load(path).requires_grad_(False).eval()
