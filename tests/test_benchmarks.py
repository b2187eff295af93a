"""The benchmarks: a report from generated pictures, end to end, and the parts it is made of."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.svm import SVC

from skfakespotter import NeuronCoverageTransformer, make_pictures
from skfakespotter.leakage._duplicates import perceptual_hash

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PAIRS = ("stgan_eyeglasses", "stgan_mouth_open")  # they share photographs
N = 24  # pictures of a pair


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    X, y = make_pictures(3 * N // 2 * 2, size=64, random_state=0)
    reals, fakes = X[y == 0], X[y == 1]
    for number, pair in enumerate(PAIRS):
        for kind, pictures in (("real", reals), ("fake", fakes[number * N // 2 :])):
            (folder / pair / kind).mkdir(parents=True)
            for i in range(N // 2):
                Image.fromarray(pictures[i]).save(folder / pair / kind / f"{i:03}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The benchmark, run once: its report and its work folder."""
    out, work = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("work")
    result = benchmark(data, out, work)
    assert result.returncode == 0, result.stderr
    return out, work


def benchmark(data, out, work):
    options = ["--backbone", "toy_image", "--no-align", "--attacked", "12", "--n-jobs", "1"]
    command = [sys.executable, BENCHMARKS / "paper.py", "--data", data, "--out", out]
    return subprocess.run(
        [*command, "--work", work, *options], capture_output=True, text=True, check=False
    )


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def bench_of(data, work):
    from report.network import Watch
    from report.pictures import Cropping
    from report.stages import Bench
    from report.work import Work

    cropping, watch = Cropping(False, "dlib", (32, 32)), Watch("toy_image")
    return Bench(data, Work(work), list(PAIRS), cropping, watch, n_jobs=1)


def test_report_has_every_table_and_figure(run):
    out, _ = run
    text = (out / "REPORT.md").read_text()
    for heading in ("Table 2", "Figure 4", "Across generators", "Learning curves", "leaves unsaid"):
        assert heading in text
    assert "nan [" not in text
    for name in ("figure3", "figure4_attribute_editing", "matrix_channel", "learning_curves"):
        with Image.open(out / f"{name}.png") as figure:
            assert min(figure.size) > 200
    assert {file.suffix for file in out.iterdir()} == {".md", ".csv", ".png"}


def test_table_2_has_eleven_figures_of_each_method_and_pair(run):
    out, _ = run
    rows = rows_of(out / "table2.csv")
    methods = {row["method"] for row in rows}
    assert len(methods) == 20
    assert len(rows) == 20 * 11 * len(PAIRS)
    auc = [row for row in rows if row["figure"] == "AUC"]
    assert all(0 <= float(r["low"]) <= float(r["value"]) <= float(r["high"]) <= 1 for r in auc)
    # what the pictures differ in is made to be found
    best = max(float(row["value"]) for row in auc)
    assert best > 0.9


def test_figure_4_has_all_attacks_and_its_drops_add_up(run):
    out, _ = run
    rows = rows_of(out / "figure4.csv")
    assert len(rows) == len(PAIRS) * 9 * 30
    for row in rows[::17]:
        drop = float(row["clean"]) - float(row["score"])
        assert float(row["drop"]) == pytest.approx(drop)


def test_a_second_run_computes_nothing_and_writes_the_same(data, run, tmp_path):
    out, work = run
    times = {file: file.stat().st_mtime_ns for file in work.rglob("*.npz")}
    assert benchmark(data, tmp_path, work).returncode == 0
    assert {file: file.stat().st_mtime_ns for file in work.rglob("*.npz")} == times
    for name in ("table2.csv", "figure4.csv", "matrix.csv"):
        assert (tmp_path / name).read_text() == (out / name).read_text()


def test_counts_equal_those_of_a_transformer_fitted_in_each_fold(data, run):
    faces = bench_of(data, run[1]).sets[PAIRS[0]]
    for fold, (train, test) in enumerate(faces.folds):
        assert not set(faces.groups[train]) & set(faces.groups[test])
        for block in ("channel", "layer"):
            coverage = NeuronCoverageTransformer("toy_image", granularity=block)
            coverage.fit(faces.chips[train])
            expected = coverage.transform(faces.chips)
            np.testing.assert_array_equal(faces.features(block)(fold), expected)
    zero = NeuronCoverageTransformer("toy_image", granularity="channel", threshold=0.0)
    expected = zero.fit(faces.chips).transform(faces.chips)
    np.testing.assert_array_equal(faces.features("global")(0), expected)


def test_detectors_across_pairs_have_not_seen_the_photographs(data, run):
    from report.stages import N_FOLDS, _plan

    train, test = (bench_of(data, run[1]).sets[pair] for pair in PAIRS)
    plan = _plan(train, test.groups)
    for fold, group in zip(plan, test.groups, strict=True):
        seen, _ = train.folds[fold]
        assert group not in train.groups[seen]
    strangers = np.array(["other/photo/1", "other/photo/2"])
    assert _plan(train, strangers).tolist() == [N_FOLDS, N_FOLDS]


def test_each_picture_is_counted_at_its_own_thresholds():
    from report.network import Watch, observe

    X, _ = make_pictures(6, size=32, random_state=0)
    levels = np.linspace(-0.5, 0.5, 18).reshape(6, 3)
    together = observe(Watch("toy_image"), X, levels[None], n_jobs=1)["counts"]
    alone = observe(Watch("toy_image"), X, levels, n_jobs=1)["counts"]
    for i in range(6):
        np.testing.assert_array_equal(together[0, i], alone[i, i])


def test_fast_kernel_is_scikit_learns():
    from report.detectors import fast_rbf

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 20)), np.arange(60) % 2
    X[y == 1, :4] += 1
    ours = SVC(C=10, kernel=fast_rbf).fit(X, y).decision_function(X)
    theirs = SVC(C=10, gamma="auto").fit(X, y).decision_function(X)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_perturbed_copies_are_trained_on_with_their_picture_and_never_tested():
    from report.detectors import with_copies

    rows, labels = with_copies(np.array([0, 2]), np.array([0, 1, 1]), 6)
    assert rows.tolist() == [0, 2, 3, 5]
    assert labels.tolist() == [0, 1, 1, 0, 1, 1]


def test_near_duplicates_become_one_group():
    from report.pictures import join_copies

    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(4, 8, 8)).repeat(12, 1).repeat(12, 2)
    pictures[3] = pictures[1] + 0.01 * rng.normal(size=(96, 96))
    hashes = np.array([perceptual_hash(picture) for picture in pictures])
    groups, n_joined = join_copies(np.array(["a", "b", "c", "d"]), hashes)
    assert groups.tolist() == ["a", "b", "c", "b"]
    assert n_joined == 2


def test_results_of_other_options_are_not_mixed(tmp_path):
    from report.work import Work

    Work(tmp_path).claim(n_attacked=12, cropping=(True, "dlib"))
    Work(tmp_path).claim(n_attacked=12, cropping=(True, "dlib"))
    with pytest.raises(ValueError, match=r"holds results .*'n_attacked': 12.*'n_attacked': 20"):
        Work(tmp_path).claim(n_attacked=20, cropping=(True, "dlib"))


def test_unfinished_stages_leave_nothing_behind(tmp_path):
    from report.work import Work, run_stages

    work, done = Work(tmp_path), []

    def stage(name, fails=False):
        def compute():
            done.append(name)
            if fails:
                raise RuntimeError("interrupted")
            work.save(name, value=1)

        return name, 1, compute

    with pytest.raises(RuntimeError, match="interrupted"):
        run_stages(work, [stage("a"), stage("b", fails=True)])
    run_stages(work, [stage("a"), stage("b")])
    assert done == ["a", "b", "b"]
    assert list(work.seconds()) == ["a", "b"]
