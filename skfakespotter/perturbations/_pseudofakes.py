"""Pseudo-fakes: learn to spot fakes without having any."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    column_or_1d,
    gen_batches,
)
from sklearn.utils._param_validation import HasMethods, Interval

from skfakespotter._labels import fake_label
from skfakespotter._typing import Labels, Pictures, RandomState
from skfakespotter.faces import LazyFace
from skfakespotter.images import check_images
from skfakespotter.perturbations._attacks import BATCH_SIZE, naming
from skfakespotter.perturbations._augmentation import refound, save_copy, takes_groups
from skfakespotter.perturbations._delegate import Delegate
from skfakespotter.perturbations._upsampling import UpsamplingSimulator


class PseudoFakes(Delegate):
    """Classifier trained on photographs and on fakes that a simulator makes out of them.

    ``fit(X)`` needs photographs only. If you pass fakes, it trains on them too. The simulator
    learns from the photographs that ``fit`` gets, so in cross-validation it does not see test
    pictures.

    Parameters
    ----------
    estimator : classifier
        Takes pictures: a pipeline such as the one of ``make_fakespotter``.
    simulator : transformer, default=None
        ``fit`` takes photographs, ``transform`` makes a fake out of each:
        :class:`UpsamplingSimulator` (None stands for it with its defaults),
        :class:`SelfBlending`, a perturbation, or one of your own.
    n_fakes : int, default=1
        Fakes made of each photograph. More than one need a simulator with a
        ``random_state``, and differ by it.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    random_state : int, RandomState instance or None, default=None
        Seeds the simulator.

    Attributes
    ----------
    estimator_ : classifier
        The fitted clone.
    simulator_ : transformer
        The fitted simulator.
    classes_ : ndarray of shape (2,)
        Labels; 0 and 1 where none were given.

    See Also
    --------
    AugmentedClassifier : Copies that keep their label.

    Notes
    -----
    A detector learns what the simulator does, so it spots real fakes only as far as they show the
    same traces. Networks that make whole faces upsample; face swaps have seams.
    While ``fit`` runs, the fakes are PNG files in a folder of :mod:`tempfile`; when ``X`` is one
    array they are kept in memory.

    References
    ----------
    .. [1] X. Zhang et al., "Detecting and Simulating Artifacts in GAN Fake Images", WIFS 2019.
    .. [2] K. Shiohara and T. Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR
       2022.

    Examples
    --------
    >>> from skfakespotter import PseudoFakes, make_baseline, make_pictures
    >>> X, y = make_pictures(120, size=64, random_state=0)
    >>> detector = PseudoFakes(make_baseline("spectrum-linear"), random_state=0)
    >>> detector.fit(X[:80][y[:80] == 0]).predict(X[80:]).shape
    (40,)
    """

    _parameter_constraints: ClassVar = {
        "estimator": [HasMethods(["fit", "predict"])],
        "simulator": [HasMethods(["fit", "transform"]), None],
        "n_fakes": [Interval(Integral, 1, None, closed="left")],
        "pos_label": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        simulator: Any = None,
        *,
        n_fakes: int = 1,
        pos_label: Any = None,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(estimator)
        self.simulator = simulator
        self.n_fakes = n_fakes
        self.pos_label = pos_label
        self.random_state = random_state

    def fit(
        self, X: Pictures, y: Labels | None = None, groups: ArrayLike | None = None
    ) -> PseudoFakes:
        """Make the fakes and fit a clone of the estimator.

        Parameters
        ----------
        X : sequence of pictures, or ndarray of shape (n, h, w, 3)
            Photographs, and fakes if there are any.
        y : array-like of shape (n,), default=None
            Labels. None: all are photographs. One label alone must be that of photographs:
            0 or ``"real"``.
        groups : array-like of shape (n,), default=None
            Which pictures belong together; told to an estimator whose ``fit`` takes it. A
            fake belongs to the group of its photograph.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ImageError
            When a picture, or a fake made of it, cannot be used.
        ValueError
            When there is no photograph, labels are unclear, or ``n_fakes`` is over 1 with a
            simulator that draws nothing.
        """
        self._validate_params()
        X = check_images(X)
        labels, fake = _label(len(X), y, self.pos_label)
        check_consistent_length(X, labels, groups)
        real = np.flatnonzero(labels != fake)
        owners = np.concatenate([np.arange(len(X)), np.tile(real, self.n_fakes)])
        own = np.arange(len(X)) if groups is None else np.asarray(groups)
        told = dict.fromkeys(takes_groups(self.estimator), own[owners])
        y_all = np.concatenate([labels, np.repeat(np.asarray([fake]), self.n_fakes * len(real))])
        with TemporaryDirectory(prefix="pseudofakes-") as folder:
            in_memory = isinstance(X, np.ndarray)
            made = self._simulate(X, real, None if in_memory else Path(folder))
            X_all = np.stack([*X, *made]) if in_memory and _alike(X, made) else [*X, *made]
            with naming(X, owners, "picture or a fake made of it"):
                self.estimator_ = clone(self.estimator).fit(X_all, y_all, **told)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _simulate(self, X: Any, real: NDArray, folder: Path | None) -> list[Any]:
        """Return ``n_fakes`` times the fakes made of all photographs."""
        simulator = UpsamplingSimulator() if self.simulator is None else self.simulator
        faces = X if isinstance(X[0], LazyFace) else None
        X = X if faces is None else [face.picture for face in faces]
        seeds = check_random_state(self.random_state).randint(2**31, size=self.n_fakes)
        seeded = "random_state" in simulator.get_params()
        if self.n_fakes > 1 and not seeded:
            raise ValueError(
                f"n_fakes is {self.n_fakes}: expected 1 with {type(simulator).__name__}, which "
                "draws nothing."
            )
        made = []
        for number, seed in enumerate(seeds):
            own = clone(simulator)
            own = own.set_params(random_state=int(seed)) if seeded else own
            with naming(X, real):
                own.fit(_safe_indexing(X, real))
            self.simulator_ = own
            for batch in gen_batches(len(real), BATCH_SIZE):
                rows = real[batch]
                with naming(X, rows):
                    images = own.transform(_safe_indexing(X, rows))
                for row, image in zip(rows, images, strict=True):
                    copy = image
                    if folder is not None:
                        copy = save_copy(image, folder / f"{row}-{number}.png")
                    made.append(copy if faces is None else refound(faces[row], copy))
        return made


def _alike(X: Any, made: list[Any]) -> bool:
    return all(image.shape == X.shape[1:] for image in made)


def _label(n: int, y: Labels | None, pos_label: Any) -> tuple[NDArray, Any]:
    """Return the labels, and the one that fakes have or get."""
    if y is None:
        return np.zeros(n, dtype=int), 1 if pos_label is None else pos_label
    labels = column_or_1d(np.asarray(y))
    known = np.unique(labels).tolist()
    fake = fake_label(known, pos_label)
    others = [label for label in known if label != fake]
    clear = pos_label is not None or fake == 1 or set(known) <= {"real", "fake"}
    if len(others) != 1 or not clear:
        raise ValueError(
            f"y holds the labels {known}: expected photographs (0 or 'real') and, if any, fakes "
            "(1 or 'fake'), or the label of fakes as pos_label."
        )
    return labels, fake
