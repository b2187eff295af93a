"""NeuronCoverageTransformer: pictures in, coverage vectors out."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .backbones import check_fingerprint, load_backbone, takes_arrays
from .device import resolve_device
from .images import check_images, iter_batches, load_image
from .monitor import NeuronMonitor
from .progress import track


class NeuronCoverageTransformer(TransformerMixin, BaseEstimator):
    r"""Count, layer by layer, the neurons of a face-recognition network that are active.

    ``fit`` computes a threshold for every layer, the mean output of the layer's neurons
    over the training pictures, real and fake (equation 1):

    .. math:: \xi_l = \frac{1}{|N| |T|} \sum_{n \in N, t \in T} \delta(n, t)

    ``transform`` counts the neurons above it, the mean neuron coverage (equation 2):

    .. math:: MNC(l, t) = |\{n \in l : \delta(n, t) > \xi_l\}|

    Labels play no part in either.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network to watch; see :func:`skfakespotter.load_backbone`. A name keeps clones
        and pickles small; a module is pickled whole.
    layers : str or sequence of str, default=None
        Names or glob patterns of layers; None takes all convolutional and
        fully-connected ones, as the paper does.
    neuron : {"unit", "channel"}, default="unit"
        What a neuron is: every unit of the feature map, or a channel with the mean of its
        map as output (DeepXplore's reading).
    granularity : {"layer", "channel"}, default="layer"
        One count per layer (the paper), or one per channel of every layer: the same
        counts kept apart, from the same forward pass, and more accurate by far.
    threshold : "mean" or float, default="mean"
        The mean of equation 1, or one number for all layers (DeepXplore's global
        threshold, without its scaling of the outputs).
    rectify : bool, default=False
        Apply the ReLU before averaging and counting.
    output : {"count", "fraction"}, default="count"
        Number of neurons, or its ratio to all neurons of the layer (or channel).
    batch_size : int, default=64
        Pictures per forward pass. Memory grows with it and not with the data.
    device : str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_layers,)
        Threshold of each layer, in units of the layer's output.
    layer_names_ : list of str
        The layers watched.
    n_neurons_ : ndarray of shape (n_layers,)
        Neurons per layer.
    n_channels_ : ndarray of shape (n_layers,)
        Channels per layer.
    backbone_fingerprint_ : str
        Of the backbone fitted on; ``transform`` refuses another one.
    n_features_in_ : int
        Only when the backbone takes arrays (n, n_features).

    Raises
    ------
    ImageError
        For a picture that cannot be used; it names index and path.
    ValueError
        For an unknown option, a layer pattern without a match, or another backbone than
        the one fitted on.

    See Also
    --------
    FaceAligner : Finds and aligns the faces beforehand; alignment decides accuracy.
    make_fakespotter : The whole pipeline.

    Notes
    -----
    Counts depend on the batch size in the last bits of the activations: about one neuron in
    ten million at the threshold changes sides (``benchmarks/throughput.py`` counts them).

    References
    ----------
    R. Wang et al., "FakeSpotter: A Simple yet Robust Baseline for Spotting AI-Synthesized
    Fake Faces", IJCAI 2020, equations 1 and 2.

    Examples
    --------
    >>> from skfakespotter import NeuronCoverageTransformer, make_pictures
    >>> X, y = make_pictures(8, random_state=0)
    >>> coverage = NeuronCoverageTransformer("toy_image", output="fraction")
    >>> coverage.fit_transform(X).shape
    (8, 3)
    >>> coverage.get_feature_names_out()
    array(['0', '2', '6'], dtype=object)
    """

    def __init__(
        self,
        backbone="dlib",
        *,
        layers=None,
        neuron="unit",
        granularity="layer",
        threshold="mean",
        rectify=False,
        output="count",
        batch_size=64,
        device="auto",
        verbose=0,
    ):
        self.backbone = backbone
        self.layers = layers
        self.neuron = neuron
        self.granularity = granularity
        self.threshold = threshold
        self.rectify = rectify
        self.output = output
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose

    def fit(self, X, y=None):
        """Compute the thresholds.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            Training pictures, real and fake; arrays only for a backbone that takes them.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        self : NeuronCoverageTransformer
            Fitted.
        """
        self._check_options()
        backbone = load_backbone(self.backbone)
        X = self._check_input(X, backbone, reset=True)
        monitor = self._monitor(backbone)
        if self.threshold == "mean":
            total = sum(monitor.sums(x).sum(0) for x in self._batches(X, backbone, "thresholds"))
            means = total.cpu().numpy() / len(X)
        else:
            monitor.sums(next(self._batches(X, backbone, "neurons")))
        self.layer_names_ = monitor.layer_names
        self.n_neurons_ = np.array([monitor.n_neurons[name] for name in self.layer_names_])
        self.n_channels_ = np.array([monitor.n_channels[name] for name in self.layer_names_])
        if self.threshold == "mean":
            self.thresholds_ = means / self.n_neurons_
        else:
            self.thresholds_ = np.full(len(self.layer_names_), float(self.threshold))
        if not np.isfinite(self.thresholds_).all():
            bad = [n for n, t in zip(self.layer_names_, self.thresholds_, strict=True) if t != t]
            raise ValueError(f"the network's output is not finite in layers {bad}.")
        self.backbone_fingerprint_ = backbone.fingerprint
        return self

    def transform(self, X):
        """Count the neurons above the thresholds.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_layers) or (n_samples, n_channels in all), float32
            Coverage: whole numbers, or fractions from 0 to 1.
        """
        check_is_fitted(self)
        self._check_options()
        backbone = load_backbone(self.backbone)
        check_fingerprint(backbone, self.backbone_fingerprint_)
        X = self._check_input(X, backbone, reset=False)
        monitor = self._monitor(backbone)
        thresholds = dict(zip(self.layer_names_, self.thresholds_.tolist(), strict=True))
        counts = np.concatenate(
            [
                monitor.counts(x, thresholds, self.granularity).cpu().numpy()
                for x in self._batches(X, backbone, "coverage")
            ]
        )
        return counts if self.output == "count" else counts / self._neurons_per_feature()

    def get_feature_names_out(self, input_features=None):
        """Name the features: ``layer``, or ``layer[channel]``.

        Parameters
        ----------
        input_features : Ignored
            Pictures have no feature names.

        Returns
        -------
        ndarray of str
            One name per column of ``transform``'s output.
        """
        check_is_fitted(self)
        if self.granularity == "layer":
            return np.array(self.layer_names_, dtype=object)
        channels = zip(self.layer_names_, self.n_channels_, strict=True)
        return np.array([f"{name}[{c}]" for name, n in channels for c in range(n)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        arrays = takes_arrays(self.backbone)
        tags.input_tags.two_d_array = arrays
        tags.input_tags.string = not arrays
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_options(self):
        choices = {
            "neuron": ("unit", "channel"),
            "granularity": ("layer", "channel"),
            "output": ("count", "fraction"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected one of {allowed}.")
        if self.threshold != "mean" and not (
            isinstance(self.threshold, Real) and np.isfinite(self.threshold)
        ):
            raise ValueError(f"threshold is {self.threshold!r}: expected 'mean' or a number.")
        if not isinstance(self.batch_size, (int, np.integer)) or self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size!r}: expected an int above 0.")

    def _check_input(self, X, backbone, reset):
        """Give arrays of numbers to a network that takes them, pictures to the others."""
        numbers = isinstance(X, np.ndarray) and X.dtype.kind == "f" and backbone.input_size is None
        if takes_arrays(self.backbone) or numbers:
            return validate_data(
                self, X, dtype=np.float32, reset=reset, allow_nd=not takes_arrays(self.backbone)
            )
        return check_images(X)

    def _batches(self, X, backbone, task):
        """Yield network input on the device."""
        device = resolve_device(self.device)
        if isinstance(X, np.ndarray) and X.dtype == np.float32:
            starts = range(0, len(X), self.batch_size)
            batches = (torch.from_numpy(X[i : i + self.batch_size]) for i in starts)
            prepare = torch.nn.Identity()
        else:
            size = backbone.input_size or load_image(X[0], index=0).shape[:2]
            pixels = iter_batches(X, self.batch_size, size)
            batches = (torch.from_numpy(batch).permute(0, 3, 1, 2) for batch in pixels)
            prepare = backbone.preprocess
        for batch in track(batches, len(X), task, self.verbose):
            yield prepare(batch.to(device, non_blocking=True))

    def _monitor(self, backbone):
        network = backbone.on(resolve_device(self.device))
        return NeuronMonitor(network, self.layers, neuron=self.neuron, rectify=self.rectify)

    def _neurons_per_feature(self):
        if self.granularity == "layer":
            return self.n_neurons_.astype(np.float32)
        per_channel = self.n_neurons_ / self.n_channels_
        return np.repeat(per_channel, self.n_channels_).astype(np.float32)
