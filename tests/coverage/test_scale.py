"""Shards, joblib tasks and clusters: the same result, whoever computed it."""

import os
import pickle
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError

from skfakespotter import NeuronCoverageTransformer, make_pictures
from skfakespotter.cache import CoverageCache
from skfakespotter.transformer import merge_transformers

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Coverage = partial(NeuronCoverageTransformer, "toy_image", device="cpu", batch_size=8)


@pytest.fixture(scope="module")
def X():
    return make_pictures(96, size=48, random_state=0)[0]  # small: to make them costs the most


@pytest.fixture(scope="module")
def paths(X, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(X):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return [str(path) for path in sorted(folder.glob("*.png"))]


# ---- shards ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)])
def test_partial_fit_equals_fit_bit_for_bit(X, order):
    shards = [X[:8], X[8:24], X[24:80], X[80:]]  # whole batches: the sums are the same
    whole, parts = Coverage().fit(X), Coverage()
    for index in order:
        assert parts.partial_fit(shards[index]) is parts
    assert np.array_equal(parts.thresholds_, whole.thresholds_)
    assert parts.n_samples_seen_ == 96
    assert np.array_equal(parts.transform(X), whole.transform(X))
    assert parts.fit(X[:8]).n_samples_seen_ == 8  # fit starts afresh


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_merged_shards_equal_fit_bit_for_bit(X, order):
    whole = Coverage().fit(X)
    shards = [Coverage().fit(part) for part in (X[:16], X[16:24], X[24:])]
    shards = [pickle.loads(pickle.dumps(shard)) for shard in shards]
    before = [shard.thresholds_.copy() for shard in shards]
    merged = merge_transformers(shards[index] for index in order)
    assert np.array_equal(merged.thresholds_, whole.thresholds_)
    assert merged.n_samples_seen_ == 96
    assert np.array_equal(merged.transform(X), whole.transform(X))
    nested = merge_transformers([shards[2], merge_transformers(shards[:2])])
    assert np.array_equal(nested.thresholds_, whole.thresholds_)
    for shard, thresholds in zip(shards, before, strict=True):  # merging changed none of them
        assert np.array_equal(shard.thresholds_, thresholds)
    merged.partial_fit(X[:8])
    assert (merged.n_samples_seen_, shards[order[0]].n_samples_seen_ < 96) == (104, True)


def test_one_picture_at_a_time_by_hand(X):
    coverage = Coverage()
    sums = [Coverage().fit(X[i : i + 1]).thresholds_ for i in range(4)]
    for i in range(4):
        coverage.partial_fit(X[i : i + 1])
    np.testing.assert_allclose(coverage.thresholds_, np.mean(sums, axis=0), rtol=1e-14)


def test_partial_fit_with_a_fixed_threshold(X):
    coverage = Coverage(threshold=0.2).partial_fit(X[:9]).partial_fit(X[9:20])
    assert coverage.n_samples_seen_ == 20
    assert coverage.thresholds_.tolist() == [0.2] * 3
    merged = merge_transformers([coverage, Coverage(threshold=0.2).fit(X)])
    assert (merged.n_samples_seen_, merged.thresholds_.tolist()) == (116, [0.2] * 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"rectify": True},
        {"neuron": "channel"},
        {"layers": "0"},
        {"threshold": 0.5},
        {"precision": "bfloat16"},
    ],
)
def test_shards_of_other_options_are_refused(X, changed):
    coverage, other = Coverage().fit(X[:8]), Coverage(**changed).fit(X[:8])
    with pytest.raises(ValueError, match=r"transformers\[1\] differs from .* in fitted_with"):
        merge_transformers([coverage, other])
    coverage.set_params(**changed)
    for call in (coverage.partial_fit, coverage.transform):  # never the old thresholds
        with pytest.raises(ValueError, match=r"fitted with \{.*\}, and now they are \{.*fit again"):
            call(X)


def test_shards_of_another_network_are_refused(X):
    import torch

    networks = [torch.nn.Conv2d(3, 2, 3) for _ in range(2)]
    one, two = (NeuronCoverageTransformer(network).fit(X[:8]) for network in networks)
    with pytest.raises(ValueError, match=r"transformers\[1\] differs .* backbone_fingerprint"):
        merge_transformers([one, two])
    small = NeuronCoverageTransformer(networks[0]).fit(np.ascontiguousarray(X[:8, :20, :20]))
    with pytest.raises(ValueError, match=r"differs .* in input_size: \(20, 20\) instead of"):
        merge_transformers([one, small])
    with pytest.raises(ValueError, match="fingerprint"):
        one.set_params(backbone=networks[1]).partial_fit(X)


def test_nothing_to_merge(X):
    with pytest.raises(ValueError, match="transformers is empty"):
        merge_transformers([])
    with pytest.raises(NotFittedError):
        merge_transformers([Coverage().fit(X[:8]), Coverage()])


def test_vectors_of_another_width_are_refused():
    coverage = NeuronCoverageTransformer("toy_vector").partial_fit(np.ones((3, 4)))
    with pytest.raises(ValueError, match="5 features"):
        coverage.partial_fit(np.ones((3, 5)))


# ---- joblib tasks ----------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_n_jobs_does_not_change_a_bit(X, paths, granularity):
    alone = Coverage(granularity=granularity).fit(paths)
    expected = alone.transform(paths)
    shared = Coverage(granularity=granularity, n_jobs=2).fit(paths)
    assert np.array_equal(shared.thresholds_, alone.thresholds_)
    assert np.array_equal(shared.transform(paths), expected)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        there = Coverage(granularity=granularity).fit(X)
        assert np.array_equal(there.thresholds_, alone.thresholds_)
        assert np.array_equal(there.transform(X[:50]), expected[:50])
        for _ in range(20):  # threads that shared a monitor would read each other's layers
            assert np.array_equal(there.fit(X).thresholds_, alone.thresholds_)


def test_n_jobs_with_a_store(paths, tmp_path):
    plain = Coverage().fit(paths)
    shared = Coverage(n_jobs=2, cache=tmp_path).fit(paths)
    np.testing.assert_allclose(shared.thresholds_, plain.thresholds_, rtol=1e-6)
    np.testing.assert_allclose(shared.transform(paths), plain.transform(paths), atol=1)
    assert len(CoverageCache(tmp_path)) == 96


def test_tasks_are_split_only_when_asked(X, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("joblib.Parallel was used")

    monkeypatch.setattr(joblib, "Parallel", refuse)
    Coverage().fit(X).transform(X)
    with pytest.raises(AssertionError):
        Coverage(n_jobs=2).fit(X)


def test_set_output_in_tasks(paths):
    pytest.importorskip("pandas")
    frame = Coverage(n_jobs=2).set_output(transform="pandas").fit_transform(paths[:20])
    assert frame.shape == (20, 3)
    assert frame.columns.tolist() == ["0", "2", "6"]


# ---- a cluster -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_dask_with_a_worker_killed(paths, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    (tmp_path / "slow_network.py").write_text(
        textwrap.dedent(
            """
            import os, time
            from skfakespotter.backbones.toy import toy_image_backbone

            def note(event):
                with open(os.environ["SLOW_LOG"], "a") as file:
                    file.write(f"{event} {os.getpid()}\\n")

            def build(weights=None):
                note("load")
                backbone = toy_image_backbone(weights)
                backbone.module.register_forward_hook(run)
                return backbone

            def run(module, inputs, output):
                note("run")
                time.sleep(0.05)
            """
        )
    )
    log = tmp_path / "log"
    log.write_text("")
    monkeypatch.setenv("SLOW_LOG", str(log))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for the workers

    def events(kind):
        lines = [line.split() for line in log.read_text().splitlines()]
        return [int(pid) for event, pid in lines if event == kind and int(pid) != os.getpid()]

    def kill_the_first():
        while not events("run"):
            time.sleep(0.01)
        os.kill(events("run")[0], signal.SIGKILL)

    coverage = NeuronCoverageTransformer("slow_network:build", device="cpu", batch_size=2)
    expected = Coverage(batch_size=2).fit(paths)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, silence_logs=50, **options) as cluster,
        distributed.Client(cluster),
    ):
        killer = threading.Thread(target=kill_the_first)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            coverage.fit(paths)
            killer.join()
            counts = coverage.transform(paths)
    assert np.array_equal(coverage.thresholds_, expected.thresholds_)
    assert np.array_equal(counts, expected.transform(paths))
    workers = set(events("run"))
    assert len(workers) >= 2
    assert len(events("load")) == len(set(events("load")))  # once per worker
    assert len(events("run")) > 2 * 48  # the killed worker's tasks ran again


# ---- examples --------------------------------------------------------------------------


def run_afresh(name, *arguments):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Return a function that runs an example in this process, which has imported torch."""

    def run_here(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_here


def test_the_run_over_millions_resumes(paths, tmp_path, run_here):
    folder, results = os.path.dirname(paths[0]), tmp_path / "results"
    arguments = [folder, results, "--backbone", "toy_image", "--aligned", "--shard-size", 20]
    arguments += ["--cache", tmp_path / "store"]
    output = run_here("millions.py", *arguments, "--part", "1/2")
    assert "2 shards are left to other parts" in output
    output = run_afresh("millions.py", *arguments)
    assert "fitted 2 shards of 5; 3 were done before" in output
    assert "counted 5 shards of 5, at thresholds from 96 faces" in output
    whole = joblib.load(results / "coverage.joblib")
    plain = NeuronCoverageTransformer("toy_image", granularity="channel").fit(paths)
    np.testing.assert_allclose(whole.thresholds_, plain.thresholds_, rtol=1e-6)
    expected = dict(zip(paths, plain.transform(paths), strict=True))
    seen = []
    for file in sorted(results.glob("*.npy")):
        listed = file.with_suffix(".csv").read_text().split()
        np.testing.assert_allclose(np.load(file), [expected[path] for path in listed], atol=1)
        seen += listed
    assert sorted(seen) == paths
    sorted(results.glob("*.npy"))[0].unlink()
    assert "counted 1 shards of 5" in run_here("millions.py", *arguments)


WAYS = {
    "fit_transform": {},
    "from memory": {"cache": "memory"},
    "from a folder": {"cache": "folder"},
    "two processes": {"n_jobs": 2, "batch_size": 16},
    "two devices": {"device": ["cpu", "cpu"], "batch_size": 16},
    "small batches": {"batch_size": 7},
    "one by one": {"batch_size": 1},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_every_way_gives_the_same_counts(X, way, granularity, tmp_path):
    """At most one neuron in a hundred thousand, at the threshold, may change sides."""
    options = {**WAYS[way], "granularity": granularity}
    if options.get("cache") == "folder":
        options["cache"] = tmp_path
    plain = NeuronCoverageTransformer("toy_image", granularity=granularity).fit(X)
    other = NeuronCoverageTransformer("toy_image", **options)
    found = other.fit_transform(X)
    np.testing.assert_allclose(other.thresholds_, plain.thresholds_, rtol=1e-6)
    allowed = 1e-5 * plain.n_neurons_.sum() * len(X)
    assert np.abs(found - plain.transform(X)).sum() <= allowed
    assert np.abs(other.transform(X) - found).sum() <= allowed


@pytest.mark.parametrize("size", [1, 17, 50])
def test_shards_give_the_same_counts(X, size):
    shards = [X[start : start + size] for start in range(0, len(X), size)]
    whole = NeuronCoverageTransformer("toy_image").fit(X)
    grown = NeuronCoverageTransformer("toy_image")
    for shard in shards:
        grown.partial_fit(shard)
    merged = merge_transformers([NeuronCoverageTransformer("toy_image").fit(s) for s in shards])
    for other in (grown, merged):
        np.testing.assert_allclose(other.thresholds_, whole.thresholds_, rtol=1e-6)
        assert np.abs(other.transform(X) - whole.transform(X)).sum() <= 1


def test_a_worker_that_is_killed_costs_only_its_work(X, tmp_path):
    """Its tasks are done again, with a warning, and the counts are those of one process."""

    class Deadly:
        def __init__(self, pixels, marker, parent):
            self.pixels, self.marker, self.parent = pixels, marker, parent

        def __array__(self, dtype=None, copy=None):
            if os.getpid() != self.parent and not os.path.exists(self.marker):
                open(self.marker, "w").close()
                os._exit(9)
            return self.pixels

    X, marker = X[:48], tmp_path / "died"
    plain = Coverage().fit(X)
    hurt = [*X[:20], Deadly(X[20], str(marker), os.getpid()), *X[21:]]
    with pytest.warns(UserWarning, match="worker process died"):
        counts = plain.set_params(n_jobs=2).transform(hurt)
    assert marker.exists()
    assert np.array_equal(counts, plain.set_params(n_jobs=None).transform(X))
