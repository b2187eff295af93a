"""Cheap cues: values by hand on made pictures, contracts of a transformer, the protocol's AUC."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from skfakespotter.baselines._cues import CUE_NAMES, CheapCues, cheap_cue_baseline, luminance
from skfakespotter.images import ImageError


def cue(picture, name, **params):
    transformer = CheapCues(**params)
    column = transformer.get_feature_names_out().tolist().index(name)
    return transformer.transform([picture])[0, column]


def wave(cycles_per_pixel, side=64):
    row = 128 + 100 * np.cos(2 * np.pi * cycles_per_pixel * np.arange(side))
    return np.repeat(np.rint(np.tile(row, (side, 1)))[..., None], 3, axis=2).astype(np.uint8)


def test_size_and_color_by_hand():
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :10] = (200, 100, 40)  # a quarter of the picture
    found = CheapCues().transform([picture])[0, 1:6]
    np.testing.assert_array_equal(found, [40, 20, 50, 25, 10])


def test_luminance_weights():
    assert luminance(np.uint8([[[255, 0, 0]]]))[0, 0] == pytest.approx(0.299 * 255)
    assert luminance(np.uint8([[[7, 7, 7]]]))[0, 0] == pytest.approx(7)


def test_sharpness_is_log_variance_of_laplacian():
    # stripes of 0 and 90 one pixel wide: the Laplacian is +-180 inside, +-90 at the two borders
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, 1::2] = 90
    variance = (14 * 180**2 + 2 * 90**2) / 16
    assert cue(stripes, "sharpness") == pytest.approx(np.log1p(variance))
    assert cue(np.full((16, 16, 3), 50, np.uint8), "sharpness") == 0


@pytest.mark.parametrize("band", [1, 7, 14])
def test_a_wave_lies_in_its_band(band):
    powers = [
        cue(wave((band + 0.5) / 32), name) for name in CUE_NAMES if name.startswith("log_power")
    ]
    assert len(powers) == 16
    assert int(np.argmax(powers)) == band


def test_white_noise_has_a_flat_spectrum_of_its_variance():
    noise = np.random.default_rng(0).normal(128, 20, (256, 256))
    picture = np.repeat(np.rint(noise)[..., None], 3, axis=2).astype(np.uint8)
    powers = CheapCues().transform([picture])[0, 7:]
    window = np.mean(np.hanning(256) ** 2) ** 2  # the share of power a Hann window keeps
    np.testing.assert_allclose(powers[2:], np.log(20**2 * window), atol=0.2)


def test_bytes_per_pixel_of_file_and_of_memory(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=2)
    in_memory = len(buffer.getvalue()) / (32 * 48)
    assert cue(path, "bytes_per_pixel") == path.stat().st_size / (32 * 48)
    assert cue(picture, "bytes_per_pixel") == in_memory
    assert cue(str(path), "bytes_per_pixel", file_size=False) == in_memory


def test_finite_for_flat_tiny_and_ragged_pictures():
    rng = np.random.default_rng(2)
    X = [np.zeros((16, 16, 3), np.uint8), rng.integers(0, 256, (17, 90, 3), dtype=np.uint8)]
    found = CheapCues().transform(X)
    assert found.shape == (2, 23)
    assert np.isfinite(found).all()


def test_too_small_names_the_picture():
    with pytest.raises(ImageError, match=r"X\[1\]: is 15x40 pixels; expected at least 16x16"):
        CheapCues().transform([np.zeros((16, 16), np.uint8), np.zeros((40, 15), np.uint8)])


def test_scikit_learn_contracts():
    with pytest.warns(SkipTestWarning, match="two_d_array=False"):  # X is pictures
        check_estimator(CheapCues(), on_skip=None)
    transformer = clone(CheapCues(file_size=False)).set_output(transform="pandas")
    frame = transformer.fit_transform([wave(0.1)])
    assert list(frame.columns) == list(CUE_NAMES)
    with pytest.raises(TypeError, match="single str"):
        transformer.fit("face.jpg")


def test_baseline_learns_a_color_cast():
    rng = np.random.default_rng(3)
    X = [rng.integers(0, 200, (32, 32, 3), dtype=np.uint8) for _ in range(40)]
    y = np.arange(40) % 2
    X = [
        np.clip(x + np.uint8([40, 0, 0]) * np.uint8(label), 0, 255)
        for x, label in zip(X, y, strict=True)
    ]
    assert cross_val_score(cheap_cue_baseline(), X, y, scoring="roc_auc").mean() == 1


@pytest.mark.parametrize(("pair", "low", "high"), [("stylegan", 0.6, 0.8), ("pggan", 0.65, 0.88)])
def test_reference_pairs(faces_dir, pair, low, high):
    files = [sorted((faces_dir / pair / side).iterdir())[:80] for side in ("real", "fake")]
    y = np.repeat([0, 1], [len(files[0]), len(files[1])])
    auc = cross_val_score(cheap_cue_baseline(), files[0] + files[1], y, scoring="roc_auc").mean()
    assert low < auc < high
