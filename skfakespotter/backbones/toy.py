"""Toy networks for tests of everything around a backbone; they recognize nobody."""

from __future__ import annotations

import torch
from torch import nn

from skfakespotter.backbones._backbone import Backbone
from skfakespotter.backbones._seeding import build_seeded


class AnyWidthMLP(nn.Module):
    """Two fully-connected layers for inputs of any width.

    The inputs are projected to 8 numbers by a fixed cosine basis first, so that one
    network serves every width.
    """

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, n_features) to (n, 4)."""
        row = torch.arange(x.shape[1], dtype=x.dtype, device=x.device) + 0.5
        column = torch.arange(8, dtype=x.dtype, device=x.device) + 1
        basis = torch.cos(row[:, None] * column) / x.shape[1] ** 0.5
        return self.fc2(torch.relu(self.fc1(x @ basis)))


def toy_vector_backbone(weights: str | None = None) -> Backbone:
    """Build the ``"toy_vector"`` backbone: arrays (n, n_features), two layers."""
    return Backbone("toy_vector", build_seeded(AnyWidthMLP))


def toy_image_backbone(weights: str | None = None) -> Backbone:
    """Build the ``"toy_image"`` backbone: 32x32 pictures, two conv and one fc layer."""
    module = build_seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
    )
    return Backbone("toy_image", module, input_size=(32, 32), mean=127.5, scale=127.5)
