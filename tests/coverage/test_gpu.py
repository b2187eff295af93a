"""On a GPU: the counts of a CPU, from one launch a batch."""

import threading

import numpy as np
import pytest
import sklearn
import torch
from torch import nn

from skfakespotter import FaceAligner, NeuronCoverageTransformer, make_pictures
from skfakespotter._device import computing_in
from skfakespotter.coverage import _kernels
from skfakespotter.coverage._captured import CapturedFunction, waits
from skfakespotter.coverage._graphs import CapturedStatistics, _WatchedNetwork
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.faces import find_faces

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA's")
SHAPES = [(3, 5, 7), (2, 32, 5184), (2, 64, 289), (1, 200, 1), (2, 3, 2500), (4, 256, 16)]


def outputs(shape, layout, dtype=torch.float32, device="cpu"):
    n, channels, units = shape
    generator = torch.Generator().manual_seed(0)
    if layout == "rows":
        values = torch.randn(n, channels, units, generator=generator)
    elif layout == "channels last":
        values = torch.randn(n, units, channels, generator=generator).mT
    else:
        values = torch.randn(n, channels, 2 * units, generator=generator)[:, :, ::2]
    values[0, 0, 0] = torch.nan
    return values.to(device, dtype)


def assert_counted(values, count):
    limits = torch.linspace(-1, 1, values.shape[1], device=values.device)[:, None]
    for threshold in (0.25, 1 + 2**-9, limits):
        literal = (values.float() > threshold).sum(2).float()
        assert torch.equal(count(values, threshold), literal)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["rows", "channels last", "every other"])
@pytest.mark.parametrize("shape", SHAPES)
def test_marks_without_triton(shape, layout, dtype, monkeypatch):
    monkeypatch.setattr(_kernels, "_triton_kernel", lambda device: None)
    assert_counted(outputs(shape, layout, dtype), _kernels.count_above)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["rows", "channels last", "every other"])
@pytest.mark.parametrize("shape", SHAPES)
def test_triton_counts_what_the_equation_says(shape, layout, dtype):
    assert _kernels._triton_kernel(torch.device("cuda:0")) is not None
    assert_counted(outputs(shape, layout, dtype, "cuda"), _kernels.count_above)


def test_where_triton_does_not_run_torch_counts():
    _kernels._triton_kernel.cache_clear()
    try:  # there is no such device, as there may be no compiler
        assert _kernels._triton_kernel(torch.device("cuda:99")) is None
    finally:
        _kernels._triton_kernel.cache_clear()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.relu().sum(), False),
        (lambda x: x * 2 if x.sum().item() > 0 else x, True),
        (lambda x: x if x.max() > 3 else x * 2, True),
        (lambda x: x[x > 0], True),
        (lambda x: x.clone().masked_fill_(x > 0, 1.0), False),
        (lambda x: x.clone().index_put_((x > 0,), torch.tensor(1.0)), True),
        (lambda x: [x * n for n in x[0, 0].tolist()], True),
        (lambda x: x.to("meta"), True),
        (nn.TransformerEncoderLayer(4, 2, batch_first=True).eval(), False),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_needs_values_on_the_host_is_seen(function, expected, precision):
    with torch.inference_mode(), computing_in(precision, torch.device("cpu")):
        assert waits(function, [torch.ones(2, 3, 4)]) is expected


class InPlace(nn.Module):
    """Activations that overwrite what the layers before them gave."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x = nn.functional.relu_(self.conv(x))
        return nn.functional.relu_(self.fc(nn.functional.relu_(self.conv(x[:, :3])).mean((2, 3))))


@pytest.mark.parametrize("count", [_kernels.count_fused, _kernels.Counter().above])
def test_outputs_are_counted_before_an_activation_overwrites_them(count):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, x = InPlace().eval().requires_grad_(False), torch.randn(5, 3, 9, 9)
    monitor = NeuronMonitor(network)
    whole = _WatchedNetwork(network, monitor.layout(x), monitor.neurons, count)
    limits = torch.tensor([[-0.3], [-0.1], [0.0], [0.2], [-0.2], [0.1]])
    with torch.inference_mode():
        torch.testing.assert_close(whole(x, None).double(), monitor.sums(x, "channel"))
        expected = monitor.counts(x, limits[:, 0].numpy(), "channel")
        assert torch.equal(whole(x, limits), expected)
    assert (expected[:, 0] > expected[:, 1]).all()
    assert whole.found == {}


class Small(nn.Module):
    """Convolutions, one of which runs twice, and a fully-connected layer."""

    def __init__(self, waits=False):
        super().__init__()
        self.first, self.again, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.waits = waits

    def forward(self, x):
        x = self.again(self.again(self.first(x).relu()).relu()).mean((2, 3))
        if self.waits and x.sum().item() == 0.5:
            return x
        return self.last(x)


def small(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small(**options).eval().requires_grad_(False).cuda()


def batch(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 12, 12, generator=generator).cuda()


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_captured_statistics_equal_the_eager_ones(precision):
    network = small()
    eager = NeuronMonitor(network, precision=precision)
    captured = NeuronMonitor(network, precision=precision, captured=True)
    limits = {"first": 0.1, "again": 0.0, "last": -0.1}, {"first": 0.0, "again": 0.2, "last": 0.1}
    for seed, n in enumerate((8, 8, 8, 8, 5, 8, 3, 12, 12, 8, 6)):  # other sizes in between
        x = batch(n, seed)
        torch.testing.assert_close(captured.sums(x), eager.sums(x), rtol=1e-6, atol=1e-6)
        for thresholds in limits:
            for granularity in ("layer", "channel"):
                expected = eager.counts(x, thresholds, granularity)
                assert torch.equal(captured.counts(x, thresholds, granularity), expected)
    assert captured.captured
    graphs = CapturedStatistics.of(network, captured.layout(x), captured.neurons, precision)
    assert {shapes[0][0] for shapes in graphs._captured._recordings} == {3, 8, 12}  # 5, 6: as 8


@needs_gpu
def test_a_captured_network_names_what_is_not_finite():
    network = small()
    captured, x = NeuronMonitor(network, captured=True), batch(6)
    x[2] = torch.inf
    for _ in range(4):
        counts = captured.counts(x, {"first": 0.0, "again": 0.0, "last": 0.0})
        assert counts.isnan().any(1).tolist() == [False, False, True, False, False, False]


@needs_gpu
def test_a_network_that_waits_for_the_device_goes_on_uncaptured():
    network = small(waits=True)
    eager, captured = NeuronMonitor(network), NeuronMonitor(network, captured=True)
    for seed in range(5):
        x = batch(8, seed)
        assert torch.equal(captured.sums(x), eager.sums(x))
    assert not captured.captured
    again = NeuronMonitor(network, captured=True)
    again.sums(batch(8))
    assert again.captured  # nothing was tried again
    assert torch.cuda.current_stream() == torch.cuda.default_stream()  # the device is as it was
    assert torch.rand(3, device="cuda").sum().item() > 0


@needs_gpu
def test_a_captured_function_serves_several_streams():
    double = CapturedFunction(lambda x, y: x * 2 if y is None else x * 2 + y)
    found = []
    for number in range(6):
        with torch.cuda.stream(torch.cuda.Stream()):
            x = torch.full((1000, 1000), float(number), device="cuda")
            found += [double(x, None), double(x, x)]
    torch.cuda.synchronize()
    assert [f.unique().tolist() for f in found[::2]] == [[2.0 * i] for i in range(6)]
    assert [f.unique().tolist() for f in found[1::2]] == [[3.0 * i] for i in range(6)]


@needs_gpu
@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_the_transformer_counts_as_on_a_cpu(granularity):
    X = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    options = {"batch_size": 8, "granularity": granularity}
    there = NeuronCoverageTransformer("toy_image", device="cuda", **options).fit(X)
    here = NeuronCoverageTransformer("toy_image", device="cpu", **options).fit(X)
    np.testing.assert_allclose(there.thresholds_, here.thresholds_, rtol=1e-5)
    assert np.abs(there.transform(X) - here.transform(X)).sum() <= 3
    with sklearn.config_context(array_api_dispatch=True):
        found = there.transform(torch.from_numpy(X.transpose(0, 3, 1, 2).copy()).cuda())
    assert found.is_cuda
    assert np.abs(found.cpu().numpy() - here.transform(X)).sum() <= 3


@needs_gpu
def test_threads_share_a_captured_network():
    X, _ = make_pictures(64, random_state=0)
    coverage = NeuronCoverageTransformer("toy_image", device="cuda", batch_size=8).fit(X)
    expected, wrong = coverage.transform(X), []

    def work():
        for _ in range(5):
            if not np.array_equal(coverage.transform(X), expected):
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@needs_gpu
def test_faces_are_found_where_a_cpu_finds_them():
    from skimage.data import astronaut

    photos = [astronaut(), astronaut()[:, ::-1], astronaut()[::2, ::2]]
    for photo in photos:
        (here,), (there,) = find_faces(photo), find_faces(photo, device="cuda")
        assert np.abs(np.array(there.box) - here.box).max() < 0.1
        assert np.abs(np.array(there.landmarks) - here.landmarks).max() < 0.1
    on_cpu, on_gpu = (FaceAligner(device=d).transform(photos * 20) for d in ("cpu", "cuda"))
    assert np.abs(on_cpu.astype(int) - on_gpu).mean() < 0.5


@needs_gpu
def test_files_to_vectors_while_a_graph_is_captured(tmp_path):
    """Faces are found in another thread, on the same device."""
    from PIL import Image
    from skimage.data import astronaut

    paths = []
    for number in range(300):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(np.roll(astronaut()[::2, ::2], number % 7, 1)).save(paths[-1])
    faces = {d: FaceAligner(lazy=True, device=d).transform(paths) for d in ("cpu", "cuda")}
    there = NeuronCoverageTransformer("toy_image", device="cuda", batch_size=16)
    here = NeuronCoverageTransformer("toy_image", device="cpu", batch_size=16)
    found, expected = there.fit_transform(faces["cuda"]), here.fit_transform(faces["cpu"])
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.005 * here.n_neurons_.mean()
