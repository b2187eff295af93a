"""MobileFaceNet as a backbone: a network of your own through the public extension points.

The architecture is that of S. Chen et al., "MobileFaceNets", CCBR 2018: linear
bottlenecks with PReLU, then one depthwise kernel over the whole map instead of an average.
With the folder that holds this one on ``sys.path`` no registration is needed::

    backbone="recipes.mobilefacenet:mobilefacenet"

and ``register_backbone("mobilefacenet", mobilefacenet)`` gives it a name. The weights are
a state dict with these names, trained on CASIA-WebFace at 112x96 (SphereFace's alignment):
``mobilefacenet_casia.ckpt``, put where ``find_weights`` looks.
"""

from pickle import UnpicklingError

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from skfakespotter.backbones import Backbone, WeightsError, find_weights

FILE = "mobilefacenet_casia.ckpt"
# expansion, output channels, repetitions, stride of the first (table 1 of the paper)
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class ConvBlock(nn.Module):
    """A convolution, its batch norm and, unless it is linear, a PReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, groups=1, linear=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, x):
        """Map (n, inputs, h, w) to (n, outputs, h', w')."""
        return self.prelu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Expand, filter each channel, project back without a nonlinearity."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        self.skip = stride == 1 and inputs == outputs
        wide = inputs * expansion
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        """Map (n, inputs, h, w) to (n, outputs, h', w')."""
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileFaceNet(nn.Module):
    """50 convolutions; the last one is the fully-connected layer of the paper."""

    def __init__(self):
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)
        self.dw_conv1 = ConvBlock(64, 64, 3, 1, 1, groups=64)
        blocks, inputs = [], 64
        for expansion, outputs, repetitions, stride in STAGES:
            for i in range(repetitions):
                blocks.append(Bottleneck(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(inputs, 512, 1)
        self.linear7 = ConvBlock(512, 512, (7, 6), groups=512, linear=True)
        self.linear1 = ConvBlock(512, 128, 1, linear=True)

    def forward(self, x):
        """Map (n, 3, 112, 96) to face descriptors (n, 128)."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.linear1(self.linear7(x)).flatten(1)


def mobilefacenet(weights=None):
    """Build the backbone.

    Parameters
    ----------
    weights : None, "random" or path, default=None
        None: ``mobilefacenet_casia.ckpt`` where ``find_weights`` finds it; "random": the
        seeded untrained network; a path: a file of the same network.

    Returns
    -------
    Backbone
        Input 112 high, 96 wide, RGB. Each batch norm is folded into the convolution
        before it, so that a neuron's output is what the batch norm gives, as it is in the
        "dlib" backbone, and the forward pass is faster.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MobileFaceNet()
    if weights != "random":
        read_weights(network, weights or find_weights([FILE], "the project that trained it"))
    return Backbone(
        name="mobilefacenet",
        module=fold(network.eval()),
        input_size=(112, 96),
        template="sphereface",
        mean=127.5,
        scale=128.0,
        source=FILE,
    )


def read_weights(network, path):
    """Fill the network from a file, in which every name and shape must agree."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state["net_state_dict"])
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        reason = f"does not hold MobileFaceNet's weights ({str(error).splitlines()[:1]})"
        raise WeightsError(path, reason) from error


def fold(network):
    """Fold every batch norm into the convolution before it."""
    for block in list(network.modules()):
        if isinstance(block, ConvBlock):
            block.conv = fuse_conv_bn_eval(block.conv, block.bn)
            block.bn = nn.Identity()
        elif isinstance(block, Bottleneck):
            for i in (0, 3, 6):
                block.conv[i] = fuse_conv_bn_eval(block.conv[i], block.conv[i + 1])
                block.conv[i + 1] = nn.Identity()
    return network.requires_grad_(False)
