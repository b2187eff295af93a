"""Augmentation: train on pictures and on perturbed copies of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    gen_batches,
)
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import has_fit_parameter

from skfakespotter import _typing
from skfakespotter._params import checked
from skfakespotter._typing import Labels, Pictures, RandomState
from skfakespotter.faces import FaceNote, LazyFace
from skfakespotter.images import check_images
from skfakespotter.perturbations._attacks import BATCH_SIZE, check_attacks, naming
from skfakespotter.perturbations._delegate import Delegate

_CONSTRAINTS = {
    "attacks": [Mapping, None],
    "n_copies": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


@checked(**_CONSTRAINTS)
def augment(
    X: Pictures,
    y: Labels,
    *,
    attacks: Mapping[str, Sequence] | None = None,
    n_copies: int = 1,
    groups: ArrayLike | None = None,
    random_state: RandomState = 0,
    folder: _typing.Path | None = None,
) -> tuple[Any, ...]:
    """Append perturbed copies of the pictures.

    Each picture gets ``n_copies`` different perturbations, drawn with equal chances from all
    attacks and intensities, whatever its class. A copy belongs to the group of its picture. Split
    by ``groups``; otherwise copies of training pictures end up among the test pictures.
    Inside cross-validation use :class:`AugmentedClassifier`.

    Parameters
    ----------
    X : sequence of pictures, or ndarray of shape (n, h, w, 3)
        The originals.
    y : array-like of shape (n,)
        Labels.
    attacks : dict or None, default=None
        See :func:`skfakespotter.perturbations.check_attacks`.
    n_copies : int, default=1
        Copies of each picture; at most the number of attacks times intensities.
    groups : array-like of shape (n,), default=None
        Which pictures belong together.
    random_state : int, RandomState instance or None, default=0
        Draws the perturbations, and seeds noise that has no seed.
    folder : path, default=None
        Write the copies there, as lossless PNG files, and return their paths, so that they do
        not fill the memory. None keeps them as arrays.

    Returns
    -------
    X : list of pictures, or ndarray of shape (n * (1 + n_copies), h, w, 3)
        The originals in their order, then the first copies in that order, and so on.
    y : ndarray of shape (n * (1 + n_copies),)
        Labels.
    groups : ndarray of shape (n * (1 + n_copies),)
        Only when ``groups`` is given.

    Raises
    ------
    ImageError
        When a picture cannot be used; it names the original.
    TypeError, ValueError
        When a parameter is out of its range, or lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.perturbations import augment
    >>> X, y, groups = augment(np.zeros((2, 20, 20, 3), np.uint8), [0, 1], groups=["a", "b"])
    >>> X.shape, y.tolist(), groups.tolist()
    ((4, 20, 20, 3), [0, 1, 0, 1], ['a', 'b', 'a', 'b'])
    """
    X, y = check_images(X), np.asarray(y)
    check_consistent_length(X, y, groups)
    rng = check_random_state(random_state)
    seed = int(rng.randint(2**31))
    pool = [t for levels in check_attacks(attacks, seed).values() for _, t in levels]
    if n_copies > len(pool):
        raise ValueError(
            f"n_copies is {n_copies}: expected at most {len(pool)}, the number of attacks times "
            "intensities."
        )
    drawn = rng.random_sample((len(X), len(pool))).argsort(axis=1)[:, :n_copies]
    copies = _perturbed_copies(X, pool, drawn.T, folder)
    X = np.stack([*X, *copies]) if isinstance(X, np.ndarray) and folder is None else [*X, *copies]
    y = np.tile(y, 1 + n_copies)
    return (X, y) if groups is None else (X, y, np.tile(np.asarray(groups), 1 + n_copies))


class AugmentedClassifier(Delegate):
    """Classifier trained on the pictures and on perturbed copies of them.

    Use it as the last step of a Pipeline behind ``FaceAligner(lazy=True)``. Pictures are then
    perturbed before their faces are found, as an attacker would do, and a copy without a detected
    face is cropped at its center.

    The copies are made inside ``fit``, from the pictures that ``fit`` is given: in
    ``cross_val_score`` and ``GridSearchCV`` no copy of a test picture is trained on. (A search
    inside ``estimator`` would split copies from their originals: put the search outside.)
    Prediction does not perturb pictures.

    Parameters
    ----------
    estimator : classifier
        Takes pictures: a pipeline such as the one of ``make_fakespotter``.
    attacks : dict or None, default=None
        See :func:`skfakespotter.perturbations.check_attacks`. None draws from the levels that
        ``robustness_curve`` tests; to measure robustness to perturbations never seen, train
        with others.
    n_copies : int, default=1
        Perturbed copies of each picture; at most the number of attacks times intensities.
    random_state : int, RandomState instance or None, default=None
        Draws the perturbation of each copy.

    Attributes
    ----------
    estimator_ : classifier
        The fitted clone.
    classes_ : ndarray of shape (n_classes,)
        Labels.

    See Also
    --------
    augment : Makes the copies outside an estimator.

    Notes
    -----
    While ``fit`` runs, the copies are PNG files in a folder of :mod:`tempfile` (about as large
    as the pictures as PNG, times ``n_copies``; ``TMPDIR`` says where), so that the memory does
    not have to hold them; when ``X`` is one array they are kept in memory, as one array.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter.perturbations import AugmentedClassifier
    >>> mean = FunctionTransformer(lambda X: np.asarray(X).mean(axis=(1, 2)) / 255)
    >>> X = np.full((8, 20, 20, 3), 100, np.uint8)
    >>> X[4:] += 50
    >>> y = np.repeat(["real", "fake"], 4)
    >>> model = AugmentedClassifier(make_pipeline(mean, LogisticRegression()), random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    """

    _parameter_constraints: ClassVar = {
        "estimator": [HasMethods(["fit", "predict"])],
        **_CONSTRAINTS,
    }

    def __init__(
        self,
        estimator: Any,
        *,
        attacks: Mapping[str, Sequence] | None = None,
        n_copies: int = 1,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(estimator)
        self.attacks = attacks
        self.n_copies = n_copies
        self.random_state = random_state

    def fit(self, X: Pictures, y: Labels, groups: ArrayLike | None = None) -> AugmentedClassifier:
        """Make the copies and fit a clone of the estimator.

        Parameters
        ----------
        X : sequence of pictures, or ndarray of shape (n, h, w, 3)
            Pictures.
        y : array-like of shape (n,)
            Labels.
        groups : array-like of shape (n,), default=None
            Which pictures belong together; None: each stands alone. An estimator whose
            ``fit`` takes ``groups`` (or a Pipeline that ends with one, such as
            :class:`skfakespotter.ExpertStack`) is told the groups of pictures and copies.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ImageError
            When a picture, or a copy of it, cannot be used. A strong perturbation sometimes hides
            a face: ``FaceAligner(on_missing="center")`` trains on such copies too.
        """
        with self.augmented(X, y, groups) as (X_all, y_all, groups_all):
            told = dict.fromkeys(takes_groups(self.estimator), groups_all)
            self.estimator_ = clone(self.estimator).fit(X_all, y_all, **told)
        return self

    @contextmanager
    def augmented(
        self, X: Pictures, y: Labels, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Any, NDArray, NDArray]]:
        """Make the pictures that ``fit`` trains on, for as long as the context lasts.

        Parameters
        ----------
        X : sequence of pictures, or ndarray of shape (n, h, w, 3)
            Pictures.
        y : array-like of shape (n,)
            Labels.
        groups : array-like of shape (n,), default=None
            Which pictures belong together; None: each stands alone.

        Yields
        ------
        (X, y, groups)
            Pictures and copies, their labels and groups; see :func:`augment`.
        """
        self._validate_params()
        X = check_images(X)
        with TemporaryDirectory(prefix="augment-") as folder:
            augmented = augment(
                X,
                y,
                attacks=self.attacks,
                n_copies=self.n_copies,
                groups=np.arange(len(X)) if groups is None else groups,
                random_state=self.random_state,
                folder=None if isinstance(X, np.ndarray) else folder,
            )
            with naming(X, np.tile(np.arange(len(X)), 1 + self.n_copies), "picture or a copy"):
                yield augmented


def takes_groups(estimator: Any) -> list[str]:
    """List the names by which ``fit`` takes groups: none, ``groups``, or ``step__groups``.

    Parameters
    ----------
    estimator : estimator
        Of a Pipeline the last step counts.

    Returns
    -------
    list of str
        At most one name.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return [f"{name}__{inner}" for inner in takes_groups(last)]
    return ["groups"] if has_fit_parameter(estimator, "groups") else []


def _perturbed_copies(
    X: Any, pool: list[Any], drawn: NDArray, folder: _typing.Path | None
) -> list[Any]:
    """Perturb pictures; of a LazyFace the picture that its face is to be found in."""
    faces = X if isinstance(X[0], LazyFace) else None
    X = X if faces is None else [face.picture for face in faces]
    copies = np.empty(drawn.shape, dtype=object)
    for number, transformer in enumerate(pool):
        places = np.argwhere(drawn == number)
        for batch in gen_batches(len(places), BATCH_SIZE) if len(places) else ():
            rows = places[batch, 1]
            with naming(X, rows):
                images = transformer.transform(_safe_indexing(X, rows))
            for (copy, row), image in zip(places[batch], images, strict=True):
                if folder is not None:
                    image = save_copy(image, Path(folder, f"{row}-{copy}.png"))
                copies[copy, row] = image if faces is None else refound(faces[row], image)
    return list(copies.ravel())


def refound(face: LazyFace, copy: Any) -> LazyFace:
    """Find the face in a copy; if it is lost, take the middle of the copy.

    Parameters
    ----------
    face : LazyFace
        The face of the original.
    copy : path or ndarray
        The copy of its picture.

    Returns
    -------
    LazyFace
        The face of the copy.
    """
    return LazyFace(copy, replace(face.cropping, on_missing="center"), note=FaceNote())


def save_copy(image: NDArray, path: Path) -> Path:
    """Write a picture as a lossless PNG file.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        The picture.
    path : Path
        File to write.

    Returns
    -------
    Path
        ``path``.
    """
    Image.fromarray(image).save(path, compress_level=1)  # fast; the copies are short-lived
    return path
