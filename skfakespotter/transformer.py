"""NeuronCoverageTransformer: pictures in, coverage vectors out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skfakespotter._array_api import ResultTable, holds_numbers, is_dispatched, is_dispatching, like
from skfakespotter._device import PRECISIONS
from skfakespotter._progress import track
from skfakespotter._typing import BackboneLike, Cache, Devices, LayerChoice
from skfakespotter.backbones import Backbone, check_fingerprint, load_backbone, takes_arrays
from skfakespotter.cache import CachedStatistics, open_cache
from skfakespotter.coverage import (
    DirectStatistics,
    ExactSums,
    Layout,
    Neurons,
    SinglePassStatistics,
    Statistics,
    Window,
    in_tasks,
    threshold,
)
from skfakespotter.faces import check_crops, crops_of
from skfakespotter.images import check_images, load_image, name_positions

COMPILE_FROM = 50_000  # pictures of one call, from which on compiling pays


class NeuronCoverageTransformer(TransformerMixin, BaseEstimator):
    r"""Count, layer by layer, the neurons of a face-recognition network that are active.

    ``fit`` computes a threshold for every layer, the mean output of the layer's neurons
    over the training pictures, real and fake (equation 1):

    .. math:: \xi_l = \frac{1}{|N| |T|} \sum_{n \in N, t \in T} \delta(n, t)

    ``transform`` counts the neurons above it, the mean neuron coverage (equation 2):

    .. math:: MNC(l, t) = |\{n \in l : \delta(n, t) > \xi_l\}|

    Neither uses labels.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network to watch; see :func:`skfakespotter.load_backbone`. A name keeps clones
        and pickles small; a module is pickled whole.
    layers : str, type or sequence of them, default=None
        Layers to watch: names, glob patterns, module types, or ``"blocks"`` for the repeated
        parts of a residual network or a transformer; see
        :func:`skfakespotter.coverage.select_layers`. None takes all convolutional and
        fully-connected layers that run, as the paper does.
    exclude : str, type or sequence of them, default=None
        Which of these not to watch.
    neuron : {"unit", "channel"}, default="unit"
        Every unit of the feature map is a neuron, or every channel is one, with the mean of its
        map as output (as in DeepXplore).
    tokens : {"all", "class", "patches", "mean"}, default="all"
        For layers whose output holds tokens (n, tokens, width), as in vision transformers: which
        units are neurons. Those of every token, of the first (the class token, if the network
        has one), of the others (register tokens too), or the mean over all tokens. Other layers
        ignore it.
    granularity : {"layer", "channel"}, default="layer"
        One count per layer (the paper), or one per channel of every layer. Counts per channel
        take the same forward pass and are much more accurate.
    threshold : "mean", "channel-mean" or float, default="mean"
        The mean of equation 1, over the neurons of a layer; the same mean taken channel by
        channel, for networks in which a few channels have outputs far above the rest (the
        residual streams of transformers); or one number for all layers (DeepXplore's global
        threshold, without its scaling of the outputs).
    rectify : bool, default=False
        Apply the ReLU before averaging and counting.
    output : {"count", "fraction"}, default="count"
        Number of neurons, or its ratio to all neurons of the layer (or channel).
    batch_size : int or "auto", default="auto"
        Pictures per forward pass. Memory grows with it and not with the data. "auto" keeps the
        largest output of a layer below 32 MiB on a CPU (32 pictures for "dlib", 8 for
        "vggface2_resnet50"), and below 512 MiB, at most 256 pictures, on a GPU.
    device : str or list of str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU. Of several devices, such as
        ``["cuda:0", "cuda:1"]``, each gets a part of the batches.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Precision of the network. Half precision is faster on hardware that supports it, and a few
        neurons near the threshold cross it (``docs/speed.md`` says how many).
    compile : "auto" or bool, default="auto"
        Fuse network and counting by ``torch.compile``. That takes tens of seconds per
        process, so "auto" does it for 50,000 pictures or more. Without a C++ compiler it warns
        and continues uncompiled. With a ``cache`` nothing is compiled.
    cache : None, bool, "memory", path or CoverageCache, default=None
        Where to keep the network's outputs for each picture, so that further fits, folds and
        candidates need no forward pass: True for the user's cache folder, a folder, or the memory
        of this process. The results do not change; see
        :class:`CoverageCache`.
    single_pass : "auto" or bool, default="auto"
        Take one forward pass in ``fit_transform`` instead of two: keep the outputs near the
        threshold in up to 1 GB of memory and count from them, so that each picture is also read
        only once. "auto" does so on a single CPU, in one task, for thresholds that are means and
        outputs in float32. On a GPU two passes are faster, because nothing waits for the device;
        True takes one there too, of several devices on the first. With a ``cache`` one pass is
        enough in any case.
    prefetch : int, default=None
        Processes that decode pictures, and on a CPU find faces, ahead of the network: for dlib's
        face detector, which holds the interpreter lock, and beside a fast GPU; None: threads of
        this process.
    n_jobs : int, default=None
        Processes, through joblib. None: one, or what
        :func:`joblib.parallel_config` says, which may be a Dask cluster.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_layers,) or (n_channels in all,)
        Threshold of each layer, in units of the layer's output; of each channel with
        ``threshold="channel-mean"``.
    layer_names_ : list of str
        The layers watched.
    skipped_layers_ : list of str
        Layers of the default choice, or of a pattern, that are left out: the network does not
        run them, or not as modules (the projections of ``nn.MultiheadAttention``), or they give
        other rows than one per picture (the windows of Swin's attention), no neurons, or complex
        numbers.
    n_neurons_ : ndarray of shape (n_layers,)
        Neurons per layer.
    n_channels_ : ndarray of shape (n_layers,)
        Channels per layer.
    backbone_fingerprint_ : str
        Of the backbone fitted on; ``transform`` refuses another one.
    crops_ : Cropping, (int, int) or None
        How the training faces were cropped, or their size, if they were aligned faces.
        ``transform`` refuses faces of another cropping and photographs in place of crops.
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
        For an unknown option, a layer pattern without a match, another backbone or other
        options than those fitted with, or outputs that are not finite.

    See Also
    --------
    FaceAligner : Finds and aligns the faces beforehand; alignment decides accuracy.
    make_fakespotter : The whole pipeline.
    merge_transformers : Joins transformers that were fitted on shards.

    Notes
    -----
    The thresholds are means of exact sums. They depend neither on the order of the pictures nor
    on their division into shards.

    If a batch normalization directly follows a layer, a neuron's output is the value after it,
    for every network.

    A picture without a face (``FaceAligner(on_missing="nan")``) does not enter the thresholds and
    gets a row of NaN from ``transform``; a warning names it.

    On a CPU a convolutional network gives a picture the same counts in any batch. On a GPU, and
    with attention, the batch size changes the last bits of the activations, so a few neurons cross
    the threshold.

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

    _parameter_constraints: ClassVar[dict] = {
        "backbone": "no_validation",
        "layers": "no_validation",
        "exclude": "no_validation",
        "neuron": [StrOptions({"unit", "channel"})],
        "tokens": [StrOptions({"all", "class", "patches", "mean"})],
        "granularity": [StrOptions({"layer", "channel"})],
        "threshold": [
            StrOptions({"mean", "channel-mean"}),
            Interval(Real, None, None, closed="neither"),
        ],
        "rectify": ["boolean"],
        "output": [StrOptions({"count", "fraction"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "device": "no_validation",
        "precision": [StrOptions(set(PRECISIONS))],
        "compile": [StrOptions({"auto"}), "boolean"],
        "cache": "no_validation",
        "single_pass": [StrOptions({"auto"}), "boolean"],
        "prefetch": [None, Interval(Integral, -1, None, closed="left")],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: BackboneLike = "dlib",
        *,
        layers: LayerChoice = None,
        exclude: LayerChoice = None,
        neuron: Literal["unit", "channel"] = "unit",
        tokens: Literal["all", "class", "patches", "mean"] = "all",
        granularity: Literal["layer", "channel"] = "layer",
        threshold: Literal["mean", "channel-mean"] | float = "mean",
        rectify: bool = False,
        output: Literal["count", "fraction"] = "count",
        batch_size: int | Literal["auto"] = "auto",
        device: Devices = "auto",
        precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
        compile: bool | Literal["auto"] = "auto",
        cache: Cache = None,
        single_pass: bool | Literal["auto"] = "auto",
        prefetch: int | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.exclude = exclude
        self.neuron = neuron
        self.tokens = tokens
        self.granularity = granularity
        self.threshold = threshold
        self.rectify = rectify
        self.output = output
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.compile = compile
        self.cache = cache
        self.single_pass = single_pass
        self.prefetch = prefetch
        self.n_jobs = n_jobs
        self.verbose = verbose

    @classmethod
    def from_thresholds(
        cls,
        thresholds: ArrayLike,
        *,
        layer_names: Sequence[str],
        n_neurons: ArrayLike,
        n_channels: ArrayLike,
        backbone_fingerprint: str,
        backbone: BackboneLike = "dlib",
        **parameters: Any,
    ) -> NeuronCoverageTransformer:
        """Make a fitted transformer from thresholds that were computed before.

        It can transform but not ``partial_fit``, because the sums behind the thresholds are
        unknown.

        Parameters
        ----------
        thresholds : array-like of shape (n_layers,) or (n_channels in all,)
            As in ``thresholds_``.
        layer_names : sequence of str
            As in ``layer_names_``.
        n_neurons, n_channels : array-like of shape (n_layers,), int
            As in ``n_neurons_`` and ``n_channels_``.
        backbone_fingerprint : str
            Of the network that the thresholds were computed with.
        backbone : str, torch.nn.Module or Backbone, default="dlib"
            As for the constructor.
        **parameters : dict
            As for the constructor.

        Returns
        -------
        NeuronCoverageTransformer
            Fitted, with ``n_samples_seen_`` 0.

        Raises
        ------
        ValueError
            When the lengths do not match.

        Examples
        --------
        >>> from skfakespotter import NeuronCoverageTransformer, make_pictures
        >>> X, y = make_pictures(8, random_state=0)
        >>> fitted = NeuronCoverageTransformer("toy_image").fit(X)
        >>> again = NeuronCoverageTransformer.from_thresholds(
        ...     fitted.thresholds_,
        ...     layer_names=fitted.layer_names_,
        ...     n_neurons=fitted.n_neurons_,
        ...     n_channels=fitted.n_channels_,
        ...     backbone_fingerprint=fitted.backbone_fingerprint_,
        ...     backbone="toy_image",
        ... )
        >>> bool((again.transform(X) == fitted.transform(X)).all())
        True
        """
        made = cls(backbone, **parameters)
        sizes = np.asarray(n_neurons, np.int64), np.asarray(n_channels, np.int64)
        layout = Layout(tuple(layer_names), *sizes, watched=tuple(layer_names))
        thresholds = np.asarray(thresholds, np.float64)
        width = layout.width(made._per)
        if not (len(layer_names) == len(sizes[0]) == len(sizes[1]) and len(thresholds) == width):
            raise ValueError(
                f"thresholds has {len(thresholds)} entries, n_neurons {len(sizes[0])} and "
                f"n_channels {len(sizes[1])} for {len(layer_names)} layer_names: expected {width} "
                "thresholds."
            )
        made._set_layout(layout)
        made.backbone_fingerprint_ = backbone_fingerprint
        made.thresholds_, made.n_samples_seen_, made.crops_ = thresholds, 0, None
        made._fitted_with = made._options(layout)
        return made

    def fit(self, X: Any, y: Any = None) -> NeuronCoverageTransformer:
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

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Compute the thresholds and count, in one forward pass if ``single_pass`` allows it.

        The counts are those of ``fit(X).transform(X)``, up to a few neurons at the threshold.

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
        X, statistics = self._begin(X, reset=True, keep=True)
        return self._learn(X, statistics, None)._count(X, statistics)

    def partial_fit(self, X: Any, y: Any = None) -> NeuronCoverageTransformer:
        """Update the thresholds with more pictures.

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

    def transform(self, X: Any) -> Any:
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

    def direct_statistics(self, X: Any) -> tuple[Any, DirectStatistics]:
        """Return the network as it is watched, to compute something else of pictures.

        Parameters
        ----------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            As for ``transform``.

        Returns
        -------
        X : sequence of pictures, or array of shape (n_samples, n_features)
            Checked as ``transform`` checks them.
        statistics : DirectStatistics
            Of the layers and neurons that ``transform`` counts. It knows no cache.
        """
        check_is_fitted(self, "thresholds_")
        X, statistics = self._begin(X, reset=False)
        return X, statistics.direct

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
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
        return self._layout.feature_names(self.granularity)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        arrays = takes_arrays(self.backbone)
        tags.input_tags.two_d_array = arrays
        tags.input_tags.string = not arrays
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _per(self) -> str:
        return "channel" if self.threshold == "channel-mean" else "layer"

    @property
    def _layout(self) -> Layout:
        names = tuple(self.layer_names_)
        return Layout(names, self.n_neurons_, self.n_channels_, names)

    def _set_layout(self, layout: Layout) -> None:
        self.layer_names_, self.skipped_layers_ = list(layout.names), list(layout.skipped)
        self.n_neurons_, self.n_channels_ = layout.n_neurons, layout.n_channels

    def _begin(self, X: Any, *, reset: bool, keep: bool = False) -> tuple[Any, Statistics]:
        """Check options and input; choose where statistics come from."""
        self._validate_params()
        backbone = load_backbone(self.backbone)
        if not reset:
            check_fingerprint(backbone, self.backbone_fingerprint_)
        X = self._check_input(X, backbone, reset)
        aligned = backbone.input_size if backbone.sees_faces else None
        if reset:
            self.crops_ = None if holds_numbers(X) else crops_of(X, aligned)
        else:
            check_crops(X, self.crops_)
        statistics = self._statistics(X, backbone, keep)
        if not reset:
            self._check_options(statistics.direct.layout)
        return X, statistics

    def _check_input(self, X: Any, backbone: Backbone, reset: bool) -> Any:
        """Return arrays of numbers for a network that takes them, pictures for the others."""
        if takes_arrays(self.backbone) or (holds_numbers(X) and backbone.input_size is None):
            dispatched = is_dispatched(X)
            return validate_data(
                self,
                X,
                dtype=torch.float32 if dispatched else np.float32,
                reset=reset,
                allow_nd=not takes_arrays(self.backbone),
            )
        if is_dispatched(X) and self._takes_tensor(X, backbone):
            return X.permute(0, 2, 3, 1)
        X = check_images(X)
        if reset and backbone.input_size is None:
            self.input_size_ = load_image(X[0], index=0).shape[:2]
        return X

    def _takes_tensor(self, X: torch.Tensor, backbone: Backbone) -> bool:
        """Tell whether pictures can go to the network from where they are."""
        ready = X.dtype == torch.uint8 and X.ndim == 4 and X.shape[1] == 3
        return ready and X.shape[2:] == backbone.input_size and open_cache(self.cache) is None

    def _statistics(self, X: Any, backbone: Backbone, keep: bool) -> Statistics:
        """Choose: from the network, or from a cache around it; in one pass, or in tasks."""
        numbers, cache = holds_numbers(X), open_cache(self.cache)
        long = len(X) >= COMPILE_FROM if self.compile == "auto" else bool(self.compile)
        direct = DirectStatistics(
            backbone=backbone,
            shape=tuple(X.shape[1:])
            if numbers
            else (3, *(backbone.input_size or self.input_size_)),
            layers=self.layers,
            exclude=self.exclude,
            neurons=Neurons(self.neuron, self.tokens, bool(self.rectify)),
            per=self._per,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            compiled=long and cache is None,
            # an array of numbers is answered by an array
            keep_on_device=is_dispatching() and not (numbers and isinstance(X, np.ndarray)),
            prefetch=self.prefetch,
        )
        if cache is not None:
            return in_tasks(CachedStatistics(direct, cache, self._fixed(direct)), X, self.n_jobs)
        statistics = in_tasks(direct, X, self.n_jobs)
        if keep and statistics is direct and self._takes_single_pass(X, direct):
            return SinglePassStatistics(direct)
        return statistics

    def _fixed(self, direct: DirectStatistics) -> Window | None:
        """Return the window of a threshold that does not depend on the pictures."""
        if isinstance(self.threshold, str):
            return None
        return (np.full(len(direct.layout.names), self.threshold, np.float32),) * 2

    def _takes_single_pass(self, X: Any, direct: DirectStatistics) -> bool:
        """Tell whether ``fit_transform`` counts from what ``fit`` kept of the outputs."""
        possible = isinstance(self.threshold, str) and not isinstance(X, torch.Tensor)
        possible = possible and not direct.compiled
        if not possible or self.single_pass != "auto":
            return possible and bool(self.single_pass)
        on_one_cpu = [replica.network.device.type for replica in direct.replicas] == ["cpu"]
        return on_one_cpu and not direct.layout.doubles

    def _options(self, layout: Layout) -> dict[str, Any]:
        """Return what the thresholds depend on, apart from network and pictures."""
        names = ("neuron", "tokens", "rectify", "threshold", "precision")
        return {"layers": layout.names, **{name: getattr(self, name) for name in names}}

    def _check_options(self, layout: Layout) -> None:
        now = self._options(layout)
        changed = [name for name, value in self._fitted_with.items() if now[name] != value]
        if changed:
            before, after = ({n: of[n] for n in changed} for of in (self._fitted_with, now))
            raise ValueError(f"fitted with {before}, and now they are {after}: fit again.")

    def _learn(
        self, X: Any, statistics: Statistics, before: NeuronCoverageTransformer | None
    ) -> NeuronCoverageTransformer:
        """Compute the thresholds over these pictures and those that ``before`` has seen."""
        layout = statistics.direct.layout
        if before is not None and not hasattr(before, "_sums"):
            raise ValueError(
                "this transformer was made by from_thresholds, so partial_fit does not know its "
                "sums: call fit."
            )
        sums, computed = ExactSums(layout.width(self._per)), isinstance(self.threshold, str)
        # of a threshold that is given, one batch tells whether the network's output is finite
        step = len(X) if computed else statistics.direct.n_at_once
        for start in range(0, len(X), step):
            few = X if computed else X[start : start + step]
            for part in track(statistics.sums(few), len(few), "thresholds", self.verbose):
                sums.add(part.values)
            if sums.n_pictures:
                break
        if not sums.n_pictures:
            raise ValueError(f"X: none of the {len(X)} pictures shows a face.")
        n_before = 0 if before is None else before.n_samples_seen_
        n_here = sums.n_pictures if computed else len(X)
        sums = sums if before is None else before._sums.merged(sums)
        self._set_layout(layout)
        self.backbone_fingerprint_ = statistics.direct.backbone.fingerprint
        self._fitted_with = self._options(layout)
        self._set_sums(sums, n_before + n_here)
        return self

    def _set_sums(self, sums: ExactSums, n_samples: int) -> None:
        self._sums, self.n_samples_seen_ = sums, n_samples
        if isinstance(self.threshold, str):
            self.thresholds_ = threshold(sums, self._layout.neurons_per(self._per))
        else:
            self.thresholds_ = np.full(len(self.layer_names_), float(self.threshold))

    def _count(self, X: Any, statistics: Statistics) -> Any:
        direct, seen = statistics.direct, getattr(self, "_sums", None)
        parts = statistics.counts(X, self.thresholds_, self.granularity, seen)
        counts = ResultTable(len(X), direct.layout.width(self.granularity), direct.results_device)
        for part in track(parts, len(X), "coverage", self.verbose):
            counts.put(part.positions, part.values)
        self._warn_of_missing(counts.missing())
        if self.output == "count":
            return counts.rows
        n_neurons = self._layout.neurons_per(self.granularity).astype(np.float32)
        return counts.rows / like(counts.rows, n_neurons)

    def _warn_of_missing(self, missing: list[int]) -> None:
        if missing:
            warnings.warn(
                f"{len(missing)} pictures show no face, and their rows are NaN: "
                f"{name_positions(missing)}.",
                UserWarning,
                stacklevel=3,
            )


def merge_transformers(
    transformers: Iterable[NeuronCoverageTransformer],
) -> NeuronCoverageTransformer:
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
    >>> from skfakespotter import merge_transformers
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
        names = ("backbone_fingerprint_", "_fitted_with", "crops_", "input_size_", "n_features_in_")
        for name in names:
            ours, theirs = getattr(merged, name, None), getattr(other, name, None)
            if ours != theirs:
                raise ValueError(
                    f"transformers[{index}] differs from transformers[0] in {name.strip('_')}: "
                    f"{theirs!r} instead of {ours!r}."
                )
        if not (hasattr(merged, "_sums") and hasattr(other, "_sums")):
            raise ValueError("transformers made from_thresholds cannot be merged: fit again.")
        n_samples = merged.n_samples_seen_ + other.n_samples_seen_
        merged._set_sums(merged._sums.merged(other._sums), n_samples)
    return merged
