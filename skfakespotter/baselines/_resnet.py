"""ResNets, their parts named as in the published weight files."""

from __future__ import annotations

import torch
from torch import nn

from skfakespotter import _typing
from skfakespotter.backbones import check_weights, read_weights

WIDTHS = (64, 128, 256, 512)  # of the four stages; the last three halve the side
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # of each stage, by depth
COUNTERS = "num_batches_tracked"  # in weight files, and of no use


class Block(nn.Module):
    """Convolutions with normalization, and a shortcut: two of 3x3, or 1x1, 3x3 and 1x1.

    Parameters
    ----------
    n_in, width : int
        Channels that come; of the convolutions.
    stride : int
        Of the (first) 3x3 convolution.
    bottleneck : bool
        The second form, which gives four times ``width`` channels.
    """

    def __init__(self, n_in: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        n_out = 4 * width if bottleneck else width
        first, second = (1, 3) if bottleneck else (3, 3)
        strides = (1, stride) if bottleneck else (stride, 1)
        self.conv1 = nn.Conv2d(n_in, width, first, strides[0], padding=first // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, second, strides[1], padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3, self.bn3 = nn.Conv2d(width, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
        self.relu, self.bottleneck = nn.ReLU(inplace=True), bottleneck
        self.downsample = None
        if stride != 1 or n_in != n_out:
            shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor of shape (n, n_in, h, w)
            Input.

        Returns
        -------
        Tensor of shape (n, n_out, h / stride, w / stride)
            Output.
        """
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            x = self.bn3(self.conv3(self.relu(x)))
        return self.relu(x + shortcut)


class ResNet(nn.Sequential):
    """ResNet of 18, 34 or 50 layers.

    Parameters
    ----------
    depth : {18, 34, 50}
        Layers.
    n_outputs : int
        Logits.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.baselines._resnet import ResNet
    >>> sum(p.numel() for p in ResNet(50, 1).parameters())
    23510081
    """

    def __init__(self, depth: int, n_outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        bottleneck, n_in = depth >= 50, 64
        for number, (n_blocks, width) in enumerate(zip(BLOCKS[depth], WIDTHS, strict=True), 1):
            blocks = []
            for place in range(n_blocks):
                stride = 2 if number > 1 and place == 0 else 1
                blocks.append(Block(n_in, width, stride, bottleneck))
                n_in = 4 * width if bottleneck else width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(n_in, n_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def load(self, path: _typing.Path, *, but: str | None = None) -> ResNet:
        """Take the weights of a file, executing nothing that it holds.

        Parameters
        ----------
        path : path
            File.
        but : str, default=None
            Beginning of the names of those that are left as they are, whatever the file has.

        Returns
        -------
        self
            The network.

        Raises
        ------
        WeightsError
            When the file is missing, broken or of another network.
        """

        def taken(name: str) -> bool:
            return not name.endswith(COUNTERS) and not (but and name.startswith(but))

        own = self.state_dict()
        found = {name: tensor for name, tensor in read_weights(path).items() if taken(name)}
        check_weights(path, found, {n: t.shape for n, t in own.items() if taken(n)})
        state = {
            name: found.get(name, torch.tensor(0) if name.endswith(COUNTERS) else tensor)
            for name, tensor in own.items()
        }
        self.load_state_dict(state, assign=True)
        return self
