"""Templates: geometry by hand, and where a real face ends up."""

import numpy as np
import pytest
from PIL import Image

from skfakespotter.faces import Face, _templates, crop_face, find_faces
from skfakespotter.faces._geometry import similarity, warp
from skfakespotter.faces._templates import _DLIB_CENTERS, TEMPLATES, crop_size, five_points

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0], [1.0, 1.0]])


def apply(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


@pytest.fixture(scope="module")
def photo():
    pytest.importorskip("dlib")
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def face(photo):
    return find_faces(photo, "dlib")[0]


# --- the transform --------------------------------------------------------------------


def test_similarity_by_hand():
    """A quarter turn, twice as large, shifted by (10, 20): (x, y) -> (10 - 2y, 20 + 2x)."""
    target = np.column_stack([10 - 2 * SQUARE[:, 1], 20 + 2 * SQUARE[:, 0]])
    np.testing.assert_allclose(similarity(SQUARE, target), [[0, -2, 10], [2, 0, 20]], atol=1e-12)


def test_similarity_recovers_any_rotation():
    rng = np.random.default_rng(0)
    for _ in range(20):
        angle, scale, shift = rng.uniform(-3, 3), rng.uniform(0.1, 9), rng.normal(size=2) * 50
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
        points = rng.normal(size=(5, 2)) * 30
        np.testing.assert_allclose(similarity(points, apply(matrix, points)), matrix, atol=1e-9)


def test_similarity_never_mirrors():
    """The best map to a mirror image is still a rotation."""
    points = np.random.default_rng(1).normal(size=(5, 2))
    matrix = similarity(points, points * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_similarity_is_the_least_squares_optimum():
    """Against the linear problem in (a, b, tx, ty), which has the same solution in the plane."""
    rng = np.random.default_rng(2)
    source = rng.normal(size=(5, 2)) * 40
    target = source * 1.7 + rng.normal(size=(5, 2)) * 5
    x, y, one, zero = source[:, 0], source[:, 1], np.ones(5), np.zeros(5)
    rows = np.vstack([np.c_[x, -y, one, zero], np.c_[y, x, zero, one]])
    a, b, tx, ty = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(similarity(source, target), [[a, -b, tx], [b, a, ty]], atol=1e-9)


# --- the warp -------------------------------------------------------------------------


def test_warp_by_whole_pixels_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    moved = warp(image, np.array([[1.0, 0, -7], [0, 1.0, -5]]), (20, 30))
    np.testing.assert_array_equal(moved, image[5:25, 7:37])


def test_warp_quarter_turn_is_exact():
    """(x, y) -> (39 - y, x): row 0 becomes the last column."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    turned = warp(image, np.array([[0.0, -1, 39], [1, 0.0, 0]]), (50, 40))
    np.testing.assert_array_equal(turned, np.rot90(image, -1))


def test_warp_is_of_one_gray_beyond_the_picture():
    image, right = np.full((20, 20, 3), 200, np.uint8), np.array([[1.0, 0, 10], [0, 1.0, 0]])
    assert warp(image, right, (20, 20))[:, :8].max() == 0
    moved = warp(image, right, (20, 20), outside=128)
    assert np.unique(moved[:, :8]).tolist() == [128]
    assert moved[:, 12:].min() == 200


@pytest.mark.parametrize("scale", [0.11, 0.3, 0.45, 1.7])
def test_warp_puts_a_point_where_the_matrix_says(scale):
    """The center of gravity of a soft spot, to a twentieth of a pixel, reduced or not."""
    y, x = np.mgrid[:400, :500]
    spot = np.exp(-((x - 233.4) ** 2 + (y - 171.8) ** 2) / (2 * (4 / scale) ** 2))
    image = np.repeat(np.rint(255 * spot)[:, :, None], 3, 2).astype(np.uint8)
    angle = 0.3
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.c_[turn, np.array([60.0, 50.0]) - turn @ [233.4, 171.8]]
    warped = warp(image, matrix, (101, 121)).astype(float)[:, :, 0]
    rows, columns = np.mgrid[:101, :121]
    center = [(warped * columns).sum() / warped.sum(), (warped * rows).sum() / warped.sum()]
    np.testing.assert_allclose(center, [60, 50], atol=0.05)


def test_warp_averages_when_it_shrinks():
    """A fine checkerboard becomes gray, not a pattern."""
    board = np.indices((400, 400)).sum(0) % 2 * 255
    image = np.repeat(board[:, :, None], 3, 2).astype(np.uint8)
    small = warp(image, np.array([[0.25, 0, 0], [0, 0.25, 0]]), (90, 90))
    assert np.ptp(small.astype(int)) <= 4
    assert abs(small.mean() - 127.5) < 2


# --- templates on a real face ---------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "size", "expected"),
    [
        ("dlib", None, (150, 150)),
        ("arcface", None, (112, 112)),
        ("sphereface", None, (112, 96)),
        ("vggface2", None, (256, 256)),
        ("arcface", 224, (224, 224)),
        ("sphereface", 160, (160, 137)),
        ("vggface2", 64, (64, 64)),
    ],
)
def test_crop_sizes(photo, face, template, size, expected):
    crop = crop_face(photo, face, template=template, size=size)
    assert crop.shape == (*expected, 3) == (*crop_size(template, size), 3)
    assert crop.dtype == np.uint8
    assert crop.std() > 20


def test_reference_points_are_the_published_ones():
    """SphereFace's are ArcFace's, 8 px to the left, counted from 1 (MATLAB) and not from 0."""
    arcface, sphereface = (np.array(TEMPLATES[n].points) for n in ("arcface", "sphereface"))
    np.testing.assert_allclose(arcface[0], [38.2946, 51.6963])
    np.testing.assert_allclose(arcface[2], [56.0252, 71.7366])
    np.testing.assert_allclose(sphereface[:4], arcface[:4] - [9, 1], atol=1e-9)
    np.testing.assert_allclose(sphereface[4], [61.7299, 91.2041])


def test_five_points_of_sixty_eight_by_hand(monkeypatch):
    """Points 36 to 41 are one eye, 42 to 47 the other, 30 the nose, 48 and 54 the mouth."""
    points = [(float(i), 2.0 * i) for i in range(68)]
    monkeypatch.setattr(_templates, "landmarks", lambda image, box, count: points[:count])
    face = Face((0, 0, 1, 1), tuple(points[:5]), 1.0)
    expected = [(38.5, 77), (44.5, 89), (30, 60), (48, 96), (54, 108)]
    np.testing.assert_array_equal(five_points(None, face), expected)


def test_five_points_lie_in_order(photo, face):
    left_eye, right_eye, nose, left_mouth, right_mouth = five_points(photo, face)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    corners = np.array(face.landmarks)  # right eye's outer and inner corner, left eye's, nose base
    np.testing.assert_allclose(right_eye, corners[:2].mean(0), atol=4)
    np.testing.assert_allclose(left_eye, corners[2:4].mean(0), atol=4)


@pytest.mark.parametrize("template", ["arcface", "sphereface"])
@pytest.mark.parametrize("angle", [0, 20])
def test_face_lies_at_the_reference_points(photo, template, angle):
    """The landmarks, found again in the crop, lie within 2 px of where the fit puts them.

    From the template itself they may differ by 9 px (5 on average): a similarity cannot bend
    a broad smile into the mean face.
    """
    picture = np.asarray(Image.fromarray(photo).rotate(angle, Image.Resampling.BICUBIC))
    found = find_faces(picture, "dlib")[0]
    points, target = five_points(picture, found), TEMPLATES[template].points
    fitted = apply(similarity(points, target), points)
    crop = crop_face(picture, found, template=template, size=224)
    again = (five_points(crop, find_faces(crop, "dlib")[0]) - 0.5) / 2
    assert np.linalg.norm(again - fitted, axis=1).max() < 2
    error = np.linalg.norm(again - target, axis=1)
    assert error.max() < 9
    assert error.mean() < 5.5


def test_five_points_are_fitted_to_the_template(photo, face):
    """The crop shows, at the fitted place of each landmark, what the picture shows there."""
    points = five_points(photo, face)
    matrix = similarity(points, TEMPLATES["arcface"].points)
    crop = crop_face(photo, face, template="arcface")
    for point, place in zip(points, apply(matrix, points), strict=True):
        (x, y), (u, v) = np.rint(point).astype(int), np.rint(place).astype(int)
        seen = photo[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
        np.testing.assert_allclose(crop[v - 3 : v + 4, u - 3 : u + 4].mean((0, 1)), seen, atol=25)


def test_vggface2_box_by_hand():
    """A box 100 wide and 80 high gives the square of 130 about its center, scaled to 256."""
    image = np.zeros((300, 300, 3), np.uint8)
    image[85:215, 85:215] = 255  # center (150, 150), side 130: pixels 85 to 214
    box = Face((99.5, 109.5, 199.5, 189.5), (), 1.0)
    crop = crop_face(image, box, template="vggface2")
    assert crop[4:-4, 4:-4].min() == 255
    larger = crop_face(image, Face((94.5, 109.5, 204.5, 189.5), (), 1.0), template="vggface2")
    assert larger[:8].max() == larger[:, -8:].max() == 0  # now 143 px: 11.6 px of black


def test_crops_of_a_larger_picture_agree(photo, face):
    large = np.asarray(Image.fromarray(photo).resize((1536, 1536), Image.Resampling.BICUBIC))
    big = find_faces(large, "dlib")[0]
    for template in ("arcface", "sphereface"):
        a = crop_face(photo, face, template=template).astype(float)
        b = crop_face(large, big, template=template).astype(float)
        assert np.abs(a - b).mean() < 12


# --- fixed landmarks: a quarter of a pixel is noticed ---------------------------------


def spots(points, shape=(300, 300), radius=2.5):
    """A picture with a soft spot of its own color channel at each of three points."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    layers = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * radius**2)) for u, v in points]
    return np.rint(255 * np.stack(layers, 2)).astype(np.uint8)


def centers_of(crop):
    """x, y of the center of gravity of each channel."""
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    weights = crop.astype(float)
    return np.array([[(w * x).sum(), (w * y).sum()] / w.sum() for w in weights.transpose(2, 0, 1)])


@pytest.mark.parametrize(
    ("template", "size", "padding", "targets"),
    [
        ("arcface", None, 0.25, TEMPLATES["arcface"].points),
        ("sphereface", None, 0.25, TEMPLATES["sphereface"].points),
        # twice as large: about the corner at (-0.5, -0.5)
        ("arcface", 224, 0.25, 2 * np.add(TEMPLATES["arcface"].points, 0.5) - 0.5),
        ("dlib", None, 0.25, _DLIB_CENTERS),
        ("dlib", 300, 0.25, 2 * np.add(_DLIB_CENTERS, 0.5) - 0.5),
        # no padding: the middle 100 of the 150 pixels, enlarged to 150
        ("dlib", None, 0.0, 1.5 * (np.add(_DLIB_CENTERS, 0.5) - 25) - 0.5),
    ],
)
def test_fixed_landmarks_lie_where_the_template_says(template, size, padding, targets):
    """Landmarks that are the template, turned by 20 degrees, of another size, shifted."""
    turn = np.array([[0.9396926, -0.3420201], [0.3420201, 0.9396926]])
    points = np.subtract(targets, np.mean(targets, 0)) @ (turn.T * 90 / np.ptp(targets))
    points += [150.3, 140.8]
    face = Face((0, 0, 1, 1), tuple(map(tuple, points)), 1.0, "centers")
    picture = spots([points[0], points[2], points[4]])
    crop = crop_face(picture, face, template=template, size=size, padding=padding)
    expected = np.array(targets)[[0, 2, 4]]
    np.testing.assert_allclose(centers_of(crop), expected, atol=0.08)
