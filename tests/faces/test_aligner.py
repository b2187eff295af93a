"""FaceAligner and the search for faces, on a real photograph (scikit-image's astronaut)."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags

from skfakespotter import FaceAligner, ImageError, NeuronCoverageTransformer, faces
from skfakespotter.faces import Face, crop_face

data = pytest.importorskip("skimage.data")
find_faces = partial(faces.find_faces, detector="centerface")
BOX = (181, 63, 272, 175)  # of the astronaut's face


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()


@pytest.fixture(scope="module")
def blank():
    return np.full((200, 300, 3), 90, np.uint8)


@pytest.fixture
def broken(tmp_path, photo):
    """One good file and every kind of bad one."""
    good = tmp_path / "good.jpg"
    Image.fromarray(photo).save(good, quality=95)
    files = {name: tmp_path / f"{name}.jpg" for name in ("truncated", "text", "dot", "missing")}
    files["truncated"].write_bytes(good.read_bytes()[:20_000])
    files["text"].write_text("<html>not a picture</html>")
    Image.new("RGB", (1, 1)).save(files["dot"])
    return {"good": good, **files}


def overlap(a, b):
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (area - both)


def resized(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


# --- crops ----------------------------------------------------------------------------


def test_defaults_are_the_networks_input(photo):
    chips = FaceAligner("centerface").fit_transform([photo])
    assert chips.shape == (1, 150, 150, 3)
    assert chips.dtype == np.uint8
    np.testing.assert_array_equal(
        chips, FaceAligner("centerface", size=150, padding=0.25).transform([photo])
    )


def test_chip_is_upright(photo):
    """A picture rotated by 15 degrees gives nearly the same chip as the upright one."""
    turned = np.asarray(Image.fromarray(photo).rotate(15, Image.Resampling.BICUBIC))
    upright, corrected = FaceAligner("centerface").transform([photo, turned]).astype(float)
    wrong = crop_face(turned, find_faces(turned)[0], template="vggface2", size=150).astype(float)
    inner = slice(30, 120)
    error = np.abs(upright - corrected)[inner, inner].mean()
    assert error < 22
    assert error < 0.6 * np.abs(upright - wrong)[inner, inner].mean()


# --- several faces, none --------------------------------------------------------------


def test_largest_of_two_faces_is_taken(photo):
    crop = photo[40:232, 130:322]
    pair = np.zeros((400, 700, 3), np.uint8)
    pair[100:292, 20:212] = crop
    pair[10:394, 300:684] = resized(crop, 384)
    first, second = find_faces(pair)
    assert first.box[0] > 300 > second.box[2]
    (record,) = FaceAligner("centerface").locate([pair])
    assert record.n_faces == 2
    assert (record.box, record.landmarks, record.score) == (first.box, first.landmarks, first.score)
    np.testing.assert_array_equal(
        FaceAligner("centerface").transform([pair])[0], crop_face(pair, first)
    )


def test_no_face_raises_and_names_the_picture(tmp_path, photo, blank):
    path = tmp_path / "wall.png"
    Image.fromarray(blank).save(path)
    with pytest.raises(
        ImageError, match=r"X\[1\] \('.*wall\.png'\): has no face.*on_missing='center'"
    ):
        FaceAligner("centerface").transform([photo, path])
    with pytest.raises(ImageError, match=r"^X\[0\]: has no face"):
        FaceAligner("centerface").transform([blank])


def test_no_face_falls_back_to_the_center(photo, blank):
    gradient = blank.copy()
    gradient[:, :, 0] = np.linspace(0, 255, 300).astype(np.uint8)
    found, missing = FaceAligner("centerface", on_missing="center").transform([photo, gradient])
    np.testing.assert_array_equal(found, FaceAligner("centerface").transform([photo])[0])
    assert missing[:, :, 1:].min() == missing[:, :, 1:].max() == 90
    # the middle 200 of 300 columns
    np.testing.assert_allclose(missing[75, [0, -1], 0], [255 / 6, 255 * 5 / 6], atol=2)


def test_center_of_a_tiny_picture_is_refused_by_name(photo):
    with pytest.raises(ImageError, match=r"X\[1\]: is 4x4 pixels; expected at least 16x16"):
        FaceAligner("centerface", on_missing="center").transform(
            [photo, np.zeros((4, 4, 3), np.uint8)]
        )


# --- locate ---------------------------------------------------------------------------


def test_locate_reports_every_picture(broken, blank):
    pictures = [*broken.values(), blank]
    records = FaceAligner("centerface").locate(pictures)
    assert [record.index for record in records] == list(range(len(pictures)))
    assert [record.path for record in records] == [*map(str, broken.values()), None]
    status = dict(zip([*broken, "blank"], records, strict=True))
    assert {name: record.status for name, record in status.items()} == {
        "good": "found",
        "truncated": "unreadable",
        "text": "unreadable",
        "dot": "missing",
        "missing": "unreadable",
        "blank": "missing",
    }
    assert "truncated" in status["truncated"].reason
    assert "cannot be read" in status["text"].reason
    assert status["missing"].reason == "no such file"
    assert status["good"].reason is status["dot"].reason is status["dot"].box is None
    assert status["good"].n_faces >= 1
    assert overlap(status["good"].box, BOX) > 0.65  # JPEG may move it by a step of the search


@pytest.mark.parametrize("name", ["truncated", "text", "missing"])
def test_transform_refuses_an_unreadable_file_by_name(broken, name):
    with pytest.raises(ImageError, match=rf"X\[1\] \('.*{name}\.jpg'\)"):
        FaceAligner("centerface", on_missing="center").transform([broken["good"], broken[name]])


def test_records_tell_which_pictures_to_keep(photo, blank):
    pictures = [blank, photo, blank]
    records = FaceAligner("centerface").locate(pictures)
    usable = [p for p, r in zip(pictures, records, strict=True) if r.status == "found"]
    assert len(FaceAligner("centerface").transform(usable)) == 1


# --- formats --------------------------------------------------------------------------


def test_exif_rotation_is_applied(tmp_path, photo):
    path = tmp_path / "phone.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(np.rot90(photo)).save(path, exif=exif)
    (record,) = FaceAligner("centerface").locate([path])
    assert overlap(record.box, BOX) > 0.95
    aligner = FaceAligner("centerface")
    np.testing.assert_array_equal(aligner.transform([path]), aligner.transform([photo]))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_other_modes_are_converted(photo, mode):
    picture = Image.fromarray(photo).convert(mode)
    (record,) = FaceAligner("centerface").locate([picture])
    assert overlap(record.box, BOX) > 0.65
    assert FaceAligner("centerface").transform([picture]).shape == (1, 150, 150, 3)


def test_memory_layout_does_not_matter(photo):
    mirrored = photo[:, ::-1]  # negative strides
    frozen = photo.copy()
    frozen.flags.writeable = False
    expected = FaceAligner("centerface").transform([photo, np.ascontiguousarray(mirrored)])
    for first in (photo, np.asfortranarray(photo), frozen):
        np.testing.assert_array_equal(
            FaceAligner("centerface").transform([first, mirrored]), expected
        )


# --- parallel -------------------------------------------------------------------------


def test_processes_give_the_same(photo, blank):
    pictures = [photo[i:, i:] for i in range(0, 36, 2)]  # two chunks
    one, two = FaceAligner("centerface"), FaceAligner("centerface", n_jobs=2)
    np.testing.assert_array_equal(one.transform(pictures), two.transform(pictures))
    assert one.locate([*pictures, blank]) == two.locate([*pictures, blank])
    with pytest.raises(ImageError, match=r"X\[17\]: has no face"):
        two.transform([*pictures[:17], blank, photo])


def test_threads_give_the_same(photo):
    """A detector shared by threads would crash the interpreter."""
    pictures = [photo[i:, i:] for i in range(0, 40, 4)]
    expected = [find_faces(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_faces, pictures)) == expected
    with parallel_config(backend="threading", n_jobs=3):
        records = FaceAligner("centerface").locate(pictures)
    assert [r.box for r in records] == [f[0].box if f else None for f in expected]


def test_nothing_of_dlib_is_pickled(photo):
    aligner = FaceAligner("centerface", size=96)
    before = aligner.transform([photo])
    stored = pickle.dumps(aligner)
    assert len(stored) < 500
    assert vars(pickle.loads(stored)).keys() == vars(clone(aligner)).keys()
    np.testing.assert_array_equal(pickle.loads(stored).transform([photo]), before)
    face = find_faces(photo)[0]
    assert pickle.loads(pickle.dumps(face)) == face


def test_progress_bar(photo, capsys):
    FaceAligner("centerface", verbose=1).transform([photo])
    assert "faces: 100%" in capsys.readouterr().err


# --- scikit-learn ---------------------------------------------------------------------


def test_works_without_fit_and_says_so(photo):
    aligner = FaceAligner("centerface")
    assert aligner.fit() is aligner
    tags = get_tags(aligner)
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string
    assert clone(FaceAligner("centerface", template="arcface", n_jobs=2)).get_params() == {
        "detector": "centerface",
        "template": "arcface",
        "size": None,
        "padding": 0.25,
        "on_missing": "raise",
        "lazy": False,
        "device": "auto",
        "n_jobs": 2,
        "verbose": 0,
    }


def test_pipeline_makes_tables_after_the_pictures(photo):
    pipeline = Pipeline(
        [("align", FaceAligner("centerface")), ("coverage", NeuronCoverageTransformer("toy_image"))]
    )
    plain = pipeline.fit_transform([photo])
    table = pipeline.set_output(transform="pandas").transform([photo])
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(pipeline.get_feature_names_out())
    np.testing.assert_array_equal(table, plain)
    with config_context(transform_output="pandas"):
        assert isinstance(FaceAligner("centerface").transform([photo]), np.ndarray)
        assert isinstance(pipeline.transform([photo]), pd.DataFrame)


def test_parameters_can_be_searched(photo):
    pipeline = make_pipeline(FaceAligner("centerface"), NeuronCoverageTransformer("toy_image"))
    pipeline.set_params(facealigner__template="arcface", facealigner__size=64)
    assert pipeline[0].transform([photo]).shape == (1, 64, 64, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "mtcnn"}, "The 'detector' parameter of FaceAligner must be one of"),
        (
            {"detector": None},
            "The 'detector' parameter of FaceAligner must be an instance of 'str'",
        ),
        ({"template": "dlip"}, "The 'template' parameter of FaceAligner must be a str among"),
        ({"on_missing": "drop"}, "The 'on_missing' parameter of FaceAligner must be a str among"),
        ({"on_missing": "nan"}, r"on_missing is 'nan': expected lazy=True with it"),
        ({"size": 15}, r"The 'size' parameter of FaceAligner must be .*in the range \[16, inf\)"),
        ({"size": 150.0}, r"The 'size' parameter of FaceAligner .* Got 150\.0"),
        ({"padding": -0.1}, r"The 'padding' parameter of FaceAligner .*in the range \[0"),
        ({"padding": "wide"}, r"The 'padding' parameter of FaceAligner .* Got 'wide'"),
        ({"padding": float("nan")}, r"The 'padding' parameter of FaceAligner .* Got nan"),
        ({"lazy": 2}, r"The 'lazy' parameter of FaceAligner .* Got 2"),
        (
            {"detector": "centerface", "device": "abacus"},
            r"device is 'abacus': expected 'auto', 'cpu'",
        ),
    ],
)
def test_bad_options_are_named(photo, options, message):
    calls = [FaceAligner.transform, FaceAligner.locate]
    for call in calls if "device" in options else [FaceAligner.fit, *calls]:
        with pytest.raises(ValueError, match=message):
            call(FaceAligner(**options), [photo])


@pytest.mark.parametrize("method", ["transform", "locate"])
def test_input_must_be_a_sequence_of_pictures(method, photo):
    with pytest.raises(TypeError, match=r"X is a single str: pass \[X\]"):
        getattr(FaceAligner("centerface"), method)("face.jpg")
    with pytest.raises(ValueError, match="X holds no pictures"):
        getattr(FaceAligner("centerface"), method)([])
    with pytest.raises(ValueError, match="a single picture"):
        getattr(FaceAligner("centerface"), method)(photo)


def test_faces_at_the_edge_are_cropped(photo):
    """A face half outside the picture still gives a whole chip, black beyond the edge."""
    (face,) = find_faces(photo)
    moved = Face(
        tuple(np.subtract(face.box, [200, 0, 200, 0])),
        tuple((x - 200, y) for x, y in face.landmarks),
        face.score,
        face.scheme,
    )
    chip = crop_face(np.ascontiguousarray(photo[:, 200:]), moved)
    assert chip.shape == (150, 150, 3)
    assert chip[:, 0].max() == 0
    assert chip[:, -20].max() > 0
