"""A ResNet trained on square planes: on log-spectra as AutoGAN, on pixels as CNNDetection."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, Options, StrOptions
from torch import nn

from skfakespotter import _typing
from skfakespotter._typing import Device, RandomState
from skfakespotter.baselines._resnet import BLOCKS, ResNet
from skfakespotter.baselines._squares import PRECISION, WEIGHT_DECAY, SquareClassifier, Squares
from skfakespotter.images import MIN_SIDE

_MOMENTUM = 0.9  # AutoGAN's, and its dampening


class Views(nn.Module):
    """Crop and flip at random while training; else take the center.

    Parameters
    ----------
    crop : int or None
        Side that is kept.
    flip : bool
        Mirror one half of the pictures.
    """

    def __init__(self, crop: int | None, flip: bool) -> None:
        super().__init__()
        self.crop, self.flip = crop, flip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a view of each picture.

        Parameters
        ----------
        x : Tensor of shape (n, 3, side, side)
            Pictures.

        Returns
        -------
        Tensor of shape (n, 3, crop, crop)
            Views.
        """
        if self.crop is not None:
            crop, spare = self.crop, x.shape[2] - self.crop
            if self.training:
                places = torch.randint(spare + 1, (len(x), 2)).tolist()
            else:
                places = [[spare // 2] * 2] * len(x)
            cut = [x[i, :, t : t + crop, s : s + crop] for i, (t, s) in enumerate(places)]
            x = torch.stack(cut)
        if self.flip and self.training:
            turned = torch.rand(len(x), 1, 1, 1, device="cpu").to(x.device) < 0.5
            x = torch.where(turned, x.flip(3), x)
        return x


class ResNetClassifier(SquareClassifier):
    """ResNet trained on three square planes a picture: pixels, or what stands for them.

    On :class:`LogSpectrum` it is AutoGAN's detector [1]_ (``make_baseline("autogan")``), on
    :class:`PixelValues` the architecture of CNNDetection [2]_ (``make_baseline("cnn-scratch")``).

    Parameters
    ----------
    depth : {18, 34, 50}, default=34
        Layers.
    weights : path, default=None
        Your weight file of the ImageNet network of this depth, its parts named as in
        torchvision; the last layer is replaced. None starts from nothing, with which thousands of
        pictures are too few for what the publications report.
    crop : int, default=None
        Side of the part that the network sees: drawn for each picture in training, the center
        afterwards. None shows everything.
    flip : bool, default=False
        Mirror one half of the pictures in training; of no sense for spectra.
    optimizer : {"adam", "sgd"}, default="adam"
        The latter with momentum and dampening 0.9, as AutoGAN has it.
    lr : float, default=1e-4
        Learning rate.
    max_epochs : int, default=10
        Passes over the training data.
    batch_size : int, default=64
        Pictures per step.
    weight_decay : float, default=1e-4
        L2 penalty.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Of convolutions. "bfloat16" was three times as fast on a CPU that multiplies such numbers.
    device : str, default="auto"
        Where to compute: "auto" takes CUDA, then MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
        Seeds the first weights, the order of the pictures and their views. torch's own
        generator is left as found.
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

    See Also
    --------
    CNNDetection : The published detector, with the authors' weights.
    SpectrumCNNClassifier : A network for few pictures.

    References
    ----------
    .. [1] X. Zhang, S. Karaman, S.-F. Chang. Detecting and Simulating Artifacts in GAN
       Fake Images. WIFS 2019. arXiv:1907.06515.
    .. [2] S.-Y. Wang, O. Wang, R. Zhang, A. Owens, A. A. Efros, "CNN-generated images are
       surprisingly easy to spot... for now", CVPR 2020, arXiv:1912.11035.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import ResNetClassifier
    >>> rng, y = np.random.default_rng(0), np.arange(8) % 2
    >>> X = rng.normal(size=(8, 3 * 16 * 16)) + 2 * y[:, None]
    >>> model = ResNetClassifier(18, max_epochs=1, random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (8, 2)
    """

    _from = "LogSpectrum or PixelValues"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SquareClassifier._parameter_constraints,
        "depth": [Options(Integral, set(BLOCKS))],
        "weights": "no_validation",
        "crop": [Interval(Integral, MIN_SIDE, None, closed="left"), None],
        "flip": ["boolean"],
        "optimizer": [StrOptions({"adam", "sgd"})],
        "weight_decay": WEIGHT_DECAY,
        "precision": PRECISION,
    }

    def __init__(
        self,
        depth: int = 34,
        *,
        weights: _typing.Path | None = None,
        crop: int | None = None,
        flip: bool = False,
        optimizer: str = "adam",
        lr: float = 1e-4,
        max_epochs: int = 10,
        batch_size: int = 64,
        weight_decay: float = 1e-4,
        precision: str = "float32",
        device: Device = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.depth = depth
        self.weights = weights
        self.crop = crop
        self.flip = flip
        self.optimizer = optimizer
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _least_side(self) -> int:
        return self.crop or MIN_SIDE

    def _build(self) -> nn.Module:
        network = ResNet(self.depth, 2)
        if self.weights is not None:
            network.load(self.weights, but="fc.")
        return Squares(Views(self.crop, self.flip), network)

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        if self.optimizer == "sgd":
            options["optimizer"] = torch.optim.SGD
            options |= {"optimizer__momentum": _MOMENTUM, "optimizer__dampening": _MOMENTUM}
        return options
