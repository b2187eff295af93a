"""Faces are looked for once, and what a model was fitted on is noted where they are cropped."""

import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from skfakespotter import (
    FaceAligner,
    FakeSpotterPipeline,
    JPEGCompression,
    make_fakespotter,
    train_detector,
)
from skfakespotter.faces import FaceNote, _aligner, _detectors, _notes, find_noted

astronaut = pytest.importorskip("skimage.data").astronaut
N = 20
Y = np.arange(N) % 2


@pytest.fixture(autouse=True)
def _nothing_remembered():
    _notes._FILES.clear()


@pytest.fixture(scope="module")
def arrays():
    """Pictures of one face in different sizes, so that each is known by its shape."""
    photo = Image.fromarray(astronaut()).crop((100, 0, 356, 256))
    return [np.asarray(photo.resize((200 + 4 * i, 200 + 4 * i))) for i in range(N)]


@pytest.fixture(scope="module")
def paths(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    files = [folder / f"{i}.png" for i in range(N)]
    for file, picture in zip(files, arrays, strict=True):
        Image.fromarray(picture).save(file)
    return files


@pytest.fixture
def searches(monkeypatch):
    """List the side of every picture that CenterFace searches in this process, and how."""
    seen, find = [], _detectors.find_centerface

    def watched(images, **options):
        seen.extend((image.shape[0], options["every"]) for image in images)
        return find(images, **options)

    monkeypatch.setattr(_detectors, "find_centerface", watched)
    return seen


@pytest.fixture(scope="module")
def limits(arrays):
    """What a fit is to remember, from a search of its own."""
    found = [record.faces[0] for record in FaceAligner().locate(arrays)]
    width = min(max(face.width, face.height) for face in found)
    return {"width": width, "sharpness": min(face.sharpness for face in found)}


def once(searches):
    """Tell whether every picture was searched once, and no deeper than a crop needs."""
    return sorted(searches) == [(200 + 4 * i, False) for i in range(N)]


def spotter(**options):
    options = {"classifier": LogisticRegression(), "device": "cpu", **options}
    return make_fakespotter("toy_image", **options)


@pytest.mark.parametrize("kind", ["paths", "arrays"])
def test_a_fit_looks_for_each_face_once(kind, request, searches, limits):
    """Also for those few that pass the network twice, as the default preset has it."""
    X = request.getfixturevalue(kind)
    detector = make_fakespotter(random_state=0).set_params(classifier__max_epochs=2)
    detector.fit(X, Y)
    assert once(searches)
    assert detector.face_limits_ == limits
    searches.clear()
    assert detector.predict_proba(X).shape == (N, 2)
    assert once(searches)


@pytest.mark.parametrize(
    "options",
    [
        {"align": FaceAligner()},
        {"align": FaceAligner(lazy=True, on_missing="nan")},
        {"align": FaceAligner(lazy=True), "coverage__single_pass": False},
    ],
    ids=["eager", "lazy", "two passes"],
)
def test_whatever_the_aligner_does(paths, searches, limits, options):
    params = {name: options[name] for name in options if "__" in name}
    detector = spotter(align=options["align"]).set_params(**params).fit(paths, Y)
    assert once(searches)
    assert detector.face_limits_ == limits


def test_originals_are_remembered_and_copies_looked_for_once(paths, searches, limits):
    detector = make_fakespotter("toy_image", preset="recommended", random_state=0, device="cpu")
    attacks = {"jpeg": [JPEGCompression(90)]}
    detector.set_params(classifier__attacks=attacks, classifier__estimator__classifier__cv=2)
    detector.fit(paths, Y)
    assert once(sorted(searches)[::2])
    assert once(sorted(searches)[1::2])
    assert detector.face_limits_ == limits


def test_notes_come_back_from_processes_that_prefetch(paths, searches, limits):
    detector = spotter().set_params(coverage__prefetch=2).fit(paths, Y)
    assert searches == []  # here
    assert detector.face_limits_ == limits


def test_notes_come_back_from_processes_that_align(paths, searches, limits):
    detector = spotter(align=FaceAligner(n_jobs=2)).fit(paths, Y)
    assert searches == []
    assert detector.face_limits_ == limits


def test_what_other_processes_cropped_is_found_together(paths, searches, limits, monkeypatch):
    """In as few calls as a chunk allows, on the aligner's device."""
    calls, find = [], _aligner.find_noted

    def watched(images, *args, device):
        calls.append((len(images), str(device)))
        return find(images, *args, device=device)

    monkeypatch.setattr(_aligner, "find_noted", watched)
    aligner = FaceAligner(lazy=True, device="cpu")
    detector = spotter(align=aligner).set_params(coverage__n_jobs=2, coverage__batch_size=4)
    detector.fit(paths, Y)
    assert calls == [(16, "cpu"), (4, "cpu")]
    assert once(searches)
    assert detector.face_limits_ == limits


def test_dlib_measures_too(paths):
    pytest.importorskip("dlib")
    aligner = FaceAligner("dlib", lazy=True)
    found = [record.faces[0] for record in aligner.locate(paths)]
    for prefetch in (None, 2):
        detector = spotter(align=aligner).set_params(coverage__prefetch=prefetch).fit(paths, Y)
        assert detector.face_limits_["width"] == min(max(f.width, f.height) for f in found)
        assert detector.face_limits_["sharpness"] == min(f.sharpness for f in found)


def test_searches_folds_and_files_go_on(paths, limits, tmp_path):
    search = GridSearchCV(spotter(), {"classifier__C": [0.1, 1]}, cv=2).fit(paths, Y)
    fitted = search.best_estimator_
    assert fitted.face_limits_ == limits
    assert np.isfinite(cross_val_score(spotter(), paths, Y, cv=2, n_jobs=2)).all()
    joblib.dump(fitted, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    assert loaded.face_limits_ == limits
    assert not hasattr(clone(fitted), "face_limits_")


def test_a_pipeline_with_memory(paths, searches, limits, tmp_path):
    """The second time all steps are found there, and the faces of the sample remembered."""
    detector = spotter().set_params(memory=str(tmp_path))
    for _ in range(2):
        assert clone(detector).fit(paths, Y).face_limits_ == limits
        assert once(searches)
    _notes._FILES.clear()  # as in another process
    searches.clear()
    assert clone(detector).fit(paths, Y).face_limits_ == limits
    assert once(searches)


def test_a_search_over_cached_files_looks_for_few_faces_twice(paths, searches):
    """Those that the first fold scores, which notes nothing, and a later one is fitted on."""
    grid = {"classifier__C": [0.1, 1, 10]}
    GridSearchCV(spotter(cache="memory"), grid, cv=2).fit(paths, Y)
    assert once(set(searches))
    assert len(searches) == N + N // 2


def test_few_files_are_remembered_and_none_that_changed(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(_notes, "MOST_FILES", 2)
    note = FaceNote()
    find_noted([np.zeros((99, 99, 3), np.uint8)], [note], "centerface")
    for path in paths[:3]:
        _notes.remember_file(_notes.file_key(path, "centerface"), note)
    known = [_notes.recall_file(_notes.file_key(path, "centerface")) is note for path in paths[:3]]
    assert known == [False, True, True]
    assert _notes.recall_file(_notes.file_key(paths[2], "dlib")) is None
    path = tmp_path / "face.png"
    path.write_bytes(paths[0].read_bytes())
    _notes.remember_file(_notes.file_key(path, "centerface"), note)
    path.write_bytes(paths[1].read_bytes())
    assert _notes.recall_file(_notes.file_key(path, "centerface")) is None


def test_a_fitted_aligner_keeps_no_notes_in_files(paths):
    plain = Pipeline(spotter().steps).fit(paths, Y)
    again = pickle.loads(pickle.dumps(plain))
    assert vars(again["align"]).keys() == vars(clone(plain["align"])).keys()
    fitted = FakeSpotterPipeline(plain.steps).fit(paths, Y)
    assert vars(fitted["align"]).keys() == vars(again["align"]).keys()


def test_no_picture_is_kept(arrays):
    X = [picture.copy() for picture in arrays[:4]]
    kept = [weakref.ref(picture) for picture in X]
    fitted = spotter().fit(X, Y[:4])
    del X
    gc.collect()
    assert fitted.face_limits_
    assert not any(picture() is not None for picture in kept)


@pytest.mark.parametrize("kind", ["paths", "arrays"])
def test_a_sample_of_other_pictures_is_looked_at(kind, request):
    X = request.getfixturevalue(kind)
    aligner, fresh = FaceAligner(device="cpu"), FaceAligner(device="cpu")
    for others in (X[2:4], X[2:5]):
        aligner.fit_transform(X[:2])
        _notes._FILES.clear()
        assert aligner.sample_faces(others) == fresh.sample_faces(others)


def test_a_file_replaced_during_the_fit_is_looked_at_again(paths, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(paths[0].read_bytes())
    aligner = FaceAligner(device="cpu")
    aligner.fit_transform([path])
    path.write_bytes(paths[9].read_bytes())
    expected = FaceAligner(device="cpu").sample_faces([paths[9]])
    for _ in range(2):  # nor is the old face remembered for the new file
        assert aligner.sample_faces([path]) == expected


def test_an_unreadable_file_is_no_face_of_the_sample(paths, tmp_path):
    aligner = FaceAligner(lazy=True)
    faces = aligner.sample_faces([paths[0], tmp_path / "gone.png", paths[1]])
    assert len(faces) == 2
    assert all(face.sharpness for face in faces)


def test_a_face_that_was_found_stays_found(arrays, searches):
    first, second = FaceAligner(lazy=True).fit_transform(arrays[:2])
    assert first.note.face is None
    crop = np.asarray(first)
    searches.clear()
    np.testing.assert_array_equal(np.asarray(first), crop)
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(crop, one) for one in pool.map(np.asarray, [first] * 4))
    assert searches == []
    assert first.note.face.sharpness > 0
    assert not second.note.is_known
    again = pickle.loads(pickle.dumps(first))
    assert again.note.face == first.note.face


def test_another_picture_is_looked_at_again(paths, searches, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(paths[0].read_bytes())
    (face,) = FaceAligner(lazy=True).fit_transform([path])
    crops = [np.asarray(face)]
    turned = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # of the same size
    turned.save(path)
    crops.append(np.asarray(face))
    assert len(searches) == 2
    expected = FaceAligner().transform([path])[0]
    np.testing.assert_array_equal(crops[1], expected)
    assert np.abs(crops[0].astype(int) - crops[1]).mean() > 5


def test_no_face_is_noted_too(searches):
    blank = np.zeros((200, 200, 3), np.uint8)
    note = FaceNote(measured=True)
    assert find_noted([blank], [note], "centerface") == [[]]
    assert note.is_known
    assert find_noted([blank, blank], [note, None], "centerface") == [[], []]
    assert len(searches) == 2
    other = FaceNote()
    other.take(FaceNote())
    assert not other.is_known
    other.take(note)
    assert other.recall(blank) == []


def test_tensors_on_their_device_are_measured(arrays, searches):
    torch = pytest.importorskip("torch")
    from sklearn import config_context

    X = torch.from_numpy(np.stack([arrays[0], arrays[0][:, ::-1]])).permute(0, 3, 1, 2)
    aligner = FaceAligner(device="cpu")
    with config_context(array_api_dispatch=True):
        crops = aligner.fit_transform(X)
        assert len(searches) == 2
        faces = aligner.sample_faces(X)
    assert crops.shape == (2, 3, 150, 150)
    assert len(searches) == 2
    assert all(face.sharpness for face in faces)


def test_a_detector_looks_for_the_faces_of_its_sample_once(arrays, searches):
    rng = np.random.default_rng(0)
    X = [np.clip(arrays[0] + rng.normal(0, 2 + 9 * (i % 2), arrays[0].shape), 0, 255)
         .astype(np.uint8) for i in range(44)]  # fmt: skip
    attacks = {"jpeg": [JPEGCompression(95)]}
    train_detector(
        X, np.arange(44) % 2, name="x", attacks=attacks, backbone="toy_image", device="cpu"
    )
    assert searches == [(200, False)] * 88  # pictures and copies
