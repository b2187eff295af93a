"""score_pictures: all faces, all pictures, nothing made up; and verdicts that are earned."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from skfakespotter import (
    FaceAligner,
    GaussianBlur,
    ImageError,
    JPEGCompression,
    evaluate_detector,
    make_fakespotter,
    make_pictures,
    score_pictures,
)
from skfakespotter.detectors import Calibration, kind_of, score_each, summarize
from skfakespotter.detectors._panel import make_panel
from skfakespotter.faces import find_faces


def with_calibration(detector, low, high):
    scores = np.linspace(low, high, 199).astype(np.float32)
    return dataclasses.replace(detector, calibration=Calibration({"here": scores}, scores))


@pytest.fixture
def folder(tmp_path, face_picture):
    """A face, two faces, no face, no picture."""
    Image.fromarray(face_picture).save(tmp_path / "a_one.png")
    Image.fromarray(np.hstack([face_picture, face_picture])).save(tmp_path / "b_two.png")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "c_none.png")
    (tmp_path / "d_broken.png").write_text("not a picture")
    return tmp_path


def test_every_picture_and_every_face_has_its_rows(folder, small_detector):
    rows = score_pictures(folder, small_detector)
    assert [(row.picture[-8:-4], row.face, row.status) for row in rows] == [
        ("_one", 0, "scored"),
        ("_two", 0, "scored"),
        ("_two", 1, "scored"),
        ("none", None, "no face"),
        ("oken", None, "unreadable"),
    ]
    assert rows[3].score is rows[4].score is rows[4].p is None
    assert rows[4].verdict == "cannot say"
    assert "cannot be read" in rows[4].reason
    one, left, right = rows[0].box, *sorted([rows[1].box, rows[2].box])
    np.testing.assert_allclose(left, one, atol=12)
    np.testing.assert_allclose(right[0], one[0] + 256, atol=12)
    assert pd.DataFrame(rows).columns.tolist() == list(rows[0]._fields)


def test_the_score_is_the_detector_s(folder, small_detector):
    (row,) = score_pictures([folder / "a_one.png"], small_detector)
    expected = small_detector.decision_function([folder / "a_one.png"])
    assert row.score == pytest.approx(float(expected[0]), abs=1e-5)
    assert row.p == pytest.approx(float(small_detector.p_value(row.score)))


def test_what_cannot_be_read_is_raised_on_demand(folder, small_detector):
    with pytest.raises(ImageError, match=r"d_broken\.png"):
        score_pictures(folder, small_detector, on_error="raise")


def test_verdicts(folder, small_detector):
    picture = [folder / "a_one.png"]
    sure = with_calibration(small_detector, -1000.0, -900.0)
    (row,) = score_pictures(picture, sure)
    assert row.verdict == "resembles the fakes of toys (p = 0.005)"
    unsuspicious = with_calibration(small_detector, 900.0, 1000.0)
    (row,) = score_pictures(picture, unsuspicious)
    assert (row.verdict, row.p) == ("no trace of toys", 1.0)
    assert "no proof" in row.reason


def test_a_verdict_that_flips_is_none(folder, small_detector):
    """The limit lies just below the score: whichever way compression moves it, one flips."""
    picture, reasons = [folder / "a_one.png"], []
    for sign in (1, -1):
        detector = dataclasses.replace(small_detector, weights=sign * small_detector.weights)
        (row,) = score_pictures(picture, detector)
        close = with_calibration(detector, row.score - 1.0, row.score - 1e-4)
        reasons += [row.reason for row in score_pictures(picture, close)]
    assert any("the verdict flips" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("width", 500.0, "smaller than the faces measured"),
        ("sharpness", 50.0, "more blurred"),
        ("distance", 0.0, "unlike all faces measured"),
    ],
)
def test_faces_beyond_the_limits_get_no_verdict(folder, small_detector, limit, value, reason):
    limits = dataclasses.replace(small_detector.limits, **{limit: value})
    strict = dataclasses.replace(small_detector, limits=limits)
    (row,) = score_pictures([folder / "a_one.png"], strict)
    assert (row.status, row.verdict) == ("scored", "cannot say")
    assert reason in row.reason


def test_several_detectors_share_a_pass(folder, small_detector):
    other = dataclasses.replace(small_detector, name="other", weights=-small_detector.weights)
    rows = score_pictures([folder / "b_two.png"], [small_detector, other])
    assert [(row.face, row.detector) for row in rows] == [
        (0, "small"), (0, "other"), (1, "small"), (1, "other"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="of different names"):
        score_pictures([folder / "b_two.png"], [small_detector, small_detector])


def test_a_fitted_pipeline_is_a_detector_too(folder, face_picture):
    rng = np.random.default_rng(0)
    X = [np.clip(face_picture + rng.normal(0, 1 + 9 * (i % 2), face_picture.shape), 0, 255)
         .astype(np.uint8) for i in range(6)]  # fmt: skip
    pipeline = make_fakespotter(
        "toy_image", align=FaceAligner(lazy=True), classifier=LogisticRegression(), device="cpu"
    ).fit(X, np.arange(6) % 2)
    rows = score_pictures(folder, {"mine": pipeline})
    assert [row.detector for row in rows] == ["mine", "mine", "mine", None, None]
    probability = pipeline.predict_proba([folder / "a_one.png"])[0, 1]
    assert rows[0].score == pytest.approx(probability, abs=1e-6)
    assert rows[0].p is None
    assert kind_of(rows[0].verdict) in ("resembles", "no trace")
    assert "nobody has measured" in rows[0].reason


@pytest.fixture(scope="module", params=["paper", "recommended"])
def fitted_pipeline(request, face_picture):
    """A pipeline that knows noise, of six photographs and six noisy ones."""
    rng = np.random.default_rng(0)
    X = [np.clip(face_picture + rng.normal(0, 1 + 9 * (i % 2), face_picture.shape), 0, 255)
         .astype(np.uint8) for i in range(12)]  # fmt: skip
    params = {"classifier": LogisticRegression()} if request.param == "paper" else {}
    pipeline = make_fakespotter(
        "toy_image", preset=request.param, kinds="noise", device="cpu", random_state=0, **params
    )
    if request.param == "recommended":
        pipeline.set_params(
            classifier__attacks={"jpeg": [JPEGCompression(90)]},
            classifier__estimator__classifier__cv=2,
        )
    return pipeline.fit(X, np.arange(12) % 2)


def test_a_pipeline_says_what_it_was_trained_on(fitted_pipeline, face_picture):
    (row,) = score_pictures([face_picture], fitted_pipeline)
    assert row.reason.startswith("trained on 6 fakes of noise and 6 photographs only;")
    (face,) = find_faces(face_picture)
    longer = max(face.width, face.height)
    assert fitted_pipeline.face_limits_["width"] == pytest.approx(longer, abs=10)


def test_a_pipeline_knows_its_limits(fitted_pipeline, face_picture):
    """Half as wide as all faces that it saw, or blurred: it cannot say."""
    small = face_picture[::2, ::2]
    (blurred,) = GaussianBlur(4, kernel_size=None).transform([face_picture])
    for picture, what in ((small, "the width of the face"), (blurred, "the sharpness of the face")):
        rows = score_pictures([picture], fitted_pipeline)
        assert (rows[0].status, rows[0].verdict) == ("scored", "cannot say")
        assert what in rows[0].reason
        assert "noise and 6 photographs only" in rows[0].reason


def test_a_pipeline_by_hand_does_not_say(fitted_pipeline, face_picture):
    plain = Pipeline(fitted_pipeline.steps)
    (row,) = score_pictures([face_picture], plain)
    assert row.reason.startswith("trained on pictures that it does not name;")


def test_a_pipeline_crops_as_its_aligner():
    aligned = make_fakespotter(
        "toy_image", align=False, classifier=LogisticRegression(), device="cpu"
    ).fit(*make_pictures(8, random_state=0))
    aligner = FaceAligner(detector=Path("faces.onnx"), padding=0.5)
    (group,) = make_panel(Pipeline([("align", aligner), *aligned.steps[1:]]))
    assert group.cropping == aligner.cropping  # which names its file by a str


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_killed_and_gone_on_with(folder, small_detector, tmp_path_factory, monkeypatch, suffix):
    """What was scored is not looked at again, but for the last picture; nothing is lost."""
    from skfakespotter.detectors import _scoring

    monkeypatch.setattr(_scoring, "BATCH", 1)
    out, seen, read = tmp_path_factory.mktemp("out") / f"scores{suffix}", [], _scoring.read_faces

    def watch(picture, cropping):
        seen.append(picture.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return read(picture, cropping)

    monkeypatch.setattr(_scoring, "read_faces", watch)
    with pytest.raises(KeyboardInterrupt):
        score_pictures(folder, small_detector, out=out)
    rows = score_pictures(folder, small_detector, out=out)
    assert seen == ["a_one.png", "b_two.png", "c_none.png", "b_two.png", "c_none.png",
                    "d_broken.png"]  # fmt: skip
    assert list(rows) == score_pictures(folder, small_detector)
    again = score_pictures(folder, small_detector, out=out)
    assert seen[-1:] == ["d_broken.png"]  # the last one only
    assert len(again) == 5
    with pytest.raises(ValueError, match="written with"):
        score_pictures(folder, small_detector, fpr=0.05, out=out)


def test_frames_of_clips_are_pictures(small_detector, face_picture, tmp_path):
    """Thirty frames in three seconds: one a second is looked at; a broken clip has its row."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for _ in range(30):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(face_picture, "rgb24")))
        clip.mux(stream.encode())
    (tmp_path / "dead.mp4").write_text("no clip")
    rows = score_pictures(tmp_path, small_detector)
    assert [row.picture.rpartition("/")[2] for row in rows] == [
        "clip.mp4#t=0.00", "clip.mp4#t=1.00", "clip.mp4#t=2.00", "dead.mp4",
    ]  # fmt: skip
    assert [row.status for row in rows] == ["scored", "scored", "scored", "unreadable"]
    out = tmp_path / "scores.csv"
    assert list(score_pictures(tmp_path, small_detector, out=out)) == rows
    text = out.read_text()
    out.write_text(text[: text.index("clip.mp4#t=2") + 20])  # killed within the clip
    assert list(score_pictures(tmp_path, small_detector, out=out)) == rows


def test_one_sentence_for_all_detectors(folder, small_detector):
    sure = dataclasses.replace(with_calibration(small_detector, -1000.0, -900.0), name="sure")
    rows = score_pictures([folder / "a_one.png"], [small_detector, sure])
    assert summarize(rows) == "resembles the fakes of toys (p = 0.005); looked for 2 families"
    (rows,) = score_each([folder / "c_none.png"], small_detector)
    assert summarize(rows) == "cannot say: no face was found"


@pytest.mark.parametrize("options", [{"fpr": 0}, {"fpr": 1.0}, {"on_error": "skip"}])
@pytest.mark.parametrize("function", [score_pictures, score_each])
def test_other_options_are_refused_at_once(function, options, small_detector, tmp_path):
    """Also by `score_each`, which opens nothing before it is iterated over."""
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter of score_"):
        function([tmp_path / "missing.png"], small_detector, **options)


def test_evaluate_detector(folder, small_detector, face_picture):
    X = [face_picture, face_picture[:, ::-1].copy(), folder / "c_none.png", face_picture]
    with pytest.warns(UserWarning, match="2 items hold real items and 1 hold fakes"):
        found = evaluate_detector(small_detector, X, ["real", "fake", "fake", "real"])
    assert found.n_without == 1
    assert found.figures.n_samples == 3
    assert set(found.shares) == {"real", "fake"}
    assert "verdicts at a promised 0.01" in str(found)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fpr": 0}, "'fpr' parameter of score_pictures must be a float in"),
        ({"on_error": "ignore"}, "'on_error' parameter of score_pictures must be a str among"),
        ({"detectors": "nobody"}, "name is 'nobody'"),
        ({"detectors": []}, "expected one or more"),
    ],
)
def test_bad_parameters(face_picture, params, message):
    with pytest.raises(ValueError, match=message):
        score_pictures([face_picture], **params)


@pytest.mark.parametrize("finder", ["dlib", "centerface"])
def test_faces_are_found_as_in_training(face_picture, small_detector, finder):
    cropping = dataclasses.replace(small_detector.cropping, detector=finder)
    detector = dataclasses.replace(small_detector, cropping=cropping)
    (row,) = score_pictures([face_picture], detector)
    (found,) = find_faces(face_picture, finder)
    assert row.box == tuple(round(float(edge), 1) for edge in found.box)
    expected = detector.decision_function([face_picture])[0]
    assert row.score == pytest.approx(expected, abs=1e-5)
