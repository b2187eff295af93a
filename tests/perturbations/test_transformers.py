"""The four perturbations: against Pillow, SciPy and hand computation."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.base import clone

from skfakespotter.images import ImageError
from skfakespotter.perturbations._attacks import ATTACKS
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
)

ALL = [JPEGCompression(30), GaussianBlur(), Resize(), GaussianNoise(0.01, random_state=0)]


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [
        ndimage.gaussian_filter(rng.integers(0, 256, (h, w, 3)).astype(np.uint8), (1, 1, 0))
        for h, w in ((40, 33), (24, 50), (31, 31))
    ]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("attack", ALL, ids=lambda t: type(t).__name__)
class TestAll:
    def test_is_a_stateless_transformer(self, attack, pictures):
        before = [picture.copy() for picture in pictures]
        perturbed = attack.transform(pictures)
        assert [p.shape for p in perturbed] == [p.shape for p in pictures]
        assert all(p.dtype == np.uint8 and p.flags.writeable for p in perturbed)
        assert same(pictures, before)
        assert not any(np.array_equal(a, b) for a, b in zip(perturbed, pictures, strict=True))
        assert same(perturbed, clone(attack).fit_transform(pictures))
        assert same(perturbed, pickle.loads(pickle.dumps(attack)).transform(pictures))

    def test_files_arrays_and_tensors_agree(self, attack, pictures, tmp_path):
        torch = pytest.importorskip("torch")
        one = pictures[0]
        Image.fromarray(one).save(tmp_path / "a.png")
        batch = np.stack([one, one[::-1]])
        array = attack.transform(batch)
        assert isinstance(array, np.ndarray)
        assert array.shape == batch.shape
        tensor = attack.transform(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()))
        np.testing.assert_array_equal(tensor, array)
        for item in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(one), one):
            np.testing.assert_array_equal(attack.transform([item])[0], array[0])

    def test_a_picture_is_perturbed_alike_wherever_it_stands(self, attack, pictures):
        together = attack.transform(pictures)
        assert same(attack.transform(pictures[::-1]), together[::-1])
        assert same([attack.transform([p])[0] for p in pictures], together)

    def test_names_the_picture_that_cannot_be_used(self, attack, pictures):
        with pytest.raises(ImageError, match=r"X\[1\] \('gone.jpg'\): no such file"):
            attack.transform([pictures[0], "gone.jpg"])
        with pytest.raises(TypeError, match="X is a single str"):
            attack.transform("gone.jpg")

    def test_tags(self, attack):
        tags = attack.__sklearn_tags__()
        assert not tags.requires_fit
        assert not tags.input_tags.two_d_array
        assert tags.input_tags.string

    def test_pictures_of_one_pixel_in_height(self, attack):
        assert attack.transform([np.full((1, 9), 7, np.uint8)])[0].shape == (1, 9, 3)


@pytest.mark.parametrize("quality", [1, 10, 50, 100])
def test_jpeg_is_pillows(pictures, quality):
    buffer = io.BytesIO()
    Image.fromarray(pictures[0]).save(buffer, format="jpeg", quality=quality)
    expected = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    np.testing.assert_array_equal(JPEGCompression(quality).transform(pictures)[0], expected)


def test_blur_of_an_impulse_by_hand():
    # sigma with exp(-1 / (2 sigma^2)) = 1/2: the weights are (1, 2, 1)/4 each way
    sigma = 1 / np.sqrt(2 * np.log(2))
    impulse = np.zeros((7, 7, 3), np.uint8)
    impulse[3, 3] = 160, 80, 0
    blurred = GaussianBlur(sigma).transform([impulse])[0]
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = np.array([[10, 20, 10], [20, 40, 20], [10, 20, 10]])
    np.testing.assert_array_equal(blurred[..., 0], expected)
    np.testing.assert_array_equal(blurred[..., 1], expected / 2)
    assert not blurred[..., 2].any()


def test_blur_mirrors_at_edges():
    sigma = 1 / np.sqrt(2 * np.log(2))
    row = np.tile(np.array([0, 100, 0, 0], np.uint8), (4, 1))  # ... 100 [0 100 0 0] 0 ...
    np.testing.assert_array_equal(GaussianBlur(sigma).transform([row])[0][2, :, 0], [50, 50, 25, 0])


@pytest.mark.parametrize(
    ("sigma", "kernel_size", "radius"), [(0.5, 3, 1), (4.0, 3, 1), (1.3, 7, 3), (1.5, None, 6)]
)
def test_blur_agrees_with_a_two_dimensional_convolution(pictures, sigma, kernel_size, radius):
    grid = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    kernel = np.exp(-(grid**2).sum(axis=0) / (2 * sigma**2))
    kernel /= kernel.sum()
    perturbed = GaussianBlur(sigma, kernel_size=kernel_size).transform(pictures)
    for picture, blurred in zip(pictures, perturbed, strict=True):
        exact = ndimage.convolve(picture.astype(float), kernel[..., None], mode="mirror")
        assert np.abs(blurred - exact).max() <= 0.5 + 1e-3  # rounding alone


def test_blur_keeps_flat_pictures_and_saturates_at_the_box_filter(pictures):
    flat = np.full((20, 20), 201, np.uint8)
    for sigma in (0.3, 1.0, 50.0):
        assert (GaussianBlur(sigma).transform([flat])[0] == 201).all()
        assert (GaussianBlur(sigma, kernel_size=None).transform([flat])[0] == 201).all()
    box = ndimage.uniform_filter(pictures[0].astype(float), (3, 3, 1), mode="mirror")
    assert np.abs(GaussianBlur(1e4).transform(pictures)[0] - box).max() <= 0.5 + 1e-3
    wide = GaussianBlur(8.0, kernel_size=None).transform(pictures)[0]
    assert wide.std() < 0.5 * box.std()


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
def test_resize_is_pillows(pictures, resample):
    filter_ = getattr(Image.Resampling, resample.upper())
    small = Image.fromarray(pictures[0]).resize((12, 14), filter_)  # 0.35 of 33 x 40
    expected = np.asarray(small.resize((33, 40), filter_))
    perturbed = Resize(0.35, resample=resample).transform(pictures)[0]
    np.testing.assert_array_equal(perturbed, expected)


def test_resize_by_hand():
    board = np.kron([[10, 20], [30, 40]], np.array([[0, 2], [2, 0]])).astype(np.uint8)
    by_hand = np.kron([[10, 20], [30, 40]], np.ones((2, 2)))  # each 2x2 block becomes its mean
    resized = Resize(0.5, resample="box").transform([board])[0]
    np.testing.assert_array_equal(resized[..., 2], by_hand)
    assert same(Resize(1.0).transform([board]), [np.dstack([board] * 3)])


@pytest.mark.parametrize("variance", ATTACKS["noise"][1])
def test_noise_has_the_variance_it_says(variance):
    gray = np.full((300, 300), 128, np.uint8)
    noise = (GaussianNoise(variance, random_state=0).transform([gray])[0] - 128.0) / 255
    n = noise.size
    rounding = 1 / 12 / 255**2
    assert abs(noise.mean()) < 4 * np.sqrt(variance / n)
    assert noise.var() == pytest.approx(variance + rounding, rel=4 * np.sqrt(2 / n))
    channels = np.corrcoef(noise.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < 0.02


def test_noise_is_clipped_not_wrapped():
    for level in (0, 255):
        noisy = GaussianNoise(0.01, random_state=0).transform([np.full((50, 50), level, np.uint8)])
        assert abs(noisy[0].astype(float).mean() - level) < 20
        assert (noisy[0] == level).mean() == pytest.approx(0.5, abs=0.05)


def test_noise_depends_on_seed_and_pixels(pictures):
    def noise(attack, picture=pictures[0]):
        return attack.transform([picture])[0].astype(int) - picture

    weak = noise(GaussianNoise(0.0005, random_state=3))
    other = np.clip(pictures[0], 1, None)
    assert not np.array_equal(weak, noise(GaussianNoise(0.0005, random_state=4)))
    assert not np.array_equal(weak, noise(GaussianNoise(0.0005, random_state=3), other[::-1]))
    strong = noise(GaussianNoise(0.002, random_state=3))  # the same noise, twice as large
    unclipped = (pictures[0] > 60) & (pictures[0] < 195)
    assert np.abs(strong - 2 * weak)[unclipped].max() <= 2
    for unseeded in (GaussianNoise(), GaussianNoise(random_state=np.random.RandomState(0))):
        assert not np.array_equal(noise(unseeded), noise(unseeded))


@pytest.mark.parametrize(
    ("attack", "error", "message"),
    [
        (JPEGCompression(0), ValueError, "'quality' parameter of JPEGCompression must be"),
        (JPEGCompression(101), ValueError, r"range \[1, 100\]. Got 101"),
        (JPEGCompression(75.0), TypeError, r"must be an int .* Got 75.0"),
        (GaussianBlur(0), ValueError, "'sigma' parameter of GaussianBlur must be"),
        (GaussianBlur("1"), TypeError, "must be a float .* Got '1'"),
        (GaussianBlur(kernel_size=4), ValueError, "kernel_size is 4: expected an odd number"),
        (GaussianBlur(kernel_size=1), ValueError, r"range \[3, inf\) or None. Got 1 "),
        (Resize(1.5), ValueError, r"range \(0.0, 1.0\]. Got 1.5"),
        (Resize(0.0), ValueError, "'scale' parameter of Resize must be"),
        (
            Resize(resample="cubic"),
            ValueError,
            "'resample' parameter of Resize must be a str",
        ),
        (GaussianNoise(-1), ValueError, "'variance' parameter of GaussianNoise must be"),
        (
            GaussianNoise(random_state=-1),
            ValueError,
            "'random_state' parameter of",
        ),
    ],
)
def test_parameters_are_checked(attack, error, message, pictures):
    with pytest.raises(error, match=message):
        attack.transform(pictures)
    with pytest.raises(error, match=message):
        attack.fit(pictures)
