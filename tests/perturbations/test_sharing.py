"""What happens to shared pictures: against Pillow, scikit-image and hand computation."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.pipeline import make_pipeline

from skfakespotter import (
    AVIFCompression,
    Beautify,
    Border,
    H264Compression,
    JPEGCompression,
    MessengerChain,
    RandomCrop,
    Screenshot,
    WebPCompression,
    paper_attacks,
    sharing_attacks,
)
from skfakespotter.perturbations import SHARING, check_attacks
from skfakespotter.perturbations._beautify import bilateral


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    noise = [rng.normal(128, 200, (h, w, 3)) for h, w in ((64, 48), (37, 51))]
    smooth = [ndimage.gaussian_filter(picture, (2, 2, 0)) for picture in noise]
    return [np.clip(picture, 0, 255).astype(np.uint8) for picture in smooth]


def error(a, b):
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize(
    ("attack", "kind", "quality"),
    [(WebPCompression(30), "WEBP", 30), (AVIFCompression(), "AVIF", 60)],
)
def test_codecs_are_those_of_pillow(attack, kind, quality, pictures, tmp_path):
    for picture, compressed in zip(pictures, attack.transform(pictures), strict=True):
        path = tmp_path / f"a.{kind.lower()}"
        Image.fromarray(picture).save(path, quality=quality)
        with Image.open(path) as image:
            assert image.format == kind
            np.testing.assert_array_equal(compressed, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("name", ["webp", "avif", "h264", "messenger", "beautify"])
def test_stronger_levels_change_more(name, pictures):
    errors = [
        np.mean([error(a, b) for a, b in zip(attack.transform(pictures), pictures, strict=True)])
        for _, attack in sharing_attacks()[name]
        if name != "messenger" or attack.set_params(shift=0)
    ]
    assert errors[-1] > errors[0] > 0
    if name != "messenger":  # a second compression of the same kind changes next to nothing
        assert errors == sorted(errors)


def test_h264_keeps_odd_sizes_and_says_what_to_install(pictures, monkeypatch):
    nearly = H264Compression(0).transform(pictures)
    assert [p.shape for p in nearly] == [(64, 48, 3), (37, 51, 3)]
    for picture, decoded in zip(pictures, nearly, strict=True):
        luma = (decoded.astype(float) - picture) @ [0.299, 0.587, 0.114]
        assert np.abs(luma).mean() < 2  # chroma alone is halved
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"H264Compression needs PyAV: pip .*\[video\]"):
        H264Compression().transform(pictures)


def test_screenshot_is_a_bilinear_resize_and_an_unsharp_mask(pictures):
    (shown,) = Screenshot(0.5, sharpen=0).transform(pictures[:1])
    small = Image.fromarray(pictures[0]).resize((24, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(shown, small)
    # a step from 100 to 140 overshoots by half of what a Gaussian of one pixel takes from it
    step = np.full((20, 20, 3), 100, np.uint8)
    step[:, 10:] = 140
    (sharp,) = Screenshot(1.0, sharpen=0.5).transform([step])
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    beyond = weights[5:].sum() / weights.sum()  # of the kernel, over the edge
    assert sharp[5, 9, 0] == np.rint(100 - 0.5 * 40 * beyond)
    assert sharp[5, 10, 0] == np.rint(140 + 0.5 * 40 * beyond)
    assert sharp[5, 0, 0] == 100


def test_messenger_chain_is_what_it_is_made_of(pictures):
    picture = pictures[0]  # 64 x 48
    once = Image.fromarray(picture).resize((24, 32), Image.Resampling.BICUBIC)
    for _ in range(2):
        file = io.BytesIO()
        once.save(file, "JPEG", quality=70)
        once = Image.open(file)
    chain = MessengerChain(2, max_side=32)
    np.testing.assert_array_equal(chain.transform([picture])[0], np.asarray(once))
    (shifted,) = MessengerChain(2, shift=3).transform([picture])
    first = JPEGCompression(70).transform([picture[3:, 3:]])[0]
    np.testing.assert_array_equal(shifted, JPEGCompression(70).transform([first[3:, 3:]])[0])
    assert shifted.shape == (58, 42, 3)


def test_bilateral_filter_pixel_by_pixel(pictures):
    pixels = pictures[0].astype(float)
    height, width = pixels.shape[:2]
    filtered = bilateral(pictures[0].astype(np.float32))
    for row, column in ((0, 0), (3, 46), (31, 20), (63, 47)):
        total, weights = np.zeros(3), 0.0
        for down in range(-4, 5):
            for right in range(-4, 5):
                other = pixels[
                    min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
                ]
                apart = np.sum((other - pixels[row, column]) ** 2)
                weight = np.exp(-(down**2 + right**2) / 18 - apart / (2 * 25.5**2))
                total, weights = total + weight * other, weights + weight
        np.testing.assert_allclose(filtered[row, column], total / weights, rtol=1e-4)


def test_bilateral_filter_by_hand():
    """Two colors far apart do not mix; two near ones do, by their weights."""
    pixels = np.zeros((1, 2, 3), np.float32)
    pixels[0, 1] = 250
    np.testing.assert_allclose(bilateral(pixels), pixels, atol=1e-3)
    pixels[0, 1] = (10, 0, 0)
    # a row of edges repeated: columns -4..0 hold 0 and 1..4 the other; all 9 rows alike
    space = np.exp(-(np.arange(-4, 5) ** 2) / 18)
    other = np.exp(-100 / (2 * 25.5**2)) * space[5:].sum()
    expected = 10 * other / (space[:5].sum() + other)
    assert bilateral(pixels)[0, 0, 0] == pytest.approx(expected, rel=1e-4)


def test_beautify_without_strength_changes_nothing(pictures):
    assert all(map(np.array_equal, Beautify(0.0).transform(pictures), pictures))
    (lifted,) = Beautify(1.0).transform([np.full((16, 16, 3), 64, np.uint8)])
    assert (lifted == np.rint(255 * (64 / 255) ** 0.75)).all()


def test_crops_are_paired_and_lie_inside(pictures):
    levels = [RandomCrop(share, random_state=0).transform(pictures) for share in (0.9, 0.7)]
    again = RandomCrop(0.9, random_state=0).transform(pictures[::-1])[::-1]
    assert all(map(np.array_equal, levels[0], again))
    corners = []
    for crops in levels:
        for picture, crop in zip(pictures, crops, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(picture, crop.shape)[:, :, 0]
            found = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
            assert len(found) == 1
            corners.append(found[0] / (np.array(picture.shape[:2]) - crop.shape[:2]))
    weak, strong = corners[:2], corners[2:]
    np.testing.assert_allclose(weak, strong, atol=0.2)  # rounded to whole pixels
    assert not np.allclose(weak[0], weak[1], atol=0.05)
    other = RandomCrop(0.7, random_state=1).transform(pictures)
    assert not np.array_equal(other[0], levels[1][0])


def test_border_is_white_and_around():
    (framed,) = Border(0.25).transform([np.zeros((8, 12, 3), np.uint8)])
    assert framed.shape == (12, 16, 3)
    assert (framed[2:-2, 2:-2] == 0).all()
    assert framed.sum() == 255 * 3 * (12 * 16 - 8 * 12)
    assert (Border(0.25, level=9).transform([framed])[0][0] == 9).all()


def test_attacks_have_five_named_levels_beside_the_papers(pictures):
    grids = sharing_attacks(random_state=4)
    assert set(grids) == set(SHARING)
    assert set(grids).isdisjoint(paper_attacks())
    for levels in grids.values():
        assert len({intensity for intensity, _ in levels}) == 5
        for intensity, attack in levels:
            assert attack.get_params()[attack.intensity] == intensity
            assert all(p.dtype == np.uint8 for p in attack.transform(pictures))
    assert {crop.random_state for _, crop in grids["crop"]} == {4}


def test_levels_label_themselves():
    own = {
        "mine": [WebPCompression(40), Border(0.3)],
        "chain": [make_pipeline(Border(), Beautify())],
    }
    checked = check_attacks(own)
    assert [intensity for intensity, _ in checked["mine"]] == [40, 0.3]
    assert [intensity for intensity, _ in checked["chain"]] == [1]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (WebPCompression(101), "'quality' parameter of WebPCompression must be"),
        (AVIFCompression(1.5), "'quality' parameter of AVIFCompression must be"),
        (H264Compression(52), "'crf' parameter of H264Compression must be"),
        (Screenshot(0), "'scale' parameter of Screenshot must be"),
        (MessengerChain(0), "'times' parameter of MessengerChain must be"),
        (Beautify(1.1), "'strength' parameter of Beautify must be"),
        (RandomCrop(0.0), "'share' parameter of RandomCrop must be"),
        (Border(-0.1), "'share' parameter of Border must be"),
    ],
)
def test_parameters_are_checked(attack, message, pictures):
    with pytest.raises(ValueError, match=message):
        attack.transform(pictures)
