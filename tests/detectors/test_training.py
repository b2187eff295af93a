"""Training: a detector learns what marks a family, and its calibration is out of fold."""

from dataclasses import replace

import numpy as np
import pytest

from skfakespotter import ImageError, load_detector, save_detector, train_detector
from skfakespotter.detectors._fitting import fit_linear, fold_of, held_out_scores
from skfakespotter.detectors._measuring import (
    count_faces,
    main_faces,
    measure_faces,
    sample_coverage,
)
from skfakespotter.detectors._moments import Moments, discriminate
from skfakespotter.detectors._table import FaceTable
from skfakespotter.faces import Cropping
from skfakespotter.perturbations import JPEGCompression


def faces(face_picture, n, rng):
    """Photographs of one face under changing light, and fakes with a grid."""
    for i in range(n):
        light = rng.uniform(0.7, 1.1) * face_picture + rng.normal(0, 4, face_picture.shape)
        if i % 2:
            light[::8] += 60
        yield np.rint(np.clip(light, 0, 255)).astype(np.uint8)


def test_train_save_load_and_use(face_picture, tmp_path):
    rng = np.random.default_rng(0)
    X, y = list(faces(face_picture, 40, rng)), np.arange(40) % 2
    detector = train_detector(
        X,
        y,
        name="grid",
        family="grids",
        sources=np.where(np.arange(40) % 4 < 2, "day", "night"),
        attacks={"jpeg": [JPEGCompression(95)]},
        backbone="toy_image",
        device="cpu",
    )
    assert list(detector.calibration.real) == ["day", "night"]
    assert len(detector.calibration.fake) == 20  # copies do not calibrate
    assert "20 fakes and 20 photographs" in detector.card["facts"]["Trained on"]
    save_detector(detector, tmp_path / "grid.npz")
    new = list(faces(face_picture, 10, rng))
    scores = load_detector(tmp_path / "grid.npz").decision_function(new)
    assert np.median(scores[1::2]) > np.max(scores[::2])


def test_too_little_is_said(face_picture):
    with pytest.raises(ValueError, match="faces of 2 real photographs only: expected 20"):
        train_detector([face_picture] * 4, [0, 1, 0, 1], name="x", backbone="toy_image")
    blank = [np.zeros((64, 64, 3), np.uint8)] * 4
    with pytest.raises(ValueError, match="show no face"):
        train_detector(blank, [0, 1, 0, 1], name="x", backbone="toy_image")


def table(n=200):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n // 2), 2)
    counts = rng.normal(size=(n // 2, 40))[groups].astype(np.float32)  # two of each, alike
    return FaceTable(
        counts=counts,
        fake=rng.random(n // 2)[groups] > 0.5,
        source=np.full(n, "s"),
        groups=groups.astype(str),
        copy=np.arange(n) % 2 == 1,
        width=np.full(n, 100.0),
        sharpness=np.ones(n),
    )


def test_no_face_is_scored_by_a_model_that_saw_its_photograph():
    """Labels are noise: only a leak from a face's double could score them right."""
    faces = table()
    scores = held_out_scores(faces, penalty=0.01)
    gap = scores[faces.fake].mean() - scores[~faces.fake].mean()
    assert gap < 0.5 * scores.std()


def test_a_fold_is_scored_as_by_a_fit_without_it():
    faces = table()
    scores, fold = held_out_scores(faces), fold_of(faces)
    assert set(np.bincount(fold)) == {40}
    rows = faces.rows(fold != 2)
    weights, intercept = fit_linear(rows)
    expected = faces.counts[fold == 2] @ weights + intercept
    np.testing.assert_allclose(scores[fold == 2], expected, atol=1e-4)


def test_faces_are_counted_as_they_are_and_mirrored(face_picture):
    coverage = sample_coverage([face_picture], Cropping(), backbone="toy_image")
    ((_, face),) = main_faces([face_picture], Cropping())
    straight, mirrored = coverage.transform(np.stack([face.crop, face.crop[:, ::-1]]))
    assert not np.array_equal(straight, mirrored)
    found = measure_faces([face_picture], coverage, Cropping())
    assert np.array_equal(found.counts, [(straight + mirrored) / 2])


def test_a_picture_scores_as_its_mirror_image(face_picture, small_detector):
    """Up to where the face detector finds landmarks: in the crop itself, exactly."""
    ((_, face),) = main_faces([face_picture], small_detector.cropping)
    views = np.stack([face.crop, face.crop[:, ::-1]])
    one, other = small_detector.decide(count_faces(small_detector.coverage, views))
    assert one == pytest.approx(other, abs=1e-5)
    assert one == pytest.approx(small_detector.decision_function([face_picture])[0], abs=1e-5)


def test_errors_name_the_position(face_picture, small_detector, monkeypatch):
    from skfakespotter.detectors import _detector

    monkeypatch.setattr(_detector, "BATCH", 2)
    blank = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ImageError, match=r"X\[3\]: .*no face"):
        small_detector.decision_function([face_picture, face_picture, face_picture, blank])


def test_moments_of_parts_add_up():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 900, (50, 4))
    whole = Moments.of(counts)
    parts = Moments.total(Moments.of(part) for part in np.split(counts, [10, 17]))
    assert parts.n == 50
    np.testing.assert_allclose(parts.mean, counts.mean(0), rtol=1e-12)
    np.testing.assert_allclose(parts.scatter / 50, np.cov(counts.T, bias=True), rtol=1e-5)
    np.testing.assert_allclose(whole.scatter, parts.scatter, rtol=1e-4)
    twice = Moments.of(counts) + Moments.of(counts)
    np.testing.assert_allclose(Moments.of(counts, 2.0).scatter, twice.scatter, rtol=1e-5)


def test_a_constant_count_has_no_weight():
    """Sums of thirds differ in the last digit, which is no difference of the classes."""
    rng = np.random.default_rng(0)
    counts = np.column_stack([rng.normal(size=60), np.full(60, 1296.0)])
    parts = [Moments.of(part, np.full(10, 1 / 3)) for part in np.split(counts, 6)]
    real, fake = Moments.total(parts[:3]), Moments.total(parts[3:])
    assert discriminate(real, fake)[0][1] == 0


def test_the_discriminant_by_hand():
    """Two independent counts, means 0 and 2, 0 and 3; variances 1 and 4, a penalty of one variance.

    The weights are 2 / (1 + 1) and 3 / (4 + 4), the middle of the means is (1, 1.5).
    """
    corners = np.array([[1, 2], [1, -2], [-1, 2], [-1, -2]], float)
    real, fake = Moments.of(corners), Moments.of(corners + np.array([2, 3]))
    weights, intercept = discriminate(real, fake, penalty=1.0)
    np.testing.assert_allclose(weights, [1, 3 / 8], rtol=1e-6)
    assert intercept == pytest.approx(-1 - 1.5 * 3 / 8)


def test_a_layer_of_more_channels_has_no_more_say():
    """Of three alike counts one is alone in its layer: its penalty is 2/3, theirs 4/3."""
    cube = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    real, fake = Moments.of(cube), Moments.of(cube + 1)
    weights, _ = discriminate(real, fake, n_channels=[1, 2])
    np.testing.assert_allclose(weights, [3 / 5, 3 / 7, 3 / 7], rtol=1e-5)


def test_copies_weigh_a_third():
    """As three pictures of one, so one picture and three copies of the other."""
    faces = table()
    copies = replace(faces, copy=np.ones(len(faces), bool))
    once, thrice = faces.rows(~faces.copy), copies.rows(np.tile(np.flatnonzero(~faces.copy), 3))
    np.testing.assert_allclose(once.moments().scatter, thrice.moments().scatter, atol=1e-3)
    assert thrice.moments().n == pytest.approx(100)


def test_weights_are_of_the_counts_as_they_are():
    faces = table()
    weights, intercept = fit_linear(replace(faces, counts=3 * faces.counts + 7))
    plain, constant = fit_linear(faces)
    np.testing.assert_allclose(3 * weights, plain, atol=1e-4)
    assert intercept + 7 * weights.sum() == pytest.approx(constant, abs=1e-3)
