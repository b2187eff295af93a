"""Toy networks for tests of everything around a backbone; they recognise nobody."""

import torch
from torch import nn

from skfakespotter.backbones._backbone import Backbone


class AnyWidthMLP(nn.Module):
    """Two fully-connected layers with seeded random weights, for inputs of any width.

    The inputs are projected to 8 numbers by a fixed cosine basis first, so that one
    network serves every width.
    """

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        """Map (n, n_features) to (n, 4)."""
        row = torch.arange(x.shape[1], dtype=x.dtype, device=x.device) + 0.5
        column = torch.arange(8, dtype=x.dtype, device=x.device) + 1
        basis = torch.cos(row[:, None] * column) / x.shape[1] ** 0.5
        return self.fc2(torch.relu(self.fc1(x @ basis)))


def toy_vector_backbone(weights=None):
    """Build the ``"toy_vector"`` backbone: arrays (n, n_features), two layers."""
    return Backbone("toy_vector", AnyWidthMLP().requires_grad_(False).eval())


def toy_image_backbone(weights=None):
    """Build the ``"toy_image"`` backbone: 32x32 pictures, two conv and one fc layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
    return Backbone("toy_image", module.eval(), input_size=(32, 32), mean=127.5, scale=127.5)
