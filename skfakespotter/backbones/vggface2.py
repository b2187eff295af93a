"""VGGFace2's ResNet-50, the network of the FakeSpotter paper, and its SENet-50 twin.

Architecture: Caffe's ResNet-50 (He et al. 2016), with the stride in the first 1x1
convolution of a bottleneck and an unpadded, ceiling-mode max pool: 53 convolutions and
one fully-connected layer, 54 layers with 10,595,767 neurons at 224 pixels. (torchvision's
ResNet-50 has the stride in the 3x3 convolution and so 11.1 million.) SENet-50 (Hu et al.
2018) adds two 1x1 convolutions per bottleneck that weigh the channels: 86 layers,
10,611,815 neurons. Both were trained on 8,631 people (Cao et al. 2018).

Every batch normalization is folded into the convolution before it. At inference it is a
constant scale and shift per channel, so the folded convolution gives the value that the
normalization gives, and that is what is monitored, as for dlib's network.

The weights are not distributed with this package: users download them. Read are, by
content: the pickles of the PyTorch port (``resnet50_ft_weight.pkl``), the PyTorch exports
of Oxford's converter (``resnet50_ft_dag.pth``, which take RGB: their first kernel is
turned to BGR) and keras-vggface's ``.h5``. The epsilon of the normalization is 1e-5, as in
the PyTorch port and the exports, whatever the file; keras-vggface itself adds 1e-3
(ResNet) or 1e-4 (SENet) to the same variances and pads the stem by one pixel less at the
top and left. No published file has been read by this project: the layouts are those of the
published readers, and the tests write files in them and compare every layer with a
second implementation.

References
----------
Q. Cao et al., "VGGFace2: A dataset for recognizing faces across pose and age", FG 2018.
K. He et al., "Deep residual learning for image recognition", CVPR 2016.
J. Hu et al., "Squeeze-and-Excitation networks", CVPR 2018.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from skfakespotter.backbones._backbone import Backbone
from skfakespotter.backbones._seeding import build_seeded
from skfakespotter.backbones._weights import check_weights, find_weights, read_weights

INPUT_SIZE = (224, 224)
CROP = 224 / 256  # the shorter side is resized to 256, the center 224 is taken
MEAN_BGR = (91.4953, 103.8827, 131.0912)
N_CLASSES = 8631
BLOCKS = (3, 4, 6, 3)  # bottlenecks per stage
SE_REDUCTION = 16
SOURCE = (
    "https://github.com/cydonia999/VGGFace2-pytorch (.pkl), "
    "https://www.robots.ox.ac.uk/~albanie/pytorch-models.html (.pth) or "
    "https://github.com/rcmalli/keras-vggface/releases (.h5)"
)
# Caffe's names for the parts of a bottleneck
CAFFE_PARTS = {
    "conv1": "1x1_reduce",
    "conv2": "3x3",
    "conv3": "1x1_increase",
    "conv4": "1x1_down",
    "conv5": "1x1_up",
    "downsample.0": "1x1_proj",
}


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a skip connection, with optional channel gates."""

    def __init__(self, in_channels: int, width: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.squeeze = squeeze
        if squeeze:
            self.conv4 = nn.Conv2d(channels, channels // SE_REDUCTION, 1)
            self.conv5 = nn.Conv2d(channels // SE_REDUCTION, channels, 1)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, in_channels, h, w) to (n, 4 width, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.squeeze:
            gates = F.relu(self.conv4(y.mean((2, 3), keepdim=True)))
            y = y * torch.sigmoid(self.conv5(gates))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class VGGFace2Net(nn.Module):
    """ResNet-50 or SENet-50 with the parameter names of torchvision's ResNet.

    Parameters
    ----------
    squeeze : bool, default=False
        True for SENet-50.

    Examples
    --------
    >>> import torch
    >>> from skfakespotter.backbones.vggface2 import VGGFace2Net
    >>> with torch.device("meta"):
    ...     VGGFace2Net()(torch.empty(1, 3, 224, 224)).shape
    torch.Size([1, 8631])
    """

    def __init__(self, squeeze: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, n_blocks in enumerate(BLOCKS):
            blocks, width = [], 64 << stage
            for block in range(n_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(channels, width, stride, squeeze))
                channels = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, N_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (n, 3, 224, 224) to the scores of 8,631 people."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, ceil_mode=True)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(F.avg_pool2d(x, 7).flatten(1))

    def fold(self) -> VGGFace2Net:
        """Fold every batch normalization into the convolution before it, in place.

        Returns
        -------
        VGGFace2Net
            The network itself, with ``nn.Identity`` where the normalizations were.
        """
        for module in [m for m in self.modules() if isinstance(m, (VGGFace2Net, Bottleneck))]:
            for number in "123":
                if hasattr(module, f"bn{number}"):
                    fold_batch_norm(module, f"conv{number}", f"bn{number}")
            if isinstance(module, Bottleneck) and module.downsample is not None:
                fold_batch_norm(module.downsample, "0", "1")
        return self


def fold_batch_norm(parent: nn.Module, conv: str, bn: str) -> None:
    """Replace a convolution and the batch normalization after it by one convolution.

    With running mean m and variance v, scale g and shift b, the kernel is multiplied by
    g / sqrt(v + eps) and the bias becomes b - m g / sqrt(v + eps).

    Parameters
    ----------
    parent : torch.nn.Module
        Holds both; in evaluation mode.
    conv, bn : str
        Their names there.
    """
    folded = fuse_conv_bn_eval(getattr(parent, conv), getattr(parent, bn))
    setattr(parent, conv, folded)
    setattr(parent, bn, nn.Identity())


def vggface2_resnet50(weights: str | os.PathLike | None = None) -> Backbone:
    """Build the ``"vggface2_resnet50"`` backbone, the network of the paper.

    Parameters
    ----------
    weights : None, "random" or path, default=None
        None: the published file in the folders or files of the environment variable
        ``SKFAKESPOTTER_WEIGHTS`` or in ``~/.config/skfakespotter/weights``; "random": the
        seeded untrained network; a path: a weight file, or a folder that holds one under
        its published name.

    Returns
    -------
    Backbone
        Input 224x224 BGR, 54 layers.

    Raises
    ------
    FileNotFoundError
        When there is no weight file; the message says where users get one.
    WeightsError
        When the file is not this network's; it names file and key.

    Examples
    --------
    >>> from skfakespotter import load_backbone
    >>> load_backbone("skfakespotter.backbones.vggface2:vggface2_resnet50", weights="random")
    <Backbone 'vggface2_resnet50': 54 conv and fc layers, input (224, 224)>
    """
    return _backbone("resnet50", weights)


def vggface2_senet50(weights: str | os.PathLike | None = None) -> Backbone:
    """Build the ``"vggface2_senet50"`` backbone: 86 layers, 32 of them channel gates.

    Parameters
    ----------
    weights : None, "random" or path, default=None
        As for :func:`vggface2_resnet50`.

    Returns
    -------
    Backbone
        Input 224x224 BGR.

    Raises
    ------
    FileNotFoundError, WeightsError
        As for :func:`vggface2_resnet50`.
    """
    return _backbone("senet50", weights)


def published_names(architecture: str) -> list[str]:
    """List the names under which the weights of a network are published.

    Parameters
    ----------
    architecture : {"resnet50", "senet50"}
        The network.

    Returns
    -------
    list of str
        The fine-tuned weights (pretrained on MS-Celeb-1M) before those trained on VGGFace2
        from scratch.

    Examples
    --------
    >>> from skfakespotter.backbones.vggface2 import published_names
    >>> published_names("resnet50")[:2]
    ['resnet50_ft_weight.pkl', 'resnet50_ft_dag.pth']
    """
    return [
        f"{architecture}_ft_weight.pkl",
        f"{architecture}_ft_dag.pth",
        f"rcmalli_vggface_tf_{architecture}.h5",
        f"{architecture}_scratch_weight.pkl",
        f"{architecture}_scratch_dag.pth",
    ]


def read_network(
    path: str | os.PathLike, architecture: str = "resnet50", *, fold: bool = True
) -> VGGFace2Net:
    """Read a network from a weight file, executing nothing that it holds.

    Parameters
    ----------
    path : path
        File in one of the layouts named in the module's text.
    architecture : {"resnet50", "senet50"}, default="resnet50"
        The network.
    fold : bool, default=True
        Fold the batch normalizations into the convolutions.

    Returns
    -------
    VGGFace2Net
        In evaluation mode; it takes BGR.

    Raises
    ------
    WeightsError
        When the file is broken or of another network; it names the key.
    """
    with torch.device("meta"):
        network = VGGFace2Net(squeeze=architecture == "senet50")
    weights = {
        name: tensor
        for name, tensor in read_weights(path).items()
        if not name.endswith("num_batches_tracked")
    }
    name_in_file = _naming(weights)
    keys = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    names = {key: name_in_file(key) for key in keys}
    if (classifier := weights.get(names["fc.weight"])) is not None and classifier.ndim == 4:
        weights[names["fc.weight"]] = classifier.flatten(1)  # Oxford has it as 1x1 convolution
    shapes = {names[key]: network.state_dict()[key].shape for key in keys}
    check_weights(path, weights, shapes)
    if "conv1_7x7_s2.weight" in weights:
        weights["conv1_7x7_s2.weight"] = weights["conv1_7x7_s2.weight"].flip(1)  # from RGB
    state = {
        key: torch.tensor(0, device="cpu") for key in network.state_dict()
    }  # num_batches_tracked
    state |= {key: weights[name] for key, name in names.items()}
    network.load_state_dict(state, assign=True)
    return _finish(network, fold)


def random_network(
    architecture: str = "resnet50", *, seed: int = 0, fold: bool = True
) -> VGGFace2Net:
    """Return the untrained network: seeded weights, a baseline for the trained one.

    Parameters
    ----------
    architecture : {"resnet50", "senet50"}, default="resnet50"
        The network.
    seed : int, default=0
        Of the weights. The global generator is left as it was.
    fold : bool, default=True
        As for :func:`read_network`.

    Returns
    -------
    VGGFace2Net
        In evaluation mode.
    """
    squeeze = architecture == "senet50"
    return _finish(build_seeded(lambda: VGGFace2Net(squeeze), seed, relu=True), fold)


def _finish(network, fold):
    network = network.requires_grad_(False).eval()
    return network.fold() if fold else network


def _backbone(architecture, weights):
    if weights == "random":
        network = random_network(architecture)
    else:
        path = weights
        if weights is None or Path(weights).is_dir():
            path = find_weights(published_names(architecture), SOURCE, weights)
        network = read_network(path, architecture)
    return Backbone(
        name=f"vggface2_{architecture}",
        module=network,
        input_size=INPUT_SIZE,
        crop=CROP,
        mean=MEAN_BGR,
        channel_order="BGR",
        template="vggface2",
        license="not stated in the weight files; see the source",
        source=SOURCE,
    )


def _naming(weights):
    """Tell by the names in a file how it calls a parameter of :class:`VGGFace2Net`."""
    for separator in "_/":  # Oxford's exports; Caffe and Keras
        if any(name.startswith(f"conv1{separator}7x7_s2") for name in weights):
            return lambda key: _caffe_name(key, separator)
    return lambda key: key


def _caffe_name(key, separator):
    """Return Caffe's name of a parameter.

    ``layer1.0.bn2.weight`` is ``conv2_1_3x3_bn.weight`` in Oxford's exports.
    """
    layer, _, kind = key.rpartition(".")
    conv = re.sub(r"bn(\d)$", r"conv\1", layer).replace("downsample.1", "downsample.0")
    if conv == "fc":
        name = "classifier"
    elif conv == "conv1":
        name = f"conv1{separator}7x7_s2"
    else:
        group, block, part = conv.split(".", 2)
        stage = group.removeprefix("layer")
        name = f"conv{int(stage) + 1}_{int(block) + 1}_{CAFFE_PARTS[part]}"
    return f"{name}{f'{separator}bn' if conv != layer else ''}.{kind}"
