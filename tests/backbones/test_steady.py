"""What a picture gives does not depend on what is beside it, nor on the number of threads."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter.backbones import place, steady
from skfakespotter.coverage import NeuronMonitor

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="needs torch with oneDNN"
)


def pictures(n=10, size=150):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def network():
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 4)).eval().requires_grad_(False)


def test_steady_layers_compute_what_the_plain_ones_do():
    plain, made = network(), steady(network())
    made.load_state_dict(plain.state_dict())
    x = torch.randn(3, 3, 20, 20)
    for n in (1, 3):
        torch.testing.assert_close(made(x[:n]), plain(x[:n]), rtol=1e-5, atol=1e-6)
    assert made(x[:1]).shape == (1, 4)
    names = [type(part).__name__ for part in made]
    assert [name for name in names if "Steady" in name] == [*["SteadyConv2d"] * 2, "SteadyLinear"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 6, 3, stride=2, dilation=2, groups=3, bias=False),
    ],
)
def test_other_convolutions_stay_what_they_are(layer):
    x = torch.randn(2, 3, 9, 11)
    expected = layer(x)
    torch.testing.assert_close(steady(layer)(x), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer(x[0]), expected[0], rtol=1e-5, atol=1e-6)  # without a batch


def test_autocast_still_halves():
    x = torch.randn(2, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert steady(network())(x).dtype == torch.bfloat16


def test_gradients_flow():
    made, x = steady(network()), torch.randn(2, 3, 20, 20, requires_grad=True)
    made(x).sum().backward()
    plain, y = network(), x.detach().clone().requires_grad_(True)
    plain.load_state_dict(made.state_dict())
    plain(y).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-6)


def test_sums_do_not_depend_on_the_batch():
    placed = place(load_backbone("dlib", weights="random"), torch.device("cpu"), (3, 150, 150))
    monitor, X = NeuronMonitor(placed.module), pictures()

    def sums(size):
        starts = range(0, len(X), size)
        return torch.cat([monitor.sums(placed.input(X[s : s + size]), "channel") for s in starts])

    expected = sums(10)
    for size in (1, 3, 7):
        assert torch.equal(sums(size), expected)


def test_counts_of_one_picture_are_those_among_others():
    X = pictures(size=32)
    coverage = NeuronCoverageTransformer("toy_image", device="cpu", granularity="channel").fit(X)
    together = coverage.transform(X)
    alone = np.vstack([coverage.transform(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, together)


def test_faces_do_not_depend_on_the_number_of_threads():
    script = (
        "import torch\n"
        "from skimage.data import astronaut\n"
        "from skfakespotter.faces import _centerface_network as network\n"
        "x = torch.from_numpy(astronaut()[:512, :512].copy()).permute(2, 0, 1)[None].float()\n"
        "for n in (1, 3):\n"
        "    torch.set_num_threads(n)\n"
        "    network._placed.cache_clear()  # each number of threads makes its own\n"
        "    maps = network.placed_network(network.weights_path(), 'cpu')(x[:, :, :256, :256])\n"
        "    print([float(m.double().sum()).hex() for m in maps])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    one, three = done.stdout.splitlines() or (None, None)
    assert one == three is not None, done.stderr
