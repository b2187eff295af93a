"""Training: the shallow network of the paper, its loss, and the batches it is fed with.

Everything random comes from a generator that is given, so that fits in several threads do not
disturb each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Subset


class MultilayerPerceptron(nn.Sequential):
    """Fully-connected layers with an ELU between them.

    The paper is silent on the nonlinearity: by measurement the ELU beats the ReLU by 0.01
    to 0.03 AUC on coverage vectors. Weights keep the variance of their inputs (LeCun).

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers and outputs.
    generator : torch.Generator, default=None
        On the CPU, where the weights are drawn; None takes torch's global one.
    """

    def __init__(self, widths: Sequence[int], generator: torch.Generator | None = None) -> None:
        layers = []
        for inputs, outputs in pairwise(widths):
            with torch.device("meta"):  # torch draws weights here, from its global generator
                linear = nn.Linear(inputs, outputs, dtype=torch.float32)
            linear.to_empty(device="cpu")
            with torch.no_grad():
                # as many numbers as torch would have drawn: a seed gives the net it always gave
                linear.weight.uniform_(generator=generator)
                linear.bias.uniform_(generator=generator)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear", generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ELU()]
        super().__init__(*layers[:-1])

    def train(self, mode: bool = True) -> MultilayerPerceptron:
        """Change the mode of all layers; nothing where it is that already, as skorch asks often."""
        return self if self.training == mode else super().train(mode)

    def forward(self, X: Any = None, **columns: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map (n, n_features) to (n, n_classes).

        A raw skorch net turns a table (``set_output(transform="pandas")``) into one tensor per
        column; these are put side by side again.
        """
        if X is None:
            X = torch.stack([column.reshape(-1) for column in columns.values()], dim=1)
        return super().forward(X.to(next(self.parameters()).dtype))


class MeanCrossEntropy(nn.CrossEntropyLoss):
    """The mean cross-entropy; targets are labels, or labels and the weight of each.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.classifier._training import MeanCrossEntropy
    >>> scores, labels = torch.tensor([[0.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 1])
    >>> MeanCrossEntropy()(scores, (labels, torch.tensor([2.0, 0.0])))
    tensor(0.6931)
    """

    def forward(self, scores: torch.Tensor, target: Any) -> torch.Tensor:
        """Map scores (n, n_classes) and targets (n,) to one number."""
        if not isinstance(target, (tuple, list)):
            return super().forward(scores, target)
        labels, weights = target
        return (nn.functional.cross_entropy(scores, labels, reduction="none") * weights).mean()


class HeldBack:
    """A split into training and validation data that is known beforehand.

    Parameters
    ----------
    train, valid : ndarray of int
        Positions of the samples.
    """

    def __init__(self, train: Any, valid: Any) -> None:
        self.train, self.valid = train, valid

    def __call__(self, dataset: Any, y: Any = None, groups: Any = None) -> tuple[Subset, Subset]:
        """Split a dataset, as skorch asks."""
        return Subset(dataset, self.train), Subset(dataset, self.valid)


class TensorBatches:
    """Batches cut from whole tensors: far cheaper than a DataLoader on small vectors.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset or torch.utils.data.Subset of it
        Arrays in memory.
    batch_size : int
        Vectors per batch.
    shuffle : bool, default=False
        Draw a new order in every epoch.
    weights : ndarray of shape (n_samples,), default=None
        Of the samples of the whole dataset; targets are then pairs of labels and weights.
    generator : torch.Generator, default=None
        On the CPU, where orders are drawn; None takes torch's global one.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        weights: NDArray | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        indices = getattr(dataset, "indices", slice(None))
        whole = getattr(dataset, "dataset", dataset)
        self.X = _as_tensor(whole.X)[indices]
        # on one device, so that no step waits for a copy
        device = self.X.device
        self.y = None if whole.y is None else _as_tensor(whole.y).to(device)[indices]
        self.weights = None if weights is None else _as_tensor(weights).to(device)[indices]
        self.batch_size, self.shuffle, self.generator = batch_size, shuffle, generator

    def __iter__(self) -> Iterator[tuple]:
        n, device = len(self.X), self.X.device
        if self.shuffle:
            order = torch.randperm(n, generator=self.generator, device="cpu").to(device)
        else:
            order = torch.arange(n, device=device)
        for index in order.split(self.batch_size):
            # skorch takes a 0 for "no target", as its own Dataset does
            target = torch.tensor(0, device=device) if self.y is None else self.y[index]
            if self.weights is not None:
                target = (target, self.weights[index])
            yield self.X[index], target

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)


def _as_tensor(array):
    return array if isinstance(array, torch.Tensor) else torch.from_numpy(np.asarray(array))
