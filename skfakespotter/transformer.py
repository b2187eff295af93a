"""NeuronCoverageTransformer: pictures in, coverage vectors out."""

from copy import copy
from dataclasses import replace
from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skfakespotter._array_api import Rows, holds_numbers, is_dispatched, is_dispatching, like
from skfakespotter._device import PRECISIONS
from skfakespotter.backbones import check_fingerprint, load_backbone, takes_arrays
from skfakespotter.cache import CoverageCache, open_cache
from skfakespotter.cache._records import finite, window_for
from skfakespotter.coverage._moments import ExactMoments
from skfakespotter.coverage._passes import Passes, check_batch_size
from skfakespotter.images import check_images, load_image

COMPILE_FROM = 50_000  # pictures of one call, from which on compiling pays


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
    batch_size : int or "auto", default="auto"
        Pictures per forward pass. Memory grows with it and not with the data. "auto" takes
        64, or on a CPU what the network does best with: 32 for "dlib", 8 for
        "vggface2_resnet50" (see ``docs/speed.md``).
    device : str or list of str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU. Of several devices, such as
        ``["cuda:0", "cuda:1"]``, each gets a part of the batches.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        In which the network computes. Half precision is faster on hardware made for it, and
        moves neurons near the threshold across it: ``docs/speed.md`` says how many.
    compile : "auto" or bool, default="auto"
        Fuse network and counting by ``torch.compile``. That takes tens of seconds per
        process, so "auto" does it for 50,000 pictures or more. Where it is impossible (no
        C++ compiler), a warning is given and the work goes on without. With a ``cache``
        nothing is compiled.
    cache : None, bool, "memory", path or CoverageCache, default=None
        Where to remember what the network said about each picture, so that further fits,
        folds and candidates need no forward pass: True for the user's cache folder, a
        folder, or the memory of this process. Results stay the same; see
        :class:`skfakespotter.cache.CoverageCache`.
    n_jobs : int, default=None
        Processes that work side by side, through joblib. None: one, or what
        :func:`joblib.parallel_config` says, which may be a Dask cluster.
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
    n_samples_seen_ : int
        Training pictures, over all calls of ``partial_fit`` and all merged transformers.
    input_size_ : (int, int)
        Height and width of the first training picture, which all are fitted to. Only when
        the backbone does not say which size it takes.
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
    merge_transformers : Joins transformers that were fitted on shards.

    Notes
    -----
    The thresholds are means of exact sums, so that neither the order of the pictures nor
    their division into shards matters to them.

    Counts depend on the batch size in the last bits of the activations: a few neurons at the
    threshold change sides (``benchmarks/speed.py`` counts them).

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
        batch_size="auto",
        device="auto",
        precision="float32",
        compile="auto",
        cache=None,
        n_jobs=None,
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
        self.precision = precision
        self.compile = compile
        self.cache = cache
        self.n_jobs = n_jobs
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
        return self._learn(*self._begin(X, reset=True), None)

    def fit_transform(self, X, y=None):
        """Compute the thresholds and count, at the price of one forward pass.

        What ``transform`` needs of each picture is remembered in ``fit``, in up to 1 GB of
        memory, unless a ``cache`` does so anyway; a picture that does not fit in passes twice.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            As for ``fit``.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        ndarray of shape (n_samples, n_layers) or (n_samples, n_channels in all), float32
            As of ``transform``.
        """
        X, passes = self._begin(X, reset=True)
        if self.threshold == "mean" and passes.can_remember(X):
            passes = replace(passes, cache=CoverageCache())
        return self._learn(X, passes, None)._count(X, passes)

    def partial_fit(self, X, y=None):
        """Go on computing the thresholds, over the pictures seen before and these.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            As for ``fit``.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        self : NeuronCoverageTransformer
            Fitted as ``fit`` would on all pictures together.
        """
        if not hasattr(self, "thresholds_"):
            return self.fit(X)
        return self._learn(*self._begin(X, reset=False), self)

    def transform(self, X):
        """Count the neurons above the thresholds.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_layers) or (n_samples, n_channels in all), float32
            Coverage: whole numbers, or fractions from 0 to 1. Under
            ``sklearn.config_context(array_api_dispatch=True)`` a Tensor on the transformer's
            first device.
        """
        check_is_fitted(self, "thresholds_")
        return self._count(*self._begin(X, reset=False))

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
        check_is_fitted(self, "thresholds_")
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

    def _begin(self, X, *, reset):
        """Check options and input; give the input and how to pass it through the network."""
        self._check_options()
        backbone = load_backbone(self.backbone)
        if not reset:
            check_fingerprint(backbone, self.backbone_fingerprint_)
        X = self._check_input(X, backbone, reset)
        return X, self._passes(X, backbone)

    def _check_options(self):
        choices = {
            "neuron": ("unit", "channel"),
            "granularity": ("layer", "channel"),
            "output": ("count", "fraction"),
            "precision": PRECISIONS,
            "compile": ("auto", True, False),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected one of {allowed}.")
        if self.threshold != "mean" and not (
            isinstance(self.threshold, Real) and np.isfinite(self.threshold)
        ):
            raise ValueError(f"threshold is {self.threshold!r}: expected 'mean' or a number.")
        if not isinstance(self.rectify, (bool, np.bool_)):
            raise ValueError(f"rectify is {self.rectify!r}: expected a bool.")
        check_batch_size(self.batch_size)

    def _check_input(self, X, backbone, reset):
        """Give arrays of numbers to a network that takes them, pictures to the others."""
        if takes_arrays(self.backbone) or (holds_numbers(X) and backbone.input_size is None):
            dispatched = is_dispatched(X)
            return validate_data(
                self,
                X,
                dtype=torch.float32 if dispatched else np.float32,
                reset=reset,
                allow_nd=not takes_arrays(self.backbone),
            )
        X = check_images(X)
        if reset and backbone.input_size is None:
            self.input_size_ = load_image(X[0], index=0).shape[:2]
        return X

    def _learn(self, X, passes, before):
        """Compute the thresholds over these pictures and those that ``before`` has seen."""
        names = passes.monitor.layer_names
        options = (names, self.neuron, bool(self.rectify), self.threshold, self.precision)
        if before is not None and before._options != options:
            raise ValueError(
                "fitted with (layers, neuron, rectify, threshold, precision) = "
                f"{before._options}, and now they are {options}: fit again."
            )
        moments = ExactMoments(len(names))
        if self.threshold == "mean":
            parts = passes.sums(X)
        else:  # one batch tells the number of neurons
            window = (np.full(len(names), self.threshold, np.float32),) * 2
            parts = passes.sums(X[: passes.batch_size], window)
        for part in parts:
            moments.add(finite(part.values, names))
        self.layer_names_, self.backbone_fingerprint_ = names, passes.backbone.fingerprint
        self.n_neurons_, self.n_channels_ = part.n_neurons, part.n_channels
        self._options = options
        n_before = 0 if before is None else before.n_samples_seen_
        self._set_moments(
            moments if before is None else before._moments.merged(moments), n_before + len(X)
        )
        return self

    def _count(self, X, passes):
        window = None
        if hasattr(self, "_moments") and self.threshold == "mean":
            # other training sets, such as folds, differ by so much
            window = window_for(self._moments, self.n_neurons_, self.n_samples_seen_)
        counts = None
        for part in passes.counts(X, self.thresholds_, self.granularity, window):
            if counts is None:
                counts = Rows(len(X), part.values.shape[1], passes.home)
            counts.put(part.positions, part.values)
        if self.output == "count":
            return counts.rows
        return counts.rows / like(counts.rows, self._neurons_per_feature())

    def _set_moments(self, moments, n_samples):
        self._moments, self.n_samples_seen_ = moments, n_samples
        if self.threshold == "mean":
            self.thresholds_ = moments.mean(self.n_neurons_)
        else:
            self.thresholds_ = np.full(len(self.layer_names_), float(self.threshold))

    def _passes(self, X, backbone):
        numbers = holds_numbers(X)
        compiled = len(X) >= COMPILE_FROM if self.compile == "auto" else bool(self.compile)
        store = open_cache(self.cache)
        return Passes(
            backbone=backbone,
            layers=self.layers,
            neuron=self.neuron,
            rectify=self.rectify,
            size=None if numbers else backbone.input_size or self.input_size_,
            batch_size=self.batch_size,
            device=self.device,
            cache=store,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            precision=self.precision,
            compiled=compiled and store is None,
            # numbers give what they are: an array for an array
            resident=is_dispatching() and not (numbers and isinstance(X, np.ndarray)),
        )

    def _neurons_per_feature(self):
        if self.granularity == "layer":
            return self.n_neurons_.astype(np.float32)
        per_channel = self.n_neurons_ / self.n_channels_
        return np.repeat(per_channel, self.n_channels_).astype(np.float32)


def merge_transformers(transformers):
    """Join transformers fitted on shards into the one fitted on all pictures.

    Parameters
    ----------
    transformers : sequence of NeuronCoverageTransformer
        Fitted on disjoint sets of pictures with one network and one set of options, in any
        order.

    Returns
    -------
    NeuronCoverageTransformer
        A new one, with the parameters of the first; its ``thresholds_`` equal, bit for
        bit, those of one fitted on all pictures with the same sums.

    Raises
    ------
    ValueError
        When there is none, or they differ in network, layers, options or input size.
    sklearn.exceptions.NotFittedError
        When one of them is not fitted.

    Examples
    --------
    >>> from skfakespotter import NeuronCoverageTransformer, make_pictures
    >>> from skfakespotter.transformer import merge_transformers
    >>> X, y = make_pictures(8, random_state=0)
    >>> shards = [NeuronCoverageTransformer("toy_image").fit(part) for part in (X[:5], X[5:])]
    >>> merge_transformers(shards).n_samples_seen_
    8
    """
    transformers = list(transformers)
    if not transformers:
        raise ValueError("transformers is empty: expected fitted NeuronCoverageTransformers.")
    for transformer in transformers:
        check_is_fitted(transformer, "thresholds_")
    merged = copy(transformers[0])
    for index, other in enumerate(transformers[1:], 1):
        for name in ("backbone_fingerprint_", "_options", "input_size_", "n_features_in_"):
            ours, theirs = getattr(merged, name, None), getattr(other, name, None)
            if ours != theirs:
                raise ValueError(
                    f"transformers[{index}] differs from transformers[0] in {name.strip('_')}: "
                    f"{theirs!r} instead of {ours!r}."
                )
        merged._set_moments(
            merged._moments.merged(other._moments), merged.n_samples_seen_ + other.n_samples_seen_
        )
    return merged
