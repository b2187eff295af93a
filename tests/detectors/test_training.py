"""Training: a detector learns what marks a family, and its calibration is out of fold."""

import numpy as np
import pytest

from skfakespotter import load_detector, save_detector, train_detector
from skfakespotter.detectors import FaceTable, fit_linear, held_out_scores
from skfakespotter.perturbations import JPEGCompression


def faces(face_picture, n, rng):
    """Photographs of one face under changing light, and fakes with a faint grid."""
    for i in range(n):
        light = rng.uniform(0.7, 1.1) * face_picture + rng.normal(0, 4, face_picture.shape)
        if i % 2:
            light[::2, ::2] += 25
        yield np.rint(np.clip(light, 0, 255)).astype(np.uint8)


def test_train_save_load_and_use(face_picture, tmp_path):
    rng = np.random.default_rng(0)
    X, y = list(faces(face_picture, 60, rng)), np.arange(60) % 2
    detector = train_detector(
        X,
        y,
        name="grid",
        family="grids",
        sources=np.where(np.arange(60) % 4 < 2, "day", "night"),
        attacks={"jpeg": [JPEGCompression(95)]},
        backbone="toy_image",
        device="cpu",
    )
    assert list(detector.calibration.real) == ["day", "night"]
    assert len(detector.calibration.fake) == 30  # copies do not calibrate
    assert "30 fakes and 30 photographs" in detector.card["facts"]["Trained on"]
    save_detector(detector, tmp_path / "grid.npz")
    new = list(faces(face_picture, 20, rng))
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
    scores = held_out_scores(faces, C=10.0)
    gap = scores[faces.fake].mean() - scores[~faces.fake].mean()
    assert gap < 0.5 * scores.std()


def test_faces_that_are_scored_only_do_not_teach():
    """Whatever their counts are, the scores of the others stay as they are."""
    faces = table()
    trained = np.arange(len(faces)) < 150
    counts = np.where(trained[:, None], faces.counts, 1000.0).astype(np.float32)
    other = FaceTable(**{**vars(faces), "counts": counts})
    one, two = (held_out_scores(t, trained=trained)[trained] for t in (faces, other))
    np.testing.assert_array_equal(one, two)


def test_copies_of_few_fakes_weigh_little():
    """Contradicting copies turn the model when they weigh as much, and hardly when they do not."""
    rng = np.random.default_rng(0)
    fake = np.arange(200) % 2 == 1
    counts = (fake + rng.normal(0, 0.3, 200))[:, None]
    both, copy = np.vstack([counts, -counts]), np.arange(400) >= 200
    twice = np.r_[fake, fake]
    told, _ = fit_linear(both, twice, copy=copy)
    untold, _ = fit_linear(both, twice)
    assert told[0] > 0.1
    assert abs(untold[0]) < 0.5 * told[0]


def test_weights_are_of_the_counts_as_they_are():
    faces = table()
    weights, intercept = fit_linear(3 * faces.counts + 7, faces.fake)
    plain, constant = fit_linear(faces.counts, faces.fake)
    np.testing.assert_allclose(3 * weights, plain, atol=1e-4)
    assert intercept + 7 * weights.sum() == pytest.approx(constant, abs=1e-3)
