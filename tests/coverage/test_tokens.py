"""Transformers: blocks, attention, tokens, thresholds per channel against a literal reference."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from literal import literal_counts, outputs_of
from torch import nn

from skfakespotter import CoverageCache, NeuronCoverageTransformer, load_backbone
from skfakespotter.backbones import Backbone
from skfakespotter.coverage import NeuronMonitor, find_blocks, select_layers
from skfakespotter.coverage._graphs import _WatchedNetwork
from skfakespotter.coverage._kernels import count_above

SIZE, PATCH, WIDTH = 16, 4, 8


@dataclass
class Output:
    """As Hugging Face's models return it: the hidden states first, and what else there is."""

    hidden: torch.Tensor
    attentions: tuple = ()


class Attention(nn.Module):
    """Returns a tuple, as Hugging Face's do."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=True)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))[0]
        return Output(x + self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """A vision transformer of three blocks with a class token in front."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.place = nn.Parameter(torch.randn(1, 17, WIDTH))
        self.encoder = nn.ModuleList([Block() for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)
        self.pooler = nn.Linear(WIDTH, WIDTH)  # there, and never used

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        for block in self.encoder:
            x = block(x).hidden
        return self.head(self.norm(x)[:, 0])


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ViT().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def backbone(network):
    return Backbone("vit", network, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)


def input_of(backbone, pictures):
    return backbone.preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))


CHOICES = {
    "default": (None, None),
    "blocks": ("blocks", None),
    "norms and attention": (["LayerNorm", "*.attention.attention"], None),
    "classes": ([nn.LayerNorm, nn.Conv2d, "head"], "norm"),
    "all but the MLP": (["patches", "encoder.*.norm?", "encoder.?"], "*.mlp.*"),
}


@pytest.mark.parametrize("way", ["direct", "single pass", "cache"])
@pytest.mark.parametrize("tokens", ["all", "class", "patches", "mean"])
@pytest.mark.parametrize("threshold", ["mean", "channel-mean"])
@pytest.mark.parametrize("choice", ["blocks", "norms and attention", "classes"])
def test_counts_equal_the_literal_reference(backbone, pictures, choice, threshold, tokens, way):
    layers, exclude = CHOICES[choice]
    coverage = NeuronCoverageTransformer(
        backbone,
        layers=layers,
        exclude=exclude,
        tokens=tokens,
        threshold=threshold,
        granularity="channel",
        device="cpu",
        single_pass=way == "single pass",
        cache=CoverageCache() if way == "cache" else None,
    )
    if way == "direct":
        counts = coverage.fit(pictures).transform(pictures)
    else:
        counts = coverage.fit_transform(pictures)
    outputs = outputs_of(backbone.module, input_of(backbone, pictures), coverage.layer_names_)
    per_channel = threshold == "channel-mean"
    expected, thresholds = zip(
        *(literal_counts(outputs[name], tokens, per_channel) for name in coverage.layer_names_),
        strict=True,
    )
    expected = np.hstack(expected)
    assert expected.max() > 0
    assert np.abs(counts - expected).sum() <= 2  # neurons at the threshold
    thresholds = np.concatenate(thresholds) if per_channel else [t[0] for t in thresholds]
    np.testing.assert_allclose(coverage.thresholds_, thresholds, atol=1e-6)


def test_layers_by_block_class_and_exclusion(network):
    assert find_blocks(network) == ["encoder.0", "encoder.1", "encoder.2"]
    assert select_layers(network, "blocks") == find_blocks(network)
    assert select_layers(network, *CHOICES["classes"]) == [
        "patches",
        *[f"encoder.{i}.norm{j}" for i in range(3) for j in (1, 2)],
        "head",
    ]
    assert select_layers(network, nn.LayerNorm, exclude=["encoder.0.*", "norm"]) == [
        f"encoder.{i}.norm{j}" for i in (1, 2) for j in (1, 2)
    ]
    assert "encoder.0.attention.attention.out_proj" in select_layers(network)


def test_blocks_of_known_networks():
    dlib = load_backbone("dlib", weights="random").module
    assert find_blocks(dlib) == [f"blocks.{i}" for i in range(14)]
    resnet = load_backbone("vggface2_resnet50", weights="random").module
    sizes = {1: 3, 2: 4, 3: 6, 4: 3}
    assert find_blocks(resnet) == [f"layer{s}.{i}" for s, n in sizes.items() for i in range(n)]


class Pair(nn.Module):
    """A block of two kernels."""

    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x):
        return x + self.b(self.a(x))


class Stage(nn.Module):
    """Blocks behind a layer of its own, as timm's networks group them."""

    def __init__(self, width):
        super().__init__()
        self.enter, self.blocks = (
            nn.Conv2d(width, width, 1),
            nn.Sequential(Pair(width), Pair(width)),
        )

    def forward(self, x):
        return self.blocks(self.enter(x))


def test_blocks_are_those_of_stages_and_not_the_heads_of_a_block():
    stages = nn.Sequential(nn.Conv2d(3, 4, 1), Stage(4), Stage(4))
    assert find_blocks(stages) == ["1.blocks.0", "1.blocks.1", "2.blocks.0", "2.blocks.1"]
    # where most weights lie outside of the repeated parts, the whole is the block
    for stage in stages[1:]:
        stage.mlp = nn.Linear(9, 9)
    assert find_blocks(stages) == ["1", "2"]
    # one kernel and its norm make no block
    thin = [Pair(4) for _ in range(3)]
    for pair in thin:
        pair.b = nn.BatchNorm2d(4)
    assert find_blocks(nn.Sequential(*thin)) == []


class Windows(nn.Module):
    """Attention within windows, as in Swin: the linear layer sees windows, not pictures."""

    def __init__(self):
        super().__init__()
        self.mix, self.out = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        n = len(x)
        x = self.mix(x.reshape(n * 2, 4, 6)).reshape(n, 2, 4, 6)
        return self.out(x)


def test_windows_are_left_out_and_maps_with_channels_last_understood():
    network = nn.Sequential(Windows(), nn.ReLU())
    x = torch.randn(3, 8, 6, generator=torch.Generator().manual_seed(0))
    monitor = NeuronMonitor(network)
    layout = monitor.layout(x)
    assert (layout.names, layout.skipped) == (("0.out",), ("0.mix",))
    with pytest.raises(ValueError, match=r"'0\.mix' gave an output of shape \(2, 4, 6\) for 1"):
        NeuronMonitor(network, ["0.mix", "0.out"]).layout(x)
    with pytest.raises(ValueError, match=r"'0\.mix' gave an output of shape \(2, 4, 6\) for 1"):
        NeuronMonitor(network, "*.mi?").layout(x)
    # (n, 2, 4, 6): of the block too, and of the ReLU behind it
    with torch.no_grad():
        expected = network[0](x)
    found = NeuronMonitor(network, "0").sums(x, "channel")
    torch.testing.assert_close(found, expected.double().sum((1, 2)), rtol=1e-5, atol=1e-5)
    assert NeuronMonitor(network, "1").layout(x).n_channels.tolist() == [6]
    # alone it says nothing
    assert NeuronMonitor(network[1], "").layout(expected).n_channels.tolist() == [2]


def test_layers_that_do_not_run_are_left_out_and_recorded(backbone, pictures):
    coverage = NeuronCoverageTransformer(backbone, device="cpu").fit(pictures)
    idle = [f"encoder.{i}.attention.attention.out_proj" for i in range(3)]
    assert coverage.skipped_layers_ == [*idle, "pooler"]
    assert coverage.layer_names_ == [
        name for name in select_layers(backbone.module) if name not in coverage.skipped_layers_
    ]
    assert coverage.transform(pictures).shape == (12, 8)
    some = NeuronCoverageTransformer(backbone, layers=["*pool*", nn.LayerNorm], device="cpu")
    assert some.fit(pictures).skipped_layers_ == ["pooler"]
    with pytest.raises(ValueError, match=r"layers \['pooler'\] did not run"):
        NeuronCoverageTransformer(backbone, layers=["pooler", "head"], device="cpu").fit(pictures)


@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_encoder_without_its_fast_path(batch_first):
    """The fused kernel that skips the parts is not taken while they are watched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=batch_first, dropout=0.0)
        encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    # as many pictures as tokens: the shape alone does not tell which is which
    x = torch.randn(7, 7, WIDTH, generator=torch.Generator().manual_seed(1))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, x):
            y = self.encoder(x if batch_first else x.transpose(0, 1))
            return y if batch_first else y.transpose(0, 1)

    network = Encoder().eval()
    monitor = NeuronMonitor(network, ["encoder.layers.*.linear?", "*.self_attn", "blocks"])
    counts = monitor.counts(x, np.zeros(8), "channel")
    with torch.no_grad():
        expected = network(x)
    assert monitor.layer_names == [
        f"encoder.layers.{i}{part}"
        for i in range(2)
        for part in ("", ".self_attn", ".linear1", ".linear2")
    ]
    # the second block's output is the network's
    start = WIDTH + WIDTH + 16 + WIDTH
    found = counts[:, start : start + WIDTH]
    assert torch.equal(found, (expected > 0).sum(1).float())


class Odd(nn.Module):
    """Returns what it is told."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        return self.result(x)


@pytest.mark.parametrize(
    "result",
    [
        lambda x: (x, None),
        lambda x: [[x]],
        lambda x: {"states": x},
        lambda x: OrderedDict(last=x, other=x + 1),
        lambda x: Output(x, (x + 1,)),
        lambda x: (None, x),
    ],
)
def test_the_first_tensor_of_an_output_counts(result):
    network = nn.Sequential(nn.Identity(), Odd(result))
    x = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    assert NeuronMonitor(network, "1").sums(x).tolist() == [[3], [-1]]


def test_an_output_without_a_tensor_is_named():
    network = nn.Sequential(nn.Linear(2, 2), Odd(lambda x: ("nothing",)))
    with pytest.raises(ValueError, match="layer '1' gave no tensor for 1 inputs"):
        NeuronMonitor(network, "1").sums(torch.zeros(3, 2))


def test_outlier_channels_need_thresholds_of_their_own():
    """One channel of large outputs lifts the mean of its layer above all others."""
    layer = nn.Linear(2, 3, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1000.0, 1000.0]])
    X = np.float64([[1, 0], [0, 1], [2, 1], [3, 4]])
    options = {"granularity": "channel", "device": "cpu"}
    one = NeuronCoverageTransformer(nn.Sequential(layer), **options).fit(X)
    # outputs 1 0 1000, 0 1 1000, 2 1 3000, 3 4 7000: mean 12012 / 12
    assert one.thresholds_.tolist() == [1001]
    assert one.transform(X).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]]
    own = NeuronCoverageTransformer(nn.Sequential(layer), threshold="channel-mean", **options)
    assert own.fit(X).thresholds_.tolist() == [1.5, 1.5, 3000]
    assert own.transform(X).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]]
    shards = [NeuronCoverageTransformer(nn.Sequential(layer), threshold="channel-mean", **options)]
    shards[0].partial_fit(X[:1]).partial_fit(X[1:])
    assert np.array_equal(shards[0].thresholds_, own.thresholds_)
    assert own.get_feature_names_out().tolist() == ["0[0]", "0[1]", "0[2]"]


class LayerNorm2d(nn.LayerNorm):
    """As torchvision's and timm's: of maps, channels first."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_layer_normalization_of_maps_has_its_channels_first():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), LayerNorm2d(6)).eval().requires_grad_(False)
    monitor = NeuronMonitor(network, "1")
    monitor.sums(torch.randn(2, 3, 5, 7))
    assert monitor.n_channels == {"1": 6}
    assert monitor.n_neurons == {"1": 6 * 35}


# ---- which dimension counts channels -------------------------------------------------------


class Turn(nn.Module):
    """Permutes its input."""

    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


class Residual(nn.Module):
    """A block that keeps the shape."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


def wave(width):
    return Residual(*(nn.Conv1d(width, width, 3, padding=1) for _ in range(2)))


def vectors(width):
    return Residual(*(nn.Linear(width, width) for _ in range(2)))


def mixed(width):
    """As ConvNeXt's: a convolution, then linear layers on channels last, turned back."""
    inner = (Turn(0, 2, 3, 1), nn.Linear(width, width), Turn(0, 3, 1, 2))
    return Residual(nn.Conv2d(width, width, 3, padding=1), nn.Sequential(*inner))


FIRST, LAST = 1, -1
AXES = {
    "blocks of Conv1d": ((3, 6), [nn.Conv1d(3, 8, 1), wave(8), wave(8)], "blocks", FIRST),
    "GroupNorm": ((3, 6), [nn.Conv1d(3, 8, 1), nn.GroupNorm(2, 8)], "1", FIRST),
    "InstanceNorm1d": ((3, 6), [nn.Conv1d(3, 8, 1), nn.InstanceNorm1d(8)], "1", FIRST),
    "pooling": ((3, 6), [nn.Conv1d(3, 8, 1), nn.AvgPool1d(2)], "1", FIRST),
    "activation of Conv1d": ((3, 6), [nn.Conv1d(3, 8, 1), nn.GELU(), nn.Dropout()], "2", FIRST),
    "activation of tokens": ((6, 3), [nn.Linear(3, 8), nn.GELU(), nn.Dropout()], "2", LAST),
    "LayerNorm of maps": ((3, 5, 7), [nn.Conv2d(3, 8, 1), nn.LayerNorm([8, 5, 7])], "1", FIRST),
    "LayerNorm of places": ((3, 5, 7), [nn.Conv2d(3, 8, 1), nn.LayerNorm([5, 7])], "1", FIRST),
    "RMSNorm": ((3, 5, 7), [nn.Conv2d(3, 8, 1), Turn(0, 2, 3, 1), nn.RMSNorm(8)], "2", LAST),
    "behind RMSNorm": (
        (3, 5, 7),
        [nn.Conv2d(3, 8, 1), Turn(0, 2, 3, 1), nn.RMSNorm(8), nn.GELU(), nn.Identity()],
        ["3", "4"],
        LAST,
    ),
    "five dimensions": ((2, 5, 7, 8), [vectors(8), vectors(8)], "blocks", LAST),
    # the shape is the same either way
    "as high and wide as deep": (
        (3, 8, 8),
        [nn.Conv2d(3, 8, 1), Turn(0, 2, 3, 1), vectors(8), vectors(8)],
        "blocks",
        LAST,
    ),
    "turned and turned back": (
        (3, 8, 8),
        [nn.Conv2d(3, 8, 1), LayerNorm2d(8), mixed(8), mixed(8), nn.ReLU()],
        ["1", "blocks", "4"],
        FIRST,
    ),
    "as long as deep": ((3, 8), [nn.Conv1d(3, 8, 1), wave(8), wave(8)], "blocks", FIRST),
}


@pytest.mark.parametrize("case", AXES)
def test_the_dimension_of_the_channels_follows_from_the_layers(case):
    shape, parts, layers, axis = AXES[case]
    network = nn.Sequential(*parts).eval()
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    monitor = NeuronMonitor(network, layers)
    found = monitor.sums(x, "channel")
    assert monitor.layer_names
    outputs = outputs_of(network, x, monitor.layer_names).values()
    expected = torch.cat([o.movedim(axis, 1).flatten(2).sum(2) for o in outputs], 1)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)
    # and in a graph
    graph = _WatchedNetwork(network, monitor.layout(x), monitor.neurons, count_above)
    assert torch.equal(graph(x, None).double(), found)
    # maps are no tokens
    if axis == FIRST:
        first = NeuronMonitor(network, layers, tokens="class").sums(x, "channel")
        assert torch.equal(first, found)


# ---- what gives no row per picture, or none of a neuron ------------------------------------


class Around(nn.Module):
    """A convolution whose map of tokens (n, tokens, 8) a function takes on."""

    def __init__(self, function, patch=4, **parts):
        super().__init__()
        self.function, self.patches = function, nn.Conv2d(3, 8, patch, patch)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.function(self, self.patches(x).flatten(2).mT)


def on_a_constant(self, y):
    return y.mean(1) * self.part(torch.ones(1, 8))


def on_two_constants(self, y):
    return y.mean(1) * self.part(torch.ones(2, 8)).sum(0)


def on_constant_tokens(self, y):
    return y + self.part(torch.ones(1, y.shape[1], 8))


def on_many_rows(self, y):
    return self.part(y.reshape(-1, 1, 8)).reshape(len(y), -1)


def on_no_rows(self, y):
    return y + self.part(y[:, :0]).sum()


def on_complex_numbers(self, y):
    return self.part(y.to(torch.complex64)).abs()


def linear(dtype=torch.float32):
    return nn.Linear(8, 8, dtype=dtype)


@pytest.mark.parametrize(
    ("function", "part", "reason"),
    [
        (on_a_constant, linear(), r"shape \(1, 8\) for 2 inputs: expected one row per input"),
        (on_two_constants, linear(), r"shape \(2, 8\) for 1 inputs: expected one row per input"),
        (on_constant_tokens, linear(), r"shape \(1, 16, 8\) for 2 inputs"),
        (on_many_rows, linear(), r"shape \(16, 1, 8\) for 1 inputs: expected one row per input"),
        (on_no_rows, linear(), r"has no neurons: it gave an output of shape \(1, 0, 8\)"),
        (on_complex_numbers, linear(torch.complex64), "gives complex numbers, which exceed no"),
    ],
)
def test_the_default_choice_leaves_out_what_is_of_no_picture(pictures, function, part, reason):
    network = Around(function, part=part).eval().requires_grad_(False)
    backbone = Backbone("net", network, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)
    coverage = NeuronCoverageTransformer(backbone, granularity="channel", device="cpu")
    assert coverage.fit_transform(pictures).shape == (12, 8)
    assert (coverage.layer_names_, coverage.skipped_layers_) == (["patches"], ["part"])
    with pytest.raises(ValueError, match=rf"layer 'part' .*{reason}"):
        coverage.set_params(layers=["patches", "part"]).fit(pictures)


def one_query(self, y):
    """Attend as torch does by default: tokens first; one query, so that one token comes out."""
    query, y = torch.ones(1, len(y), 8), y.transpose(0, 1)
    return self.part(self.attention(query, y, y)[0])[0]


def test_one_token_in_front_of_the_pictures(pictures):
    attention = nn.MultiheadAttention(8, 2)
    network = Around(one_query, attention=attention, part=linear()).eval().requires_grad_(False)
    backbone = Backbone("net", network, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)
    coverage = NeuronCoverageTransformer(
        backbone, layers=["attention", "part"], granularity="channel", device="cpu"
    )
    counts = coverage.fit(pictures).transform(pictures)
    found = outputs_of(network, input_of(backbone, pictures), ["attention", "part"])
    expected = np.hstack([literal_counts(output[0])[0] for output in found.values()])
    assert np.abs(counts - expected).sum() <= 2


def test_patches_of_an_output_of_one_token(pictures):
    network = Around(lambda self, y: self.part(y[:, :1]), part=linear()).eval()
    backbone = Backbone("net", network, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)
    for neuron in ("unit", "channel"):
        options = {"tokens": "patches", "neuron": neuron, "device": "cpu"}
        coverage = NeuronCoverageTransformer(backbone, **options).fit(pictures)
        assert coverage.skipped_layers_ == ["part"]
        message = r"'part' has no neurons: .* \(1, 1, 8\) for 1 inputs \(tokens='patches'\)"
        with pytest.raises(ValueError, match=message):
            coverage.set_params(layers="part").fit(pictures)


class Padded(nn.Module):
    """An encoder by torch's defaults, whose last two tokens are padding."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x):
        padded = torch.arange(x.shape[1]) >= x.shape[1] - 2
        return self.encoder(x, src_key_padding_mask=padded.expand(len(x), -1))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padded_pictures_in_torchs_encoder():
    """Its default packs them into nested tensors, which have no shape."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Padded().eval().requires_grad_(False)
    encoder = network.encoder
    x = torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(1))
    monitor = NeuronMonitor(network, ["encoder.layers.*.linear?", "blocks"])
    found = monitor.sums(x, "channel")
    assert encoder.use_nested_tensor
    encoder.use_nested_tensor = False
    outputs = outputs_of(network, x, monitor.layer_names)
    encoder.use_nested_tensor = True
    expected = torch.cat([outputs[name].sum(1) for name in monitor.layer_names], 1)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-5)
    graph = _WatchedNetwork(network, monitor.layout(x), monitor.neurons, count_above)
    assert torch.equal(graph.eval()(x, None).double(), found)
    # what is watched outside of it does not change it: its padding stays zero
    whole = NeuronMonitor(network, "encoder").collect(x, lambda name, values: values.flatten(1))
    assert torch.equal(whole.view(3, WIDTH, 7)[:, :, 5:], torch.zeros(3, WIDTH, 2))


# ---- names of classes, in a network that was placed ----------------------------------------


@pytest.fixture(scope="module")
def folding():
    """Give a network whose norms are folded, and whose classes are exchanged on a CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        norm.bias.data.normal_()
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
        network = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(inplace=True), *head)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("way", ["direct", "cache"])
@pytest.mark.parametrize(
    ("layers", "exclude", "names"),
    [
        ("Conv2d", None, ["0"]),
        ("Linear", None, ["5"]),
        (nn.Linear, None, ["5"]),
        ("BatchNorm2d", None, ["1"]),
        (nn.BatchNorm2d, None, ["1"]),
        (["1", "5"], None, ["1", "5"]),
        (["BatchNorm2d", "Conv2d"], None, ["0", "1"]),
        (None, "Linear", ["0"]),
        (None, nn.Conv2d, ["5"]),
        (["0", "1", "5"], "BatchNorm2d", ["0", "5"]),
    ],
)
def test_class_names_mean_the_network_that_was_given(
    folding, pictures, layers, exclude, names, way
):
    backbone = Backbone("net", folding, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)
    coverage = NeuronCoverageTransformer(
        backbone,
        layers=layers,
        exclude=exclude,
        granularity="channel",
        device="cpu",
        cache=CoverageCache() if way == "cache" else None,
    )
    counts = coverage.fit(pictures).transform(pictures)
    assert coverage.layer_names_ == names
    # a convolution, and its norm, give the normalized values
    places = ["1" if name == "0" else name for name in names]
    outputs = outputs_of(folding, input_of(backbone, pictures), places)
    expected = np.hstack([literal_counts(outputs[place])[0] for place in places])
    assert np.abs(counts - expected).sum() <= 2


def test_what_placing_puts_into_a_network_is_no_choice(folding, pictures):
    backbone = Backbone("net", folding, input_size=(SIZE, SIZE), mean=127.5, scale=64.0)
    for layers in ("Identity", "SteadyConv2d", "SteadyLinear"):
        with pytest.raises(ValueError, match=f"layers: '{layers}' matches none of"):
            NeuronCoverageTransformer(backbone, layers=layers, device="cpu").fit(pictures)
