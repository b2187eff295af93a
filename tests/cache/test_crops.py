"""Crops that are known by the content of the picture that shows them."""

import numpy as np

from skfakespotter.cache._crops import content_of, known_key, remember
from skfakespotter.faces import Cropping, LazyFace


def test_a_file_that_changes_while_it_is_looked_at_is_not_remembered(tmp_path):
    path = tmp_path / "face.jpg"
    path.write_bytes(b"one picture")
    face = LazyFace(str(path), Cropping())
    content = content_of(face)
    path.write_bytes(b"another")
    remember(face, content, "a form", b"key of which?")
    assert known_key(content, "a form") is known_key(content_of(face), "a form") is None


def test_other_options_forms_and_pixels_are_other_crops():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    face = LazyFace(picture, Cropping())
    remember(face, content_of(face), "form", b"key")
    assert known_key(content_of(LazyFace(picture.copy(), Cropping())), "form") == b"key"
    assert known_key(content_of(face), "other form") is None
    for other in (
        LazyFace(picture, Cropping(padding=0.5)),
        LazyFace(picture, Cropping(on_missing="center")),
        LazyFace(picture.reshape(2, 8, 3), Cropping()),  # the same bytes
        LazyFace(picture + 1, Cropping()),
        LazyFace(picture.tobytes(), Cropping()),
    ):
        assert known_key(content_of(other), "form") is None
