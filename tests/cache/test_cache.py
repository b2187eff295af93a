"""The cache: equal results, few forward passes, and whatever happens to files."""

import errno
import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import (
    CoverageCache,
    NeuronCoverageTransformer,
    load_backbone,
    make_fakespotter,
    make_pictures,
    merge_transformers,
)
from skfakespotter.cache import _lookup, open_cache, user_cache_folder
from skfakespotter.cache._locks import KeyLocks
from skfakespotter.cache._records import DamagedRecords, Records
from skfakespotter.coverage import ExactSums, covers, hull, threshold
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.coverage._windows import window_around

Coverage = partial(NeuronCoverageTransformer, "toy_image", device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(100, size=48, random_state=0)  # small ones: to make them costs the most


@pytest.fixture
def forward(monkeypatch):
    """List the number of pictures of every forward pass."""
    seen = []
    collect = NeuronMonitor._collect

    def counted(self, x, statistic, **options):
        seen.append(len(x))
        return collect(self, x, statistic, **options)

    monkeypatch.setattr(NeuronMonitor, "_collect", counted)
    return seen


def only_group(store):
    (group,) = store._all_groups()
    return group


def same(a, b):
    np.testing.assert_array_equal(a.thresholds_, b.thresholds_)
    assert a.n_samples_seen_ == b.n_samples_seen_


# ---- what is kept ----------------------------------------------------------------------


def test_window_by_hand():
    layer = torch.nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    monitor = NeuronMonitor(torch.nn.Sequential(layer))
    x = torch.tensor([[[[1.0, 2], [3, 4]]], [[[0.0, 2], [2, 5]]]])  # and their negatives
    found = monitor.observe(x, np.float32([1.0]), np.float32([3.0]))
    assert found.sums.tolist() == [[0], [0]]
    assert found.above.tolist() == [[1, 0], [1, 0]]  # 4; 5
    assert found.starts.tolist() == [0, 2, 4]
    assert found.channels.tolist() == [0] * 4
    # the upper end belongs to the window, the lower does not
    assert sorted(found.values[:2]) == [2, 3]
    assert found.values[2:].tolist() == [2, 2]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_counts_from_a_window_equal_direct_counts(layout):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3),
        torch.nn.Conv2d(5, 4, 3),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 7),
    ).to(memory_format=layout)
    monitor = NeuronMonitor(network)
    x = torch.randn(6, 3, 8, 8).contiguous(memory_format=layout)
    low, high = np.float32([-0.3, -0.1, -0.2]), np.float32([0.2, 0.3, 0.4])
    found = monitor.observe(x, low, high)
    assert np.array_equal(found.sums, monitor.sums(x).numpy())
    at_values = found.values[found.channels < 5]
    for thresholds in (low, high, (low + high) / 2, np.float32([at_values[3], 0, 0.1])):
        by_name = dict(zip(monitor.layer_names, thresholds.tolist(), strict=True))
        for granularity in ("layer", "channel"):
            direct = monitor.counts(x, by_name, granularity).numpy()
            assert np.array_equal(found.counts(thresholds.astype(np.float64), granularity), direct)


def test_a_window_needs_float32():
    monitor = NeuronMonitor(torch.nn.Sequential(torch.nn.Linear(2, 1).double()))
    with pytest.raises(ValueError, match=r"layer '0' gives torch.float64: a cache .* float32"):
        monitor.observe(torch.ones(1, 2, dtype=torch.float64), np.float32([0]), np.float32([1]))


def test_windows():
    low, high = window_around(np.array([1.0, -2.0]), np.array([0.0, 3.0]), 10_000, 10_000)
    assert covers(low, high, np.array([1.0, -2.0]))
    assert high[1] + 2 == pytest.approx(4 * 3 * np.sqrt(2 / 10_000), rel=0.01)  # four sigma
    assert high[0] - low[0] < 1e-5
    assert covers(*window_around(np.zeros(2), np.ones(2), 2, 9), np.array([1e30, -1e30]))
    assert not covers(low, high, np.array([1.0, -2.2]))
    assert not covers(np.float32([np.inf]), np.float32([-np.inf]), np.zeros(1))
    joined = hull([(low, high), (high + 1, high + 2), (low * 0 + np.inf, low * 0 - np.inf)])
    assert np.array_equal(joined, [low, high + 2])


def test_damaged_records_are_told(tmp_path):
    CoverageCache(tmp_path)
    path = tmp_path / "a.npz"
    for content in (b"", b"PK\x03\x04 nothing", b"text"):
        path.write_bytes(content)
        with pytest.raises(DamagedRecords, match=r"a\.npz"):
            Records.load(path, "group")


# ---- exact sums ------------------------------------------------------------------------


def test_sums_are_exact_in_any_order():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 3)) * 10.0 ** rng.integers(-12, 12, (60, 3))
    rows[5], rows[6], rows[7] = 1e150, -1e150, 5e-324
    whole = ExactSums(3).add(rows)
    reference = [sum(map(Fraction, c)) for c in rows.T.tolist()]
    assert [Fraction(total, 2**1074) for total in whole.totals] == reference
    assert threshold(whole, 1).tolist() == [float(total / 60) for total in reference]
    for _ in range(5):
        order = rng.permutation(60)
        parts = [ExactSums(3).add(rows[i]) for i in np.array_split(order, 7)]
        merged = parts[0]
        for part in parts[1:]:
            merged = part.merged(merged)
        assert merged.n_pictures == 60
        assert np.array_equal(threshold(merged, 7), threshold(whole, 7))


def test_sums_deviation_and_pickle():
    rng = np.random.default_rng(1)
    rows = 1e6 + rng.standard_normal((50, 2))
    merged = ExactSums(2).add(rows[:20]).merged(ExactSums(2).add(rows[20:]))
    np.testing.assert_allclose(merged.std(), rows.std(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(ExactSums(2).add(rows).std(), rows.std(0, ddof=1), rtol=1e-6)
    assert ExactSums(2).add(rows[:1]).std().tolist() == [0, 0]
    again = pickle.loads(pickle.dumps(merged))
    assert np.array_equal(threshold(again, 1), threshold(merged, 1))
    assert len(pickle.dumps(ExactSums(30).add(rng.standard_normal((100, 30))))) < 3000
    empty = pickle.loads(pickle.dumps(ExactSums(2)))
    assert threshold(empty.add(np.zeros((1, 2))), 1).tolist() == [0, 0]


# ---- equal results, few passes ---------------------------------------------------------


@pytest.mark.parametrize("cache", ["memory", "folder"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"granularity": "channel", "output": "fraction"},
        {"neuron": "channel", "rectify": True},
        {"layers": ["2", "6"], "batch_size": 7},
        {"threshold": 0.1},
    ],
)
def test_results_equal_those_without_a_store(pictures, tmp_path, cache, options):
    X, _ = pictures
    store = CoverageCache(tmp_path if cache == "folder" else None)
    random = np.random.default_rng(0)
    subsets = [slice(None), slice(50), slice(3), slice(1), slice(0, 100, 3), random.permutation(80)]
    for subset in subsets:
        plain = Coverage(**options).fit(X[subset])
        stored = Coverage(**options, cache=store).fit(X[subset])
        np.testing.assert_allclose(stored.thresholds_, plain.thresholds_, rtol=1e-6)
        stored.thresholds_ = plain.thresholds_  # sums differ in the last bits with the batch
        difference = np.abs(stored.transform(X) - plain.transform(X))
        per_feature = 1 if plain.output == "count" else plain._layout.neurons_per(plain.granularity)
        assert (difference * per_feature).max() <= 1
        assert (difference > 0).mean() < 0.001
    assert len(store) == 100


def test_a_network_without_an_input_size(pictures):
    X, _ = pictures
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(2))
    store = CoverageCache()
    for size in (32, 20):
        chips = np.ascontiguousarray(X[:12, :size, :size])
        plain = NeuronCoverageTransformer(network).fit(chips)
        stored = NeuronCoverageTransformer(network, cache=store).fit(chips)
        assert np.abs(plain.transform(X[:12]) - stored.transform(X[:12])).max() <= 1
    assert sorted(entry["input"] for entry in store.info()) == [[3, 20, 20], [3, 32, 32]]


def test_vectors(forward):
    X = np.random.default_rng(0).standard_normal((90, 5))
    plain = NeuronCoverageTransformer("toy_vector").fit(X)
    stored = NeuronCoverageTransformer("toy_vector", cache=CoverageCache()).fit(X)
    np.testing.assert_allclose(stored.thresholds_, plain.thresholds_, rtol=1e-6)
    assert np.abs(plain.transform(X) - stored.transform(X)).max() <= 1
    with pytest.raises(ValueError, match="6 features"):
        stored.transform(np.zeros((2, 6)))


def test_every_position_gets_its_own_sums(pictures):
    X, _ = pictures
    plain, stored = Coverage(), Coverage(cache=CoverageCache(), batch_size=8)
    backbone = load_backbone("toy_image")

    def statistics(coverage):
        return coverage._statistics(X, backbone, keep=False)

    expected = np.concatenate([part.values for part in statistics(plain).sums(X)])
    for _ in range(2):  # computed in mixed order, then found
        found = np.empty_like(expected)
        for part in statistics(stored).sums(X):
            found[part.positions] = part.values
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_dlib_counts_equal(faces_dir):
    paths = [
        str(p) for k in ("real", "fake") for p in sorted((faces_dir / "stylegan" / k).glob("*"))[:8]
    ]
    plain = NeuronCoverageTransformer("dlib", device="cpu", granularity="channel").fit(paths[::2])
    stored = clone(plain).set_params(cache=CoverageCache()).fit(paths[::2])
    np.testing.assert_allclose(stored.thresholds_, plain.thresholds_, rtol=1e-6)
    difference = np.abs(stored.transform(paths) - plain.transform(paths))
    assert difference.max() <= 2
    assert difference.sum() < 1e-6 * 16 * plain.n_neurons_.sum()


def test_a_cold_grid_search_passes_every_picture_once(pictures, forward, tmp_path):
    X, y = pictures
    for store, n_candidates in ((CoverageCache(), 5), (tmp_path, 3)):
        model = make_pipeline(Coverage(cache=store), StandardScaler(), LogisticRegression())
        grid = {"logisticregression__C": np.logspace(-3, 3, n_candidates).tolist()}
        search = GridSearchCV(model, grid, cv=3).fit(X, y)
        assert sum(forward) <= 1.1 * len(X)
        forward.clear()
        again = GridSearchCV(model, grid, cv=3).fit(X, y)
        assert sum(forward) == 0
        assert (
            again.cv_results_["mean_test_score"].tolist()
            == search.cv_results_["mean_test_score"].tolist()
        )
        plain = make_pipeline(Coverage(), StandardScaler(), LogisticRegression())
        few = {"logisticregression__C": [1e-3, 1e3]}
        reference = GridSearchCV(plain, few, cv=3).fit(X, y).cv_results_["mean_test_score"]
        np.testing.assert_allclose(
            search.cv_results_["mean_test_score"][[0, -1]], reference, atol=0.02
        )
        forward.clear()


def test_a_window_that_does_not_cover_is_replaced(pictures, forward):
    X, _ = pictures
    store = CoverageCache()
    X = np.concatenate([X[:50] // 8, X[50:]])  # dark pictures, then light ones
    dark, light = X[:50], X[50:]
    stored = Coverage(cache=store).fit(dark)
    stored.transform(X)
    forward.clear()
    other, plain = Coverage(cache=store).fit(light), Coverage().fit(light)
    found = other.transform(dark)
    assert sum(forward[:-1]) >= 50  # computed again at the other threshold
    plain.thresholds_ = other.thresholds_
    assert np.array_equal(found, plain.transform(dark))
    forward.clear()
    stored.transform(dark)  # the new window holds both thresholds
    other.transform(dark)
    assert forward == []
    assert len(store) == 100


def test_equal_pictures_are_computed_once(pictures, forward):
    X = pictures[0][[0, 1, 2, 3] * 10]
    stored = Coverage(cache=CoverageCache()).fit(X)
    assert sum(forward) <= 8
    np.testing.assert_allclose(stored.thresholds_, Coverage().fit(X).thresholds_, rtol=1e-6)
    assert stored.n_samples_seen_ == 40


def test_changed_content_under_the_same_path(tmp_path, pictures, forward):
    X, _ = pictures
    paths = [str(tmp_path / f"{i}.png") for i in range(6)]
    for path, picture in zip(paths, X, strict=False):
        Image.fromarray(picture).save(path)
    stored = Coverage(cache=tmp_path / "store").fit(paths)
    first = stored.transform(paths)
    status = os.stat(paths[0])
    Image.fromarray(X[50]).save(paths[0])
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = stored.transform(paths)
    assert not np.array_equal(changed[0], first[0])
    assert np.array_equal(changed[1:], first[1:])
    plain = Coverage().fit(paths)
    plain.thresholds_ = stored.thresholds_
    np.testing.assert_allclose(changed, plain.transform(paths), atol=1)
    os.rename(paths[1], tmp_path / "moved.png")
    forward.clear()
    assert np.array_equal(stored.transform([str(tmp_path / "moved.png")])[0], first[1])
    assert forward == []


def test_other_options_and_networks_do_not_meet(pictures, forward):
    X, _ = pictures
    store = CoverageCache()
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    for options in ({}, {"rectify": True}, {"neuron": "channel"}, {"layers": "0"}):
        Coverage(cache=store, **options).fit(X[:10])
    for module in (network, other):
        NeuronCoverageTransformer(module, cache=store).fit(X[:10])
    assert len(store.info()) == 6
    forward.clear()
    Coverage(cache=store, granularity="channel", output="fraction", batch_size=3).fit(X[:10])
    assert forward == []  # neither changes what is kept


def test_picture_errors_name_the_position(tmp_path, pictures):
    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    for path, picture in zip(paths, pictures[0], strict=False):
        Image.fromarray(picture).save(path)
    (tmp_path / "13.png").write_bytes(b"no picture")
    store = CoverageCache()
    for options in ({}, {"n_jobs": 2}):
        with pytest.raises(ValueError, match=r"X\[13\] \('.*13.png'\): cannot be read"):
            Coverage(cache=store, batch_size=4, **options).fit(paths)
    assert not only_group(store)._mine  # nothing stays locked
    assert Coverage(cache=store).fit(paths[:13]).n_samples_seen_ == 13


@pytest.mark.parametrize("broken", range(6))
def test_an_error_among_the_first_few_names_the_position_too(tmp_path, pictures, broken):
    """The pilot looks at four of the six, before the batch in which they stand."""
    paths = [str(tmp_path / f"{i}.png") for i in range(6)]
    for path, picture in zip(paths, pictures[0], strict=False):
        Image.fromarray(picture).save(path)
    (tmp_path / f"{broken}.png").write_bytes(b"no picture")
    direct = Coverage(cache="memory", batch_size=1)
    with pytest.raises(ValueError, match=rf"X\[{broken}\] \('.*{broken}\.png'\): cannot be read"):
        direct.fit(paths)


# ---- folders, files, processes ---------------------------------------------------------


def test_a_cut_off_file_is_ignored_with_a_warning(pictures, tmp_path, forward):
    X, _ = pictures
    expected = Coverage(cache=tmp_path, batch_size=32).fit(X).transform(X)
    files = sorted(tmp_path.glob("*/*.npz"))
    with open(files[-1], "r+b") as file:
        file.truncate(os.path.getsize(files[-1]) // 2)
    data = bytearray(files[-2].read_bytes())
    data[len(data) // 2] ^= 1  # one bit
    files[-2].write_bytes(data)
    forward.clear()
    store = CoverageCache(tmp_path)  # as a new process would see it
    with pytest.warns(UserWarning, match="ignores a damaged file"):
        found = Coverage(cache=store, batch_size=32).fit(X).transform(X)
    np.testing.assert_allclose(found, expected, atol=1)
    assert 0 < sum(forward) < len(X)
    assert not files[-1].exists()


def test_what_a_crashed_process_left_is_removed(pictures, tmp_path, forward):
    X, _ = pictures
    code = textwrap.dedent(
        """
        import os, sys
        import numpy as np
        from skfakespotter import NeuronCoverageTransformer
        from skfakespotter.cache._records import Records

        def crash(self, file, group):
            file.write(b"half a file")
            file.flush()
            os._exit(9)

        Records.save = crash
        NeuronCoverageTransformer("toy_image", cache=sys.argv[2]).fit(np.load(sys.argv[1]))
        """
    )
    np.save(tmp_path / "X.npy", X)
    command = [sys.executable, "-c", code, str(tmp_path / "X.npy"), str(tmp_path / "store")]
    assert subprocess.run(command, check=False).returncode == 9
    assert len(list(tmp_path.glob("store/*/*.tmp"))) == 1
    assert len(list(tmp_path.glob("store/*/locks/*.keys"))) == 1  # it died with locked keys
    found = Coverage(cache=tmp_path / "store").fit(X).transform(X)
    np.testing.assert_allclose(found, Coverage().fit(X).transform(X), atol=1)
    assert not list(tmp_path.glob("store/*/*.tmp"))
    assert not list(tmp_path.glob("store/*/locks/*.keys"))
    assert len(CoverageCache(tmp_path / "store")) == 100


def test_keys_that_others_work_on(tmp_path):
    one, two = KeyLocks(tmp_path), KeyLocks(tmp_path)
    for locks in (one, two):
        with locks.mutex:
            locks.announce()
    with one.mutex:
        one.publish({b"a" * 16, b"b" * 16})
    with two.mutex:
        assert two.others() == {b"a" * 16, b"b" * 16}
        assert one.others() == set()
    one._alive.release()  # as the system does when a process ends
    with two.mutex:
        assert two.others() == set()
    assert not list(tmp_path.glob("*.keys"))


def test_another_process_waits_for_what_is_locked(pictures, tmp_path):
    X, _ = pictures
    mine, theirs = CoverageCache(tmp_path), CoverageCache(tmp_path)
    stored = Coverage(cache=mine).fit(X[:50])
    keys = list(only_group(mine).places)
    Coverage(cache=mine).fit(X[50:])
    claimed = [key for key in only_group(mine).places if key not in keys]
    mine.clear()
    Coverage(cache=mine).fit(X[:50])
    assert all(only_group(mine).lock(claimed, lambda file: True))
    done = threading.Event()

    def fit_there():
        stored.fitted = Coverage(cache=theirs).fit(X)
        done.set()

    thread = threading.Thread(target=fit_there)
    thread.start()
    assert not done.wait(1.0)
    only_group(mine).unlock(claimed)
    assert done.wait(20)
    thread.join()
    np.testing.assert_allclose(stored.fitted.thresholds_, Coverage().fit(X).thresholds_, rtol=1e-6)


def test_a_process_that_stalls_is_not_waited_for_for_ever(pictures, tmp_path, monkeypatch):
    X = pictures[0][:20]
    expected = Coverage().fit(X).thresholds_
    mine = CoverageCache(tmp_path)
    Coverage(cache=mine).fit(X)
    keys = list(only_group(mine).places)
    mine.clear()
    Coverage(cache=mine).fit(X[:10])
    kept = list(only_group(mine).places)
    claimed = [key for key in keys if key not in kept]
    assert len(claimed) == 10
    assert all(only_group(mine).lock(claimed, lambda file: True))  # and nothing more is heard
    monkeypatch.setattr(_lookup, "PATIENCE", 0.5)
    start = time.monotonic()
    found = Coverage(cache=CoverageCache(tmp_path)).fit(X)
    assert time.monotonic() - start > 0.5
    np.testing.assert_allclose(found.thresholds_, expected, rtol=1e-6)


def test_two_cold_processes_share_the_work(tmp_path, forward):
    """This process is one of them; each waits in its first pass until the other is in one."""
    code = textwrap.dedent(
        """
        import sys, json
        import numpy as np
        from skfakespotter import NeuronCoverageTransformer
        from skfakespotter.coverage._monitor import NeuronMonitor

        seen, collect = [], NeuronMonitor._collect
        def counted(self, x, statistic, **options):
            if not seen:
                print("begun", flush=True)
                input()
            seen.append(len(x))
            return collect(self, x, statistic, **options)
        NeuronMonitor._collect = counted

        X = np.load(sys.argv[1])
        coverage = NeuronCoverageTransformer("toy_image", batch_size=8, cache=sys.argv[2])
        coverage.fit(X[np.arange(len(X)) % 5 != 1])
        counts = coverage.transform(X)
        print(json.dumps([sum(seen), coverage.thresholds_.tolist(), counts.tolist()]))
        """
    )
    X = make_pictures(400, size=48, random_state=1)[0]
    np.save(tmp_path / "X.npy", X)
    command = [sys.executable, "-c", code, str(tmp_path / "X.npy"), str(tmp_path / "store")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"

        def let_go():
            while not forward:
                time.sleep(0.001)
            process.stdin.write("\n")
            process.stdin.flush()

        threading.Thread(target=let_go, daemon=True).start()
        coverage = Coverage(batch_size=8, cache=tmp_path / "store")
        coverage.fit(X[np.arange(len(X)) % 5 != 0])
        counts = coverage.transform(X)
        ours = sum(forward), coverage.thresholds_, counts
        theirs = json.loads(process.communicate(timeout=240)[0])
    assert min(ours[0], theirs[0]) > 0  # each did a part
    assert ours[0] + theirs[0] <= 1.1 * len(X)
    for fold, (_, thresholds, counts) in enumerate((ours, theirs)):
        plain = Coverage().fit(X[np.arange(len(X)) % 5 != fold])
        np.testing.assert_allclose(thresholds, plain.thresholds_, rtol=1e-6)
        np.testing.assert_allclose(counts, plain.transform(X), atol=1)


def test_a_full_disk(pictures, tmp_path, monkeypatch, forward):
    X, _ = pictures

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    store = CoverageCache(tmp_path)
    coverage = Coverage(cache=store)
    with pytest.warns(UserWarning, match=r"cannot be written .*No space left") as warned:
        coverage.fit(X)
    assert len(warned) == 1
    np.testing.assert_allclose(coverage.transform(X), Coverage().fit(X).transform(X), atol=1)
    assert not list(tmp_path.glob("*/*.tmp"))
    forward.clear()
    coverage.fit(X).transform(X)  # the memory takes over, without a further warning
    assert forward == []


def test_a_small_disk(pictures, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        X, _ = pictures
        coverage = Coverage(cache=CoverageCache(folder), batch_size=8)
        with pytest.warns(UserWarning, match=r"cannot be written .*No space left"):
            coverage.fit(X)
        np.testing.assert_allclose(coverage.transform(X), Coverage().fit(X).transform(X), atol=1)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_folder(pictures, tmp_path, forward, monkeypatch):
    X, _ = pictures
    expected = Coverage(cache=tmp_path).fit(X[:50]).transform(X[:50])
    forward.clear()

    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # root may write anywhere
    store = CoverageCache(tmp_path)
    coverage = Coverage(cache=store)
    assert np.array_equal(coverage.fit(X[:50]).transform(X[:50]), expected)  # reading is enough
    assert forward == []
    with pytest.warns(UserWarning, match=r"cannot be written .*Permission denied"):
        coverage.fit(X)
    assert len(store) == 100
    assert len(CoverageCache(tmp_path)) == 50


def test_a_file_in_place_of_the_folder(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written"):
        Coverage(cache=tmp_path / "file").fit(pictures[0][:9])


def test_a_bounded_folder(pictures, tmp_path):
    X, _ = pictures
    Coverage(cache=tmp_path / "all", batch_size=8).fit(X)
    everything = CoverageCache(tmp_path / "all").info()[0]["bytes"]
    store = CoverageCache(tmp_path / "some", max_bytes=everything // 2)
    coverage = Coverage(cache=store, batch_size=8).fit(X)
    np.testing.assert_allclose(coverage.transform(X), Coverage().fit(X).transform(X), atol=1)
    assert 0 < len(store) < 100
    assert sum(os.path.getsize(p) for p in (tmp_path / "some").glob("*/*.npz")) <= everything // 2
    nothing = CoverageCache(tmp_path / "none", max_bytes=0)
    np.testing.assert_allclose(Coverage(cache=nothing).fit(X).thresholds_, coverage.thresholds_)
    assert len(nothing) == 0


def test_a_bounded_memory(pictures):
    X, _ = pictures
    whole = CoverageCache()
    Coverage(cache=whole, batch_size=8).fit(X)
    n_bytes = whole.info()[0]["bytes"]
    assert n_bytes > 0
    store = CoverageCache(max_bytes=n_bytes // 3)
    coverage = Coverage(cache=store, batch_size=8).fit(X)
    assert 0 < len(store) < 100
    assert store.info()[0]["bytes"] <= n_bytes // 3
    np.testing.assert_allclose(coverage.transform(X), Coverage().fit(X).transform(X), atol=1)


def test_info_and_clear(pictures, tmp_path):
    X, _ = pictures
    (tmp_path / "mine.txt").write_text("keep")
    store = CoverageCache(tmp_path)
    assert store.info() == []
    coverage = Coverage(cache=store).fit(X[:20])
    (entry,) = CoverageCache(tmp_path).info()
    assert (entry["backbone"], entry["pictures"], entry["neuron"]) == ("toy_image", 20, "unit")
    assert entry["bytes"] == sum(p.stat().st_size for p in tmp_path.glob("*/*.npz")) > 0
    store.clear()
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert len(store) == len(CoverageCache(tmp_path)) == 0
    coverage.fit(X[:20])
    assert len(store) == 20


def test_files_hold_neither_labels_nor_paths(pictures, tmp_path):
    X, _ = pictures
    paths = [str(tmp_path / f"fake_{i}.png") for i in range(10)]
    for path, picture in zip(paths, X, strict=False):
        Image.fromarray(picture).save(path)
    make_fakespotter("toy_image", align=False, cache=tmp_path / "a", random_state=0).fit(
        paths, [0, 1] * 5
    )
    Coverage(cache=tmp_path / "b").fit(list(X[:10]))
    kept = []
    for folder in ("a", "b"):
        records = [
            Records.load(p, p.parent.name) for p in sorted(tmp_path.glob(f"{folder}/*/*.npz"))
        ]
        sums = {k.tobytes(): s for r in records for k, s in zip(r.keys, r.sums, strict=True)}
        kept.append(sums)
    assert kept[0].keys() == kept[1].keys()
    content = b"".join(p.read_bytes() for p in tmp_path.glob("a/*/*.*"))
    assert b"fake_" not in content


# ---- the parameter ---------------------------------------------------------------------


def test_what_cache_takes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache(None) is None
    assert open_cache(False) is None
    assert open_cache(True).folder == tmp_path / "skfakespotter" == user_cache_folder()
    assert open_cache(tmp_path) is open_cache(str(tmp_path))
    assert open_cache("memory").folder is None
    store = CoverageCache(tmp_path, max_bytes=5)
    assert open_cache(store) is store
    with pytest.raises(TypeError, match="cache is 3: expected None, True, 'memory', a folder"):
        open_cache(3)
    with pytest.raises(ValueError, match="max_bytes is -1: expected an int of at least 0"):
        CoverageCache(max_bytes=-1)


def test_stores_in_clones_and_pickles(tmp_path):
    store = CoverageCache(tmp_path, max_bytes=1000)
    coverage = Coverage(cache=store)
    assert clone(coverage).cache is store
    again = pickle.loads(pickle.dumps(store))
    assert (again.folder, again.max_bytes) == (tmp_path, 1000)
    assert pickle.loads(pickle.dumps(again)) is again  # one per place and process
    assert len(pickle.dumps(coverage)) < 1000
    assert pickle.loads(pickle.dumps(CoverageCache())).folder is None


def test_cross_validation_through_the_pipeline(pictures, forward):
    X, y = pictures
    model = make_fakespotter(
        "toy_image", align=False, classifier=LogisticRegression(), cache="memory"
    )
    first = cross_val_score(model, X, y, cv=5)
    passed = sum(forward)
    assert passed <= 1.1 * len(X)
    assert cross_val_score(model, X, y, cv=5).tolist() == first.tolist()
    assert sum(forward) == passed
    open_cache("memory").clear()


def test_merging_with_a_store_equals_without(pictures, tmp_path):
    X, _ = pictures
    store = CoverageCache(tmp_path)
    whole = Coverage(cache=store).fit(X)
    parts = [Coverage(cache=store).fit(part) for part in (X[60:], X[:10], X[10:60])]
    same(merge_transformers(parts), whole)
