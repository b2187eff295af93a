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
from torch import nn

from skfakespotter import _typing
from skfakespotter._device import resolve_device
from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Device, Labels, Pictures
from skfakespotter.backbones import check_weights, read_weights
from skfakespotter.images import check_images

MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of values in [0, 1]
_STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution, and a shortcut.

    Parameters
    ----------
    n_in, width : int
        Channels that come; a quarter of those that go.
    stride : int
        Of the 3x3 convolution.
    """

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or n_in != n_out:
            shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor of shape (n, n_in, h, w)
            Input.

        Returns
        -------
        Tensor of shape (n, 4 * width, h / stride, w / stride)
            Output.
        """
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Sequential):
    """ResNet-50 with one output, its parts named as in the published weight files.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.baselines._cnn_detection import ResNet50
    >>> sum(p.numel() for p in ResNet50().parameters())
    23510081
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        n_in = 64
        for number, (n_blocks, width, stride) in enumerate(_STAGES, start=1):
            blocks = [Bottleneck(n_in, width, stride)]
            n_in = 4 * width
            blocks += [Bottleneck(n_in, width, 1) for _ in range(n_blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(n_in, 1)


class CNNDetection(ClassifierMixin, BaseEstimator):
    """Wang et al.'s detector [1]_, as published: it comes trained, and ``fit`` learns nothing.

    A ResNet-50 that was trained on ProGAN's pictures of twenty kinds of objects, blurred and
    compressed at random. Pictures are taken at their own size, neither resized nor cropped;
    values in [0, 1] are standardized as for ImageNet, and the output passes a sigmoid. At 0.5
    and above a picture is called fake.

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
    network_ : ResNet50
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
        mean, scale = (torch.tensor(v, device=device).reshape(3, 1, 1) for v in (MEAN, SCALE))
        logits = []
        with torch.inference_mode():
            for image in iter_images(check_images(X)):
                pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
                x = (pixels.to(device) / 255 - mean) / scale
                logits.append(float(self.network_(x[None])[0, 0]))
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


def _read(path: _typing.Path) -> ResNet50:
    """Read the network, executing nothing that the file holds."""
    with torch.device("meta"):
        network = ResNet50()
    counters = "num_batches_tracked"  # in the files, and of no use
    found = {name: t for name, t in read_weights(path).items() if not name.endswith(counters)}
    known = network.state_dict()
    check_weights(path, found, {k: t.shape for k, t in known.items() if not k.endswith(counters)})
    state = {name: found.get(name, torch.tensor(0)) for name in known}
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()
