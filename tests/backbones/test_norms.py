"""Modules that normalize and do more: the value in between is watched."""

import numpy as np
import pytest
import torch
from torch import nn

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone, find_norms, place
from skfakespotter.backbones._folding import fold_batch_norms
from skfakespotter.backbones._norms import split_norms

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


class NormAct(nn.BatchNorm2d):
    """As timm's BatchNormAct2d: everything in one module."""

    def __init__(self, channels, act=None):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act or nn.ReLU(inplace=True)
        self.running_mean.normal_()
        self.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class Scaled(NormAct):
    """Does what no child does."""

    def forward(self, x):
        return 2 * super().forward(x)


class Strange(nn.Conv2d):
    """A convolution of another class, which cannot be folded."""


def network(norm=NormAct, conv=nn.Conv2d):
    torch.manual_seed(0)
    first, last = conv(3, 8, 3), nn.Conv2d(8, 4, 3)
    return nn.Sequential(first, norm(8), last, NormAct(4, nn.Identity())).eval()


def backbone_of(module):
    return Backbone("n", module, input_size=(16, 16), mean=127.5, scale=64.0)


@pytest.mark.parametrize("conv", [nn.Conv2d, Strange])
@pytest.mark.parametrize("rectify", [False, True])
def test_the_value_before_the_activation_is_watched(conv, rectify):
    module = network(conv=conv)
    options = {"granularity": "channel", "threshold": -0.3, "rectify": rectify, "device": "cpu"}
    counts = NeuronCoverageTransformer(backbone_of(module), **options).fit_transform(PICTURES)
    x = backbone_of(module).preprocess(torch.from_numpy(PICTURES).permute(0, 3, 1, 2))
    with torch.no_grad():
        values = nn.BatchNorm2d.forward(module[1], module[0](x))
        values = values.relu() if rectify else values
    expected = (values > -0.3).sum((2, 3)).numpy()
    assert np.abs(counts[:, :8] - expected).sum() <= 1
    assert not rectify or (expected == values[0, 0].numel()).all()


def test_they_are_folded_with_the_rest_kept():
    module = network()
    placed = place(backbone_of(module), torch.device("cpu"), (3, 16, 16)).module
    assert not any(isinstance(part, nn.BatchNorm2d) for part in placed.modules())
    assert isinstance(placed[1].act, nn.ReLU)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(placed(x), module(x), rtol=1e-4, atol=1e-5)
    assert isinstance(module[1], NormAct)


def test_a_class_that_does_something_else_is_left_as_it_is():
    """The layer's own output is watched: the value in between cannot be had."""
    x = torch.randn(1, 3, 16, 16)
    module = network(Scaled)
    assert find_norms(module, x) == {"2": "3"}
    assert isinstance(split_norms(module, x)[1], Scaled)
    assert find_norms(network(), x) == {"2": "3"}
    assert find_norms(split_norms(network(), x), x) == {"0": "1.norm", "2": "3"}


def test_a_module_that_stands_in_two_places_stays_one():
    module = nn.Sequential(NormAct(3), nn.Conv2d(3, 3, 1)).eval()
    module.append(module[0])
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = module(x)
        assert torch.equal(split_norms(module, x)(x), expected)
    assert module[0] is module[2]
    assert isinstance(module[0], nn.Sequential)


class UsedTwice(nn.Module):
    """The output of one of its layers is also used as it is, without the normalization."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(5))
        for norm in self.norms:
            norm.running_mean.normal_()

    def forward(self, x):
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = conv(x)
            x = norm(y) + y if i == 3 else norm(y)
        return x


def test_a_pair_that_cannot_be_folded_leaves_the_others_folded():
    module, x = UsedTwice().eval(), torch.randn(1, 3, 8, 8)
    folded = fold_batch_norms(module, x)
    kept = [isinstance(norm, nn.BatchNorm2d) for norm in folded.norms]
    assert kept == [False, False, False, True, False]
    with torch.no_grad():
        torch.testing.assert_close(folded(x), module(x), rtol=1e-4, atol=1e-5)
