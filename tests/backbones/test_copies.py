"""Copies of networks: their modes, and weights that are computed before each pass."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone, place, share_weights
from skfakespotter.backbones._copies import copy_network

X = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


class Extractor(nn.Sequential):
    """Copies are in training mode, as torchvision's are."""

    def __deepcopy__(self, memo):
        copied = Extractor(*(share_weights(part) for part in self))
        return copied.train()


def with_norm(kind=nn.Sequential):
    torch.manual_seed(0)
    network = kind(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).eval()
    network[2].running_mean.fill_(0.3)
    return network


@pytest.mark.parametrize("copied", [copy_network, share_weights])
def test_a_copy_is_in_the_mode_of_the_original(copied):
    network = with_norm(Extractor)
    network[1].train()
    assert [part.training for part in copied(network)] == [False, True, False, False]
    assert copied(network).training is False


def test_running_statistics_stay_what_they_are():
    network = with_norm(Extractor)
    before = network[2].running_mean.clone()
    backbone = Backbone("e", network, input_size=(16, 16), mean=127.5, scale=64.0)
    placed = place(backbone, torch.device("cpu"), (3, 16, 16)).module
    assert torch.equal(placed[2].running_mean, before)
    assert torch.equal(network[2].running_mean, before)


@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs torchvision")
def test_feature_extractors_of_torchvision():
    import reference

    reference.import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    extractor = create_feature_extractor(network.eval(), ["2"]).eval()
    assert not any(part.training for part in share_weights(extractor).modules())
    backbone = Backbone("e", extractor, input_size=(16, 16), mean=127.5, scale=64.0)
    assert NeuronCoverageTransformer(backbone, device="cpu").fit(X).layer_names_ == ["0"]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "compute",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
    ids=["weight norm", "spectral norm", "pruned"],
)
def test_weights_that_are_computed_before_each_pass(compute):
    torch.manual_seed(0)
    network = nn.Sequential(compute(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.ReLU())
    network(torch.randn(2, 3, 16, 16))  # in training mode, whose graph holds on to the weight
    network.eval()
    backbone = Backbone("c", network, input_size=(16, 16), mean=127.5, scale=64.0)
    counts = NeuronCoverageTransformer(
        backbone, device="cpu", threshold=0.1, granularity="channel"
    ).fit_transform(X)
    x = backbone.preprocess(torch.from_numpy(X).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = (network[1](network[0](x)) > 0.1).sum((2, 3)).numpy()
    assert np.abs(counts - expected).sum() <= 1
