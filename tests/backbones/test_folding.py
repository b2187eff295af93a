"""Folded batch normalisations: the same output, and the layers' own outputs after all."""

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone
from skfakespotter.backbones._folding import fold_batch_norms
from skfakespotter.coverage._monitor import NeuronMonitor


def hand_made():
    """Channel 0: y = x, z = 2 y + 1. Channel 1: y = -x, z = -3 y + 0.5 with the mean at 0."""
    conv, norm = nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2, eps=0.0)
    conv.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    norm.weight.data, norm.bias.data = torch.tensor([2.0, -3.0]), torch.tensor([1.0, 0.5])
    return nn.Sequential(conv, norm, nn.ReLU()).eval().requires_grad_(False)


X = torch.tensor([[[[1.0, 2], [3, 4]]], [[[0.0, 0], [0, 4]]]])


def random_network():
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(), nn.Conv2d(8, 6, 3, bias=False)]
    network = nn.Sequential(*layers, nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 12 * 12, 4))
    for norm in (network[1], network[4]):
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
        norm.weight.data.uniform_(0.5, 2, generator=generator)
        norm.weight.data[::2] *= -1
        norm.bias.data.normal_(generator=generator)
    return network.eval().requires_grad_(False)


def test_scale_and_shift_by_hand():
    folded = fold_batch_norms(hand_made())
    assert folded.scale["0"].tolist() == [2, -3]
    assert folded.shift["0"].tolist() == [1, 0.5]
    # z = 2 x + 1 and 3 x + 0.5, as the original
    assert folded.module.get_submodule("0")(X)[0].flatten().tolist() == [
        3,
        5,
        7,
        9,
        3.5,
        6.5,
        9.5,
        12.5,
    ]
    assert torch.equal(folded.module(X), hand_made()(X))


def test_own_outputs_by_hand():
    network = hand_made()
    monitor = NeuronMonitor(network, folded=fold_batch_norms(network))
    # y: 1 2 3 4 and -1 -2 -3 -4; 0 0 0 4 and 0 0 0 -4
    assert monitor.sums(X).tolist() == [[0], [0]]
    assert monitor.means(X).tolist() == [[2.5, -2.5], [1, -1]]
    assert monitor.counts(X, {"0": 2.0}, "channel").tolist() == [[2, 0], [1, 0]]
    assert monitor.counts(X, {"0": -2.0}, "channel").tolist() == [[4, 1], [4, 3]]  # -2 is not above
    assert monitor.counts(X, {"0": -2.5}).tolist() == [[6], [7]]


@pytest.mark.parametrize("options", [{}, {"neuron": "channel"}, {"layers": "3"}, {"layers": "6"}])
def test_random_network_gives_what_the_unfolded_gives(options):
    network = random_network()
    x = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    plain = NeuronMonitor(network, **options)
    faster = NeuronMonitor(network, **options, folded=fold_batch_norms(network))
    sums = plain.sums(x)
    torch.testing.assert_close(faster.sums(x), sums, rtol=1e-5, atol=1e-3)
    units = np.array([plain.n_neurons[name] for name in plain.layer_names])
    thresholds = dict(zip(plain.layer_names, sums.mean(0).numpy() / units, strict=True))
    for granularity in ("layer", "channel"):
        expected = plain.counts(x, thresholds, granularity)
        assert expected.sum() > 0
        assert (faster.counts(x, thresholds, granularity) - expected).abs().sum() <= 1
    assert faster.n_neurons == plain.n_neurons


class Backwards(nn.Module):
    """Layers that run in another order than they are defined in, of different widths."""

    def __init__(self):
        super().__init__()
        self.last, self.norm = nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2, eps=0.0)
        self.first = nn.Conv2d(1, 3, 1, bias=False)
        self.first.weight.data = torch.tensor([1.0, 2, 3]).view(3, 1, 1, 1)
        self.last.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1)
        self.norm.weight.data, self.norm.bias.data = torch.tensor([2.0, -3.0]), torch.ones(2)

    def forward(self, x):
        return self.norm(self.last(self.first(x)))


def test_layers_that_run_in_another_order_than_they_stand():
    network = Backwards().eval().requires_grad_(False)
    plain, faster = NeuronMonitor(network), NeuronMonitor(network, folded=fold_batch_norms(network))
    # last: x and 2x; first: x, 2x and 3x
    for monitor in (plain, faster):
        assert monitor.sums(X).tolist() == [[30, 60], [12, 24]]
        assert monitor.means(X)[0].tolist() == [2.5, 5, 2.5, 5, 7.5]
        counts = monitor.counts(X, {"last": 3.0, "first": 5.0}, "channel")
        assert counts.tolist() == [[1, 3, 0, 2, 3], [1, 1, 0, 1, 1]]
        assert list(monitor.n_channels.items()) == [("last", 2), ("first", 3)]


def test_rectified_outputs_are_of_the_unfolded_network():
    network = hand_made()
    monitor = NeuronMonitor(network, rectify=True, folded=fold_batch_norms(network))
    assert monitor.folded is None
    assert monitor.sums(X).tolist() == [[10], [4]]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


class Twice(Branching):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


def silenced():
    network = hand_made()
    network[1].weight.data[0] = 1e-6
    return network


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
        Branching(),
        Twice(),
        silenced(),
    ],
    ids=["no norm", "not adjacent", "batch statistics", "control flow", "used twice", "silenced"],
)
def test_what_cannot_be_folded_is_left_alone(network):
    network = network.eval()
    assert fold_batch_norms(network) is None
    backbone = Backbone("other", network, input_size=(2, 2))
    assert backbone.folded_on(torch.device("cpu")) is None


def test_only_the_silenced_layer_stays():
    network = random_network()
    network[1].weight.data[3] = 0.0
    assert list(fold_batch_norms(network).scale) == ["3"]


class Counting(nn.Module):
    """A network whose trace misses what it does: it remembers."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.calls = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), 0

    def forward(self, x):
        self.calls += 1
        return self.norm(self.conv(x)) * self.calls


def test_a_trace_that_misses_something_is_not_used():
    network = Counting().eval()
    folded = fold_batch_norms(network)
    network(X)
    monitor = NeuronMonitor(network, folded=folded)
    assert monitor.sums(X).shape == (2, 1)
    assert folded.agrees is False


def test_the_network_is_left_as_it_was():
    network = random_network()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    fold_batch_norms(network)
    assert isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_transformer_on_a_module_with_norms():
    """Folded, kept in a store (which watches the network as it is), and by hand."""
    X = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    backbone = Backbone("norms", random_network(), input_size=(16, 16), mean=127.5, scale=64.0)
    folded = NeuronCoverageTransformer(backbone, device="cpu", granularity="channel").fit(X)
    assert backbone.folded_on(torch.device("cpu")).agrees
    stored = NeuronCoverageTransformer(
        backbone, device="cpu", granularity="channel", cache="memory"
    )
    assert np.abs(folded.transform(X) - stored.fit(X).transform(X)).sum() <= 2
    np.testing.assert_allclose(folded.thresholds_, stored.thresholds_, rtol=1e-4, atol=1e-5)
