"""Protocols over clips, on a small tree of FaceForensics++ whose fakes differ by their light."""

import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfakespotter import VideoScorer, load_clips, make_clipspotter
from skfakespotter.video import (
    across_data_sets,
    clip_report,
    iter_frames,
    leave_one_method_out,
    within_methods,
)

av = pytest.importorskip("av")
pytest.importorskip("dlib")
data = pytest.importorskip("skimage.data")

PAIRS = 7  # of recordings: folds of folds need five of them
METHODS = {"Darker": 0.6, "Dim": 0.75}
SIDE = 96  # of a frame: most of the time goes to finding the face


def write(path, light, shift):
    photograph = data.astronaut()[shift : 200 + shift, 100 - shift : 300 - shift] * light
    image = np.asarray(Image.fromarray(photograph.astype(np.uint8)).resize((SIDE, SIDE)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for i in range(PAIRS):
        a, b = f"{2 * i:03d}", f"{2 * i + 1:03d}"
        for name in (a, b):
            write(root / f"original_sequences/youtube/c23/videos/{name}.mp4", 1.0, int(name))
        for method, light in METHODS.items():
            folder = root / f"manipulated_sequences/{method}/c23/videos"
            write(folder / f"{a}_{b}.mp4", light, int(a))
    return load_clips(root)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder in which the tests keep the faces of the clips for each other."""
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder in which detectors of clips keep faces and counts for each other."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def scorer(faces):
    light = FunctionTransformer(lambda X: np.array([[face.mean()] for face in X]))
    model = make_pipeline(light, LogisticRegression(C=1e3))
    return VideoScorer(model, every=2, cache=faces)


class Spy(ClassifierMixin, BaseEstimator):
    """Remembers what each fit was given."""

    seen = ()
    units = None

    def fit(self, X, y, sample_weight=None, groups=None, units=None):
        self.classes_ = np.unique(y)
        type(self).units = units
        type(self).seen = (
            *type(self).seen,
            (np.array(y), np.array(sample_weight), np.array(groups)),
        )
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


class TestProtocols:
    def test_within_methods(self, clips, scorer):
        result = within_methods(scorer, clips, cv=2, n_bootstraps=0)
        assert set(result.tests) == set(METHODS)
        for name in METHODS:
            report = result.report(name)
            assert report.clip["AUC"].value == 1.0
            assert (report.clip.n_samples, report.clip.n_positive) == (3 * PAIRS, PAIRS)
            assert report.frame.n_samples == 6 * PAIRS  # two frames a clip
            assert report.clip.n_groups == PAIRS
        columns = result._columns()
        assert columns["clip AUC"] == [1.0, 1.0]
        assert columns["clips"] == [3 * PAIRS] * 2
        assert "Darker: 1.000" in repr(result)
        one = within_methods(scorer, clips, methods=["all"], cv=2, n_bootstraps=0)
        assert one.report("all").clip.n_samples == 4 * PAIRS

    def test_leave_one_method_out_trains_on_the_others(self, clips, faces):
        Spy.seen = ()
        spied = VideoScorer(Spy(), every=4, cache=faces)
        leave_one_method_out(spied, clips, cv=2, n_bootstraps=0)
        assert len(Spy.seen) == 4  # two methods, two folds
        for y, _, _ in Spy.seen:
            n_real, n_fake = np.bincount(y)
            assert n_real == 2 * n_fake  # two recordings a pair, one clip of the other method
        with pytest.raises(ValueError, match=r"holds the methods \['Dim'\]: expected two or more"):
            leave_one_method_out(spied, load_clips_of(clips, "Dim"))

    def test_identities_stay_apart_and_methods_weigh_the_same(self, clips, faces):
        Spy.seen = ()
        spied = VideoScorer(Spy(), every=4, cache=faces)
        within_methods(spied, clips, methods=["all"], cv=2, n_bootstraps=0)
        (y, weights, groups), (_, _, other) = Spy.seen
        assert not set(groups) & set(other)
        assert weights[y == 0].sum() == pytest.approx(weights[y == 1].sum())
        assert Spy.units.tolist() == list(range(len(Spy.seen[-1][0])))  # one face of each clip

    def test_across_data_sets(self, clips, scorer):
        dim = load_clips_of(clips, "Dim")
        result = across_data_sets(
            scorer, dim, {"the other": load_clips_of(clips, "Darker")}, n_bootstraps=0
        )
        assert result.report("the other").clip["AUC"].value == 1.0

    def test_copies_are_tested_in_place_of_the_clips(self, clips, scorer):
        copies = [clips.data[0]] * len(clips.data)
        options = {"methods": ["Dim"], "cv": 2, "n_bootstraps": 0}
        result = within_methods(scorer, clips, tested_as=copies, **options)
        scores, _, _ = result.tests["Dim"]
        assert {clip.path for clip in scores} == {clips.data[0]}
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            within_methods(scorer, clips, tested_as=copies[1:], **options)

    def test_the_report_is_that_of_the_scores(self, clips, scorer):
        result = within_methods(scorer, clips, methods=["Dim"], cv=2, n_bootstraps=0)
        scores, y, groups = result.tests["Dim"]
        again = clip_report(scores, y, groups=groups, n_bootstraps=0)
        assert result.report("Dim").clip["AUC"].value == again.clip["AUC"].value


def load_clips_of(clips, method):
    rows = np.flatnonzero((clips.target == 0) | (clips.method == method))
    part = type(clips)(**clips)
    for name in ("target", "groups", "method"):
        part[name] = clips[name][rows]
    part["data"] = [clips.data[row] for row in rows]
    return part


class TestMakeClipspotter:
    def test_from_clips_to_verdicts(self, clips, kept):
        scorer = make_clipspotter(
            "toy_image", window=2, min_faces=2, max_frames=4, cache=kept, device="cpu"
        )
        scorer.fit(clips.data, clips.target, groups=clips.groups)
        assert set(scorer.estimator_[-1].weights_) == {"mean", "flicker"}
        names = [name for name, _ in scorer.estimator_[-1].experts_]
        assert names == ["mean", "flicker"]
        scores = [clip.score for clip in scorer.score_clips(clips.data)]
        assert all(0 <= score <= 1 for score in scores)
        assert np.mean(np.array(scores)[clips.target == 1]) > np.mean(
            np.array(scores)[clips.target == 0]
        )
        assert any((kept / "faces").iterdir())
        assert any((kept / "coverage").iterdir())

    def test_one_expert_per_layer(self):
        options = {"granularity": "layer", "statistics": ["spread"], "every": 3, "smoothing": 5}
        scorer = make_clipspotter("toy_image", **options)
        ((name, _),) = scorer.estimator[-1].experts
        over_time = scorer.estimator[1]
        assert (name, over_time.statistics) == ("spread", ("spread",))
        assert (scorer.every, scorer.smoothing) == (3, 5)
        assert over_time.coverage.granularity == "layer"

    def test_each_expert_sees_its_own_statistic(self):
        scorer = make_clipspotter("toy_image", statistics=["mean", "jitter", "flicker"])
        X = np.arange(12.0).reshape(2, 6)
        parts = [expert[0].transform(X)[0].tolist() for _, expert in scorer.estimator[-1].experts]
        assert parts == [[0, 1], [2, 3], [4, 5]]


def test_the_benchmark_goes_on_where_it_was(clips, kept, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    main = runpy.run_path(str(folder / "clips.py"))["main"]
    root = Path(clips.data[0]).parents[4]
    options = ["--data", root, "--cache", kept, "--out", tmp_path / "out"]
    options += [
        "--backbone",
        "toy_image",
        "--frames",
        "4",
        "--only",
        "mean and flicker, per channel",
    ]
    options += ["--compress", 40, "--draws", 2]
    options = [str(option) for option in options]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of intervals from few groups
        main(options)
        assert "mean and flicker, per channel, within: ClipEvaluation(" in capsys.readouterr().out
        done = {path: path.stat().st_mtime_ns for path in kept.rglob("*.joblib")}
        assert done
        main(options)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    report = (tmp_path / "out" / "README.md").read_text()
    for method in METHODS:
        assert f"| mean and flicker, per channel | within | {method} | " in report
    assert "| method | as it is | crf 40 |" in report
    assert f"{2 * PAIRS} real and {2 * PAIRS} fake clips" in report
    # within two methods, with other folds too, and with each left out
    assert len((tmp_path / "out" / "clips.csv").read_text().splitlines()) == 1 + 2 + 2 + 2


def test_a_clip_is_repeated_without_encoding_it_again(clips, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from clip_timing import repeat_clip

    repeat_clip(clips.data[0], tmp_path / "long.mp4", 2.0)
    frames = list(iter_frames(tmp_path / "long.mp4"))
    assert len(frames) == pytest.approx(20, abs=4)  # ten a second; a turn has four
    assert frames[-1].time == pytest.approx(2.0, abs=0.4)
