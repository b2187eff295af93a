"""What a face-recognition network says without counting: its descriptor, its mean activations."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter._base import StatelessPictureTransformer
from skfakespotter._typing import Device, Pictures
from skfakespotter.backbones import PlacedNetwork, load_backbone
from skfakespotter.coverage import DirectStatistics, NeuronMonitor, Neurons, evaluating
from skfakespotter.images import check_images, load_image


class NetworkFeatures(StatelessPictureTransformer):
    """Base of transformers that run aligned faces through a network.

    A subclass has the parameters ``backbone``, ``batch_size`` and ``device``, and gives
    ``_features(network, monitor, x)`` from a batch of network input to a tensor (n, n_features).
    """

    def transform(self, X: Pictures) -> NDArray[np.float32]:
        """Run the network over the faces.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            Aligned faces; see :func:`skfakespotter.images.check_images`. They are fitted to
            the size that the network takes.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            One row per face; NaN for a picture that shows none and may be left out.

        Raises
        ------
        TypeError, ValueError
            For a bad parameter, or an input that is not a sequence of pictures.
        ImageError
            At the first picture that cannot be used; names its index and path.
        """
        self._validate_params()
        X = check_images(X)
        rows = None
        for part in self._statistics(X).compute(X, self._features):
            if rows is None:
                rows = np.full((len(X), part.values.shape[1]), np.nan, np.float32)
            rows[part.positions] = part.values
        if rows is None:
            raise ValueError(f"X: none of the {len(X)} pictures shows a face.")
        return rows

    def _statistics(self, X: Any) -> DirectStatistics:
        backbone = load_backbone(self.backbone)
        return DirectStatistics(
            backbone=backbone,
            shape=(3, *(backbone.input_size or load_image(X[0], index=0).shape[:2])),
            layers=getattr(self, "layers", None),
            neurons=Neurons(rectify=bool(getattr(self, "rectify", False))),
            batch_size=self.batch_size,
            device=self.device,
        )

    def _example(self) -> DirectStatistics:
        """Return the statistics of a black picture, which tell the sizes of all outputs."""
        size = load_backbone(self.backbone).input_size or (64, 64)
        return self._statistics(np.zeros((1, *size, 3), np.uint8))

    def _features(
        self, network: PlacedNetwork, monitor: NeuronMonitor, x: torch.Tensor
    ) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _features()")


class FaceEmbedding(NetworkFeatures):
    """Descriptor of the face: what the network's last layer gives.

    The features of the "traditional" detectors in Figure 2 of the FakeSpotter paper [1]_,
    which look at the output of a network and not at its neurons.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network; see :func:`skfakespotter.load_backbone`.
    batch_size : int or "auto", default="auto"
        Faces per forward pass.
    device : str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU.

    See Also
    --------
    MeanActivations : All layers instead of the last.
    skfakespotter.FaceAligner : Finds and aligns the faces beforehand.

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter: A Simple yet Robust Baseline for Spotting
       AI-Synthesized Fake Faces", IJCAI 2020, Figure 2.

    Examples
    --------
    >>> from skfakespotter import make_pictures
    >>> from skfakespotter.baselines import FaceEmbedding
    >>> X, y = make_pictures(4, random_state=0)
    >>> FaceEmbedding("toy_image").transform(X).shape
    (4, 4)
    """

    _parameter_constraints: ClassVar[dict] = {
        "backbone": "no_validation",
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "device": "no_validation",
    }

    def __init__(
        self, backbone: Any = "dlib", *, batch_size: int | str = "auto", device: Device = "auto"
    ) -> None:
        self.backbone = backbone
        self.batch_size = batch_size
        self.device = device

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the columns: ``embedding0``, ``embedding1``, ...

        Parameters
        ----------
        input_features : ignored
            Pictures have no columns.

        Returns
        -------
        ndarray of shape (n_features,), object
            Names.
        """
        self._validate_params()
        network, monitor = self._example().replicas[0]
        n_features = self._features(network, monitor, network.sample).shape[1]
        return np.array([f"embedding{i}" for i in range(n_features)], dtype=object)

    def _features(
        self, network: PlacedNetwork, monitor: NeuronMonitor, x: torch.Tensor
    ) -> torch.Tensor:
        with torch.inference_mode(), evaluating(network.module):
            return network.module(x).flatten(1).float()


class MeanActivations(NetworkFeatures):
    """Mean output of each channel or layer: neuron coverage without its threshold.

    Neuron coverage counts the neurons above the layer's mean (equations 1 and 2 of [1]_).
    The mean over the map itself needs no threshold and no training pictures, so that what
    counting adds shows in the difference.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network; see :func:`skfakespotter.load_backbone`.
    layers : str or sequence of str, default=None
        Names or glob patterns of layers; None takes all convolutional and fully-connected
        ones.
    granularity : {"layer", "channel"}, default="channel"
        One mean per layer, or one per channel of every layer.
    rectify : bool, default=False
        Apply the ReLU before averaging.
    batch_size : int or "auto", default="auto"
        Faces per forward pass.
    device : str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU.

    See Also
    --------
    skfakespotter.NeuronCoverageTransformer : Counts above the mean.

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter", IJCAI 2020, equations 1 and 2.

    Examples
    --------
    >>> from skfakespotter import make_pictures
    >>> from skfakespotter.baselines import MeanActivations
    >>> X, y = make_pictures(4, random_state=0)
    >>> MeanActivations("toy_image").transform(X).shape
    (4, 18)
    >>> MeanActivations("toy_image", granularity="layer").get_feature_names_out()
    array(['0', '2', '6'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict] = {
        "backbone": "no_validation",
        "layers": "no_validation",
        "granularity": [StrOptions({"layer", "channel"})],
        "rectify": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "device": "no_validation",
    }

    def __init__(
        self,
        backbone: Any = "dlib",
        *,
        layers: Any = None,
        granularity: str = "channel",
        rectify: bool = False,
        batch_size: int | str = "auto",
        device: Device = "auto",
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.granularity = granularity
        self.rectify = rectify
        self.batch_size = batch_size
        self.device = device

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the columns: ``layer``, or ``layer[channel]``.

        Parameters
        ----------
        input_features : ignored
            Pictures have no columns.

        Returns
        -------
        ndarray of shape (n_features,), object
            Names.
        """
        self._validate_params()
        return self._example().layout.feature_names(self.granularity)

    def _features(
        self, network: PlacedNetwork, monitor: NeuronMonitor, x: torch.Tensor
    ) -> torch.Tensor:
        if self.granularity == "channel":
            return monitor.means(x)
        sums = monitor.sums(x)
        n_neurons = torch.from_numpy(monitor.layout(x).n_neurons)
        return (sums / n_neurons.to(sums.device)).float()
