"""Compiled passes, other precisions and several devices: the same counts."""

import os
import pickle
import shutil
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter import NeuronCoverageTransformer, load_backbone, make_pictures
from skfakespotter._device import PRECISIONS, _switches, computing_in
from skfakespotter.coverage._direct import DirectStatistics, run_on_replicas
from skfakespotter.coverage._graphs import CompiledStatistics
from skfakespotter.coverage._monitor import NeuronMonitor

CPU = torch.device("cpu")
ignores_torch = pytest.mark.filterwarnings("ignore:.torch.jit.*deprecated:DeprecationWarning")
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler"
)


class Repeating(nn.Module):
    """A layer that runs twice, and one on tokens."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(6, 3)

    def forward(self, x):
        y = self.conv(self.conv(x).relu())
        return self.fc(y)


@pytest.fixture(scope="module")
def repeating():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Repeating().eval().requires_grad_(False)


@ignores_torch
@needs_compiler
def test_compiled_statistics_equal_the_eager_ones(repeating):
    x = torch.randn(4, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    eager, compiled = NeuronMonitor(repeating), NeuronMonitor(repeating, compiled=True)
    torch.testing.assert_close(compiled.sums(x), eager.sums(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(compiled.means(x), eager.means(x), rtol=1e-5, atol=1e-6)
    for thresholds in ({"conv": 0.05, "fc": -0.1}, {"conv": 0.3, "fc": 0.2}):
        for granularity in ("layer", "channel"):
            expected = eager.counts(x, thresholds, granularity)
            assert expected.sum() > 0
            assert torch.equal(compiled.counts(x, thresholds, granularity), expected)
    assert compiled.compiled  # it did not fall back
    assert compiled.n_neurons == eager.n_neurons == {"conv": 120, "fc": 30}
    # a smaller batch is filled up, a larger one compiled anew; either gives its own rows
    thresholds = {"conv": 0.05, "fc": -0.1}
    for n in (1, 3, 6):
        more = torch.cat([x, x.flip(0)])[:n]
        assert torch.equal(compiled.counts(more, thresholds), eager.counts(more, thresholds))
    of = repeating, compiled.layout(x), compiled.neurons, compiled.precision
    assert CompiledStatistics.of(*of).batch_size == 6
    assert not any(part._forward_hooks for part in repeating.modules())


class Backwards(nn.Module):
    """Layers that run in another order than they are defined in, of different widths."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Conv2d(3, 2, 1), nn.Conv2d(1, 3, 1)

    def forward(self, x):
        return self.last(self.first(x))


@ignores_torch
@needs_compiler
def test_compiled_layers_that_run_in_another_order_than_they_stand():
    generator = torch.Generator().manual_seed(0)
    network = Backwards().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    x = torch.randn(4, 1, 5, 6, generator=generator)
    eager, compiled = NeuronMonitor(network), NeuronMonitor(network, compiled=True)
    thresholds = {"last": 0.9, "first": -0.8}
    expected = eager.counts(x, thresholds, "channel")
    assert torch.equal(compiled.counts(x, thresholds, "channel"), expected)
    assert not torch.equal(eager.counts(x, {"last": -0.8, "first": 0.9}, "channel"), expected)


@ignores_torch
@needs_compiler
def test_compiled_transformer_equals_the_eager_one():
    X, _ = make_pictures(21, size=32, random_state=0)
    network = load_backbone("toy_image").module[:3]  # to compile the others takes seconds
    results = []
    for compile_ in (False, True):
        coverage = NeuronCoverageTransformer(
            network, compile=compile_, batch_size=8, device="cpu", granularity="channel"
        )
        results.append((coverage.fit(X).transform(X), coverage.thresholds_))
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5)
    assert np.abs(results[1][0] - results[0][0]).sum() <= 1


@ignores_torch
def test_without_a_compiler_the_work_goes_on(tmp_path, monkeypatch):
    from torch._inductor import config  # importing it takes seconds

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # holds no earlier kernels
    X, _ = make_pictures(6, random_state=0)
    network = load_backbone("toy_image").module
    forced = NeuronCoverageTransformer(network, compile=True, device="cpu")
    with (
        config.patch({"cpp.cxx": ("/no/such/compiler",)}),
        pytest.warns(RuntimeWarning, match="torch.compile failed, the work goes on"),
    ):
        forced.fit(X)
    plain = NeuronCoverageTransformer(network, compile=False, device="cpu").fit(X)
    assert np.array_equal(forced.thresholds_, plain.thresholds_)


@ignores_torch
@needs_compiler
def test_torch_counts_the_graphs_of_each_network_apart():
    """Else the ninth graph of a process would silently not be compiled."""
    x = torch.ones(2, 2)
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for n in (1, 2):
            monitor = NeuronMonitor(nn.Sequential(nn.Linear(2, n)), compiled=True)
            torch.testing.assert_close(monitor.sums(x), NeuronMonitor(monitor.module).sums(x))
            assert monitor.compiled


@pytest.mark.parametrize(("n", "compiled"), [(49_999, False), (50_000, True)])
def test_auto_compiles_long_runs_only(n, compiled):
    coverage = NeuronCoverageTransformer("toy_image")
    X = np.empty((n, 1, 1, 3), np.uint8)
    backbone = load_backbone("toy_image")
    assert coverage._statistics(X, backbone, keep=False).direct.compiled is compiled
    coverage.set_params(cache="memory", compile=True)
    assert not coverage._statistics(X, backbone, keep=False).direct.compiled


# ---- precision -------------------------------------------------------------------------


def test_half_precision_is_counted_in_float32():
    # 1 + 2^-9 is not a bfloat16: rounded to 1, a threshold of 1 + 2^-9 would let 1.0078 pass
    # and one of 1 - 2^-10, rounded up to 1, would stop 1
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = torch.ones(1, 1)
    monitor = NeuronMonitor(nn.Sequential(layer), precision="bfloat16")
    x = torch.tensor([[1.0], [1.0078125]])
    assert monitor.counts(x, {"0": 1 + 2**-9}).tolist() == [[0], [1]]
    assert monitor.counts(x, {"0": 1 - 2**-10}).tolist() == [[1], [1]]
    assert monitor.sums(x).tolist() == [[1], [1.0078125]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precisions_of_the_transformer(precision):
    X, _ = make_pictures(8, random_state=0)
    exact = NeuronCoverageTransformer("toy_image", device="cpu").fit(X)
    other = NeuronCoverageTransformer("toy_image", device="cpu", precision=precision).fit(X)
    difference = np.abs(other.transform(X) - exact.transform(X)).sum() / (
        8 * exact.n_neurons_.sum()
    )
    assert difference < (0.01 if "16" in precision else 1e-9)
    if "16" in precision:
        assert not np.array_equal(other.thresholds_, exact.thresholds_)
        stored = NeuronCoverageTransformer(
            "toy_image", device="cpu", precision=precision, cache="memory"
        )
        assert np.abs(stored.fit_transform(X) - other.transform(X)).sum() <= 1


def test_precisions_do_not_share_records():
    from skfakespotter.cache import CoverageCache

    X, _ = make_pictures(6, random_state=0)
    store = CoverageCache()
    for precision in ("float32", "bfloat16"):
        NeuronCoverageTransformer("toy_image", precision=precision, cache=store).fit(X)
    assert sorted(entry["precision"] for entry in store.info()) == ["bfloat16", "float32"]


def test_an_unknown_precision_is_named():
    X, _ = make_pictures(2, random_state=0)
    with pytest.raises(ValueError, match=r"The 'precision' parameter .* Got 'int8'"):
        NeuronCoverageTransformer("toy_image", precision="int8").fit(X)
    with pytest.raises(ValueError, match=r"The 'compile' parameter .* Got 'yes'"):
        NeuronCoverageTransformer("toy_image", compile="yes").fit(X)


def switches():
    return [getattr(place, name) for place, name, _ in _switches(True)]


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True)])
def test_switches_of_torch_are_put_back(precision, tf32):
    before, inside = switches(), []
    with suppress(ZeroDivisionError), computing_in(precision, torch.device("cuda")):
        inside += switches()
        raise ZeroDivisionError
    assert inside == [value for *_, value in _switches(tf32)]
    assert switches() == before


def test_threads_share_the_switches_and_the_last_one_puts_them_back():
    before, cuda = switches(), torch.device("cuda")
    float32, tf32 = computing_in("float32", cuda), computing_in("tf32", cuda)
    also = computing_in("float32", cuda)
    exact = [value for *_, value in _switches(False)]
    float32.__enter__()
    tf32.__enter__()  # nobody waits: it computes in what is set
    also.__enter__()
    assert switches() == exact
    float32.__exit__(None, None, None)  # the first ends before the others
    also.__exit__(None, None, None)
    assert switches() == exact
    tf32.__exit__(None, None, None)
    assert switches() == before


def test_autocast_ends():
    with computing_in("bfloat16", CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


# ---- several devices -------------------------------------------------------------------


def test_batches_go_to_the_devices_in_turn_and_come_back_in_order():
    class Recording:
        def __init__(self, name):
            self.monitor, self.network = name, self

        def input(self, batch):
            return torch.from_numpy(batch)

    batches = [(np.array([i]), np.array([[float(i)]])) for i in range(7)]
    seen = []

    def statistic(monitor, x):
        seen.append((monitor, x.item()))
        return x * 10

    replicas = [Recording("a"), Recording("b")]
    found = list(run_on_replicas(replicas, iter(batches), statistic))
    assert [part.positions.item() for part in found] == list(range(7))
    assert [part.values.item() for part in found] == [10.0 * i for i in range(7)]
    assert seen == [("ab"[i % 2], float(i)) for i in range(7)]


def test_results_are_awaited_late_and_never_hoarded():
    launched = []
    batches = ((np.array([i]), torch.zeros(1, 1)) for i in range(20))

    class Here:
        monitor = None

        @property
        def network(self):
            return self

        def input(self, batch):
            return batch

    results = run_on_replicas([Here()], batches, lambda _, x: launched.append(0) or x)
    for taken, _ in enumerate(results, 1):
        assert len(launched) - taken <= 2
    assert taken == len(launched) == 20


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_two_devices_give_what_one_gives(granularity):
    X, _ = make_pictures(23, random_state=0)
    one = NeuronCoverageTransformer(
        "toy_image", device="cpu", batch_size=4, granularity=granularity
    )
    two = NeuronCoverageTransformer(
        "toy_image", device=["cpu", "cpu"], batch_size=4, granularity=granularity
    )
    assert np.array_equal(one.fit(X).transform(X), two.fit(X).transform(X))
    assert np.array_equal(one.thresholds_, two.thresholds_)
    assert np.array_equal(two.fit_transform(X), one.transform(X))


def test_devices_that_are_not_there_are_named():
    X, _ = make_pictures(2, random_state=0)
    with pytest.raises(ValueError, match="device is empty"):
        NeuronCoverageTransformer("toy_image", device=[]).fit(X)
    with pytest.raises(ValueError, match="device is 'cuda:99': expected"):
        NeuronCoverageTransformer("toy_image", device=["cpu", "cuda:99"]).fit(X)


def test_statistics_are_small_in_a_pickle():
    statistics = DirectStatistics(
        load_backbone("dlib", weights="random"), (3, 150, 150), device=["cpu", "cpu"]
    )
    assert len(statistics.replicas) == 2
    assert len(pickle.dumps(statistics)) < 2_000
    assert pickle.loads(pickle.dumps(statistics)).layout.names == statistics.layout.names
