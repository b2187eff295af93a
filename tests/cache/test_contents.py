"""Contents: what a picture shows is known by what its file holds."""

import os

import numpy as np
import pytest
from PIL import Image

from skfakespotter import CoverageCache, NeuronCoverageTransformer, make_pictures
from skfakespotter.cache import _lookup
from skfakespotter.cache._contents import content_of, stamp_of
from skfakespotter.faces import Cropping, LazyFace
from skfakespotter.images import ImageError


def test_the_stamp_of_a_file_changes_with_it(tmp_path):
    path = tmp_path / "face.jpg"
    path.write_bytes(b"one picture")
    before = stamp_of(path)
    assert before == stamp_of(LazyFace(str(path), Cropping())) is not None
    path.write_bytes(b"two picture")
    os.utime(path, ns=(before[2], before[2]))  # who sets the time back changes another one
    assert stamp_of(path) != before
    assert stamp_of(tmp_path) is stamp_of(tmp_path / "none") is stamp_of(b"bytes") is None


def test_a_file_that_changes_while_it_is_decoded_is_not_remembered(tmp_path, monkeypatch):
    X, _ = make_pictures(4, random_state=0)
    paths = [str(tmp_path / f"{i}.png") for i in range(4)]
    for path, picture in zip(paths, X, strict=True):
        Image.fromarray(picture).save(path)
    key_of = _lookup.key_of

    def meanwhile(picture):  # the last file is replaced after its pixels were read
        Image.fromarray(X[0]).save(paths[3])
        return key_of(picture)

    monkeypatch.setattr(_lookup, "key_of", meanwhile)
    cache = CoverageCache()
    NeuronCoverageTransformer("toy_image", cache=cache).fit(paths)
    known = [content_of(path, ((3, 32, 32), 1.0))[0] in cache._contents for path in paths]
    assert known == [True, True, True, True]  # the last one by the content of the first
    assert cache.key_of_content(content_of(paths[3], ((3, 32, 32), 1.0))[0]) == key_of(
        cache_pixels(X[0])
    )


def cache_pixels(picture):
    from skfakespotter.images import fit_to

    return fit_to(picture, (32, 32))


@pytest.mark.parametrize(
    "other",
    [
        lambda picture: LazyFace(picture, Cropping(padding=0.5)),
        lambda picture: LazyFace(picture, Cropping(on_missing="center")),
        lambda picture: LazyFace(picture.reshape(2, 8, 3), Cropping()),  # the same bytes
        lambda picture: LazyFace(picture + 1, Cropping()),
        lambda picture: LazyFace(picture.tobytes(), Cropping()),
        lambda picture: picture.tobytes(),
    ],
)
def test_other_options_forms_and_pixels_are_other_contents(other):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    form = ((3, 32, 32), 1.0)
    content = content_of(LazyFace(picture, Cropping()), form)
    assert content == content_of(LazyFace(picture.copy(), Cropping()), form)
    assert content != content_of(LazyFace(picture, Cropping()), ((3, 16, 16), 1.0))
    assert content != content_of(other(picture), form)
    assert content_of(picture, form) is None  # its pixels are at hand


def test_a_sparse_giant_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "giant.jpg"
    with open(path, "wb") as file:
        file.truncate(40 * 2**30)
    assert stamp_of(path) is content_of(str(path), ((3, 32, 32), 1.0)) is None
    coverage = NeuronCoverageTransformer("toy_image", cache=CoverageCache())
    with pytest.raises(ImageError, match=r"is a file of 40.0 GiB; expected at most 1 GiB"):
        coverage.fit([str(path)])
