"""Trees of data sets, made of empty files: nothing is opened."""

import json

import numpy as np
import pytest

from skfakespotter import load_clips
from skfakespotter.evaluation import within_pair


def make_tree(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def stems(clips):
    return [path.replace("\\", "/").rsplit("/", 1)[1].split(".")[0] for path in clips.data]


FACEFORENSICS = [
    "original_sequences/youtube/c23/videos/033.mp4",
    "original_sequences/youtube/c23/videos/097.mp4",
    "original_sequences/youtube/c40/videos/033.mp4",
    "original_sequences/youtube/c23/videos/500.mp4",
    "original_sequences/actors/c23/videos/01__walking.mp4",
    "manipulated_sequences/Deepfakes/c23/videos/033_097.mp4",
    "manipulated_sequences/Deepfakes/masks/videos/033_097.mp4",
    "manipulated_sequences/FaceSwap/c23/videos/097_033.mp4",
    "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking__ABCDEFGH.mp4",
]


class TestFaceForensics:
    def test_labels_methods_groups_and_splits(self, tmp_path):
        make_tree(tmp_path, FACEFORENSICS)
        (tmp_path / "splits").mkdir()
        (tmp_path / "splits" / "train.json").write_text(json.dumps([["500", "501"]]))
        (tmp_path / "splits" / "test.json").write_text(json.dumps([["033", "097"]]))
        clips = load_clips(tmp_path)
        assert clips.layout == "faceforensics"
        rows = dict(
            zip(
                zip(stems(clips), clips.method.tolist(), clips.compression.tolist(), strict=True),
                zip(
                    clips.target.tolist(), clips.groups.tolist(), clips.split.tolist(), strict=True
                ),
                strict=True,
            )
        )
        assert rows == {  # no masks
            ("033", "real", "c23"): (0, "033", "test"),
            ("033", "real", "c40"): (0, "033", "test"),
            ("097", "real", "c23"): (0, "033", "test"),
            ("500", "real", "c23"): (0, "500", "train"),
            ("01__walking", "real", "c23"): (0, "actors/01", ""),
            ("033_097", "Deepfakes", "c23"): (1, "033", "test"),
            ("097_033", "FaceSwap", "c23"): (1, "033", "test"),
            ("01_02__walking__ABCDEFGH", "DeepFakeDetection", "c23"): (1, "actors/01", ""),
        }

    def test_keeps_what_is_asked_for(self, tmp_path):
        make_tree(tmp_path, FACEFORENSICS)
        clips = load_clips(tmp_path, methods="FaceSwap", compression="c23")
        assert sorted(clips.method.tolist()) == ["FaceSwap", "real", "real", "real", "real"]
        # the Deepfakes clip is left out, and the identities it joins are joined all the same
        only = load_clips(tmp_path, methods=[], compression="c23")
        assert dict(zip(stems(only), only.groups.tolist(), strict=True))["097"] == "033"
        with pytest.raises(ValueError, match=r"no clip .* matches.*'compression'.*c23.*c40"):
            load_clips(tmp_path, compression="raw")

    def test_frames_of_one_clip_are_one_clip(self, tmp_path):
        base = "original_sequences/youtube/c23"
        make_tree(tmp_path, [f"{base}/frames/033/{i:03d}.png" for i in range(3)])
        fake = "manipulated_sequences/Deepfakes/c23/frames/033_097"
        make_tree(tmp_path, [f"{fake}/{i:03d}.png" for i in range(3)])
        clips = load_clips(tmp_path)
        assert stems(clips) == ["033", "033_097"]
        assert clips.groups.tolist() == ["033", "033"]
        make_tree(tmp_path, [f"{base}/videos/033.mp4"])  # the same clip: not listed twice
        assert load_clips(tmp_path).data[0].endswith("033.mp4")

    def test_folds_keep_the_identities_of_a_swap_together(self, tmp_path):
        from sklearn.dummy import DummyClassifier

        pairs = [(2 * i, 2 * i + 1) for i in range(10)]
        names = [f"original_sequences/youtube/c23/videos/{n:03d}.mp4" for n in range(20)]
        for a, b in pairs:
            names.append(f"manipulated_sequences/Deepfakes/c23/videos/{a:03d}_{b:03d}.mp4")
            names.append(f"manipulated_sequences/Deepfakes/c23/videos/{b:03d}_{a:03d}.mp4")
        make_tree(tmp_path, names)
        clips = load_clips(tmp_path)
        result = within_pair(DummyClassifier(), clips.data, clips.target, groups=clips.groups)
        for group in set(clips.groups.tolist()):
            assert len(set(result.folds[clips.groups == group])) == 1
        assert len(set(clips.groups.tolist())) == 10


class TestOtherLayouts:
    def test_celebdf(self, tmp_path):
        names = [
            "Celeb-real/id0_0000.mp4",
            "Celeb-real/id2_0001.mp4",
            "Celeb-real/id9_0001.mp4",
            "YouTube-real/00000.mp4",
            "Celeb-synthesis/id0_id2_0000.mp4",
        ]
        make_tree(tmp_path, names)
        assert load_clips(tmp_path).split.tolist() == [""] * 5
        (tmp_path / "List_of_testing_videos.txt").write_text(
            "1 YouTube-real/00000.mp4\n0 Celeb-synthesis/id0_id2_0000.mp4\n"
        )
        clips = load_clips(tmp_path)
        assert clips.layout == "celebdf"
        assert clips.target.tolist() == [0, 0, 0, 0, 1]
        assert clips.groups.tolist() == ["id0", "id0", "id9", "YouTube/00000", "id0"]
        assert clips.split.tolist() == ["train", "train", "train", "test", "test"]
        assert load_clips(tmp_path, split="test").target.tolist() == [0, 1]

    def test_dfdc(self, tmp_path):
        part = tmp_path / "dfdc_train_part_0"
        make_tree(part, ["a.mp4", "b.mp4", "frames/c/000.png"])
        facts = {
            "a.mp4": {"label": "REAL", "split": "train", "original": None},
            "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
            "c.mp4": {"label": "REAL", "split": "train"},
            "lost.mp4": {"label": "FAKE", "split": "train", "original": "c.mp4"},
        }
        (part / "metadata.json").write_text(json.dumps(facts))
        with pytest.warns(UserWarning, match=r"1 clips .* such as 'lost.mp4': left out"):
            clips = load_clips(tmp_path)
        assert clips.layout == "dfdc"
        assert stems(clips) == ["a", "b", "c"]
        assert clips.target.tolist() == [0, 1, 0]
        assert clips.groups.tolist() == ["a", "a", "c"]

    def test_folders(self, tmp_path):
        names = ["real/519.MP4", "real/634.mp4", "real/.hidden.mp4", "real/notes.txt"]
        names += ["fake/519_515_deepfakes.mp4", "fake/634_660_faceswap.mov", "fake/anna_01.webm"]
        names += ["fake/.thumbnails/a.mp4", "real/515/0001.jpg", "real/515/0002.jpg"]
        make_tree(tmp_path, names)
        clips = load_clips(tmp_path)
        assert clips.layout == "folders"
        assert stems(clips) == [
            "515",
            "519",
            "634",
            "519_515_deepfakes",
            "634_660_faceswap",
            "anna_01",
        ]
        assert clips.groups.tolist() == ["515", "515", "634", "515", "634", "anna_01"]
        assert clips.method.tolist() == ["real"] * 3 + ["fake"] * 3

    def test_identities_of_your_own(self, tmp_path):
        make_tree(tmp_path, ["real/anna_01.mp4", "real/ben_01.mp4", "fake/anna_ben.mp4"])
        clips = load_clips(
            tmp_path, identities=lambda path: path.rsplit("/", 1)[1].split(".")[0].split("_")[:2]
        )
        # the second word of anna_01 is a number, of anna_ben a name
        assert clips.identities == [("anna", "01"), ("ben", "01"), ("anna", "ben")]
        assert clips.groups.tolist() == ["01", "01", "01"]
        first = load_clips(tmp_path, identities=lambda path: path.rsplit("/", 1)[1].split("_")[0])
        assert sorted(first.groups.tolist()) == ["anna", "anna", "ben"]
        with pytest.raises(ValueError, match="identities gives none for"):
            load_clips(tmp_path, identities=lambda path: ())


class TestRefuses:
    def test_names_what_was_found(self, tmp_path):
        make_tree(tmp_path, ["pictures/a.png", "notes.txt"])
        with pytest.raises(ValueError, match=r"Found: notes.txt, pictures/\. Expected one of: 'fa"):
            load_clips(tmp_path)

    def test_other_arguments(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such folder: 'no/such'"):
            load_clips("no/such")
        with pytest.raises(
            ValueError, match=r"The 'layout' parameter of load_clips must be a str among"
        ):
            load_clips(tmp_path, "ff")
        make_tree(tmp_path, ["real/notes.txt", "fake/notes.txt"])
        with pytest.raises(ValueError, match=r"no clips in .* read as 'folders': expected real/"):
            load_clips(tmp_path)


def test_real_tree(shared_dir):
    folder = shared_dir / "videos" / "faceforensics"
    if not folder.is_dir():
        pytest.skip("needs real clips")
    clips = load_clips(folder)
    methods, counts = np.unique(clips.method, return_counts=True)
    assert dict(zip(methods.tolist(), counts.tolist(), strict=True)) == {
        "Deepfakes": 29,
        "Face2Face": 16,
        "FaceSwap": 16,
        "real": 29,
    }
    for group in set(clips.groups.tolist()):
        assert (
            len(
                {
                    name
                    for i in np.flatnonzero(clips.groups == group)
                    for name in clips.identities[i]
                }
            )
            == 2
        )


@pytest.mark.parametrize("text", ["[", "[1, 2]", '{"train": ["033", "097"]}', "[" * 3000])
def test_a_list_of_pairs_that_is_none_is_named(tmp_path, text):
    make_tree(tmp_path, FACEFORENSICS)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.json").write_text(text)
    with pytest.raises(ValueError, match=r"train\.json' .*: expected a list of pairs of numbers"):
        load_clips(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read .*: expected a dict of a clip's name"),
        ('["a.mp4"]', "holds something else: expected a dict"),
        ('{"a.mp4": "FAKE"}', "holds something else: expected a dict"),
        ('{"a.mp4": {"split": "train"}}', "label of 'a.mp4' is None: expected 'FAKE' or 'REAL'"),
    ],
)
def test_a_list_of_labels_that_is_none_is_named(tmp_path, text, message):
    make_tree(tmp_path, ["part/a.mp4"])
    (tmp_path / "part" / "metadata.json").write_text(text)
    with pytest.raises(ValueError, match=rf"metadata\.json'.*{message}"):
        load_clips(tmp_path)
