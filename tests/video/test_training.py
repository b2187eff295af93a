"""Training and scoring beyond single frames: windows, steadied crops, compression, the cache."""

import os
import stat
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfakespotter import FaceAligner, VideoScorer
from skfakespotter.faces import find_faces, landmarks
from skfakespotter.faces._dlib import box_for_dlib
from skfakespotter.video import (
    ClipScoreDisplay,
    CoverageOverTime,
    Frame,
    balanced_weights,
    compress_frames,
    follow_faces,
    iter_frames,
    make_clipspotter,
)
from skfakespotter.video._reading import Reading, faces_folder, in_a_row, read_clips
from skfakespotter.video._smoothing import guide_points, smooth_points, steady_crop

av = pytest.importorskip("av")
pytest.importorskip("dlib")
data = pytest.importorskip("skimage.data")

SIDE = 112


def person(shift=0, light=1.0):
    from PIL import Image

    photograph = data.astronaut()[shift : 200 + shift, 100 - shift : 300 - shift] * light
    return np.asarray(Image.fromarray(photograph.astype(np.uint8)).resize((SIDE, SIDE)))


def write_clip(path, images):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "12"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A steady person, and one whose light flickers; both have the same mean."""
    folder = tmp_path_factory.mktemp("clips")
    steady = [person()] * 9
    restless = [person(light=1.0 + 0.12 * (-1) ** i) for i in range(9)]
    darker = [person(light=0.8)] * 9
    wobbly = [person(light=0.8 + 0.12 * (-1) ** i) for i in range(9)]
    pictures = {"steady": steady, "restless": restless, "darker": darker, "wobbly": wobbly}
    pictures["short"] = [person()] * 2
    return {name: write_clip(folder / f"{name}.mp4", p) for name, p in pictures.items()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder in which the tests keep the faces of the clips for each other."""
    return tmp_path_factory.mktemp("faces")


def light(X):
    return np.array([[face.mean()] for face in X], np.float32)


LIGHT = FunctionTransformer(light, feature_names_out=lambda self, names: ["light"])


def flicker_detector():
    return make_pipeline(CoverageOverTime(LIGHT, statistics="flicker"), LogisticRegression(C=1e3))


class TestWindows:
    def test_a_detector_of_tracks_sees_what_no_picture_shows(self, clips, faces):
        X, y = [clips[n] for n in ("steady", "darker", "restless", "wobbly")], [0, 0, 1, 1]
        scorer = VideoScorer(flicker_detector(), every=1, window=4, cache=faces).fit(X, y)
        assert scorer.predict(X).tolist() == y
        (clip,) = scorer.score_clips([X[2]])
        (track,) = clip.tracks
        assert clip.score == pytest.approx(track.scores.mean())
        assert clip.decisive == track.id == 0

    def test_windows_too_short_get_no_score(self, clips, faces):
        X, y = [clips["steady"], clips["restless"]], [0, 1]
        scorer = VideoScorer(flicker_detector(), every=1, window=4, cache=faces).fit(X, y)
        (clip,) = scorer.score_clips([clips["short"]])
        assert (clip.status, clip.score) == ("no face", None)
        assert clip.reason == "no face was followed over 3 frames in a row"
        assert scorer.set_params(min_faces=2).score_clips([clips["short"]])[0].score < 0.5

    def test_bursts_are_windows_of_their_own(self, clips):
        lengths = []

        class Lengths(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                self.classes_ = np.unique(y)
                lengths.append([len(track) for track in X])
                return self

            def predict_proba(self, X):
                return np.full((len(X), 2), 0.5)

        X, y = [clips["steady"], clips["restless"]], [0, 1]
        VideoScorer(Lengths(), every=5, burst=3, window=9).fit(X, y)
        VideoScorer(Lengths(), every=1, window=4, max_frames=8).fit(X, y)
        assert lengths == [[3, 3, 3, 3], [4, 4, 4, 4]]  # frames 0-2 and 5-7; 0-3 and 4-7

    @pytest.mark.parametrize(
        ("frames", "every", "burst", "expected"),
        [
            ([0, 1, 2, 3], 1, 1, [(0, 4)]),
            ([0, 1, 3, 4], 1, 1, [(0, 4)]),  # one face missed
            ([0, 1, 4, 5], 1, 1, [(0, 2), (2, 4)]),
            ([0, 10, 20, 50], 10, 1, [(0, 3), (3, 4)]),
            ([0, 1, 2, 100, 101], 100, 3, [(0, 3), (3, 5)]),
            ([0, 13, 25, 38], 0.5, 1, [(0, 4)]),
            ([7], 0.5, 1, [(0, 1)]),
        ],
    )
    def test_in_a_row(self, frames, every, burst, expected):
        assert [(part.start, part.stop) for part in in_a_row(frames, every, burst)] == expected

    def test_display_of_windows(self, clips, faces):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        X, y = [clips["steady"], clips["restless"]], [0, 1]
        scorer = VideoScorer(flicker_detector(), every=1, window=4, cache=faces).fit(X, y)
        ClipScoreDisplay.from_clip(scorer.score_clips(X)[1])
        pyplot.close("all")


class TestEveryPerson:
    def test_the_clip_says_who_decided(self, tmp_path):
        both = [np.hstack([person(light=0.75), person()[:, ::-1]])] * 4
        path = write_clip(tmp_path / "two.mp4", both)

        class Bright(ClassifierMixin, BaseEstimator):
            def fit(self, X, y):
                self.classes_ = np.array([0, 1])
                return self

            def predict_proba(self, X):
                fake = light(X)[:, 0] / 255
                return np.column_stack([1 - fake, fake])

        scorer = VideoScorer(FrozenEstimator(Bright().fit(None, None)), every=1)
        (clip,) = scorer.score_clips([path])
        scores = [track.score for track in clip.tracks]
        assert len(scores) == 2
        assert clip.decisive == int(np.argmax(scores))
        assert clip.tracks[clip.decisive].boxes[0][0] > SIDE / 2  # the brighter one, on the right
        assert scorer.score_clips(["no.mp4"])[0].decisive is None


class TestSmoothing:
    def test_points_by_hand(self):
        points = np.array([[0.0, 10], [3, 10], [6, 10], [3, 10]])[:, None, :]
        whole = smooth_points(points, "track")
        assert whole[:, 0].tolist() == [[3, 10]] * 4
        nearby = smooth_points(points, 3)[:, 0, 0]
        assert nearby.tolist() == [1.5, 3, 4, 4.5]

    @pytest.mark.parametrize("options", [{}, {"size": 100, "padding": 0.4}], ids=str)
    def test_a_steady_crop_of_dlib_is_dlibs_own(self, options):
        """Where nothing is averaged only the interpolation differs: bicubic for bilinear."""
        image, aligner = data.astronaut(), FaceAligner("dlib", **options)
        face = find_faces(image, "dlib")[0]
        ours = steady_crop(image, guide_points(image, face, "dlib"), aligner.cropping)
        theirs = aligner.transform([image])[0]
        at_place = np.abs(ours.astype(int) - theirs).mean()
        beside = np.abs(ours.astype(int) - np.roll(theirs, 1, axis=1)).mean()
        assert at_place < 3.5
        assert at_place < beside / 2

    def test_guide_points_hardly_depend_on_the_face_detector(self):
        """The corners of the mouth are not among them, which move with every word."""
        image = data.astronaut()
        (ours,), (theirs,) = find_faces(image), find_faces(image, "dlib")
        points = guide_points(image, ours, "dlib")
        np.testing.assert_allclose(points, guide_points(image, theirs, "dlib"), atol=2)
        np.testing.assert_allclose(points, theirs.landmarks, atol=3)

    def test_guide_points_hardly_move_with_the_box(self):
        """Single landmarks move nearly twice as far."""
        image, rng = data.astronaut(), np.random.default_rng(0)
        (face,) = find_faces(image)
        moved = [replace(face, box=tuple(np.add(face.box, rng.normal(0, 2, 4)))) for _ in range(20)]
        steady = np.std([guide_points(image, one, "dlib") for one in moved], axis=0)
        single = np.std([landmarks(image, box_for_dlib(one), 5) for one in moved], axis=0)
        assert steady.mean() < single.mean() / 1.5

    def test_dlib_is_asked_for_early(self, monkeypatch, clips):
        monkeypatch.setitem(sys.modules, "dlib", None)
        scorer = make_clipspotter("toy_image")
        with pytest.raises(ImportError, match=r"this needs dlib: pip install"):
            scorer.fit([clips["steady"]] * 2, [0, 1])

    @pytest.mark.parametrize("template", ["arcface", "sphereface", "vggface2"])
    def test_other_templates_as_well(self, template):
        image, aligner = data.astronaut(), FaceAligner(template=template)
        face = find_faces(image)[0]
        ours = steady_crop(image, guide_points(image, face, template), aligner.cropping)
        assert np.abs(ours.astype(int) - aligner.transform([image])[0]).max() <= 1

    @pytest.mark.parametrize(("smoothing", "change"), [(3, (1, 14)), ("track", (0, 0.1))])
    def test_landmarks_that_jump_leave_crops_alone(self, clips, monkeypatch, smoothing, change):
        from skfakespotter.video import _reading

        rng = np.random.default_rng(0)
        jump = lambda *args: guide_points(*args) + rng.normal(0, 2, (1, 2))  # noqa: E731
        monkeypatch.setattr(_reading, "guide_points", jump)
        with faces_folder(None) as folder:
            (clip,) = read_clips([clips["steady"]], Reading(every=1, smoothing=smoothing), folder)
            (track,) = clip.tracks
            faces = np.array(track.crops, int)
        assert faces.shape == (9, 150, 150, 3)
        low, high = change
        assert low <= np.abs(np.diff(faces, axis=0)).mean() <= high


class TestCompression:
    def test_loses_more_at_higher_rates_and_keeps_the_order(self):
        frames = [Frame(5 * i, i / 5, person(shift=i)) for i in range(8)]
        errors = []
        for crf in (0, 23, 40):
            got = list(compress_frames(iter(frames), crf))
            assert [f.index for f in got] == [f.index for f in frames]
            assert [f.time for f in got] == [f.time for f in frames]
            pairs = zip(got, frames, strict=True)
            errors.append(np.mean([np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs]))
        assert errors[0] < errors[1] < errors[2]
        assert errors[0] < 6

    def test_odd_sizes(self):
        frames = [Frame(i, i / 25, person()[:111, :109]) for i in range(2)]
        assert [f.image.shape for f in compress_frames(frames, 23)] == [(111, 109, 3)] * 2
        assert list(compress_frames([], 23)) == []

    @pytest.mark.parametrize("crf", [-1, 52, 2.5, "23"])
    def test_refuses_other_rates(self, crf):
        with pytest.raises(
            ValueError, match=r"'crf' parameter of compress_frames must be an int .*\[0, 51\]"
        ):
            compress_frames([], crf)

    def test_refuses_frames_of_two_sizes(self):
        frames = [Frame(0, 0.0, person()), Frame(1, 0.1, person()[:100])]
        with pytest.raises(ValueError, match=r"frame 1 has the shape .*frames of one size"):
            list(compress_frames(frames, 23))

    def test_trains_on_copies(self, clips):
        seen = []

        def remember(X):
            seen.append(np.array(X))
            return light(X)

        model = make_pipeline(FunctionTransformer(remember), LogisticRegression())
        X, y = [clips["darker"], clips["restless"]], [0, 1]
        VideoScorer(model, every=4, compressions=[20, 34]).fit(X, y)
        (faces,) = seen
        assert len(faces) == 3 * 2 * 3  # as they are and at two rates, two clips, three faces
        roughness = [
            np.abs(np.diff(part.astype(int), axis=1)).mean() for part in np.split(faces, 3)
        ]
        assert roughness[0] > roughness[2]


class TestCache:
    def test_a_second_run_decodes_nothing(self, clips, tmp_path, monkeypatch):
        from skfakespotter.video import _reading

        decoded = []
        original = _reading.read_frames

        def counted(path, *args):
            decoded.append(path)
            return original(path, *args)

        monkeypatch.setattr(_reading, "read_frames", counted)
        X, y = [clips["steady"], clips["restless"]], [0, 1]
        options = {"every": 1, "window": 4, "cache": tmp_path / "faces"}
        first = VideoScorer(flicker_detector(), **options).fit(X, y).score_clips(X)
        assert len(decoded) == 2  # fit alone
        again = VideoScorer(flicker_detector(), **options).fit(X, y).score_clips(X)
        assert len(decoded) == 2
        VideoScorer(flicker_detector(), **{**options, "every": 2}).fit(X, y)
        assert len(decoded) == 4  # other frames
        for a, b in zip(first, again, strict=True):
            assert a.score == b.score
            assert np.array_equal(a.tracks[0].boxes, b.tracks[0].boxes)
        if os.name == "posix":
            assert stat.S_IMODE((tmp_path / "faces").stat().st_mode) == 0o700
            assert {stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "faces").iterdir()} == {
                0o600
            }

    @pytest.mark.parametrize("kept", [True, False])
    def test_faces_are_for_other_uses_too(self, clips, tmp_path, kept):
        cache = tmp_path / "faces" if kept else None
        scorer = VideoScorer(flicker_detector(), every=4, cache=cache)
        ((track,), nothing) = scorer.follow_clips([clips["steady"], "no.mp4"])
        assert nothing == []
        (expected,) = follow_faces(iter_frames(clips["steady"], every=4))
        assert track.frames == expected.frames
        np.testing.assert_array_equal(track.crops, expected.crops)
        assert track.records("a.mp4") == expected.records("a.mp4")

    def test_follows_the_content_and_not_the_name(self, clips, tmp_path):
        path = tmp_path / "a.mp4"
        path.write_bytes(Path(clips["steady"]).read_bytes())
        with faces_folder(tmp_path / "faces") as folder:
            reading = Reading(every=4)
            (bright,) = read_clips([str(path)], reading, folder)
            path.write_bytes(Path(clips["darker"]).read_bytes())
            (dark,) = read_clips([str(path)], reading, folder)
        assert np.mean(dark.tracks[0].crops) < 0.9 * np.mean(bright.tracks[0].crops)

    @pytest.mark.parametrize(
        "damage", ["table", "crops", "lost", "a bit of the table", "a bit of the crops"]
    )
    def test_damage_is_made_good(self, clips, tmp_path, damage):
        with faces_folder(tmp_path) as folder:
            (before,) = read_clips([clips["steady"]], Reading(every=4), folder)
            crops = np.array(before.tracks[0].crops)
            del before
            (table,), (file,) = folder.glob("*.json"), folder.glob("*.crops")
            if damage == "table":
                table.write_text(table.read_text()[:40])
            elif damage == "crops":
                file.write_bytes(file.read_bytes()[:-1000])
            elif damage == "lost":
                file.unlink()
            else:
                damaged = table if "table" in damage else file
                data = bytearray(damaged.read_bytes())
                data[len(data) // 2] ^= 1
                damaged.write_bytes(data)
            (after,) = read_clips([clips["steady"]], Reading(every=4), folder)
        assert np.array_equal(crops, np.array(after.tracks[0].crops))

    def test_leaves_nothing_behind_without_a_cache(self, clips, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        X, y = [clips["steady"], clips["restless"]], [0, 1]
        VideoScorer(flicker_detector(), every=1, window=4).fit(X, y).predict(X)
        assert not list(tmp_path.iterdir())

    def test_crops_are_mapped_and_not_held(self, clips, tmp_path):
        with faces_folder(tmp_path) as folder:
            (clip,) = read_clips([clips["steady"]], Reading(every=1), folder)
            base = clip.tracks[0].crops[0]
            while base.base is not None and not isinstance(base, np.memmap):
                base = base.base
            assert isinstance(base, np.memmap)

    def test_memory_does_not_grow_with_the_clip(self, tmp_path, monkeypatch):
        """600 faces are 40 MB of crops; a tenth of it is in memory while they are made."""
        import tracemalloc

        from skfakespotter.video import _tracks

        face = find_faces(person())[0]
        found = lambda images, *args, **options: [[face] for _ in images]  # noqa: E731
        monkeypatch.setattr(_tracks, "find_all", found)
        path = write_clip(tmp_path / "long.mp4", [person()] * 600)
        with faces_folder(tmp_path / "faces") as folder:
            tracemalloc.start()
            (clip,) = read_clips([path], Reading(every=1), folder)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(clip.tracks[0]) == 600
        assert (tmp_path / "faces").is_dir()
        assert sum(file.stat().st_size for file in (tmp_path / "faces").glob("*.crops")) == (
            600 * 150 * 150 * 3
        )
        assert peak < 4e6


class TestWeights:
    def test_each_method_counts_the_same(self):
        method = np.array(["real"] * 4 + ["A"] * 3 + ["B"])
        weights = balanced_weights(method != "real", method)
        assert weights.mean() == pytest.approx(1)
        totals = {name: weights[method == name].sum() for name in ("real", "A", "B")}
        assert totals == pytest.approx({"real": 4, "A": 2, "B": 2})
        assert balanced_weights([0, 0, 0, 1]).tolist() == pytest.approx([2 / 3] * 3 + [2])

    def test_are_shared_by_the_faces_of_a_clip(self, clips):
        got = {}

        class Weighed(ClassifierMixin, BaseEstimator):
            def fit(self, X, y, sample_weight=None):
                self.classes_ = np.unique(y)
                got.update(y=np.array(y), weights=sample_weight)
                return self

            def predict_proba(self, X):
                return np.full((len(X), 2), 0.5)

        model = make_pipeline(FunctionTransformer(light), Weighed())
        X, y = [clips["steady"], clips["short"], clips["restless"]], [0, 0, 1]
        VideoScorer(model, every=3).fit(X, y, sample_weight=[1, 1, 4])
        # 3 faces, 1 face and 3 faces
        assert got["y"].tolist() == [0, 0, 0, 0, 1, 1, 1]
        assert got["weights"] == pytest.approx(np.array([1, 1, 1, 3, 4, 4, 4]) * 7 / 18)
        with pytest.raises(TypeError, match="sample_weight"):
            VideoScorer(make_pipeline(FunctionTransformer(light), NoWeights()), every=3).fit(
                X, y, sample_weight=[1, 1, 1]
            )


class NoWeights(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return None


def test_a_folder_of_frames_is_scored_like_its_clip(clips, tmp_path):
    from PIL import Image

    for frame in iter_frames(clips["steady"]):
        Image.fromarray(frame.image).save(tmp_path / f"{frame.index:03d}.png")
    X, y = [clips["darker"], clips["steady"]], [0, 1]
    model = make_pipeline(FunctionTransformer(light), LogisticRegression(C=1e3))
    scorer = VideoScorer(model, every=4).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_clip, of_folder = scorer.score_clips([clips["steady"], tmp_path])
    assert of_folder.score == of_clip.score
