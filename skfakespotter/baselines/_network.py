"""What a face-recognition network says without counting: its descriptor, its mean activations."""

import numpy as np
import torch

from skfakespotter._base import StatelessPictureTransformer
from skfakespotter._device import resolve_device
from skfakespotter.backbones import load_backbone
from skfakespotter.coverage._monitor import evaluating
from skfakespotter.coverage._passes import Passes, check_batch_size
from skfakespotter.images import check_images, load_image


class NetworkFeatures(StatelessPictureTransformer):
    """Base of transformers that run aligned faces through a network.

    A subclass has the parameters ``backbone``, ``batch_size`` and ``device``, and gives
    ``_features(passes, x)`` from a batch of network input to a tensor (n, n_features).
    """

    def transform(self, X):
        """Run the network over the faces.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            Aligned faces; see :func:`skfakespotter.images.check_images`. They are fitted to
            the size that the network takes.

        Returns
        -------
        ndarray of shape (n, n_features), float32
            One row per face.

        Raises
        ------
        TypeError, ValueError
            For a bad parameter, or an input that is not a sequence of pictures.
        ImageError
            At the first picture that cannot be used; names its index and path.
        """
        self._check_params()
        X = check_images(X)
        passes = self._passes(X)
        parts = []
        with torch.inference_mode():
            for batch in passes.batches(X, np.arange(len(X))):
                parts.append(self._features(passes, passes.network_input(batch)).float().cpu())
        return torch.cat(parts).numpy()

    def _check_params(self):
        check_batch_size(self.batch_size)

    def _passes(self, X):
        backbone = load_backbone(self.backbone)
        return Passes(
            backbone=backbone,
            layers=getattr(self, "layers", None),
            neuron="unit",
            rectify=getattr(self, "rectify", False),
            size=backbone.input_size or load_image(X[0], index=0).shape[:2],
            batch_size=self.batch_size,
            device=self.device,
            cache=None,
            n_jobs=None,
            verbose=0,
        )

    def _probe(self):
        """Run a black picture, after which the sizes of all outputs are known."""
        black = np.zeros((1, *(load_backbone(self.backbone).input_size or (64, 64)), 3), np.uint8)
        passes = self._passes(black)
        with torch.inference_mode():
            return passes, self._features(passes, passes.network_input(black)).shape[1]


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

    def __init__(self, backbone="dlib", *, batch_size="auto", device="auto"):
        self.backbone = backbone
        self.batch_size = batch_size
        self.device = device

    def get_feature_names_out(self, input_features=None):
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
        _, n_features = self._probe()
        return np.array([f"embedding{i}" for i in range(n_features)], dtype=object)

    def _features(self, passes, x):
        network = passes.backbone.on(resolve_device(self.device))
        with evaluating(network):
            return network(x).flatten(1)


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

    def __init__(
        self,
        backbone="dlib",
        *,
        layers=None,
        granularity="channel",
        rectify=False,
        batch_size="auto",
        device="auto",
    ):
        self.backbone = backbone
        self.layers = layers
        self.granularity = granularity
        self.rectify = rectify
        self.batch_size = batch_size
        self.device = device

    def get_feature_names_out(self, input_features=None):
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
        self._check_params()
        passes, _ = self._probe()
        names = passes.monitor.layer_names
        if self.granularity == "layer":
            return np.array(names, dtype=object)
        channels = zip(names, passes.layout()[1], strict=True)
        return np.array([f"{name}[{c}]" for name, n in channels for c in range(n)], dtype=object)

    def _check_params(self):
        super()._check_params()
        if self.granularity not in ("layer", "channel"):
            raise ValueError(
                f"granularity is {self.granularity!r}: expected one of ('layer', 'channel')."
            )
        if not isinstance(self.rectify, (bool, np.bool_)):
            raise ValueError(f"rectify is {self.rectify!r}: expected a bool.")

    def _features(self, passes, x):
        if self.granularity == "channel":
            return passes.monitor.means(x)
        sums = passes.monitor.sums(x)
        return sums / torch.from_numpy(passes.layout()[0]).to(sums.device)
