"""Batch normalization: what is watched is its output, folded or not."""

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone, find_norms, place
from skfakespotter.backbones._folding import fold_batch_norms
from skfakespotter.coverage import NeuronMonitor


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


def test_outputs_after_the_norm_by_hand():
    # z: 2 x + 1 = 3 5 7 9 and 3 x + 0.5 = 3.5 6.5 9.5 12.5; 1 1 1 9 and 0.5 0.5 0.5 12.5
    network = hand_made()
    folded = fold_batch_norms(network, X)
    assert torch.equal(folded(X), network(X))
    assert isinstance(folded[1], nn.Identity)
    for watched in (network, folded):
        monitor = NeuronMonitor(watched)
        assert monitor.sums(X).tolist() == [[24 + 32], [12 + 14]]
        assert monitor.means(X).tolist() == [[6, 8], [3, 3.5]]
        assert monitor.counts(X, {"0": 6.5}, "channel").tolist() == [[2, 2], [1, 1]]
        assert monitor.layer_names == ["0"]


def test_rectified_outputs_are_those_after_the_norm():
    network = hand_made()
    network[1].bias.data = torch.tensor([-4.0, 0.0])  # 2 x - 4 = -2 0 2 4; -4 -4 -4 4; 3 x
    for watched in (network, fold_batch_norms(network, X)):
        monitor = NeuronMonitor(watched, rectify=True)
        assert monitor.sums(X).tolist() == [[6 + 30], [4 + 12]]


@pytest.mark.parametrize("options", [{}, {"neuron": "channel"}, {"layers": "3"}, {"layers": "6"}])
def test_random_network_gives_what_the_unfolded_gives(options):
    network = random_network()
    x = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    plain = NeuronMonitor(network, **options)
    faster = NeuronMonitor(fold_batch_norms(network, x), **options)
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
    # last: 2 x + 1 and 1 - 6 x; first: x, 2x and 3x
    for watched in (network, fold_batch_norms(network, X)):
        monitor = NeuronMonitor(watched)
        assert monitor.sums(X).tolist() == [[24 - 56, 60], [12 - 20, 24]]
        assert monitor.means(X)[0].tolist() == [6, -14, 2.5, 5, 7.5]
        counts = monitor.counts(X, {"last": 3.0, "first": 5.0}, "channel")
        assert counts.tolist() == [[3, 0, 0, 2, 3], [1, 0, 0, 1, 1]]
        assert list(monitor.n_channels.items()) == [("last", 2), ("first", 3)]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
        self.norm.running_mean.fill_(0.5)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) if x.sum() > 0 else y  # no tracer can follow this


class Twice(Branching):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class InPlace(Branching):
    def forward(self, x):
        return self.norm(self.conv(x).relu_())  # gives the same tensor, with another content


class Shared(Branching):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(x.expand(-1, 2, -1, -1))


class Counting(Branching):
    """A network that remembers."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return self.norm(self.conv(x)) * self.calls


@pytest.mark.parametrize(
    ("network", "norms"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), {}),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)), {}),
        (
            nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
            {"0": "1"},
        ),
        (nn.Sequential(nn.ConvTranspose2d(1, 2, 1), nn.BatchNorm2d(2)), {"0": "1"}),
        (Twice(), {"conv": "norm"}),
        (InPlace(), {}),
        (Shared(), {}),
        (Counting(), {"conv": "norm"}),
    ],
    ids=[
        "no norm",
        "not adjacent",
        "batch statistics",
        "transposed",
        "used twice",
        "in place",
        "shared norm",
        "remembers",
    ],
)
def test_what_cannot_be_folded_is_watched_as_it_is(network, norms):
    network = network.eval().requires_grad_(False)
    assert find_norms(network, X) == norms
    assert fold_batch_norms(network, X) is None
    layer = next(iter(norms), "0" if hasattr(network, "0") else "conv")
    watched = network.get_submodule(norms.get(layer, layer))
    seen = []
    handle = watched.register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    sums = NeuronMonitor(network, layer).sums(X)
    handle.remove()
    expected = seen[-1].flatten(1).double().sum(1)
    torch.testing.assert_close(sums[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_control_flow_and_silenced_channels_are_folded():
    network = Branching().eval()
    assert isinstance(fold_batch_norms(network, X).norm, nn.Identity)
    network = random_network()
    network[1].weight.data[3] = 0.0
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    folded = fold_batch_norms(network, x)
    assert [isinstance(folded[i], nn.Identity) for i in (1, 4)] == [True, True]
    torch.testing.assert_close(folded[0](x), network[1](network[0](x)), rtol=1e-4, atol=1e-5)


def test_fully_connected_layers_are_folded():
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval().requires_grad_(False)
    network[1].running_mean.fill_(0.3)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norms(network, x)
    torch.testing.assert_close(folded[0](x), network(x))


def test_the_network_is_left_as_it_was():
    network = random_network()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    fold_batch_norms(network, torch.ones(1, 3, 16, 16))
    assert isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(p._forward_hooks or p._forward_pre_hooks for p in network.modules())


def test_transformer_on_a_module_with_norms():
    """Every way of computing watches the output after the norm."""
    pictures = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    backbone = Backbone("norms", random_network(), input_size=(16, 16), mean=127.5, scale=64.0)
    network = place(backbone, torch.device("cpu"), (3, 16, 16)).module
    assert isinstance(network[1], nn.Identity)
    options = {"device": "cpu", "granularity": "channel"}
    direct = NeuronCoverageTransformer(backbone, **options).fit(pictures)
    counts = direct.transform(pictures)
    # eighteen channels in all; at most one neuron in nine pictures changes sides
    assert np.abs(direct.fit_transform(pictures) - counts).sum() <= 1
    stored = NeuronCoverageTransformer(backbone, **options, cache="memory")
    assert np.abs(stored.fit(pictures).transform(pictures) - counts).sum() <= 1
    np.testing.assert_allclose(direct.thresholds_, stored.thresholds_, rtol=1e-4, atol=1e-5)
    x = backbone.preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    y = backbone.module[1](backbone.module[0](x))  # by hand
    assert direct.thresholds_[0] == pytest.approx(y.double().mean().item(), abs=1e-5)
    by_hand = (y > float(direct.thresholds_[0])).sum((2, 3)).numpy()
    assert np.abs(counts[:, :8] - by_hand).sum() <= 1


def test_fit_transform_on_the_papers_network_equals_fit_then_transform():
    from skfakespotter import load_backbone, make_pictures

    X, _ = make_pictures(6, size=224, random_state=0)
    backbone = load_backbone("vggface2_resnet50", weights="random")
    coverage = NeuronCoverageTransformer(backbone, device="cpu", granularity="channel")
    once = coverage.fit_transform(X)
    twice = coverage.fit(X).transform(X)
    # of ten million neurons a picture, those at the threshold may change sides
    assert np.abs(once - twice).sum(1).max() <= 20


def test_denormal_weights_are_flushed_once_placed_with_equal_counts():
    """Also those that folding makes of a channel that is all but silenced."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)
    ).eval()
    with torch.no_grad():
        network[1].weight[::2] = 1e-30
        network[3].weight[:4] *= 1e-39
    denormal = [(w.abs() > 0) & (w.abs() < 1e-20) for w in network.parameters()]
    assert sum(int(d.sum()) for d in denormal) > 200
    backbone = Backbone("denormal", network, input_size=(16, 16), mean=127.5, scale=127.5)
    placed = place(backbone, torch.device("cpu"), (3, 16, 16)).module
    assert all(((w == 0) | (w.abs() >= 1e-20)).all() for w in placed.parameters())
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(placed(x), network(x), rtol=1e-5, atol=1e-6)
    thresholds = np.full(16, 0.01)
    before, after = (NeuronMonitor(n).counts(x, thresholds, "channel") for n in (network, placed))
    assert (before - after).abs().sum() <= 1
