import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    load_coverage_sample,
    load_folders,
    make_pictures,
)


@pytest.fixture
def folders(tmp_path):
    for name, stems in {"real": ["b", "a"], "fake": ["a", "c", "d"]}.items():
        (tmp_path / name / "sub").mkdir(parents=True)
        for stem in stems:
            Image.new("RGB", (20, 20)).save(tmp_path / name / f"{stem}.png")
    (tmp_path / "fake" / "notes.txt").write_text("no picture")
    (tmp_path / "fake" / ".hidden.png").write_text("")
    return tmp_path


def test_folders_give_paths_labels_and_groups(folders):
    with pytest.warns(UserWarning, match="left out in .*fake': 1 hidden"):
        data = load_folders(folders)
    assert [path[len(str(folders)) + 1 :] for path in data.data] == [
        "real/a.png",
        "real/b.png",
        "fake/a.png",
        "fake/c.png",
        "fake/d.png",
    ]
    assert data.target.tolist() == [0, 0, 1, 1, 1]
    assert data.groups.tolist() == ["a", "b", "a", "c", "d"]
    assert data.target_names[data.target[-1]] == "fake"


def test_missing_and_empty_folders_are_named(folders):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*forged"):
        load_folders(folders, fake="forged")
    with pytest.raises(ValueError, match=r"no pictures in .*sub"):
        load_folders(folders, real="real/sub")


def test_pictures_are_reproducible_and_balanced():
    X, y = make_pictures(11, size=32, random_state=1)
    again = make_pictures(11, size=32, random_state=1)
    assert X.shape == (11, 32, 32, 3)
    assert X.dtype == np.uint8
    assert y.sum() == 5
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(X, make_pictures(11, size=32, random_state=2)[0])


def test_pictures_leave_the_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    make_pictures(2, size=16, random_state=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_generated_grid_shows_in_the_spectrum_and_the_cameras_does_not():
    """The uneven kernel alternates by pixel: it must peak at the highest frequency."""
    X, y = make_pictures(40, size=64, random_state=0)
    gray = X.mean(3) - X.mean((1, 2, 3))[:, None, None]
    corner = np.abs(np.fft.fft2(gray))[:, 32, 32]
    assert corner[y == 1].min() > 2 * np.median(corner[y == 0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 31}, "size is 31: expected an even"),
        ({"size": 14}, r"'size' parameter of make_pictures must be an int in .* Got 14"),
        ({"n_samples": 1}, "'n_samples' parameter of make_pictures must be an int in"),
        ({"n_samples": 4.0}, "'n_samples' parameter of make_pictures must be an int in"),
        ({"strength": -1}, "'strength' parameter of make_pictures must be a float in"),
    ],
)
def test_bad_parameters_of_make_pictures(params, message):
    with pytest.raises(ValueError, match=message):
        make_pictures(**params)


@pytest.mark.parametrize(("granularity", "n_features"), [("layer", 30), ("channel", 3680)])
def test_sample_has_what_it_promises(granularity, n_features):
    sample = load_coverage_sample(granularity)
    n = len(sample.target)
    assert sample.data.shape == (n, n_features)
    assert len(sample.feature_names) == n_features
    for column in ("pair", "kind", "generator", "groups", "split"):
        assert sample[column].shape == (n,)
    assert len(np.unique(sample.pair)) == 7
    assert len(np.unique(sample.kind)) == 4
    assert set(np.unique(sample.target)) == {0, 1}
    assert "stylegan: 800 real" in sample.DESCR


def test_split_keeps_photographs_apart():
    sample = load_coverage_sample()
    train = set(sample.groups[sample.split == "train"])
    test = set(sample.groups[sample.split == "test"])
    assert len(test) > 500
    assert not train & test


def test_channel_counts_add_up_to_the_layer_counts():
    """Both tables hold the same pictures' counts at the same thresholds."""
    layer, channel = load_coverage_sample(), load_coverage_sample("channel")
    starts = np.r_[0, np.cumsum(channel.n_channels)[:-1]]
    sums = {tuple(row) for row in np.add.reduceat(channel.data, starts, axis=1)}
    assert sums <= {tuple(row) for row in layer.data}
    assert (layer.data <= layer.n_neurons).all()


def test_rows_can_be_chosen():
    sample = load_coverage_sample(pair=["pggan", "faceswap"], split="test")
    assert set(sample.pair) == {"pggan", "faceswap"}
    assert set(sample.split) == {"test"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"granularity": "unit"},
            "The 'granularity' parameter of load_coverage_sample must be a str among",
        ),
        ({"pair": "biggan"}, r"pair is \['biggan'\]: expected from \['faceswap'"),
        ({"split": "valid"}, "The 'split' parameter of load_coverage_sample must be a str among"),
    ],
)
def test_unknown_choices(params, message):
    with pytest.raises(ValueError, match=message):
        load_coverage_sample(**params)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_transformer_behind_the_table_scores_new_pictures(granularity):
    from skimage.data import astronaut

    sample = load_coverage_sample(granularity, pair="stylegan", split="train")
    transformer = sample.transformer(device="cpu")
    assert isinstance(transformer, NeuronCoverageTransformer)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(sample.data, sample.target)
    detector = make_pipeline(FaceAligner(), transformer, *[step for _, step in model.steps])
    assert 0 < detector.predict_proba([astronaut()])[0, 1] < 1
    with pytest.raises(ValueError, match=r"\['granularity'\] are fixed by the table"):
        sample.transformer(granularity="layer")


def test_transformer_reproduces_the_table(faces_dir):
    """The shipped counts are what this code measures on the pictures they came from."""
    sample = load_coverage_sample(pair="stgan_eyeglasses")
    data = load_folders(faces_dir / "stgan_eyeglasses")
    chosen = [0, 1, len(data.data) - 1]
    groups = [f"stgan/{data.groups[i]}" for i in chosen]
    faces = FaceAligner().transform([data.data[i] for i in chosen])
    counts = sample.transformer(device="cpu").transform(faces)
    for group, target, row in zip(groups, data.target[chosen], counts, strict=True):
        expected = sample.data[(sample.groups == group) & (sample.target == target)]
        assert len(expected) == 1
        # landmarks differ in the last digit with the batch, and so neurons at the threshold
        np.testing.assert_allclose(row, expected[0], rtol=1e-3, atol=3)


def test_sample_tells_real_from_fake():
    train = load_coverage_sample(pair="stylegan", split="train")
    test = load_coverage_sample(pair="stylegan", split="test")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    scores = model.fit(train.data, train.target).predict_proba(test.data)[:, 1]
    assert roc_auc_score(test.target, scores) > 0.85


def touch(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


FRAMES = [
    *(f"real/{video}/{k:04d}.png" for video in ("000", "003", "005", "010") for k in range(3)),
    *(f"fake/{video}/{k:04d}.png" for video in ("000_003", "003_000", "005_010") for k in range(3)),
]


@pytest.mark.parametrize("between", ["", "frames/"])
def test_frames_in_folders_are_grouped_by_connected_videos(tmp_path, between):
    names = [name[:-8] + between + name[-8:] for name in FRAMES]
    with pytest.warns(UserWarning, match="took the folder as the video: 21 pictures in 2 groups"):
        data = load_folders(touch(tmp_path, names))
    by_video = {path.removesuffix(".png").split("/")[-2 - bool(between)] for path in data.data}
    assert by_video == {"000", "003", "005", "010", "000_003", "003_000", "005_010"}
    expected = ["005" if "005" in path or "010" in path else "000" for path in data.data]
    assert data.groups.tolist() == expected


def test_frames_in_one_folder_are_grouped_by_what_stands_before_their_number(tmp_path):
    names = [name[:5] + name[5:].replace("/", "_frame") for name in FRAMES]
    assert "fake/000_003_frame0001.png" in names
    with pytest.warns(UserWarning, match="took the name before the last number as the video"):
        data = load_folders(touch(tmp_path, names))
    assert set(data.groups) == {"000", "005"}
    assert [group for group, path in zip(data.groups, data.data, strict=True) if "010" in path] == (
        ["005"] * 6
    )


def test_identities_of_celeb_df_are_read(tmp_path):
    clips = ["real/id0_0000", "real/id1_0003", "real/id2_0001", "fake/id0_id1_0000"]
    with pytest.warns(UserWarning, match="8 pictures in 2 groups") as warned:
        data = load_folders(touch(tmp_path, [f"{clip}/{k}.jpg" for clip in clips for k in (5, 9)]))
    assert warned[0].filename == __file__
    assert data.groups.tolist() == ["id0"] * 4 + ["id2"] * 2 + ["id0"] * 2


@pytest.mark.parametrize(
    "names",
    [
        ["real/0001.png", "real/0002.png", "fake/0001.png", "fake/0003.png"],
        ["real/img_1.png", "real/img_2.png", "fake/seed1.png", "fake/seed2.png"],
        ["real/a7f3.png", "real/b912.png", "fake/c04d1.png", "fake/d77e2.png"],
        ["real/12_1.png", "real/34_1.png", "fake/12_2.png", "fake/56_2.png"],
    ],
)
def test_photographs_keep_their_stems_and_nothing_is_guessed(tmp_path, names):
    data = load_folders(touch(tmp_path, names))
    assert data.groups.tolist() == [
        name.split("/")[1][:-4] for name in sorted(names, key=lambda n: (n[0] == "f", n))
    ]


def test_one_picture_a_swap_joins_its_two_photographs(tmp_path):
    names = ["real/000.png", "real/003.png", "real/007.png", "fake/000_003.png"]
    with pytest.warns(UserWarning, match="numbers joined by _ as two identities"):
        data = load_folders(touch(tmp_path, names))
    assert data.groups.tolist() == ["000", "000", "007", "000"]


def test_groups_can_be_chosen(tmp_path):
    touch(tmp_path, FRAMES)
    assert set(load_folders(tmp_path, groups="stem").groups) == {"0000", "0001", "0002"}
    assert len(set(load_folders(tmp_path, groups="parent").groups)) == 7
    own = load_folders(tmp_path, groups=lambda path: path.split("/")[-2][:3])
    assert set(own.groups) == {"000", "003", "005", "010"}
    touch(tmp_path, ["fake/alone.png"])
    with pytest.raises(ValueError, match=r"'parent': expected pictures in subfolders; 'alone.png'"):
        load_folders(tmp_path, groups="parent")
    with pytest.raises(
        ValueError, match="The 'groups' parameter of load_folders must be a str among"
    ):
        load_folders(tmp_path, groups="folder")
