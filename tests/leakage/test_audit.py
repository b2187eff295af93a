"""audit finds each leak on its own, clean data passes, reencode_images levels the encoding."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from skfakespotter.baselines._cues import luminance
from skfakespotter.images import ImageError, find_images
from skfakespotter.leakage._auditing import audit
from skfakespotter.leakage._duplicates import MAX_DISTANCE, nearest_hashes, perceptual_hash
from skfakespotter.leakage._fileinfo import file_facts
from skfakespotter.leakage._findings import (
    CHANCE,
    AuditReport,
    Finding,
    _find_chance_auc,
    cut_tenths,
)
from skfakespotter.leakage._reencoding import reencode_images

N = 30  # pictures of each class


def pictures(n=2 * N, side=48, seed=0):
    """Smooth seeded noise: no two alike, none knows its label."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(n, side, side, 3)), (0, 3, 3, 0))
    noise += 0.02 * rng.normal(size=noise.shape)
    return np.clip(128 + 400 * noise, 0, 255).astype(np.uint8)


def save(folder, X, *, real=None, fake=None):
    """Write the first half to real/, the rest to fake/, with options of their own."""
    paths = []
    for side, options, half in (("real", real, X[: len(X) // 2]), ("fake", fake, X[len(X) // 2 :])):
        options = {"suffix": ".jpg", "quality": 90, **(options or {})}
        suffix = options.pop("suffix")
        (folder / side).mkdir(parents=True)
        for index, array in enumerate(half):
            paths.append(folder / side / f"{index:04d}{suffix}")
            Image.fromarray(array).save(paths[-1], **options)
    return paths


def labels(paths):
    return [Path(path).parent.name for path in paths]


def leaking(report):
    return {finding.name for finding in report.findings if finding.severity == "leak"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return save(tmp_path_factory.mktemp("clean"), pictures())


@pytest.fixture(scope="module")
def png_jpeg(tmp_path_factory):
    return save(tmp_path_factory.mktemp("leaky"), pictures(), real={"suffix": ".png"})


def test_clean_set_passes(clean):
    report = audit(clean, labels(clean))
    assert not report.leaks
    assert {f.severity for f in report.findings} <= {"ok", "not checked"}
    assert report["format"].auc == 0.5
    assert report["format"].text == "JPEG in every picture"
    assert "No leak found." in str(report)
    assert (report.n_real, report.n_fake, report.n_groups) == (N, N, 2 * N)


def test_png_against_jpeg(png_jpeg):
    report = audit(png_jpeg, labels(png_jpeg))
    assert report.leaks
    assert {"format", "quantization", "subsampling", "metadata"} <= leaking(report)
    assert {"size", "mode", "exif"}.isdisjoint(leaking(report))
    assert report["format"].auc == 1
    assert report["format"].text == "real: PNG (30); fake: JPEG (30)"
    assert report["format"].examples[:1] == ("real/0000.png",)
    assert report["format"].examples[-1:] == ("fake/0002.jpg",)
    assert "LEAKS the label through" in str(report)
    assert "for example real/0000.png" in str(report)


@pytest.mark.parametrize(
    ("fake", "expected"),
    [
        ({"quality": 50}, {"quantization"}),
        ({"subsampling": "4:4:4"}, {"subsampling"}),
        ({"progressive": True}, {"metadata"}),
        ({"icc_profile": b"a profile"}, {"metadata"}),
    ],
)
def test_each_encoding_leak_alone(tmp_path, fake, expected):
    paths = save(tmp_path, pictures(), fake=fake)
    report = audit(paths, labels(paths))
    # a large change of quality also tells through the bytes and the grid that it leaves
    assert expected <= leaking(report) <= expected | {"bytes_per_pixel", "block_grid", "cheap_cues"}
    assert all(report[name].auc == 1 for name in expected)


def test_exif_and_mode(tmp_path):
    exif = Image.Exif()
    exif[0x0131] = "Generator 3"
    paths = save(tmp_path / "exif", pictures(), fake={"exif": exif})
    report = audit(paths, labels(paths))
    # on pictures this small the length of the EXIF shows in the bytes per pixel too
    assert leaking(report) <= {"exif", "metadata", "bytes_per_pixel", "cheap_cues"}
    assert report["exif"].text == "real: none (30); fake: Generator 3 (30)"
    assert report["exif"].severity == "leak"
    png = {"suffix": ".png"}
    paths = save(tmp_path / "mode", pictures(), real=png, fake=png)
    for path in paths[N:]:
        with Image.open(path) as image:
            image.convert("RGBA").save(path)
    assert "mode" in leaking(audit(paths, labels(paths)))


def test_different_size(tmp_path):
    X = [*pictures(N), *pictures(N, side=56, seed=1)]
    paths = save(tmp_path, X)
    report = audit(paths, labels(paths))
    assert {"size"} <= leaking(report) <= {"size", "bytes_per_pixel", "cheap_cues"}
    assert report["size"].text == "real: 48x48 (30); fake: 56x56 (30)"


def test_sizes_that_never_repeat_are_told_by_their_range():
    rng = np.random.default_rng(5)
    sides = np.r_[rng.permutation(np.arange(20, 60)), rng.permutation(np.arange(60, 100))]
    X = [rng.integers(0, 256, (side, 24, 3), dtype=np.uint8) for side in sides]
    assert audit(X, np.repeat([0, 1], 40))["size"].auc > 0.95


def test_jpeg_past_inside_png_shows_in_the_grid(tmp_path):
    paths = save(tmp_path, pictures(), real={"suffix": ".png"}, fake={"quality": 60})
    for index, path in enumerate(paths):
        if path.suffix == ".jpg":
            with Image.open(path) as image:
                paths[index] = path.with_suffix(".png")
                image.save(paths[index])
    report = audit(paths, labels(paths))
    assert report["block_grid"].severity == "leak"
    assert leaking(report).isdisjoint({"format", "quantization", "size", "mode"})


def test_pixel_cue_is_a_warning_until_cue_auc():
    X = pictures(4 * N).astype(int)
    X[3 * N :] += 40  # half of the fakes are brighter
    X, y = np.clip(X, 0, 255).astype(np.uint8), np.repeat([0, 1], 2 * N)
    report = audit(X, y)
    assert 0.7 < report["cheap_cues"].auc < 0.9
    assert report["cheap_cues"].severity == "warning"
    assert not report.leaks
    assert audit(X, y, cue_auc=0.7)["cheap_cues"].severity == "leak"


def test_rare_tell_is_a_warning(tmp_path):
    paths = save(tmp_path, pictures(400, side=16))
    for path in paths[200:230]:  # 15 % of the fakes alone have EXIF: AUC 0.575
        exif = Image.Exif()
        exif[0x0131] = "Generator 3"
        with Image.open(path) as image:
            image.save(path, quality=90, exif=exif)
    found = audit(paths, labels(paths))["exif"]
    assert found.auc == pytest.approx(0.575)
    # sd = sqrt(401 / (12 * 200 * 200)) = 0.0289: 0.589 is chance
    assert found.severity == "ok"
    assert audit(paths * 3, labels(paths) * 3)["exif"].severity == "warning"


def test_memory_is_not_checked_never_ok(clean):
    X = [np.asarray(Image.open(path)) for path in clean]
    for given in (X, [*clean[:1], *X[1:]]):
        report = audit(given, labels(clean))
        for name in ("format", "mode", "quantization", "subsampling", "metadata", "exif"):
            assert report[name].severity == "not checked"
            assert np.isnan(report[name].auc)
        assert report["bytes_per_pixel"].severity == "not checked"
        assert report["size"].severity == "ok"
        assert "Not checked: format" in str(report)


def test_tenths_by_hand():
    values = np.array([*range(20), np.nan])
    tenths = cut_tenths(values)
    np.testing.assert_array_equal(tenths, [*np.repeat(range(10), 2), -1])
    np.testing.assert_array_equal(cut_tenths(np.full(5, 3.0)), np.zeros(5))


def test_chance_by_hand():
    """Of 30 and 20 groups: sd = sqrt(51 / (12 * 600)) = 0.0842."""
    fake = np.repeat([False, True], [60, 20])
    group = np.concatenate([np.arange(60) // 2, 100 + np.arange(20)])
    expected = 0.5 + norm.isf(CHANCE) * np.sqrt(51 / 7200)
    assert _find_chance_auc(fake, group) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="6 real and 6 fake groups of pictures are too few"):
        _find_chance_auc(np.arange(12) > 5, np.arange(12))


def test_face_scale():
    X, y = pictures(), np.repeat(["real", "fake"], N)
    rng = np.random.default_rng(0)
    sides = np.r_[rng.uniform(20, 30, N), rng.uniform(29, 39, N)]
    boxes = [None, *((5, 5, 5 + side, 5 + side) for side in sides[1:])]
    report = audit(X, y, faces=lambda given: boxes[: len(given)])
    assert leaking(report) == {"face_scale"}
    assert "1 real, 0 fake without" in report["face_scale"].text
    level = [(0, 0, side, side) for side in rng.uniform(20, 30, 2 * N)]
    assert audit(X, y, faces=level)["face_scale"].severity == "ok"
    assert audit(X, y, faces=[None] * 2 * N)["face_scale"].severity == "not checked"


def test_face_scale_is_the_side_of_a_square_of_the_same_area():
    """Boxes of 10 x 40 and 20 x 20 pixels in pictures of 64 x 36 and 48 x 48 have one scale."""
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 256, (64, 36, 3), np.uint8) for _ in range(N)]
    X += [rng.integers(0, 256, (48, 48, 3), np.uint8) for _ in range(N)]
    boxes = [(3, 5, 13, 45), (13, 5, 53, 15)] * (N // 2) + [(7, 9, 27, 29)] * N
    found = audit(X, np.repeat([0, 1], N), faces=boxes)["face_scale"]
    assert found.auc == 0.5
    assert "median 0.417 real, 0.417 fake" in found.text  # sqrt(400 / 2304)


def test_a_cue_that_falls_with_the_fakes_counts_as_much_as_one_that_rises():
    texts = []
    for sign in (-1, 1):
        X = pictures().astype(int)
        X[N:, ..., 0] += sign * 30
        report = audit(np.clip(X, 0, 255).astype(np.uint8), np.repeat([0, 1], N))
        assert report["cheap_cues"].severity == "leak"
        texts.append(report["cheap_cues"].text)
    assert all("the strongest: mean_red 0.9" in text or "mean_red 1.0" in text for text in texts)


def test_copies_of_less_than_one_picture_in_a_hundred_are_a_warning():
    X, y = pictures(202, side=16, seed=2), np.repeat([0, 1], 101)
    assert audit(X, y)["copies_across_classes"].severity == "ok"
    X[150] = X[20]
    report = audit(X, y)
    found = report["copies_across_classes"]
    assert (found.severity, report.leaks) == ("warning", False)
    assert found.text.startswith("2 of 202 pictures")
    assert found.examples == ("X[20] = X[150]",)
    X[160] = X[30]  # four of 202 are over one in a hundred
    assert audit(X, y)["copies_across_classes"].severity == "leak"


def test_copies_across_classes_unless_of_one_group(tmp_path):
    X = pictures(N)
    edited = X.copy()
    edited[:, 20:28, 20:28, 0] = 255 - edited[:, 20:28, 20:28, 0]  # a local edit
    paths = save(tmp_path, [*X, *edited])
    alone = audit(paths, labels(paths))
    assert alone["copies_across_classes"].severity == "leak"
    assert alone["copies_across_classes"].auc < 0.05  # copies carry the other label
    for pair in alone["copies_across_classes"].examples:
        original, copy = pair.split(" = ")
        assert original.replace("real", "fake") == copy
    stems = [path.stem for path in paths]
    assert audit(paths, labels(paths), stems)["copies_across_classes"].severity == "ok"


def test_copies_across_splits_and_within_class(tmp_path):
    X = pictures()
    X[1], X[N + 1] = X[0], X[N]
    paths = save(tmp_path, X, fake={"quality": 90})
    splits = np.resize(["train", "test"], 2 * N)
    report = audit(paths, labels(paths), splits=splits)
    assert leaking(report) == {"copies_across_splits"}
    assert report["copies_across_splits"].text.startswith("4 of 60 pictures")
    # 2 reals score 0 and 2 fakes 1 among ties at 0.5: 1 - 28 * 28 / (2 * 30 * 30)
    assert report["copies_across_splits"].auc == pytest.approx(1 - 28**2 / (2 * 30**2))
    assert "copies_within_class" not in [f.name for f in report.findings]
    alone = audit(paths, labels(paths))
    assert alone["copies_within_class"].severity == "warning"
    assert alone["copies_across_splits"].severity == "not checked"
    together = np.arange(2 * N)
    together[1], together[N + 1] = 0, N
    assert audit(paths, labels(paths), together)["copies_within_class"].severity == "ok"


def test_group_on_two_sides_of_a_split():
    X, y = pictures(), np.repeat([0, 1], N)
    groups, splits = np.arange(2 * N) // 2, np.arange(2 * N) // 2 % 2
    assert audit(X, y, groups, splits=splits)["groups_across_splits"].severity == "ok"
    splits[0] = 1 - splits[0]
    found = audit(X, y, groups, splits=splits)["groups_across_splits"]
    assert found.severity == "leak"
    assert found.text == "1 groups stand on more than one side of a split"
    assert found.examples == ("X[0]", "X[1]")
    # its two pictures, both real, are known: 1 - 28 / (2 * 30)
    assert found.auc == pytest.approx(1 - 28 / 60)


def test_perceptual_hash_of_copies_and_of_others():
    X = pictures(40, side=96)
    small = [np.asarray(Image.fromarray(x).resize((48, 48), Image.Resampling.LANCZOS)) for x in X]
    hashes = np.array([perceptual_hash(luminance(x)) for x in [*X, *small]])
    assert hashes.shape == (80, 4)
    nearest, distance = nearest_hashes(hashes, lambda i: i[:, None] != np.arange(80))
    np.testing.assert_array_equal(nearest, (np.arange(80) + 40) % 80)
    assert distance.max() <= MAX_DISTANCE
    _, others = nearest_hashes(hashes, lambda i: i[:, None] % 40 != np.arange(80) % 40)
    assert others.min() > MAX_DISTANCE


def test_report_is_sorted_and_readable(png_jpeg):
    report = audit(png_jpeg, labels(png_jpeg))
    order = ["leak", "warning", "ok", "not checked"]
    ranks = [order.index(f.severity) for f in report.findings]
    assert ranks == sorted(ranks)
    frame = report.to_frame()
    assert list(frame.columns) == ["name", "severity", "auc", "text", "examples"]
    assert len(frame) == len(report.findings)
    with pytest.raises(KeyError, match="no finding 'color': expected one of"):
        report["color"]
    made = AuditReport([Finding("size", "leak", 0.9, "real: a; fake: b")], 9, 9, 18, 0.9)
    assert made.leaks
    assert "leak        0.90  size: real: a; fake: b" in str(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": ["a"] * N + ["b"] * N}, "pass the label of fakes as pos_label"),
        ({"y": [0] * (2 * N)}, "expected two classes"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
        ({"groups": np.arange(2 * N) % 3}, "3 real and 3 fake groups of pictures are too few"),
        ({"faces": [None]}, "inconsistent numbers of samples"),
        ({"leak_auc": 0.4}, "'leak_auc' parameter of audit must be"),
    ],
)
def test_wrong_input(change, message):
    given = {"X": pictures(), "y": np.repeat([0, 1], N), **change}
    with pytest.raises(ValueError, match=message):
        audit(**given)


def test_labels_may_be_strings_with_pos_label():
    y = np.repeat(["photo", "gan"], N)
    assert audit(pictures(), y, pos_label="gan").n_fake == N


def test_broken_file_is_named(clean, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"X\[3\] \('.*broken.jpg'\)"):
        audit([*clean[:3], broken, *clean[4:]], labels(clean))


def test_file_facts_open_pictures_alone(tmp_path):
    """Nothing that would start a program or wait, and damaged EXIF is no fault."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ImageError, match="cannot be read as a picture"):
        file_facts(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageError, match="is a pipe"):
        file_facts(path)
    path.unlink()
    Image.new("RGB", (32, 32)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert file_facts(path)["format"] == "JPEG"


def test_file_facts(tmp_path):
    gray = Image.fromarray(pictures(1)[0]).convert("L")
    gray.save(tmp_path / "a.jpg", quality=40)
    facts = file_facts(tmp_path / "a.jpg")
    assert (facts["mode"], facts["quantization"], facts["subsampling"]) == (
        "L",
        "quality 40",
        "other",
    )
    tables = [[7] * 64, [9] * 64]
    Image.fromarray(pictures(1)[0]).save(tmp_path / "b.jpg", qtables=tables, subsampling="4:2:2")
    facts = file_facts(tmp_path / "b.jpg")
    assert facts["quantization"].startswith("own tables ")
    assert facts["subsampling"] == "4:2:2"
    gray.save(tmp_path / "c.png", dpi=(72, 72))
    assert file_facts(tmp_path / "c.png")["metadata"] == "dpi"


def test_reencoding_removes_the_encoding_leak(png_jpeg, tmp_path):
    paths = reencode_images(png_jpeg, size=32, folder=tmp_path / "level", quality=80)
    assert [p.relative_to(tmp_path / "level").as_posix() for p in paths[:1]] == ["real/0000.jpg"]
    assert find_images(tmp_path / "level") == sorted(paths)
    assert not audit(paths, labels(paths)).leaks
    assert {file_facts(p)["quantization"] for p in paths} == {"quality 80"}
    with Image.open(paths[-1]) as image:
        assert image.size == (32, 32)
    assert all(path.exists() for path in png_jpeg)


def test_reencoding_turns_crops_and_drops_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    array = np.zeros((40, 80, 3), np.uint8)
    array[:, :40] = 255
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (path,) = reencode_images([tmp_path / "a.jpg"], size=(80, 40), folder=tmp_path / "new")
    facts = file_facts(path)
    assert facts["exif"] == "none"
    with Image.open(path) as image:
        upright = np.asarray(image)
    assert upright.shape == (80, 40, 3)
    assert upright[:36].min() > 240
    assert upright[44:].max() < 15


def test_reencoding_never_overwrites(tmp_path):
    X = pictures(2)
    first = reencode_images(X, size=32, folder=tmp_path, names=["real/a.png", "fake/a.png"])
    assert first == [tmp_path / "real/a.jpg", tmp_path / "fake/a.jpg"]
    before = first[0].stat().st_mtime_ns
    again = reencode_images(X, size=32, folder=tmp_path, names=["real/a", "fake/a"])
    assert again == first
    assert first[0].stat().st_mtime_ns == before  # the same content is left alone
    content = first[0].read_bytes()
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        reencode_images(X[::-1], size=32, folder=tmp_path, names=["real/a", "fake/a"])
    assert first[0].read_bytes() == content
    reencode_images(X[::-1], size=32, folder=tmp_path, names=["real/a", "fake/a"], overwrite=True)
    assert first[1].read_bytes() == content
    with pytest.raises(ValueError, match="is one of the pictures in X, which are never replaced"):
        reencode_images(first, size=16, folder=tmp_path, overwrite=True)
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 8}, "size=8: expected a side"),
        ({"resample": "nearest"}, "'resample' parameter of reencode_images must be"),
        ({"subsampling": 2}, "'subsampling' parameter of reencode_images must be"),
        ({"quality": 100}, "'quality' parameter of reencode_images must be"),
        ({"names": ["a"]}, "names holds 1 names for 2 pictures"),
        ({"names": ["a", "../b"]}, "'../b' leads out of folder"),
        ({"names": ["a.png", "a.jpg"]}, "two pictures would become"),
    ],
)
def test_reencoding_wrong_input(tmp_path, change, message):
    given = {"X": pictures(2), "size": 32, "folder": tmp_path, **change}
    with pytest.raises(ValueError, match=message):
        reencode_images(**given)
    assert not list(tmp_path.iterdir())


def test_reencoding_warns_of_enlarging(tmp_path):
    with pytest.warns(UserWarning, match=r"1 of 2 pictures are smaller than 48x48 .* first X\[1\]"):
        reencode_images([pictures(1)[0], pictures(1, side=40)[0]], size=48, folder=tmp_path)


@pytest.mark.parametrize(
    "pair", ["stylegan", "stargan_brown_hair", "stgan_eyeglasses", "stgan_mouth_open"]
)
def test_reference_pairs_pass(faces_dir, pair):
    files = [p for side in ("real", "fake") for p in find_images(faces_dir / pair / side)[:60]]
    groups = [p.stem for p in files] if pair != "stylegan" else None
    report = audit(files, labels(files), groups)
    assert not report.leaks, str(report)
    assert report["quantization"].severity == "ok"
