"""Whole small networks as torch's exporters write them: the original's outputs and counts.

Each has an operator that few others have.
"""

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.backbones import Backbone
from skfakespotter.backbones.onnx import onnx_backbone

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

SIZE = (16, 16)


class GroupNorms(nn.Sequential):
    """GroupNormalization, or InstanceNormalization before opset 21."""

    def __init__(self):
        layers = [nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Mish(), nn.Conv2d(8, 8, 3)]
        super().__init__(*layers, nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))


class Interpolated(nn.Module):
    """DINOv2's positions, bent to the picture's size, and maps twice as large."""

    def __init__(self):
        super().__init__()
        self.patches, self.mixed = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3)
        self.positions = nn.Parameter(torch.randn(1, 8, 3, 3))

    def forward(self, x):
        x = self.patches(x)
        places = F.interpolate(self.positions, size=x.shape[2:], mode="bicubic")
        x = F.interpolate(x + places, scale_factor=2.0, mode="nearest")
        return self.mixed(F.interpolate(x, size=(7, 9), mode="bilinear"))


class Multiplied(nn.Module):
    """MaxViT's attention, written as sums of products."""

    def __init__(self):
        super().__init__()
        self.patches, self.qk, self.out = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 16), nn.Linear(8, 8)

    def forward(self, x):
        x = self.patches(x).permute(0, 2, 3, 1)
        q, k = self.qk(x).chunk(2, -1)
        weights = torch.einsum("B H I D, B H J D -> B H I J", q, k).softmax(-1)
        return self.out(torch.einsum("B H I J, B H J D -> B H I D", weights, x))


class Placed(nn.Module):
    """Values picked and put by index, as in Swin."""

    def __init__(self):
        super().__init__()
        self.patches, self.out = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)
        self.register_buffer("rows", torch.tensor([0, 3, 1]))
        self.register_buffer("columns", torch.tensor([2, 1, 3]))

    def forward(self, x):
        x = self.patches(x).permute(2, 3, 0, 1)
        mask = torch.zeros_like(x)
        mask[self.rows, self.columns] = 1.0
        picked = x[self.rows, self.columns].transpose(0, 1)
        return self.out(picked + (x * mask).sum((0, 1))[:, None])


def export(network, path, opset, size=SIZE):
    """Write by the current exporter where ``opset`` is None or 20 at least, else by the old one."""
    x = torch.zeros(2, 3, *size)
    options = {"opset_version": opset, "verbose": False}
    if opset is None or opset >= 20:
        options |= {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n")},)}
    else:
        options |= {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), path, **options)
    return {node.op_type for node in onnx.load(path).graph.node}


def check(network, path, size=SIZE):
    """The file gives the outputs of the network, and its layers' counts in some order."""
    backbone = onnx_backbone(path)
    x = torch.randn(5, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(x), network(x), rtol=1e-4, atol=1e-5)
    pictures = np.random.default_rng(0).integers(0, 256, (6, *size, 3), dtype=np.uint8)
    twin = Backbone("twin", network, input_size=size, mean=127.5, scale=127.5)
    found = NeuronCoverageTransformer(backbone).fit(pictures)
    expected = NeuronCoverageTransformer(twin).fit(pictures)
    distance = np.abs(found.thresholds_[:, None] - expected.thresholds_)
    order = distance.argmin(1)
    assert sorted(order) == list(range(len(expected.thresholds_)))
    np.testing.assert_array_equal(found.n_neurons_, expected.n_neurons_[order])
    counts = found.transform(pictures) - expected.transform(pictures)[:, order]
    assert np.abs(counts).max() <= 2  # at the threshold, where rounding decides


@pytest.mark.parametrize(
    ("kind", "opset", "operators"),
    [
        (GroupNorms, 23, {"GroupNormalization", "InstanceNormalization", "Mish"}),
        (GroupNorms, 17, {"InstanceNormalization"}),
        (Interpolated, 17, {"Resize"}),
        (Multiplied, 17, {"Einsum"}),
        (Placed, None, {"ScatterND", "GatherND"}),
        (Placed, 17, {"ScatterND"}),
    ],
)
def test_a_small_network_gives_the_originals_outputs_and_counts(tmp_path, kind, opset, operators):
    torch.manual_seed(0)
    network = kind().eval()
    written = export(network, tmp_path / "net.onnx", opset)
    assert written >= operators
    check(network, tmp_path / "net.onnx")


@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs torchvision")
def test_torchvisions_swin_gives_the_originals_outputs_and_counts(tmp_path):
    import reference

    reference.import_torchvision()
    from torchvision.models import SwinTransformer

    torch.manual_seed(0)
    network = SwinTransformer([4, 4], 8, [2], [2], window_size=[2, 2], num_classes=5).eval()
    assert "ScatterND" in export(network, tmp_path / "net.onnx", 17)
    check(network, tmp_path / "net.onnx")
