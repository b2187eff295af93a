"""What others do to a cache's folder: foreign files, links, flipped bits, other users, forks."""

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from skfakespotter import CoverageCache, NeuronCoverageTransformer, make_pictures
from skfakespotter.cache import user_cache_folder
from skfakespotter.cache._locks import KeyLocks, _read_keys
from skfakespotter.cache._records import KEY_BYTES, DamagedRecords, Records


@pytest.fixture(scope="module")
def X():
    return make_pictures(12, random_state=0)[0]


@pytest.fixture(scope="module")
def expected(X):
    return coverage(None).fit_transform(X)


def coverage(cache, **options):
    return NeuronCoverageTransformer(
        "toy_image", device="cpu", batch_size=4, granularity="channel", cache=cache, **options
    )


def group_folder(folder):
    (spec,) = folder.glob("*/spec.json")
    return spec.parent


# ---- what is not ours ------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A folder of somebody else's that looks a little like a group of records."""
    folder = tmp_path / "my_project"
    folder.mkdir()
    (folder / "spec.json").write_text('{"openapi": "3.0"}')
    (folder / "thesis.txt").write_text("precious")
    np.savez(folder / "measurements.npz", a=np.arange(5))
    np.savez(folder / "00000000000000000001-00000000.npz", a=np.arange(5))
    return folder


def test_a_foreign_folder_is_left_alone(X, project, tmp_path):
    before = sorted(path.name for path in project.iterdir())
    for cache in (CoverageCache(tmp_path), CoverageCache(tmp_path, max_bytes=0)):
        cache.info()
        coverage(cache).fit(X)
        cache.clear()
        assert sorted(path.name for path in project.iterdir()) == before


def test_a_spec_under_another_name_is_foreign(X, tmp_path):
    coverage(tmp_path / "a").fit(X)
    theirs = tmp_path / "a" / ("0" * 32)
    shutil.copytree(group_folder(tmp_path / "a"), theirs)
    cache = CoverageCache(tmp_path / "a")
    assert len(cache) == 12
    cache.clear()
    assert len(list(theirs.glob("*.npz"))) > 0


@pytest.mark.parametrize("what", ["group", "spec.json", "locks", "locks/mutex.lock"])
def test_a_symbolic_link_is_never_followed(X, expected, tmp_path, what):
    coverage(tmp_path / "cache").fit(X)
    group = group_folder(tmp_path / "cache")
    victim = tmp_path / "victim"
    if what in ("group", "locks"):
        victim.mkdir()
        (victim / "spec.json").write_text("mine")
        np.savez(victim / "results.npz", a=np.arange(5))
        before = {path.name: path.read_bytes() for path in victim.iterdir()}
    else:
        victim.write_text("export A=1")
    link = group if what == "group" else group / what
    shutil.rmtree(link) if link.is_dir() else link.unlink()
    os.symlink(victim, link)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = make_pictures(8, random_state=1)[0]
        cache = CoverageCache(tmp_path / "cache")
        coverage(cache).fit(other)
        found = coverage(cache).fit(X).transform(X)
        cache.clear()
    np.testing.assert_allclose(found, expected, atol=1)
    if victim.is_dir():
        assert {path.name: path.read_bytes() for path in victim.iterdir()} == before
    else:
        assert victim.read_text() == "export A=1"


@pytest.mark.parametrize("name", ["locks/mutex.lock", "locks", "spec.json", "locks/1-0.alive"])
def test_a_folder_or_file_in_the_wrong_place(X, tmp_path, name):
    coverage(tmp_path).fit(X)
    path = group_folder(tmp_path) / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file")
    else:
        path.unlink(missing_ok=True)
        path.mkdir()
    other = make_pictures(8, random_state=1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert coverage(CoverageCache(tmp_path)).fit(other).n_samples_seen_ == 8


def test_other_processes_unfinished_files_stay(X, tmp_path):
    coverage(tmp_path).fit(X)
    group = group_folder(tmp_path)
    (group / "locks" / "*.alive").write_text("")
    unfinished = group / "1-0123456789ab-01234567.tmp"
    unfinished.write_text("being written by another")
    coverage(CoverageCache(tmp_path)).fit(make_pictures(8, random_state=1)[0])
    assert unfinished.exists()


# ---- damage ----------------------------------------------------------------------------


def test_every_flipped_bit_of_a_file_costs_its_pictures_at_most(tmp_path):
    """Each byte once, a bit of it drawn by lot; the results are those of an intact file."""
    X = make_pictures(2, random_state=3)[0]
    options = {"layers": "6", "device": "cpu", "batch_size": 2}
    reference = NeuronCoverageTransformer("toy_image", **options).fit(X)
    expected = reference.transform(X)
    stored = NeuronCoverageTransformer("toy_image", cache=tmp_path, **options)
    stored.fit(X).transform(X)
    path = sorted(tmp_path.glob("*/*.npz"))[-1]
    group, whole = path.parent.name, path.read_bytes()
    random = np.random.default_rng(0)
    told = 0
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << int(random.integers(8))
        path.write_bytes(data)
        try:
            records = Records.load(path, group)
        except DamagedRecords:  # and nothing else
            told += 1
            continue
        counts = records.counts(reference.thresholds_)
        np.testing.assert_array_equal(counts.sum(1)[:, None], expected)
    assert told > 0.5 * len(whole)  # what remains are bits that nobody reads


@pytest.mark.parametrize(
    "change",
    [
        {"channels": lambda a: np.full_like(a, 255)},
        {"starts": lambda a: a[::-1].copy()},
        {"above": lambda a: a[:, :1]},
        {"keys": lambda a: a[:, :3].copy()},
        {"keys": lambda a: np.uint8(3)},
        {"low": lambda a: a[:1], "high": lambda a: a[:1]},
        {"sums": lambda a: a * np.nan},
        {"sums": lambda a: a + 1},
        {"low": lambda a: np.array(["a", "b", "c"])},
        {"group": lambda a: a[::-1].copy()},
    ],
)
def test_an_altered_file_is_computed_again(X, expected, tmp_path, change):
    coverage(tmp_path).fit_transform(X)
    for path in tmp_path.glob("*/*.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        arrays |= {name: alter(arrays[name]) for name, alter in change.items()}
        np.savez(path, **arrays)
    with pytest.warns(UserWarning, match="ignores a damaged file"):
        found = coverage(CoverageCache(tmp_path)).fit_transform(X)
    np.testing.assert_array_equal(found, expected)


def test_records_of_other_options_are_refused(X, expected, tmp_path):
    """Somebody copies files from one group's folder to another's."""
    coverage(tmp_path / "a", rectify=True).fit(X)
    coverage(tmp_path / "b").fit(X)
    theirs, ours = group_folder(tmp_path / "a"), group_folder(tmp_path / "b")
    for path in ours.glob("*.npz"):
        path.unlink()
    for path in theirs.glob("*.npz"):
        shutil.copy(path, ours)
    with pytest.warns(UserWarning, match="belongs to another network or other options"):
        found = coverage(CoverageCache(tmp_path / "b")).fit_transform(X)
    np.testing.assert_array_equal(found, expected)


def test_a_file_that_cannot_be_read_now_is_kept(X, expected, tmp_path, monkeypatch):
    coverage(tmp_path).fit(X)
    files = sorted(tmp_path.glob("*/*.npz"))

    def refuse(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("skfakespotter._files.open_regular", refuse)
    with pytest.warns(UserWarning, match="cannot read a file .*Input/output error"):
        found = coverage(CoverageCache(tmp_path)).fit_transform(X)
    np.testing.assert_array_equal(found, expected)
    assert set(files) <= set(tmp_path.glob("*/*.npz"))


def test_pipes_in_the_folder_are_not_waited_for(X, expected, tmp_path):
    """A pipe under any name that a cache reads; a list of keys without end; JSON without end."""
    coverage(tmp_path).fit(X)
    group = group_folder(tmp_path)
    os.mkfifo(group / "00000000000000000001-00000000.npz")
    os.mkfifo(group / "locks" / "1-000000000000.keys")
    with open(group / "locks" / "2-000000000000.keys", "wb") as file:
        file.truncate(40 * 2**30)
    other = tmp_path / ("0" * 32)
    other.mkdir()
    os.mkfifo(other / "spec.json")
    (tmp_path / ("1" * 32)).mkdir()
    (tmp_path / ("1" * 32) / "spec.json").write_text("[" * 100_000)
    locks = group / "locks"
    assert _read_keys(locks / "1-000000000000.keys") == set()
    assert _read_keys(locks / "2-000000000000.keys") == {bytes(16)}  # and not 40 GB of them
    cache = CoverageCache(tmp_path)
    assert len(cache) == len(X)
    np.testing.assert_array_equal(coverage(cache).fit_transform(X), expected)


# ---- users -----------------------------------------------------------------------------


def test_files_are_private(X, tmp_path):
    before = os.umask(0o022)
    try:
        coverage(tmp_path / "cache").fit(X)
    finally:
        os.umask(before)
    for path in (tmp_path / "cache").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_nobody_without_a_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("none")))
    assert user_cache_folder().name == f"skfakespotter-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")  # asked first
    assert str(user_cache_folder()) == "/somewhere/skfakespotter"


def test_an_empty_path_is_no_cache(X, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(coverage("").fit_transform(X), expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs to become another")
def test_two_users_share_a_folder(tmp_path):
    """The second cannot write the first one's files, works on, and waits for nobody."""
    folder = tmp_path / "shared"
    folder.mkdir()
    for path in (folder, *folder.parents[:3]):
        path.chmod(0o777)
    code = textwrap.dedent(
        """
        import os, sys, traceback, warnings
        import numpy as np
        import torch
        from skfakespotter import NeuronCoverageTransformer, make_pictures

        def work(user, seed):
            X, _ = make_pictures(8, random_state=seed)
            os.umask(0o022)
            os.setgid(user)
            os.setuid(user)
            warnings.simplefilter("ignore")
            counts = NeuronCoverageTransformer("toy_image", cache=sys.argv[1]).fit_transform(X)
            assert np.array_equal(counts, NeuronCoverageTransformer("toy_image").fit_transform(X))

        torch.set_num_threads(1)  # a forked child has no others
        X, _ = make_pictures(8, random_state=3)
        NeuronCoverageTransformer("toy_image", cache="memory").fit(X)  # imports what comes late
        for user, seed in ((23456, 0), (23457, 1), (23456, 2)):
            child = os.fork()  # which saves importing everything three times
            if child == 0:
                try:
                    work(user, seed)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        """
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]


# ---- forks -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_scores_pictures(tmp_path):
    """A server that forks after it was used: locks and threads of the parent are not there."""
    code = textwrap.dedent(
        """
        import os, sys, threading
        import numpy as np
        from skfakespotter import NeuronCoverageTransformer, make_pictures
        from skfakespotter.coverage import _watched

        X, _ = make_pictures(24, random_state=0)
        for cache in (None, sys.argv[1]):
            coverage = NeuronCoverageTransformer("toy_image", cache=cache).fit(X)
            expected = coverage.transform(X)
            entered, leave = threading.Event(), threading.Event()

            def busy():
                with _watched._LOCK:  # as in the middle of a forward pass
                    entered.set()
                    leave.wait()

            thread = threading.Thread(target=busy)
            thread.start()
            entered.wait()
            child = os.fork()
            if child == 0:
                os._exit(0 if np.array_equal(coverage.transform(X), expected) else 1)
            _, status = os.waitpid(child, 0)
            leave.set()
            thread.join()
            assert os.waitstatus_to_exitcode(status) == 0
            child = os.fork()
            if child == 0:
                os._exit(0 if coverage.fit(X[:10]).n_samples_seen_ == 10 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_spec_is_readable(X, tmp_path):
    coverage(tmp_path).fit(X)
    spec = json.loads((group_folder(tmp_path) / "spec.json").read_text())
    assert spec["backbone"] == "toy_image"
    assert spec["format"].startswith("skfakespotter coverage cache")


def test_what_is_withdrawn_is_seen_by_no_other_process(tmp_path):
    ours, theirs = KeyLocks(tmp_path), KeyLocks(tmp_path)
    ours.announce()
    keys = {bytes([n]) * KEY_BYTES for n in range(3)}
    ours.publish(keys)
    assert theirs.others() == keys
    ours.withdraw()
    assert theirs.others() == set()
    ours.withdraw()  # again, of nothing
