"""The package as a citizen of scikit-learn: searches, splits, persistence."""

import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.svm import SVC

from skfakespotter import (
    AugmentedClassifier,
    ExpertStack,
    FaceAligner,
    FakeSpotterClassifier,
    ImageError,
    JPEGCompression,
    NeuronCoverageTransformer,
    make_fakespotter,
    make_pictures,
)


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(60, size=32, strength=4, random_state=0)


@pytest.fixture(scope="module")
def paths(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    files = []
    for i, picture in enumerate(pictures[0]):
        files.append(str(folder / f"{i:02}.png"))
        Image.fromarray(picture).save(files[-1])
    return files


def toy_spotter(classifier=None, **params):
    if classifier is None:
        classifier = FakeSpotterClassifier(
            (16, 16, 16, 16), lr=1e-2, max_epochs=20, random_state=0, device="cpu"
        )
    return make_fakespotter(
        "toy_image", align=False, classifier=classifier, device="cpu", **params
    ).set_params(coverage__granularity="channel")


def test_steps_and_defaults():
    detector = make_fakespotter(random_state=3)
    assert list(detector.named_steps) == ["align", "coverage", "scale", "classifier"]
    assert isinstance(detector["align"], FaceAligner)
    assert detector["coverage"].get_params()["backbone"] == "dlib"
    assert detector["coverage"].granularity == "layer"
    assert isinstance(detector["classifier"], FakeSpotterClassifier)
    assert detector["classifier"].random_state == 3


def test_parts_can_be_chosen():
    aligner, svc = FaceAligner(on_missing="center"), SVC()
    detector = make_fakespotter(align=aligner, classifier=svc, granularity="channel", device="cpu")
    assert detector["align"] is aligner
    assert detector["classifier"] is svc
    assert detector["coverage"].device == "cpu"
    assert make_fakespotter(align=False)["align"] == "passthrough"


def test_recommended_steps():
    detector = make_fakespotter(preset="recommended", random_state=0)
    assert list(detector.named_steps) == ["align", "classifier"]
    inner = detector["classifier"].estimator
    assert isinstance(detector["classifier"], AugmentedClassifier)
    assert list(inner.named_steps) == ["coverage", "scale", "classifier"]
    assert inner["coverage"].granularity == "channel"
    assert isinstance(inner["classifier"], ExpertStack)
    layer = make_fakespotter(preset="recommended", granularity="layer", classifier=SVC())
    assert layer["classifier"].estimator["coverage"].granularity == "layer"
    assert isinstance(layer["classifier"].estimator["classifier"], SVC)
    with pytest.raises(ValueError, match=r"The 'preset' parameter .* Got 'best'"):
        make_fakespotter(preset="best")


def test_recommended_learns_and_is_calibrated_by_groups(pictures):
    X, y = pictures
    detector = make_fakespotter("toy_image", preset="recommended", align=False, random_state=0)
    detector.set_params(
        classifier__attacks={"jpeg": [JPEGCompression(95)]},
        classifier__estimator__classifier__linear__C=1.0,  # three layers of six channels
    )
    detector.fit(X[:40], y[:40], classifier__groups=np.arange(40) // 2)
    probabilities = detector.predict_proba(X[40:])
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert detector.score(X[40:], y[40:]) > 0.7


def test_copies_are_made_before_the_face_is_found():
    """Twelve photographs of one face: a copy is a perturbed picture, not a perturbed crop."""
    from skimage.data import astronaut

    X = [np.roll(astronaut(), 8 * i, axis=1) for i in range(12)]
    y = np.arange(12) % 2
    seen = []

    class Watching(LogisticRegression):
        def fit(self, Z, y):
            seen.append(len(Z))
            return super().fit(Z, y)

    detector = make_fakespotter(
        preset="recommended", granularity="layer", classifier=Watching(), device="cpu"
    )
    assert detector.fit(X, y).predict_proba(X[:2]).shape == (2, 2)
    assert seen == [24]  # pictures and copies, found faces all of them


@pytest.mark.parametrize(
    "container",
    [list, tuple, np.asarray, pd.Series, lambda p: np.array(p, dtype=object)],
    ids=["list", "tuple", "array of str", "Series", "object array"],
)
def test_paths_in_any_container(container, paths, pictures):
    y = pictures[1]
    expected = toy_spotter(LogisticRegression()).fit(pictures[0], y).predict_proba(pictures[0])
    detector = toy_spotter(LogisticRegression()).fit(container(paths), y)
    np.testing.assert_allclose(detector.predict_proba(container(paths)), expected, rtol=1e-5)
    assert cross_val_score(detector, container(paths), y, cv=2).shape == (2,)


def test_ragged_arrays_and_pil_images_split(pictures):
    X, y = pictures
    ragged = [np.pad(x, ((0, i % 3), (0, 0), (0, 0)), "edge") for i, x in enumerate(X)]
    pil = [Image.fromarray(x) for x in X]
    for mixed in (ragged, pil):
        train, test, y_train, y_test = train_test_split(mixed, y, stratify=y, random_state=0)
        scores = toy_spotter(LogisticRegression()).fit(train, y_train).predict_proba(test)
        assert scores.shape == (len(y_test), 2)


def test_string_labels(pictures):
    X, y = pictures
    names = np.array(["real", "fake"])[y]
    detector = toy_spotter().fit(X, names)
    assert detector.classes_.tolist() == ["fake", "real"]
    assert set(detector.predict(X)) <= {"real", "fake"}


def test_the_pipeline_learns(pictures):
    X, y = pictures
    train, test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    assert toy_spotter().fit(train, y_train).score(test, y_test) > 0.7


def test_grid_search_over_classifiers_and_granularity(pictures):
    X, y = pictures
    grid = {
        "coverage__granularity": ["layer", "channel"],
        "classifier": [
            FakeSpotterClassifier((8, 8, 8, 8), max_epochs=2, random_state=0, device="cpu"),
            SVC(),
            LogisticRegression(),
            RandomForestClassifier(10, random_state=0),
        ],
    }
    search = GridSearchCV(toy_spotter(), grid, cv=2, scoring="roc_auc", error_score="raise")
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == y.shape


def test_processes_give_the_same_scores(paths, pictures):
    y = pictures[1]
    one, two = (cross_val_score(toy_spotter(), paths, y, cv=3, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_groups_reach_the_splitter(pictures):
    X, y = pictures
    groups = np.repeat(np.arange(15), 4)
    detector = toy_spotter(LogisticRegression())
    scores = cross_val_score(detector, X, y, groups=groups, cv=GroupKFold(3))
    assert scores.shape == (3,)


def test_calibrated_classifier(pictures):
    X, y = pictures
    calibrated = CalibratedClassifierCV(toy_spotter(SVC()), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)


def test_set_output_gives_named_columns(pictures):
    detector = toy_spotter(LogisticRegression()).set_output(transform="pandas")
    frame = detector[:-1].fit_transform(pictures[0])
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns[0] == "0[0]"
    assert frame.columns.tolist() == detector[:-1].get_feature_names_out().tolist()


@pytest.mark.parametrize("as_frame", [False, True])
def test_the_index_of_a_series_goes_with_the_pictures(pictures, as_frame, monkeypatch):
    """Through the aligner, whose faces must not be looked for on the way."""
    X, y = pictures[0][:20], pictures[1][:20]  # in each a face is looked for, six times
    index = [f"picture {i}" for i in range(len(X))]
    table = pd.Series(list(X), index=index)
    table = table.to_frame("path") if as_frame else table
    aligner = FaceAligner(lazy=True, on_missing="center")
    spotter = make_fakespotter("toy_image", align=aligner, classifier=LogisticRegression())
    spotter.set_output(transform="pandas").fit(table, y)
    monkeypatch.setattr("skfakespotter.faces.LazyFace.__array__", None)
    faces = aligner.transform(table)
    monkeypatch.undo()
    assert faces.index.tolist() == index
    frame = spotter[:-1].transform(table)
    assert frame.index.tolist() == index
    expected = make_fakespotter("toy_image", align=aligner, classifier=LogisticRegression())
    expected.fit(X, y)
    np.testing.assert_array_equal(frame.to_numpy(), expected[:-1].transform(X))
    np.testing.assert_array_equal(spotter.predict_proba(table), expected.predict_proba(X))


def test_html_representation():
    html = make_fakespotter()._repr_html_()
    for name in ("FaceAligner", "NeuronCoverageTransformer", "FakeSpotterClassifier"):
        assert name in html


def test_clone_keeps_parameters_and_drops_the_fit(pictures):
    detector = toy_spotter().fit(*pictures)
    copied = clone(detector)
    assert copied["coverage"].get_params() == detector["coverage"].get_params()
    assert not hasattr(copied["coverage"], "thresholds_")


def test_one_class_is_refused(pictures):
    with pytest.raises(ValueError, match="only one class, 0"):
        toy_spotter().fit(pictures[0], np.zeros(60, int))


def test_a_broken_picture_is_named_and_nothing_is_scored(paths, pictures, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a picture")
    detector = toy_spotter(LogisticRegression()).fit(paths, pictures[1])
    with pytest.raises(ImageError, match=r"X\[1\].*broken\.jpg.*cannot be read as a picture"):
        detector.predict_proba([paths[0], str(broken), paths[1]])


LOAD_AND_SCORE = """
import sys, joblib, numpy as np
detector = joblib.load(sys.argv[1])
np.save(sys.argv[2], detector.predict_proba(np.load(sys.argv[3])))
"""


def test_saved_in_one_process_loaded_in_a_fresh_one(tmp_path):
    """The paper's pipeline on the real network: same probabilities, no network weights."""
    X, y = make_pictures(16, random_state=0)
    detector = make_fakespotter(align=False, device="cpu", random_state=0).fit(X, y)
    model, scores, data = (tmp_path / name for name in ("m.joblib", "p.npy", "x.npy"))
    joblib.dump(detector, model)
    np.save(data, X)
    assert model.stat().st_size < 1_000_000
    command = [sys.executable, "-c", LOAD_AND_SCORE, str(model), str(scores), str(data)]
    subprocess.run(command, check=True)
    np.testing.assert_array_equal(np.load(scores), detector.predict_proba(X))


def test_other_weights_after_loading_are_refused(tmp_path, pictures):
    from skfakespotter import register_backbone
    from skfakespotter.backbones import Backbone
    from skfakespotter.backbones.toy import toy_image_backbone

    def other(weights=None):
        backbone = toy_image_backbone()
        return Backbone("swapped", backbone.module, input_size=(32, 32), mean=100.0)

    register_backbone("swapped", lambda weights=None: toy_image_backbone(), overwrite=True)
    coverage = NeuronCoverageTransformer("swapped", device="cpu").fit(pictures[0])
    joblib.dump(coverage, tmp_path / "coverage.joblib")
    register_backbone("swapped", other, overwrite=True)
    loaded = joblib.load(tmp_path / "coverage.joblib")
    with pytest.raises(ValueError, match=r"'swapped' has the fingerprint .* was fitted on"):
        loaded.transform(pictures[0])
