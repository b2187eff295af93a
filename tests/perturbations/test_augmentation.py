"""Augmentation: what the copies are, where they go, and the classifier trained on them."""

import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skfakespotter._prefetch import iter_images
from skfakespotter.images import ImageError, check_images
from skfakespotter.perturbations._augmentation import AugmentedClassifier, augment
from skfakespotter.perturbations._transformers import GaussianNoise, JPEGCompression, Resize

TWO = {"jpeg": [JPEGCompression(20)], "noise": [GaussianNoise(0.01)]}


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [
        ndimage.gaussian_filter(rng.integers(0, 256, (h, w, 3)).astype(np.uint8), (1, 1, 0))
        for h, w in ((40, 33), (24, 50), (31, 31))
    ]


class Means(TransformerMixin, BaseEstimator):
    """Mean, spread and detail of each picture."""

    def fit(self, X, y=None):
        self.n_seen_ = len(X)
        return self

    def transform(self, X):
        def describe(image):
            return [image.mean(), image.std(), np.abs(np.diff(image.astype(float), axis=0)).mean()]

        return np.array(list(iter_images(check_images(X), describe)))


def add(X, k):
    return X + np.uint8(k)


def drawn_seed(random_state):
    """Noise without a seed of its own gets the first number that `random_state` draws."""
    return np.random.RandomState(random_state).randint(2**31)


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_augment_appends_each_picture_perturbed(pictures):
    X, y, groups = augment(pictures, list("rff"), attacks=TWO, n_copies=2, groups=[5, 6, 7])
    assert same(X[:3], pictures)
    assert y.tolist() == list("rff") * 3
    assert groups.tolist() == [5, 6, 7] * 3
    jpeg = JPEGCompression(20).transform(pictures)
    noise = GaussianNoise(0.01, random_state=drawn_seed(0)).transform(pictures)
    for i in range(3):  # two copies of two attacks: each attack once
        copies = X[3 + i], X[6 + i]
        kinds = [
            [np.array_equal(copy, perturbed[i]) for perturbed in (jpeg, noise)] for copy in copies
        ]
        assert kinds in ([[True, False], [False, True]], [[False, True], [True, False]])


def test_augment_takes_a_single_picture(pictures):
    X, y = augment(pictures[:1], [1], n_copies=2)
    assert (len(X), y.tolist()) == (3, [1, 1, 1])


@pytest.mark.parametrize("n_copies", [1, 2, 4])
def test_augment_draws_from_all_attacks_without_repeats(n_copies):
    """Each of five attacks recolors by its own amount, so that a copy says which one made it."""
    attacks = {"add": [(k, FunctionTransformer(partial(add, k=k))) for k in (1, 2, 3, 4, 5)]}
    X = np.zeros((400, 16, 16, 3), np.uint8)
    copies, _ = augment(X, np.zeros(400), attacks=attacks, n_copies=n_copies, random_state=3)
    kinds = copies[400:, 0, 0, 0].reshape(n_copies, 400)
    assert all(len(set(own)) == n_copies for own in kinds.T)
    counts = np.bincount(kinds.ravel(), minlength=6)
    assert counts[0] == 0
    expected = 400 * n_copies / 5
    # draws without replacement spread less than binomial ones
    assert np.abs(counts[1:] - expected).max() < 4 * np.sqrt(expected * 4 / 5)
    for row in kinds:  # the first copy favors no attack, nor does the last
        assert np.bincount(row, minlength=6)[1:].min() > 80 - 4 * np.sqrt(64)


def test_augment_draws_evenly_and_reproducibly():
    X = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3)).astype(np.uint8)
    y = np.zeros(300)
    attacks = {"resize": [Resize(1.0), Resize(0.5)]}
    augmented, _ = augment(X, y, attacks=attacks)
    assert isinstance(augmented, np.ndarray)
    untouched = (augmented[300:] == X).all(axis=(1, 2, 3))
    assert abs(untouched.sum() - 150) < 4 * np.sqrt(300 / 4)
    np.testing.assert_array_equal(augmented, augment(X, y, attacks=attacks)[0])
    other = augment(X, y, attacks=attacks, random_state=1)[0]
    assert not np.array_equal(augmented, other)


def test_augment_in_a_folder_is_lossless(pictures, tmp_path):
    y = [0, 1, 1]
    in_memory, _ = augment(pictures, y, n_copies=3)
    on_disk, _ = augment(pictures, y, n_copies=3, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 9
    assert same(list(iter_images(check_images(on_disk))), in_memory)


def test_augment_refuses(pictures):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        augment(pictures, [0, 1])
    with pytest.raises(ValueError, match="n_copies is 3: expected at most 2"):
        augment(pictures, [0, 1, 1], attacks=TWO, n_copies=3)
    with pytest.raises(ImageError, match=r"X\[2\] \('gone.jpg'\)"):
        augment([*pictures[:2], "gone.jpg"], [0, 1, 1])


@pytest.fixture
def faces(tmp_path):
    """Forty files: each real one beside its smoother fake, and the number of the pair."""
    rng = np.random.default_rng(0)
    X, y, groups = [], [], []
    for pair in range(20):
        real = ndimage.gaussian_filter(rng.normal(128, 90, (32, 32, 3)), (0.7, 0.7, 0))
        fake = ndimage.gaussian_filter(real, (0.5, 0.5, 0))
        for label, picture in (("real", real), ("fake", fake)):
            path = tmp_path / f"{label}{pair}.png"
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
            X, y, groups = [*X, path], [*y, label], [*groups, pair]
    return X, np.array(y), groups


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps the pictures it was fitted on."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = list(iter_images(check_images(X)))
        self.labels_ = y
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_augmented_classifier_trains_on_originals_and_copies(faces):
    X, y, _ = faces
    model = AugmentedClassifier(Spy(), attacks=TWO, n_copies=2, random_state=0).fit(X, y)
    expected, labels = augment(X, y, attacks=TWO, n_copies=2, random_state=0)
    assert same(model.estimator_.seen_, list(iter_images(check_images(expected))))
    np.testing.assert_array_equal(model.estimator_.labels_, labels)
    assert model.classes_.tolist() == ["fake", "real"]
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")
    assert not hasattr(model.estimator, "seen_")


def test_augmented_classifier_delegates(faces):
    X, y, _ = faces
    model = AugmentedClassifier(make_pipeline(Means(), LogisticRegression()), random_state=0)
    assert hasattr(model, "predict_proba")
    model.fit(X, y)
    for name in ("predict", "predict_proba", "decision_function"):
        got, expected = getattr(model, name)(X), getattr(model.estimator_, name)(X)
        np.testing.assert_array_equal(got, expected)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert not hasattr(AugmentedClassifier(LinearSVC()), "predict_proba")
    assert hasattr(AugmentedClassifier(LinearSVC()), "decision_function")


def test_augmented_classifier_in_cross_validation(faces):
    X, y, groups = faces
    model = AugmentedClassifier(make_pipeline(Means(), LogisticRegression()), random_state=0)
    scores = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(4), scoring="roc_auc")
    assert scores.mean() > 0.8
    parallel = cross_val_score(
        model, X, y, groups=groups, cv=GroupKFold(4), scoring="roc_auc", n_jobs=2
    )
    np.testing.assert_array_equal(parallel, scores)


def test_augmented_classifier_with_an_array_and_unfitted(faces):
    X, y, _ = faces
    batch = np.stack(list(iter_images(X)))
    parameters = {"attacks": TWO, "random_state": 0}
    from_files = AugmentedClassifier(Spy(), **parameters).fit(X, y)
    from_array = AugmentedClassifier(Spy(), **parameters).fit(batch, y)
    assert same(from_files.estimator_.seen_, from_array.estimator_.seen_)
    with pytest.raises(ValueError, match="not fitted yet"):
        AugmentedClassifier(Spy()).predict(X)


class Picky(Spy):
    def fit(self, X, y):
        raise ImageError("holds no face", len(X) - 1, "a temporary file")


def test_augmented_classifier_names_the_original(faces):
    X, y, _ = faces
    with pytest.raises(ImageError, match=r"X\[39\] \('.*fake19.png'\): holds no face \(picture"):
        AugmentedClassifier(Picky(), attacks=TWO).fit(X, y)
