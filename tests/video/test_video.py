import pickle
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfakespotter import FaceAligner, ImageError
from skfakespotter.faces import Face, find_faces
from skfakespotter.images import load_image
from skfakespotter.video import (
    ClipScore,
    Frame,
    TrackScore,
    VideoError,
    VideoScorer,
    clip_report,
    contact_sheet,
    follow_faces,
    iter_frames,
)
from skfakespotter.video._plot import ClipScoreDisplay
from skfakespotter.video._tracks import Track, _Follower, _pair

av = pytest.importorskip("av")
pytest.importorskip("dlib")
data = pytest.importorskip("skimage.data")

GREY, SIDE = 90, 112


def person():
    """A photograph with one face that fills the middle, (112, 112, 3)."""
    photograph = Image.fromarray(data.astronaut()[:200, 100:300])
    return np.asarray(photograph.resize((SIDE, SIDE)))


def tinted(image):
    """What the test's detector calls fake."""
    return np.clip(image * [0.6, 0.8, 1.2], 0, 255).astype(np.uint8)


def empty(width=SIDE):
    return np.full((SIDE, width, 3), GREY, np.uint8)


def write_clip(path, images, *, times=None, rotation=None, codec="libx264", **flips):
    """Encode pictures at 10 a second, or at the times given; a key frame every five."""
    faststart = {"movflags": "faststart"} if Path(path).stem == "whole" else {}
    with av.open(str(path), "w", options=faststart) as container:
        stream = container.add_stream(codec, rate=10, options={"g": "5", "crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, **flips)
        for place, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = round(1000 * (place / 10 if times is None else times[place]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def packets(path):
    with av.open(path) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def overwrite(path, packet, share):
    """Damage the latter share of a packet."""
    content = bytearray(Path(path).read_bytes())
    kept = packet.size - int(share * packet.size)
    content[packet.pos + kept : packet.pos + packet.size] = b"\xff" * (packet.size - kept)
    Path(path).write_bytes(content)


def mean_colors(X):
    return np.stack([crop.mean(axis=(0, 1)) / 255 for crop in X])


def face_detector():
    return make_pipeline(FunctionTransformer(mean_colors), LogisticRegression(C=1000))


@pytest.fixture(scope="module")
def crops():
    face = FaceAligner().transform([person()])[0]
    shades = [(face * scale).astype(np.uint8) for scale in (0.8, 0.9, 1.0)]
    return np.array(shades + [tinted(shade) for shade in shades]), np.repeat([0, 1], 3)


@pytest.fixture(scope="module")
def frozen(crops):
    """A detector that was fitted on pictures and stays as it is."""
    return FrozenEstimator(face_detector().fit(*crops))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips by name; a face takes up the middle of each half of the wider ones."""
    folder = tmp_path_factory.mktemp("clips")
    real, fake = person(), tinted(person())
    both = np.hstack([real, fake])
    pictures = {
        "real": [real] * 4,
        "fake": [fake] * 4,
        "two": [both] * 4 + [np.hstack([real, fake[::-1]])] * 2,
        "nobody": [empty()] * 3,
        "one_frame": [real],
        "blink": [both] + [np.hstack([real, fake[::-1]])] * 7,
    }
    paths = {name: write_clip(folder / f"{name}.mp4", images) for name, images in pictures.items()}
    whole = write_clip(folder / "whole.mp4", [real] * 20)
    content = Path(whole).read_bytes()
    for name, part in (("truncated", content[: len(content) * 7 // 10]), ("text", b"hello\n" * 99)):
        paths[name] = str(folder / f"{name}.mp4")
        Path(paths[name]).write_bytes(part)
    return paths


class TestIterFrames:
    def test_gives_every_frame_upright_with_its_time(self, tmp_path):
        images = [np.full((40, 64, 3), 10 * i, np.uint8) for i in range(12)]
        frames = list(iter_frames(write_clip(tmp_path / "a.mp4", images)))
        assert [frame.index for frame in frames] == list(range(12))
        assert [frame.time for frame in frames] == pytest.approx(np.arange(12) / 10)
        for frame, image in zip(frames, images, strict=True):
            assert frame.image.dtype == np.uint8
            assert frame.image.shape == (40, 64, 3)
            assert np.abs(frame.image.astype(int) - image).max() <= 4  # the codec's loss

    def test_colors_are_red_green_blue(self, tmp_path):
        image = np.zeros((48, 48, 3), np.uint8)
        image[:, :, 0] = 250
        (frame,) = iter_frames(write_clip(tmp_path / "a.mp4", [image]))
        assert frame.image.mean(axis=(0, 1)) == pytest.approx([250, 0, 0], abs=6)

    @pytest.mark.parametrize(
        ("options", "indices"),
        [
            ({"every": 5}, [0, 5, 10]),
            ({"every": 5, "max_frames": 2}, [0, 5]),
            ({"every": np.int64(4)}, [0, 4, 8]),
            ({"every": 0.3}, [0, 3, 6, 9]),
            ({"every": 0.1}, list(range(12))),
            ({"every": 0.25}, [0, 3, 5, 8, 10]),
            ({"every": 0.01, "max_frames": 3}, [0, 1, 2]),
            ({"every": 99}, [0]),
        ],
    )
    def test_samples_frames_or_seconds(self, tmp_path, options, indices):
        path = write_clip(tmp_path / "a.mp4", [empty()] * 12)
        assert [frame.index for frame in iter_frames(path, **options)] == indices

    def test_keeps_a_variable_frame_rate(self, tmp_path):
        times = [0.0, 0.1, 0.5, 0.6, 1.5, 1.6]
        path = write_clip(tmp_path / "a.mp4", [empty()] * 6, times=times)
        assert [frame.time for frame in iter_frames(path)] == pytest.approx(times)
        assert [frame.index for frame in iter_frames(path, every=0.5)] == [0, 2, 4]

    def test_time_begins_with_the_first_frame(self, tmp_path):
        path = write_clip(tmp_path / "a.mp4", [empty()] * 3, times=[2.0, 2.1, 2.5])
        assert [frame.time for frame in iter_frames(path)] == pytest.approx([0.0, 0.1, 0.5])

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270])
    @pytest.mark.parametrize("flip", [None, "hflip", "vflip"])
    def test_applies_rotation_and_mirroring(self, tmp_path, degrees, flip):
        image = np.full((48, 80, 3), 30, np.uint8)
        image[:16, :16] = 220  # the upper left corner
        flips = {flip: True} if flip else {}
        path = write_clip(tmp_path / "a.mp4", [image], rotation=degrees, **flips)
        expected = Image.fromarray(image).rotate(degrees, expand=True)  # counter-clockwise
        if flip:
            expected = {"hflip": ImageOps.mirror, "vflip": ImageOps.flip}[flip](expected)
        (frame,) = iter_frames(path)
        assert frame.image.shape == np.asarray(expected).shape
        assert np.abs(frame.image.astype(int) - np.asarray(expected)).mean() < 3

    def test_decodes_lazily(self, clips):
        frames = iter_frames(clips["truncated"])
        assert next(frames).index == 0
        frames.close()  # before the damage: no warning

    def test_truncated_clip_gives_what_decodes_and_warns(self, clips):
        with pytest.warns(UserWarning, match=r"truncated.mp4' is broken or truncated: 1\d frames"):
            frames = list(iter_frames(clips["truncated"]))
        assert 10 <= len(frames) < 20

    def test_truncated_stream_without_frame_count(self, tmp_path):
        path = write_clip(tmp_path / "a.mkv", [person()] * 20)
        assert len(list(iter_frames(path))) == 20
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
        with pytest.warns(UserWarning, match="broken or truncated"):
            assert 1 <= len(list(iter_frames(path))) < 20

    def test_stops_before_the_damage_without_a_warning(self, clips):
        assert len(list(iter_frames(clips["truncated"], max_frames=3))) == 3

    def test_truncated_between_two_packets(self, tmp_path):
        path = write_clip(tmp_path / "whole.mp4", [person()] * 20)
        Path(path).write_bytes(Path(path).read_bytes()[: packets(path)[12].pos])
        with pytest.warns(UserWarning, match=r"12 frames decode, .* \(it ends early\)"):
            assert len(list(iter_frames(path))) == 12

    def test_damaged_packet_is_left_out(self, tmp_path):
        path = write_clip(tmp_path / "a.mp4", [person()] * 20)
        overwrite(path, packets(path)[10], share=1)
        with pytest.warns(
            UserWarning, match=r"broken or truncated: 1\d frames decode, the last at"
        ):
            frames = list(iter_frames(path))
        assert frames[-1].time == pytest.approx(1.9)

    def test_damaged_picture_is_left_out(self, tmp_path):
        path = write_clip(tmp_path / "a.avi", [person()] * 20, codec="mpeg4")
        overwrite(path, packets(path)[12], share=0.5)
        with pytest.warns(UserWarning, match=r"19 frames decode, .* \(damaged pictures\)"):
            assert len(list(iter_frames(path))) == 19

    def test_one_frame(self, clips):
        (frame,) = iter_frames(clips["one_frame"])
        assert (frame.index, frame.time) == (0, 0.0)

    def test_refuses_what_is_no_clip(self, tmp_path, clips):
        lost_index = tmp_path / "lost.mp4"  # its index stands at the end of the file
        lost_index.write_bytes(Path(clips["real"]).read_bytes()[:2000])
        (tmp_path / "empty.mp4").touch()
        for path in (clips["text"], lost_index, tmp_path / "empty.mp4"):
            with pytest.raises(VideoError, match=r"^clip \('.*mp4'\): cannot be read as a clip"):
                next(iter_frames(path))
        with pytest.raises(VideoError, match=r"no/clip.mp4'\): no such file"):
            next(iter_frames("no/clip.mp4"))
        with pytest.raises(VideoError, match="is a folder"):
            next(iter_frames(tmp_path))
        assert issubclass(VideoError, ImageError)

    def test_refuses_sound_alone(self, tmp_path):
        with av.open(str(tmp_path / "a.m4a"), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(VideoError, match="holds no video stream"):
            next(iter_frames(tmp_path / "a.m4a"))

    def test_holds_to_the_limit_on_picture_size(self, clips, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(VideoError, match="holds no frame that can be decoded"):
            next(iter_frames(clips["real"]))

    def test_a_playlist_cannot_reach_the_network(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
            playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n"
            (tmp_path / "a.m3u8").write_text(playlist)
            with pytest.raises(VideoError):
                next(iter_frames(tmp_path / "a.m3u8"))
            with pytest.raises(BlockingIOError):  # nobody knocked
                server.accept()

    @pytest.mark.parametrize("every", [0, -1, 0.0, -0.5, "2", None, float("nan"), np.inf])
    def test_refuses_other_sampling(self, every):
        with pytest.raises(
            ValueError, match=r"'every' parameter of iter_frames must be an int .* or a float"
        ):
            iter_frames("a.mp4", every=every)

    @pytest.mark.parametrize("max_frames", [0, 1.5])
    def test_refuses_other_limits(self, max_frames):
        with pytest.raises(
            ValueError, match="'max_frames' parameter of iter_frames must be an int"
        ):
            iter_frames("a.mp4", max_frames=max_frames)

    def test_names_the_extra(self, clips, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(ImportError, match=r"skfakespotter\[video\]"):
            next(iter_frames(clips["real"]))


def pairs(last, boxes, min_overlap=0.2):
    """Pair faces that were at ``last`` with boxes: dict from place to the number of the track."""
    active = [_Follower(Track(i, faces=[Face(box, (), 1.0)])) for i, box in enumerate(last)]
    found = [Face(box, (), 1.0) for box in boxes]
    paired = _pair(active, found, [None] * len(found), min_overlap)
    return {place: follower.track.id for place, follower in paired.items()}


def as_frames(images, every=1):
    return [Frame(every * i, every * i / 10, image) for i, image in enumerate(images)]


class TestFollowFaces:
    def test_two_people_stay_apart(self):
        real = person()
        pictures = [np.hstack([np.roll(real, 2 * i, axis=1), real[:, ::-1]]) for i in range(4)]
        left, right = follow_faces(as_frames(pictures, every=5))
        assert (left.id, right.id) == (0, 1)
        for track in (left, right):
            assert track.frames == [0, 5, 10, 15]
            assert track.times == [0.0, 0.5, 1.0, 1.5]
            assert len(track) == len(track.boxes) == 4
        assert all(box[2] < SIDE + 8 for box in left.boxes)
        assert all(box[0] > SIDE - 8 for box in right.boxes)
        assert left.boxes[-1][0] > left.boxes[0][0]  # it moved

    @pytest.mark.parametrize(
        "options", [{"size": 64, "padding": 0.4}, {"template": "sphereface"}], ids=str
    )
    def test_crops_are_those_of_the_aligner(self, options):
        aligner = FaceAligner(**options)
        (track,) = follow_faces(as_frames([person()]), aligner)
        assert np.array_equal(track.crops[0], aligner.transform([person()])[0])

    @pytest.mark.parametrize(("missed", "lengths"), [(2, [4]), (3, [2, 2])])
    def test_bridges_gaps_up_to_a_length(self, missed, lengths):
        # the hidden face leaves the colors as they are: upside down, dlib does not find it
        pictures = [person()] * 2 + [person()[::-1]] * missed + [person()] * 2
        tracks = follow_faces(as_frames(pictures), FaceAligner(detector="dlib"), max_gap=2)
        assert [len(track) for track in tracks] == lengths

    def test_a_cut_ends_a_track(self):
        frame = person()
        left, top, right, bottom = (round(edge) for edge in find_faces(frame)[0].box)
        other = 255 - frame  # the same face, in another place of the world
        other[top:bottom, left:right] = frame[top:bottom, left:right]
        pictures = [frame] * 2 + [other] * 2
        assert [track.frames for track in follow_faces(as_frames(pictures))] == [[0, 1], [2, 3]]
        (track,) = follow_faces(as_frames(pictures), cut=255)
        assert track.frames == [0, 1, 2, 3]

    def test_an_inset_a_logo_and_a_flash_are_no_cut(self):
        frame = np.pad(person(), ((0, 0), (0, SIDE), (0, 0)), constant_values=GREY)
        inset, logo = frame.copy(), frame.copy()
        inset[:, SIDE:] = 230
        logo[: SIDE // 3, SIDE:] = [255, 0, 0]
        flash = np.clip(frame * 1.7, 0, 255).astype(np.uint8)
        for changed in (inset, logo, flash):
            pictures = [frame] * 2 + [changed] * 2 + [frame]
            (track,) = follow_faces(as_frames(pictures))
            assert track.frames == [0, 1, 2, 3, 4]

    def test_a_cut_while_the_face_was_missed_is_remembered(self):
        frame = person()
        left, top, right, bottom = (round(edge) for edge in find_faces(frame)[0].box)
        other = 255 - frame
        other[top:bottom, left:right] = frame[top:bottom, left:right]
        pictures = [frame, 255 - frame[::-1], other]  # the second shows no face
        assert [track.frames for track in follow_faces(as_frames(pictures))] == [[0], [2]]

    def test_a_jump_begins_a_track(self):
        pictures = [np.hstack([person(), empty()]), np.hstack([empty(), person()])]
        assert [track.frames for track in follow_faces(as_frames(pictures))] == [[0], [1]]

    def test_pairs_so_that_the_sum_is_best(self):
        # overlaps with the first face: 6/14 and 9/11, with the second: 1/19 and 6/14. The greedy
        # choice is the 9/11 and then, under the least overlap, nothing; the best sum is 12/14.
        assert pairs([(0, 0, 10, 10), (5, 0, 15, 10)], [(4, 0, 14, 10), (9, 0, 19, 10)]) == {
            0: 0,
            1: 1,
        }

    def test_pairs_rows_with_columns(self):
        """One known face and a new one on its left, or above: places are not ids."""
        assert pairs([(50, 0, 60, 10)], [(0, 0, 10, 10), (50, 0, 60, 10)]) == {1: 0}
        three = [(0, 0, 9, 9), (20, 0, 29, 9), (40, 0, 49, 9)]
        assert pairs(three, [three[2], three[0]]) == {0: 2, 1: 0}
        assert pairs(three[:2], [*three[::-1], (80, 0, 89, 9)]) == {2: 0, 1: 1}

    def test_overlap_counts_both_directions(self):
        assert pairs([(0, 0, 10, 10)], [(0, 50, 10, 60)]) == {}  # one above the other
        assert pairs([(0, 0, 10, 10)], [(50, 0, 60, 10)]) == {}
        # 10 x 5 of 150 in common: a third
        assert pairs([(0, 0, 10, 10)], [(0, 5, 10, 15)], 0.33) == {0: 0}
        assert pairs([(0, 0, 10, 10)], [(0, 5, 10, 15)], 0.34) == {}

    def test_people_one_above_the_other(self):
        pictures = [np.vstack([person(), np.roll(person(), 2 * i, axis=0)]) for i in range(3)]
        first, second = follow_faces(as_frames(pictures))
        assert len(first) == len(second) == 3
        tops = sorted(track.boxes[-1][1] for track in (first, second))
        assert tops[0] < SIDE / 2 < tops[1] - SIDE / 2

    def test_records_of_the_faces(self):
        (track,) = follow_faces(as_frames([person()] * 2, every=5))
        records = track.records("a.mp4")
        assert [record.index for record in records] == [0, 5]
        (located,) = FaceAligner().locate([person()])
        assert (records[1].box, records[1].landmarks) == (located.box, located.landmarks)
        assert (records[0].path, records[0].status) == ("a.mp4", "found")

    def test_checks_the_aligner(self):
        with pytest.raises(ValueError, match="The 'size' parameter of FaceAligner must be"):
            follow_faces([], FaceAligner(size=3))

    def test_nobody(self):
        assert follow_faces(as_frames([empty()] * 2)) == []
        assert follow_faces(as_frames([np.zeros((8, 8, 3), np.uint8)])) == []
        assert follow_faces([]) == []


class TestVideoScorer:
    def test_most_fake_track_decides(self, clips, frozen):
        (clip,) = VideoScorer(frozen, every=1).score_clips([clips["two"]])
        assert clip.status == "scored"
        assert clip.reason is None
        real, fake = clip.tracks
        assert real.frames.tolist() == [0, 1, 2, 3, 4, 5]
        assert fake.frames.tolist() == [0, 1, 2, 3]
        assert real.scores.max() < 0.2 < 0.8 < fake.scores.min()
        assert real.score == pytest.approx(real.scores.mean())
        assert clip.score == fake.score == pytest.approx(fake.scores.mean())
        assert real.times == pytest.approx(np.arange(6) / 10)
        assert real.boxes.shape == (6, 4)
        assert np.array_equal(clip.frame_scores, np.r_[fake.scores, real.scores[4:]])
        assert np.isnan(clip.track_scores[1, 4:]).all()

    def test_statuses(self, clips, frozen):
        names = ["real", "nobody", "text", "one_frame"]
        scored = VideoScorer(frozen, every=2).score_clips([clips[name] for name in names])
        assert [clip.status for clip in scored] == ["scored", "no face", "unreadable", "scored"]
        assert scored[1].score is scored[2].score is None
        assert scored[1].reason == "no face in 2 frames"
        assert scored[1].frames.tolist() == [0, 2]
        assert np.isnan(scored[1].frame_scores).all()
        assert scored[2].reason.startswith("cannot be read as a clip")
        assert scored[2].path == clips["text"]
        assert 0 <= scored[3].score < 0.5

    def test_no_score_is_never_a_number(self, clips, frozen):
        paths = [clips[name] for name in ("real", "nobody", "text", "fake")]
        scorer = VideoScorer(frozen, every=3)
        named = r"2 of 4 clips.*X\[1\] \('.*nobody.mp4'\): no face in 1 frames; X\[2\] .*cannot"
        for method in (scorer.predict_proba, scorer.predict):
            with pytest.raises(ValueError, match=named):
                method(paths)
        scorer.set_params(on_missing="nan")
        table = scorer.predict_proba(paths)
        assert np.isnan(table[1:3]).all()
        assert table[[0, 3]].sum(axis=1) == pytest.approx(1)
        assert table[0, 1] < 0.2 < 0.8 < table[3, 1]
        with pytest.raises(ValueError, match="2 of 4 clips have no score"):
            scorer.predict(paths)
        assert scorer.predict([clips["real"], clips["fake"]]).tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("aggregate", "expected"),
        [
            ("mean", lambda s: s.mean()),
            ("median", lambda s: np.median(s)),
            ("max", lambda s: s.max()),
            ("top-k", lambda s: (s[-1] + s[-2]) / 2),
            ("log-odds", lambda s: 1 / (1 + np.exp(-np.log(s / (1 - s)).mean()))),
        ],
    )
    def test_aggregates(self, tmp_path, frozen, aggregate, expected):
        strengths = [0.35, 0.45, 0.5, 0.55, 0.6]  # in steps too small for a cut
        pictures = [(person() * (1 - s) + tinted(person()) * s).astype(np.uint8) for s in strengths]
        path = write_clip(tmp_path / "a.mp4", pictures)
        scorer = VideoScorer(frozen, every=1, aggregate=aggregate, top_k=2)
        (clip,) = scorer.score_clips([path])
        (track,) = clip.tracks
        assert np.ptp(track.scores) > 0.3
        assert clip.score == pytest.approx(expected(np.sort(track.scores)))

    def test_short_tracks_decide_only_without_longer_ones(self, clips, frozen):
        by_min = {}
        for min_faces in (1, 2):
            scorer = VideoScorer(frozen, every=1, min_faces=min_faces)
            (clip,) = scorer.score_clips([clips["blink"]])
            assert [len(track.scores) for track in clip.tracks] == [8, 1]
            by_min[min_faces] = clip.score
        assert by_min[1] > 0.8
        assert by_min[2] < 0.2

    def test_truncated_clip_is_scored_in_part(self, clips, frozen):
        with pytest.warns(UserWarning, match=r"truncated.mp4' is broken"):
            (clip,) = VideoScorer(frozen).score_clips([clips["truncated"]])
        assert clip.status == "scored"
        assert "broken or truncated" in clip.reason

    def test_fit_trains_on_the_faces_of_the_clips(self, clips, tmp_path):
        X, y = [clips["real"], clips["fake"]], ["real", "fake"]
        scorer = VideoScorer(face_detector(), every=1, max_frames=3)
        assert scorer.fit(X, y) is scorer
        assert scorer.classes_.tolist() == ["fake", "real"]
        table = scorer.predict_proba(X)
        assert table[0, 0] < 0.1 < 0.9 < table[1, 0]  # the first column is the fakes'
        assert scorer.predict(X).tolist() == y
        assert scorer.score(X, y) == 1.0
        (one,) = pickle.loads(pickle.dumps(scorer)).score_clips([clips["fake"]])
        assert one.score == table[1, 0]
        assert one.frames.tolist() == [0, 1, 2]
        assert not hasattr(clone(scorer), "estimator_")

    def test_fit_names_or_leaves_out_clips_without_a_face(self, clips):
        X, y = [clips[name] for name in ("real", "nobody", "fake")], [0, 0, 1]
        with pytest.raises(ValueError, match=r"1 of 3 clips have no score: X\[1\]"):
            VideoScorer(face_detector()).fit(X, y)
        scorer = VideoScorer(face_detector(), on_missing="nan")
        with pytest.warns(UserWarning, match=r"left out of training: 1 of 3 clips"):
            scorer.fit(X, y)
        assert scorer.predict([X[0], X[2]]).tolist() == [0, 1]
        with (
            pytest.warns(UserWarning, match="left out"),
            pytest.raises(ValueError, match=r"labels are \[0\]: expected two classes"),
        ):
            scorer.fit(X[:2], [0, 1])

    def test_cross_validation_by_groups(self, clips):
        X, y = [clips["real"], clips["fake"]] * 2, [0, 1, 0, 1]
        scorer = VideoScorer(face_detector(), every=2)
        options = {"groups": [0, 0, 1, 1], "cv": GroupKFold(2), "error_score": "raise"}
        scores = cross_val_score(scorer, X, y, scoring="roc_auc", **options)
        assert scores.tolist() == [1.0, 1.0]

    def test_takes_the_aligner_out_of_a_pipeline(self, clips, crops):
        shapes = []

        def colors(X):
            shapes.append(np.shape(X))
            return mean_colors(X)

        aligner = FaceAligner(size=48, padding=0.1)
        detector = make_pipeline(aligner, FunctionTransformer(colors), LogisticRegression(C=1000))
        detector.fit([person(), tinted(person())], [0, 1])
        scorer = VideoScorer(FrozenEstimator(detector), every=2)
        assert scorer.predict([clips["real"], clips["fake"]]).tolist() == [0, 1]
        assert shapes == [(2, 48, 48, 3)] * 3  # of pictures, then of each clip
        refitted = VideoScorer(detector, every=2).fit([clips["real"], clips["fake"]], [0, 1])
        assert refitted.aligner_ is aligner
        assert shapes[3] == (4, 48, 48, 3)

    def test_frozen_detector_is_not_trained(self, clips, frozen):
        scorer = VideoScorer(frozen).fit(["not/opened.mp4", "nor/this.mp4"], [0, 1])
        assert scorer.estimator_ is frozen
        assert scorer.classes_.tolist() == [0, 1]

    def test_parallel_gives_the_same(self, clips, frozen):
        paths = [clips[name] for name in ("real", "two", "nobody", "text", "truncated")]
        runs = []
        for n_jobs in (None, 2):
            with pytest.warns(UserWarning, match="broken or truncated"):
                runs.append(VideoScorer(frozen, every=2, n_jobs=n_jobs).score_clips(paths))
        for one, other in zip(*runs, strict=True):
            assert (one.status, one.score, one.reason) == (other.status, other.score, other.reason)
            assert np.array_equal(one.frame_scores, other.frame_scores, equal_nan=True)

    def test_unfitted(self, clips):
        scorer = VideoScorer(face_detector())
        with pytest.raises(NotFittedError, match=r"FrozenEstimator\(detector\)"):
            scorer.predict([clips["real"]])
        assert not hasattr(scorer, "classes_")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"aggregate": "sum"}, "The 'aggregate' parameter of VideoScorer must be a str among"),
            ({"on_missing": "drop"}, "The 'on_missing' parameter of VideoScorer must be"),
            ({"top_k": 0}, "The 'top_k' parameter of VideoScorer must be an int in"),
            ({"min_faces": 1.5}, "The 'min_faces' parameter of VideoScorer must be an int"),
            ({"window": 0}, "The 'window' parameter of VideoScorer must be an int in"),
            ({"smoothing": "all"}, "The 'smoothing' parameter of VideoScorer must be"),
            ({"smoothing": 4}, "smoothing is 4: expected an odd number of faces"),
            ({"smoothing": 1}, "The 'smoothing' parameter of VideoScorer must be an int in"),
            ({"compressions": [23, 52]}, r"compressions holds 52: expected an int .* \[0, 51\]"),
            ({"burst": 0}, "The 'burst' parameter of VideoScorer must be an int in"),
            ({"every": 0}, "The 'every' parameter of VideoScorer must be an int in"),
            ({"max_frames": -1}, "The 'max_frames' parameter of VideoScorer must be an int in"),
        ],
    )
    def test_refuses_other_options(self, frozen, options, message):
        with pytest.raises(ValueError, match=message):
            VideoScorer(frozen, **options).score_clips(["a.mp4"])

    def test_refuses_other_input(self, crops, frozen):
        scorer = VideoScorer(frozen)
        with pytest.raises(TypeError, match=r"X is a single str: pass \[X\], a list of"):
            scorer.score_clips("a.mp4")
        with pytest.raises(TypeError, match="X is a generator: expected a list of paths of clips"):
            scorer.score_clips(path for path in ["a.mp4"])
        with pytest.raises(ValueError, match="X holds no clips: expected a list of paths"):
            scorer.score_clips([])
        with pytest.raises(TypeError, match=r"X\[1\] is a ndarray: expected the path of a clip"):
            scorer.score_clips(["a.mp4", person()])
        model = make_pipeline(FunctionTransformer(mean_colors), RidgeClassifier())
        with pytest.raises(TypeError, match="Pipeline has no predict_proba: wrap"):
            VideoScorer(model).fit(["a.mp4"] * 2, [0, 1])
        with pytest.raises(ValueError, match="labels are"):
            scorer.fit(["a.mp4", "b.mp4"], [0, 0])
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            scorer.fit(["a.mp4"], [0, 1])

    def test_coverage_pipeline(self, clips):
        from skfakespotter import make_fakespotter

        detector = make_fakespotter("toy_image", classifier=LogisticRegression(), device="cpu")
        X, y = [clips["real"], clips["fake"]], [0, 1]
        table = VideoScorer(detector, every=2).fit(X, y).predict_proba(X)
        assert roc_auc_score(y, table[:, 1]) == 1.0

    def test_import_leaves_torch_and_av_alone(self):
        code = (
            "import sys, skfakespotter.video, skfakespotter.video._plot;"
            "assert not {'torch', 'av', 'dlib', 'matplotlib'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


def scored(path, frame_scores, score):
    scores = np.array(frame_scores, float)
    frames = np.arange(len(scores))
    track = TrackScore(0, frames, frames / 10, np.zeros((len(scores), 4)), scores, score)
    return ClipScore(path, "scored", score, None, frames, frames / 10, (track,))


class TestClipReport:
    def test_figures_by_hand(self):
        clips = [
            scored("a", [0.1, 0.5], 0.3),
            scored("b", [0.2], 0.2),
            ClipScore("c", "no face", reason="no face in 1 frames"),
            scored("d", [0.6, 0.4, 0.15], 0.25),
            ClipScore("e", "unreadable", reason="no such file"),
        ]
        y = ["real", "real", "real", "fake", "fake"]
        report = clip_report(clips, y, n_bootstraps=0)
        assert report.clip["AUC"].value == 0.5  # 0.25 is above 0.2 and below 0.3
        # fakes 0.6, 0.4, 0.15 against 0.1, 0.5, 0.2: 3 + 2 + 1 of 9 pairs
        assert report.frame["AUC"].value == pytest.approx(6 / 9)
        assert (report.clip.n_samples, report.clip.n_positive) == (3, 1)
        assert (report.frame.n_samples, report.frame.n_groups) == (6, 3)
        assert (report.n_no_face, report.n_unreadable) == (1, 1)

    @pytest.mark.filterwarnings("ignore:.*are not to be trusted:UserWarning")
    def test_groups_of_clips(self):
        clips = [scored(str(i), [0.1 * i] * 2, 0.1 * i) for i in range(6)]
        groups = [0, 1, 2, 0, 1, 2]
        report = clip_report(clips, [0, 0, 0, 1, 1, 1], groups=groups, n_bootstraps=20)
        assert report.clip.n_groups == report.frame.n_groups == 3
        assert report.frame["AUC"] == (1.0, 1.0, 1.0)

    def test_refuses(self):
        clips = [ClipScore("a", "no face"), scored("b", [0.5], 0.5)]
        with pytest.raises(ValueError, match="expected two classes"):
            clip_report(clips, [0, 1])
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            clip_report(clips, [0, 1, 1])


class TestShowing:
    def test_table(self, clips, frozen, tmp_path):
        pytest.importorskip("pandas")
        (clip,) = VideoScorer(frozen, every=2).score_clips([clips["two"]])
        frame = clip.to_frame()
        box = ["left", "top", "right", "bottom"]
        assert frame.columns.tolist() == ["track", "frame", "time", *box, "score"]
        assert frame["track"].tolist() == [0, 0, 0, 1, 1]
        assert frame["frame"].tolist() == [0, 2, 4, 0, 2]
        assert frame["score"].tolist() == np.concatenate([t.scores for t in clip.tracks]).tolist()
        assert len(ClipScore("a", "no face").to_frame()) == 0
        clip.to_csv(tmp_path / "a.csv")
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 6

    def test_display(self, clips, frozen):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        (clip,) = VideoScorer(frozen, every=1).score_clips([clips["two"]])
        display = ClipScoreDisplay.from_clip(clip)
        assert [line.get_label().split(":")[0] for line in display.lines_] == ["track 0", "track 1"]
        drawn = display.lines_[1].get_ydata()
        assert np.array_equal(drawn, np.r_[clip.tracks[1].scores, [np.nan] * 2], equal_nan=True)
        assert display.ax_.get_xlabel() == "time (s)"
        assert display.plot(display.ax_).figure_ is display.ax_.figure
        pyplot.close("all")
        with pytest.raises(ValueError, match=r"'a' has no score \(no face in 2 frames\)"):
            ClipScoreDisplay.from_clip(ClipScore("a", "no face", reason="no face in 2 frames"))
        with pytest.raises(ValueError, match=r"scores has shape \(3,\): expected \(n_tracks, 2\)"):
            ClipScoreDisplay([0, 1], [1, 2, 3])

    def test_contact_sheet_shows_the_most_suspicious_first(self, clips, frozen, tmp_path):
        (clip,) = VideoScorer(frozen, every=1).score_clips([clips["two"]])
        before = set(tmp_path.iterdir())
        contact_sheet(clip, tmp_path / "sheet.png", n=6)
        assert set(tmp_path.iterdir()) - before == {tmp_path / "sheet.png"}
        sheet = load_image(tmp_path / "sheet.png").astype(int)
        assert sheet.shape == (2 * (160 + 16), 4 * 320, 3)  # six cells, four a row
        marked = (np.abs(sheet - [0xD5, 0x5E, 0x00]) < 8).all(axis=2)
        first, sixth = marked[:160, :320], marked[176:336, 320:640]
        assert np.flatnonzero(first.any(axis=0)).min() > 160  # the fake is the right one
        assert np.flatnonzero(sixth.any(axis=0)).max() < 160
        contact_sheet(clip, tmp_path / "one.jpg", n=1)
        with Image.open(tmp_path / "one.jpg") as sheet:
            assert sheet.size == (320, 176)

    def test_contact_sheet_refuses(self, tmp_path, clips, frozen):
        with pytest.raises(ValueError, match="there is no frame to show"):
            contact_sheet(ClipScore("a", "unreadable", reason="no such file"), tmp_path / "s.png")
        with pytest.raises(
            ValueError, match="The 'n' parameter of contact_sheet must be an int in"
        ):
            contact_sheet(scored("a", [0.5], 0.5), tmp_path / "s.png", n=0)
        with pytest.raises(VideoError, match="no such file"):
            contact_sheet(scored("a", [0.5], 0.5), tmp_path / "s.png")
        assert not any(tmp_path.iterdir())


def test_real_clips(shared_dir):
    folder = shared_dir / "videos"
    if not folder.is_dir():
        pytest.skip("needs real clips")
    paths = sorted([*folder.glob("real/*.mp4"), *folder.glob("fake/*.mp4")])
    assert len(paths) == 4
    for path in paths:
        tracks = follow_faces(iter_frames(path, every=10, max_frames=8))
        assert [len(track) for track in tracks] == [8]
