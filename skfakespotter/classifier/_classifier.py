"""FakeSpotterClassifier: the paper's shallow network as a scikit-learn classifier."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from skorch.history import History

from skfakespotter._array_api import is_dispatched
from skfakespotter._device import by_default, one_thread, resolve_device
from skfakespotter.classifier._training import (
    HeldBack,
    MeanCrossEntropy,
    MultilayerPerceptron,
    TensorBatches,
)

FUSED = ("cpu", "cuda", "mps")  # where torch takes a step of gradient descent in one call


class FakeSpotterClassifier(ClassifierMixin, BaseEstimator):
    """Five fully-connected layers that tell real coverage vectors from fake ones.

    It owns a skorch net that is trained by stochastic gradient descent on the
    cross-entropy. Features must be scaled beforehand (``StandardScaler``).

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512, 256, 128, 64)
        Widths of the layers before the last, which has one output per class. The paper
        has five layers and does not state widths; these were chosen by measurement.
    lr : float, default=1e-4
        Learning rate (the paper's).
    momentum : float, default=0.9
        Of the gradient descent (the paper's).
    weight_decay : float, default=1e-6
        L2 penalty (the paper's "decay").
    max_epochs : int, default=40
        Passes over the training data; not stated in the paper, chosen by measurement.
    batch_size : int, default=8
        Vectors per step; not stated in the paper, chosen by measurement. The paper's small
        learning rate needs many steps.
    device : str, default="auto"
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    class_weight : dict, "balanced" or None, default=None
        How much a sample of each class counts in the loss; "balanced" lets all classes count
        the same in sum. It is multiplied with ``sample_weight``.
    early_stopping : bool, default=False
        Hold part of the training data back, stop when the loss on it no longer falls, and keep
        the best weights. If a class has a single sample, none can be held back: a warning says so
        and all epochs are trained.
    validation_fraction : float, default=0.1
        Part held back by ``early_stopping``, between 0 and 1; at least one sample per class.
    n_iter_no_change : int, default=10
        Epochs without progress that ``early_stopping`` waits for.
    random_state : int, RandomState instance or None, default=None
        Seeds weights and order of the data. They are drawn from a generator of the call's
        own, so that several threads may fit at a time.
    verbose : int, default=0
        Above 0, print one line per epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels as given; with labels 0 and 1, fake comes last.
    net_ : skorch.NeuralNetClassifier
        The trained net.
    history_ : skorch.history.History
        Loss and time of each epoch.
    n_features_in_ : int
        Features seen in ``fit``.

    Raises
    ------
    ValueError
        For NaN or infinite features, one class only, or a training that diverged.

    References
    ----------
    R. Wang et al., "FakeSpotter", IJCAI 2020, section 4.1.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfakespotter import FakeSpotterClassifier
    >>> X, y = make_blobs(centers=2, random_state=0)
    >>> clf = make_pipeline(StandardScaler(), FakeSpotterClassifier(random_state=0))
    >>> clf.fit(X, y).predict_proba(X).shape
    (100, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "hidden_layer_sizes": ["array-like"],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (512, 256, 128, 64),
        *,
        lr: float = 1e-4,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        max_epochs: int = 40,
        batch_size: int = 8,
        device: str | torch.device = "auto",
        class_weight: dict | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.device = device
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> FakeSpotterClassifier:
        """Train the net.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Scaled coverage vectors. Under ``sklearn.config_context(array_api_dispatch=True)``
            a Tensor stays on its device.
        y : array of shape (n_samples,)
            Labels, numbers or strings, of at least two classes.
        sample_weight : array of shape (n_samples,), default=None
            How much each sample counts in the loss, at least 0; None lets all count the same.
            Only the ratios matter. A sample of weight 0 is not learned, but takes its place in
            a batch, so that leaving it out gives a slightly different net.

        Returns
        -------
        self : FakeSpotterClassifier
            Fitted.
        """
        self._validate_params()
        if not all(isinstance(n, Integral) and n > 0 for n in self.hidden_layer_sizes):
            raise ValueError(
                f"The 'hidden_layer_sizes' parameter of {type(self).__name__} must hold integers "
                f"above 0. Got {self.hidden_layer_sizes!r} instead."
            )
        X, y = validate_data(self, X, y, dtype=_float_of(X, 32))
        check_classification_targets(y)
        labels, encoded = np.unique(_to_host(y), return_inverse=True)
        if len(labels) < 2:
            (only,) = labels.tolist()
            raise ValueError(f"y holds only one class, {only!r}: expected real and fake samples.")
        # labels come back as they came: tensors stay tensors, on their device
        self.classes_ = torch.from_numpy(labels).to(y.device) if is_dispatched(y) else labels
        weights = self._weights(len(X), labels[encoded], sample_weight)
        seed = check_random_state(self.random_state).randint(2**31)
        device = resolve_device(self.device)
        net = self._net(X.shape[1], device, seed, encoded, weights)
        # whatever the caller has switched off or chosen as default, for this thread alone
        with torch.inference_mode(False), torch.enable_grad(), by_default(device), one_thread():
            self.net_ = net.fit(X, encoded.astype(np.int64))
        self._forget_training()
        self.history_ = self.net_.history_
        if not np.isfinite(self.history_[-1, "train_loss"]):
            raise ValueError(
                "training diverged (the loss is not finite): scale the features, for example "
                f"with StandardScaler, or lower lr={self.lr}."
            )
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Scaled coverage vectors.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``. For a Tensor (see :meth:`fit`) a Tensor on its
            device.
        """
        check_is_fitted(self)
        dtype = _float_of(X, 64)
        X = validate_data(self, X, dtype=dtype, reset=False)
        dispatched = is_dispatched(X)
        x = X if dispatched else torch.tensor(X, device="cpu")
        # in float64, so that a score does not depend on what else stands in X
        network = copy.deepcopy(self.net_.module_).to(x.device, x.dtype).eval()
        with torch.inference_mode():
            scores = network(x).softmax(1)
        return scores.clone() if dispatched else scores.numpy()

    def predict(self, X: Any) -> Any:
        """Return the most probable class.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Scaled coverage vectors.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels as given to ``fit``.
        """
        best = self.predict_proba(X).argmax(1)
        if isinstance(self.classes_, torch.Tensor):
            return self.classes_[torch.as_tensor(best, device=self.classes_.device)]
        return self.classes_[_to_host(best)]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with arrays of weights instead of the net: no code, no device."""
        state = {**super().__getstate__()}
        if "net_" in state:
            net = state.pop("net_")
            tensors = net.module_.state_dict()
            state["_net_weights"] = {name: t.cpu().numpy() for name, t in tensors.items()}
            state["history_"] = [dict(epoch) for epoch in state["history_"]]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the net again, on the CPU."""
        state = {**state}
        weights = state.pop("_net_weights", None)
        super().__setstate__(state)
        if weights is None:
            return
        widths = (self.n_features_in_, *self.hidden_layer_sizes, len(self.classes_))
        shapes = [w.shape for w in weights.values() if w.ndim == 2]
        if shapes != [(outputs, inputs) for inputs, outputs in pairwise(widths)]:
            raise ValueError(f"weights of shapes {shapes[:8]} for a net of widths {widths[:8]}.")
        encoded = np.arange(len(self.classes_))
        net = self._net(self.n_features_in_, torch.device("cpu"), 0, encoded, None)
        with torch.inference_mode(False), torch.device("cpu"):
            net.initialize()
            net.module_.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        net.history_ = self.history_ = History(self.history_)
        self.net_ = net
        self._forget_training()

    def _weights(self, n, y, sample_weight):
        """Return what each sample counts, with a mean of 1; None where all count the same."""
        if sample_weight is None and self.class_weight is None:
            return None
        weights = _check_sample_weight(
            _to_host(sample_weight), np.empty((n, 1)), ensure_non_negative=True
        )
        weights = weights * compute_sample_weight(self.class_weight, y)
        if not weights.sum() > 0:  # class_weight={"real": 0, "fake": 0}
            raise ValueError("class_weight and sample_weight leave every sample a weight of 0.")
        return (weights / weights.mean()).astype(np.float32)

    def _forget_training(self):
        """Drop what only training needs and would more than double the file."""
        self.net_.optimizer_.state.clear()  # momentum
        for step in ("iterator_train", "iterator_valid"):
            setattr(self.net_, f"{step}__weights", None)
        self.net_.module__generator = self.net_.iterator_train__generator = None
        self.net_.train_split = None
        for epoch in self.net_.history_:
            epoch["batches"].clear()

    def _net(self, n_features, device, seed, encoded, weights):
        generator = torch.Generator("cpu").manual_seed(seed)
        widths = (n_features, *self.hidden_layer_sizes, len(self.classes_))
        held_back = self._held_back(encoded, seed)
        stop = EarlyStopping(patience=self.n_iter_no_change, load_best=True)
        # skorch's own measure of accuracy knows no weights
        unmeasured = {} if weights is None else {"callbacks__valid_acc": None}
        return NeuralNetClassifier(
            MultilayerPerceptron,
            module__widths=widths,
            module__generator=generator,
            criterion=MeanCrossEntropy,
            optimizer=torch.optim.SGD,
            optimizer__momentum=self.momentum,
            optimizer__weight_decay=self.weight_decay,
            optimizer__fused=device.type in FUSED,
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train=TensorBatches,
            iterator_train__shuffle=True,
            iterator_train__generator=generator,
            iterator_train__weights=weights,
            iterator_valid=TensorBatches,
            iterator_valid__weights=weights,
            train_split=held_back,
            callbacks=[stop] if held_back else None,
            classes=range(len(self.classes_)),
            device=str(device),
            verbose=self.verbose,
            **unmeasured,
        )

    def _held_back(self, encoded, seed):
        """Return how skorch is to split the samples, or None to train on all of them."""
        if not self.early_stopping:
            return None
        counts = np.bincount(encoded)
        if counts.min() < 2:
            only = _to_host(self.classes_).tolist()[counts.argmin()]
            warnings.warn(
                f"early_stopping is left out: class {only!r} has a single sample, so that none "
                "can be held back. All epochs are trained.",
                stacklevel=4,
            )
            return None
        size = max(len(counts), math.ceil(self.validation_fraction * len(encoded)))
        size = min(size, len(encoded) - len(counts))
        indices = np.arange(len(encoded))
        return HeldBack(
            *train_test_split(indices, test_size=size, stratify=encoded, random_state=seed)
        )


def _float_of(X, bits):
    """Return the dtype that X is checked for; Apple's GPUs have no float64."""
    if not is_dispatched(X):
        return {32: np.float32, 64: np.float64}[bits]
    return torch.float64 if bits == 64 and X.device.type != "mps" else torch.float32


def _to_host(array):
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else array
