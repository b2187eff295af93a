"""NeuronMonitor: sums and counts against numbers worked out by hand."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter.backbones import load_backbone, monitored_layers, place
from skfakespotter.coverage import NeuronMonitor, evaluating
from skfakespotter.coverage._layers import select_layers


class Toy(nn.Module):
    """One 1x1 convolution with two channels, the mean of each after the ReLU, three outputs.

    ========== ============== ================ ============= ==================
    picture    channel 0 = x  channel 1 =      pooled ReLU   fc = 2a, b-2a,
                              1 - 2x           a, b          4a+3b
    ========== ============== ================ ============= ==================
    1 2 / 3 4  1 2 3 4        -1 -3 -5 -7      2.5, 0        5, -5, 10
    0 0 / 0 4  0 0 0 4        1 1 1 -7         1, 0.75       2, -1.25, 6.25
    ========== ============== ================ ============= ==================
    """

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 1), nn.Linear(2, 3, bias=False)
        self.conv.weight.data = torch.tensor([1.0, -2.0]).view(2, 1, 1, 1)
        self.conv.bias.data = torch.tensor([0.0, 1.0])
        self.fc.weight.data = torch.tensor([[2.0, 0], [-2, 1], [4, 3]])

    def forward(self, x):
        return self.fc(self.conv(x).relu_().mean((2, 3)))  # in place: the monitor must be first


PICTURES = torch.tensor([[[[1.0, 2], [3, 4]]], [[[0.0, 0], [0, 4]]]])


class Calls(nn.Module):
    """A network that does with its layers what it is told."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.call = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.call(self, x)


def ones(layer):
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


# ---- sums, counts, means ---------------------------------------------------------------


def test_sums_by_hand():
    monitor = NeuronMonitor(Toy())
    sums = monitor.sums(PICTURES)
    assert monitor.layer_names == ["conv", "fc"]
    # conv: 10 - 16 = -6 and 4 - 4 = 0; fc: 5 - 5 + 10 = 10 and 2 - 1.25 + 6.25 = 7
    assert sums.tolist() == [[-6, 10], [0, 7]]
    assert sums.dtype == torch.float64
    assert monitor.n_neurons == {"conv": 8, "fc": 3}
    assert monitor.n_channels == {"conv": 2, "fc": 3}


def test_counts_by_hand():
    monitor = NeuronMonitor(Toy())
    # equation 1: conv (-6 + 0) / (8 * 2), fc (10 + 7) / (3 * 2)
    thresholds = {"conv": -0.375, "fc": 17 / 6}
    assert monitor.counts(PICTURES, thresholds).tolist() == [[4, 2], [7, 1]]
    assert monitor.counts(PICTURES, thresholds, "channel").tolist() == [
        [4, 0, 1, 0, 1],
        [4, 3, 0, 0, 1],
    ]
    assert monitor.counts(PICTURES, thresholds).dtype == torch.float32


def test_a_neuron_at_the_threshold_does_not_count():
    monitor = NeuronMonitor(Toy())
    # picture 1: 2 3 4 above 1; picture 2: 4 above 1, three neurons at 1, three at 0
    assert monitor.counts(PICTURES, {"conv": 1.0, "fc": 5.0}).tolist() == [[3, 1], [1, 1]]
    assert monitor.counts(PICTURES, {"conv": 0.0, "fc": 2.0}).tolist() == [[4, 2], [4, 1]]
    assert monitor.counts(PICTURES, {"conv": 4.0, "fc": 10.0}).tolist() == [[0, 0], [0, 0]]
    below = {"conv": 1 - 1e-6, "fc": 5 - 1e-6}
    assert monitor.counts(PICTURES, below).tolist() == [[4, 2], [4, 1]]


def test_rectified_by_hand():
    monitor = NeuronMonitor(Toy(), rectify=True)
    # conv 1+2+3+4 and 4+1+1+1; fc 5+0+10 and 2+0+6.25
    assert monitor.sums(PICTURES).tolist() == [[10, 15], [7, 8.25]]
    # without the ReLU -1, the negative outputs of channel 1 would stay below
    assert monitor.counts(PICTURES, {"conv": -1.0, "fc": -1.0}).tolist() == [[8, 3], [8, 3]]
    assert monitor.counts(PICTURES, {"conv": 0.0, "fc": 0.0}).tolist() == [[4, 2], [4, 2]]


def test_channel_neurons_by_hand():
    monitor = NeuronMonitor(Toy(), neuron="channel")
    # means 2.5, -4 and 1, -1
    assert monitor.sums(PICTURES).tolist() == [[-1.5, 10], [0, 7]]
    assert monitor.n_neurons == {"conv": 2, "fc": 3}
    thresholds = {"conv": -1.0, "fc": 2.0}
    assert monitor.counts(PICTURES, thresholds).tolist() == [[1, 2], [1, 1]]
    assert monitor.counts(PICTURES, thresholds, "channel").tolist() == [
        [1, 0, 1, 0, 1],
        [1, 0, 0, 0, 1],
    ]


def test_channel_neurons_are_rectified_before_the_mean():
    monitor = NeuronMonitor(Toy(), neuron="channel", rectify=True)
    # 2.5, 0 and 1, (1+1+1+0)/4; the ReLU of the means would give 0 for the last
    assert monitor.means(PICTURES)[:, :2].tolist() == [[2.5, 0], [1, 0.75]]
    assert monitor.sums(PICTURES)[:, 0].tolist() == [2.5, 1.75]


def test_means_by_hand():
    for neuron in ("unit", "channel"):
        monitor = NeuronMonitor(Toy(), neuron=neuron)
        assert monitor.means(PICTURES).tolist() == [
            [2.5, -4, 5, -5, 10],
            [1, -1, 2, -1.25, 6.25],
        ]


def test_collect_hands_on_name_and_values():
    seen = {}

    def statistic(name, values):
        seen[name] = tuple(values.shape)
        return values.amax((1, 2))[:, None]

    assert NeuronMonitor(Toy()).collect(PICTURES, statistic).tolist() == [[4, 10], [4, 6.25]]
    assert seen == {"conv": (2, 2, 4), "fc": (2, 3, 1)}


def test_channels_are_summed_in_float64():
    # 2^24 + 1 is not a float32: channels 2^24, 1 and 1, in maps and in a vector
    conv = nn.Conv2d(1, 3, 1, bias=False)
    conv.weight.data = torch.tensor([2.0**24, 1, 1]).view(3, 1, 1, 1)
    monitor = NeuronMonitor(nn.Sequential(conv))
    assert monitor.sums(torch.tensor([1.0, 2]).view(1, 1, 1, 2)).item() == 3 * (2**24 + 2)
    linear = nn.Linear(1, 2, bias=False)
    linear.weight.data = torch.tensor([[2.0**24], [1]])
    assert NeuronMonitor(nn.Sequential(linear)).sums(torch.ones(1, 1)).item() == 2**24 + 1


def test_sums_of_large_maps_are_pairwise():
    # a plain float32 loop over a million values of 0.1 is off by 1 %
    monitor = NeuronMonitor(nn.Sequential(ones(nn.Conv2d(1, 2, 1, bias=False))))
    x = torch.full((1, 1, 1000, 1000), 0.1)
    for layout in (torch.contiguous_format, torch.channels_last):
        total = monitor.sums(x.contiguous(memory_format=layout)).item()
        assert total == pytest.approx(2e6 * np.float32(0.1), rel=1e-6)


def test_counts_are_whole_numbers_for_large_maps():
    monitor = NeuronMonitor(nn.Sequential(ones(nn.Conv2d(1, 8, 1, bias=False))))
    x = torch.ones(1, 1, 600, 601)
    assert monitor.counts(x, {"0": 0.5}).item() == 8 * 600 * 601


def test_channels_sum_to_layers_in_a_real_network():
    backbone = load_backbone("dlib", weights="random")
    network = place(backbone, torch.device("cpu"), (3, 150, 150)).module
    x = torch.randn(3, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    monitor = NeuronMonitor(network)
    thresholds = dict.fromkeys(monitor.layer_names, 0.1)
    per_layer = monitor.counts(x, thresholds)
    per_channel = monitor.counts(x, thresholds, "channel")
    assert per_channel.shape == (3, 3_680)
    widths = list(monitor.n_channels.values())
    summed = torch.stack([part.sum(1) for part in per_channel.split(widths, 1)], 1)
    assert torch.equal(summed, per_layer)
    units = torch.tensor(list(monitor.n_neurons.values()))
    assert (per_layer <= units).all()
    assert (0.05 * units < per_layer.mean(0)).sum() > 20  # it counted something


# ---- which layers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, ["stem", "body.0.a", "body.0.b", "body.1.a", "body.1.b", "head"]),
        ("head", ["head"]),
        (["head", "stem"], ["stem", "head"]),
        (("head", "h*", "head"), ["head"]),
        ("body.*.a", ["body.0.a", "body.1.a"]),
        (["*.b", "stem"], ["stem", "body.0.b", "body.1.b"]),
        ("body.[!0].?", ["body.1.a", "body.1.b"]),
        ("*", ["stem", "body.0.a", "body.0.b", "body.1.a", "body.1.b", "head"]),
    ],
)
def test_layers_by_name_and_glob_in_network_order(layers, expected):
    def block():
        layers = {"a": nn.Conv2d(4, 4, 1), "norm": nn.BatchNorm2d(4), "b": nn.Conv2d(4, 4, 1)}
        return nn.Sequential(nn.ModuleDict(layers))[0]

    network = nn.ModuleDict(
        {"stem": nn.Conv2d(3, 4, 1), "body": nn.ModuleList([block(), block()])}
        | {"head": nn.Linear(4, 2)}
    )
    assert select_layers(network, layers) == expected


@pytest.mark.parametrize("layers", ["Conv", ["conv", "norm"], "conv.", "Blocks"])
def test_a_pattern_without_a_match_is_named(layers):
    pattern = layers if isinstance(layers, str) else "norm"
    with pytest.raises(ValueError, match=rf"layers: '{pattern}' matches none of \['conv', 'fc'\]"):
        NeuronMonitor(Toy(), layers)


def test_a_message_shows_near_names_and_few_others():
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)), nn.LayerNorm(2))
    network.add_module("attention", nn.ReLU())
    with pytest.raises(ValueError, match=r"'atention' .*'9'\] and 2 more, .*Near: \['attention'\]"):
        select_layers(network, "atention")
    with pytest.raises(ValueError, match=r"exclude: 'layernorm' .*Near: \['LayerNorm'\]"):
        select_layers(network, exclude="layernorm")
    with pytest.raises(ValueError, match=r"'Blocks' matches .*Near: \['blocks'\]"):
        select_layers(network, "Blocks")
    with pytest.raises(ValueError, match=r"'blocks' matches nothing, for no parts .* globs"):
        select_layers(network, "blocks")


@pytest.mark.parametrize("layers", [5, [5], ["conv", None], iter(["conv"]), 1.5])
def test_layers_of_another_type_are_refused(layers):
    with pytest.raises(TypeError, match=r"layers is .*: expected None, names or glob patterns"):
        NeuronMonitor(Toy(), layers)


def test_no_layers_at_all():
    with pytest.raises(ValueError, match="layers is empty: expected None, names or glob"):
        NeuronMonitor(Toy(), [])
    with pytest.raises(ValueError, match="the network ReLU has no convolutional or fully"):
        NeuronMonitor(nn.ReLU())


def test_one_layer_alone_gives_its_column():
    monitor = NeuronMonitor(Toy(), "fc")
    assert monitor.sums(PICTURES).tolist() == [[10], [7]]
    assert monitor.n_neurons == {"fc": 3}


def test_columns_follow_definition_not_execution():
    network = Calls(lambda self, x: self.first(self.second(x)), first=ones(nn.Linear(1, 1)))
    network.add_module("second", ones(nn.Linear(2, 1)))
    nn.init.constant_(network.first.weight, 10.0)
    monitor = NeuronMonitor(network)
    assert monitor.layer_names == ["first", "second"]
    assert monitor.sums(torch.tensor([[1.0, 2]])).tolist() == [[30, 3]]


# ---- shapes ----------------------------------------------------------------------------


def test_a_layer_that_runs_twice_has_the_neurons_of_both_runs():
    layer = ones(nn.Conv1d(1, 2, 1))
    nn.init.constant_(layer.bias, 1.0)
    network = Calls(lambda self, x: (self.layer(x), self.layer(x[..., :1])), layer=layer)
    monitor = NeuronMonitor(network)
    x = torch.tensor([[[1.0, 2.0]]])  # outputs 2 3 twice, then 2 twice
    assert monitor.sums(x).tolist() == [[14]]
    assert monitor.n_neurons == {"layer": 6}
    assert monitor.n_channels == {"layer": 2}
    assert monitor.counts(x, {"layer": 2.0}).tolist() == [[2]]
    assert monitor.counts(x, {"layer": 1.0}, "channel").tolist() == [[3, 3]]
    torch.testing.assert_close(monitor.means(x), torch.tensor([[7 / 3, 7 / 3]]))


class OneAtATime(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(x.reshape(1, 8))


def test_a_network_of_one_picture_at_a_time():
    network = OneAtATime().eval()
    monitor, x = NeuronMonitor(network), torch.ones(1, 2, 4)
    assert monitor.layout(x).n_neurons.tolist() == [3]
    assert monitor.counts(x, {"fc": -9.0}).tolist() == [[3.0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_part_is_passed_over():
    part = torch.jit.script(nn.Sequential(ones(nn.Linear(2, 2)), nn.ReLU()))
    monitor = NeuronMonitor(nn.Sequential(part, ones(nn.Linear(2, 3))))
    assert monitor.sums(torch.tensor([[1.0, 2.0]])).tolist() == [[18]]
    assert monitor.layer_names == ["1"]


def test_an_activation_of_several_widths_is_named():
    layers = {"wide": nn.Linear(2, 3), "narrow": nn.Linear(3, 2), "act": nn.ReLU()}
    network = Calls(lambda self, x: self.act(self.narrow(self.act(self.wide(x)))), **layers)
    message = r"'act' runs 2 times, with \[3, 2\] channels, .*rectify=True.* or leave it out"
    for layers in ("act", "ReLU", ["wide", nn.ReLU]):
        with pytest.raises(ValueError, match=message):
            NeuronMonitor(network, layers).sums(torch.zeros(2, 2))
    assert NeuronMonitor(network, rectify=True).sums(torch.zeros(2, 2)).shape == (2, 2)


def test_one_layer_under_two_names_is_watched_once():
    layer = ones(nn.Linear(2, 1))
    network = Calls(lambda self, x: self.a(x), a=layer, b=layer)
    assert NeuronMonitor(network).sums(torch.tensor([[1.0, 2]])).tolist() == [[3]]


def test_a_layer_that_does_not_run_is_named():
    network = Calls(lambda self, x: self.used(x), used=nn.Linear(2, 1), idle=nn.Linear(2, 1))
    x = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"layers \['idle'\] did not run.*leave them out"):
        NeuronMonitor(network, ["idle", "used"]).sums(x)
    assert NeuronMonitor(network, "used").sums(x).shape == (1, 1)
    monitor = NeuronMonitor(network)  # of the default choice those that run are watched
    assert monitor.sums(x).shape == (1, 1)
    assert monitor.layer_names == ["used"]
    assert monitor.layout(x).skipped == ("idle",)


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda self, x: self.layer(x[:1]), r"\(1, 3\) for 2"),
        (lambda self, x: self.layer(x.repeat(2, 1)), r"\(2, 3\) for 1"),
        (lambda self, x: self.layer(x[0]), r"\(3,\) for 1"),
        (lambda self, x: self.layer(x[None, None]), r"\(1, 1, 2, 3\) for 2"),
    ],
)
def test_an_output_with_a_wrong_first_dimension_is_named(forward, shape):
    network = Calls(forward, layer=nn.Linear(2, 3))
    message = rf"layer 'layer' gave an output of shape {shape} inputs: expected one row"
    with pytest.raises(ValueError, match=message):
        NeuronMonitor(network).sums(torch.zeros(4, 2))
    assert not network.layer._forward_hooks


def test_linear_on_tokens_has_its_channels_last():
    layer = nn.Linear(2, 3, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    monitor = NeuronMonitor(nn.Sequential(layer))
    x = torch.tensor([[[1.0, 2], [3, 4]]])  # rows 1 2 3 and 3 4 7
    assert monitor.sums(x).tolist() == [[20]]
    assert monitor.n_neurons == {"0": 6}
    assert monitor.n_channels == {"0": 3}
    assert monitor.means(x).tolist() == [[2, 3, 5]]
    assert monitor.counts(x, {"0": 2.0}, "channel").tolist() == [[1, 1, 2]]
    assert monitor.counts(x.repeat(5, 1, 1), {"0": 2.0}).tolist() == [[4]] * 5


@pytest.mark.parametrize("kernel", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d])
def test_convolutions_of_every_dimension(kernel):
    layer = ones(kernel(1, 2, 1))
    nn.init.constant_(layer.weight[0] if kernel is nn.ConvTranspose2d else layer.weight, 2.0)
    dimensions = layer.weight.ndim - 2
    x = torch.arange(8.0).view(1, 1, *{1: (8,), 2: (2, 4), 3: (2, 2, 2)}[dimensions])
    monitor = NeuronMonitor(nn.Sequential(layer))
    assert monitor.sums(x).item() == 2 * 2 * 28
    assert monitor.counts(x, {"0": 7.0}, "channel").tolist() == [[4, 4]]  # 8 10 12 14
    assert monitor.n_neurons == {"0": 16}


def test_memory_layout_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=2))
    for parameter in network.parameters():  # small whole numbers: every order of sums is exact
        parameter.data = torch.randint(-3, 4, parameter.shape, generator=generator).float()
    x = torch.randint(0, 9, (4, 3, 11, 9), generator=generator).float()
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = network.to(memory_format=layout)
        laid_out = x.contiguous(memory_format=layout)
        monitor = NeuronMonitor(network)
        thresholds = {"0": 7.0, "2": 20.0}
        results.append(
            [
                monitor.sums(laid_out),
                monitor.counts(laid_out, thresholds),
                monitor.counts(laid_out, thresholds, "channel"),
            ]
        )
    assert results[0][1].min() > 0
    for contiguous, channels_last in zip(*results, strict=True):
        assert torch.equal(contiguous, channels_last)


class Strided(nn.Linear):
    def forward(self, x):
        return super().forward(x)[..., ::2]


def test_an_output_with_gaps_in_memory():
    layer = Strided(1, 6, bias=False)
    layer.weight.data = torch.arange(6.0)[:, None]  # kept: 0 2 4
    monitor = NeuronMonitor(nn.Sequential(layer))
    x = torch.tensor([[1.0], [2.0]])
    assert monitor.sums(x).tolist() == [[6], [12]]
    assert monitor.counts(x, {"0": 3.0}, "channel").tolist() == [[0, 0, 1], [0, 1, 1]]
    assert monitor.counts(x[:, None].repeat(1, 4, 1), {"0": 3.0}).tolist() == [[4], [8]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_precisions(dtype):
    monitor = NeuronMonitor(Toy().to(dtype))
    assert monitor.sums(PICTURES.to(dtype)).tolist() == [[-6, 10], [0, 7]]
    counts = monitor.counts(PICTURES.to(dtype), {"conv": -0.375, "fc": 17 / 6})
    assert counts.tolist() == [[4, 2], [7, 1]]


def test_batches_of_changing_size_on_one_monitor():
    monitor = NeuronMonitor(Toy())
    thresholds = {"conv": -0.375, "fc": 17 / 6}
    whole = monitor.counts(PICTURES.repeat(10, 1, 1, 1), thresholds)
    assert whole.tolist() == [[4, 2], [7, 1]] * 10
    assert monitor.counts(PICTURES[1:], thresholds).tolist() == [[7, 1]]
    assert monitor.counts(PICTURES, thresholds).tolist() == [[4, 2], [7, 1]]


# ---- the network is left as it was -----------------------------------------------------


def mixed_network():
    """Give a network of which some parts train and some do not."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    network.add_module("tail", nn.Sequential(nn.Conv2d(2, 2, 1)))
    network[1].eval()
    network.tail[0].eval()
    return network


FLAGS = [True, True, False, True, True, False]


def flags(network):
    return [part.training for part in network.modules()]


def hooks(network):
    return [len(part._forward_hooks) for part in network.modules()]


def test_hooks_flags_and_statistics_are_left_as_they_were():
    network = mixed_network()
    kept = network[0].register_forward_hook(lambda *args: None)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    NeuronMonitor(network).sums(PICTURES)
    assert flags(network) == FLAGS
    assert hooks(network) == [0, 1, 0, 0, 0, 0]
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    kept.remove()


@pytest.mark.parametrize("culprit", ["input", "statistic", "layer", "network"])
def test_hooks_and_flags_after_an_exception(culprit):
    network = mixed_network()
    x, layers = PICTURES, None
    statistic = lambda name, values: values.sum((1, 2))[:, None]  # noqa: E731
    if culprit == "input":
        x = torch.zeros(1, 7, 2, 2)
    elif culprit == "statistic":
        statistic = lambda name, values: 1 / 0  # noqa: E731
    elif culprit == "layer":
        network[2].add_module("idle", nn.Linear(1, 1))  # dropout does not run it
        layers = "2.idle"
    else:
        network.tail.register_forward_pre_hook(lambda *args: 1 / 0)
    before = flags(network)
    with pytest.raises((RuntimeError, ZeroDivisionError, ValueError)):
        NeuronMonitor(network, layers).collect(x, statistic)
    assert flags(network) == before
    assert sum(hooks(network)) == 0
    assert NeuronMonitor(Toy()).sums(PICTURES).tolist() == [[-6, 10], [0, 7]]


def test_evaluating_switches_and_restores():
    network = mixed_network()
    with evaluating(network) as inside:
        assert inside is network
        assert not any(flags(network))
    assert flags(network) == FLAGS


def test_dropout_is_off_and_the_rng_untouched():
    network = nn.Sequential(nn.Dropout(0.5), ones(nn.Linear(100, 1)))
    state = torch.random.get_rng_state()
    monitor = NeuronMonitor(network)
    assert monitor.sums(torch.ones(3, 100)).tolist() == [[100]] * 3
    monitor.counts(torch.ones(3, 100), {"1": 0.0})
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_gradient_is_recorded():
    network = Toy()
    x = PICTURES.clone().requires_grad_()
    monitor = NeuronMonitor(network)
    results = [monitor.sums(x), monitor.counts(x, {"conv": 0.0, "fc": 0.0}), monitor.means(x)]
    assert not any(result.requires_grad for result in results)
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    network(PICTURES).sum().backward()  # and the network still trains
    assert network.fc.weight.grad is not None


def test_threads_on_one_network_see_their_own_pictures():
    network = nn.Sequential(ones(nn.Conv2d(1, 4, 3)), nn.ReLU(), ones(nn.Conv2d(4, 2, 3)))
    wrong, barrier = [], threading.Barrier(2)

    def work(value):
        # nine ones: 9 v in each of 4 * 18 * 18 neurons; then 9 * 4 * 9 v in 2 * 16 * 16
        x = torch.full((2 + value, 1, 20, 20), float(value))
        expected = [[9.0 * value * 4 * 18 * 18, 324.0 * value * 2 * 16 * 16]] * len(x)
        counted = [[4.0 * 18 * 18, 0.0]] * len(x)
        monitor = NeuronMonitor(network)
        barrier.wait()
        for _ in range(150):
            thresholds = {"0": 9.0 * value - 1, "2": 324.0 * value}
            if monitor.sums(x).tolist() != expected:
                wrong.append("sums")
            if monitor.counts(x, thresholds).tolist() != counted:
                wrong.append("counts")

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert flags(network) == [True] * 4
    assert sum(hooks(network)) == 0


def test_monitored_layers_are_convolutions_and_linear_layers():
    network = nn.Sequential(
        nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1), nn.ConvTranspose2d(1, 1, 1), nn.Embedding(2, 2)
    )
    network.add_module("head", nn.Linear(1, 1))
    assert list(monitored_layers(network)) == ["0", "2", "head"]
