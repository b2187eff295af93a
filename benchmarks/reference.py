"""Counts of transformers and residual networks against a literal reference over hooks.

    python benchmarks/reference.py [--networks clip ...] [--ways eager ...] [--device cuda]

Real classes of transformers, timm, torchvision and torch at toy size, with seeded random weights,
see twelve generated pictures. For every layer, choice of tokens and kind of threshold the counts of
every channel are compared with the equations written out in ``literal.py``: eager, in a single
pass, from a cache, compiled (blocks only: a graph takes long), and of an ONNX file by torch's
current exporter. What is not measured again is kept of the
table that is there.
"""

import csv
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from literal import literal_counts, outputs_of
from options import find_recipes, make_parser
from table import save_table
from timing import device_name
from torch import nn

from skfakespotter import CoverageCache, NeuronCoverageTransformer
from skfakespotter.backbones import Backbone
from skfakespotter.backbones.onnx import onnx_backbone
from skfakespotter.coverage import find_blocks

TOKENS = ("all", "class", "patches", "mean")
THRESHOLDS = ("mean", "channel-mean")
N_PICTURES = 12
WAYS = ("eager", "single pass", "cached", "ONNX", "compiled")
HEADER = ("network", "way", "layers", "token choices x thresholds", "counts compared")
HEADER += ("neurons, at most", "neurons that differ, a picture, at most")
LITTLE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def import_torchvision():
    """Import torchvision, also beside another build of torch than its own.

    Then its compiled operators are missing, which no network here uses; their names suffice.
    """
    try:
        import torchvision
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "() -> Tensor")
        import torchvision  # noqa: F401


class TorchEncoder(nn.Module):
    """A vision transformer around torch's own encoder, which has a fused fast path."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.randn(1, 1, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        """Map (n, 3, 32, 32) to (n, 32)."""
        x = self.patches(x).flatten(2).mT
        return self.encoder(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1))[:, 0]


def clip(folder):
    """Return CLIP's picture side, written to a folder and read by the recipe."""
    from recipes.hugging_face import clip
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(**LITTLE, intermediate_size=64, image_size=32, patch_size=8)
    CLIPVisionModel(config).save_pretrained(folder)
    return clip(folder)


def dinov2(folder):
    """Return DINOv2, written to a folder and read by the recipe."""
    from recipes.hugging_face import dinov2
    from transformers import Dinov2Config, Dinov2Model

    Dinov2Model(Dinov2Config(**LITTLE, image_size=28, patch_size=7)).save_pretrained(folder)
    return dinov2(folder)


def timm_vit(folder):
    """Return timm's vision transformer."""
    from recipes.timm_models import timm_model

    little = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
    return timm_model("vit_tiny_patch16_224", "random", **little)


def torchvision_resnet(folder):
    """Return torchvision's ResNet-18, for pictures of 64 pixels."""
    from recipes.torchvision_models import torchvision_model

    made = torchvision_model("resnet18", "random", num_classes=10)
    return Backbone("resnet18", made.module, input_size=(64, 64), mean=made.mean, scale=made.scale)


def torch_encoder(folder):
    """Return the network around ``nn.TransformerEncoder``."""
    return Backbone("nn.TransformerEncoder", TorchEncoder().eval(), input_size=(32, 32), scale=64.0)


NETWORKS = {
    made.__name__: made for made in (torch_encoder, clip, dinov2, timm_vit, torchvision_resnet)
}


def compare(backbone, way, tokens, threshold, layers, device):
    """Return how many counts were compared, neurons, and neurons that differ a picture."""
    size = (N_PICTURES, *backbone.input_size, 3)
    pictures = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    coverage = NeuronCoverageTransformer(
        backbone,
        layers=layers,
        tokens=tokens,
        threshold=threshold,
        granularity="channel",
        device=device,
        compile=way == "compiled",
        cache=CoverageCache() if way == "cached" else None,
        single_pass=way == "single pass",
    )
    if way in ("single pass", "cached"):
        counts = coverage.fit_transform(pictures)
    else:
        counts = coverage.fit(pictures).transform(pictures)
    if way == "cached":  # the second time from the records alone
        counts = coverage.fit(pictures).transform(pictures)
    x = backbone.preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    watched = {name: after_norm(backbone.module, name) for name in coverage.layer_names_}
    outputs = outputs_of(backbone.module, x, watched.values())
    per_channel = threshold == "channel-mean"
    expected = np.hstack(
        [literal_counts(outputs[place], tokens, per_channel)[0] for place in watched.values()]
    )
    moved = np.abs(expected - counts).sum() / len(pictures)
    return expected.size, int(coverage.n_neurons_.sum()), moved


def after_norm(module, name):
    """Return where a layer's output is watched: ResNets normalize it first."""
    norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
    return norm if norm in dict(module.named_modules()) else name


def compare_onnx(backbone, folder, device):
    """Compare the counts of an exported file with those of the network that it was made of.

    Its layers are called after nodes, so the layers are compared in the order of execution.
    """
    path = Path(folder) / "network.onnx"
    x = torch.zeros(2, 3, *backbone.input_size)
    shapes = ({0: torch.export.Dim("n")},)
    torch.onnx.export(
        backbone.module, (x,), path, dynamo=True, verbose=False, dynamic_shapes=shapes
    )
    read = onnx_backbone(path, mean=backbone.mean, scale=backbone.scale, template=backbone.template)
    size = (N_PICTURES, *backbone.input_size, 3)
    pictures = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    found = NeuronCoverageTransformer(read, granularity="channel", device=device)
    counts = found.fit(pictures).transform(pictures)
    x = backbone.preprocess(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    own = NeuronCoverageTransformer(backbone, device="cpu").fit(pictures[:1])
    watched = [after_norm(backbone.module, name) for name in own.layer_names_]
    outputs = outputs_of(backbone.module, x, watched)
    widths = found.n_channels_.tolist()
    columns = iter(zip(widths, np.hsplit(counts, np.cumsum(widths)[:-1]), strict=True))
    compared, moved = 0, 0.0
    for output in outputs.values():
        expected = literal_counts(output)[0]
        # a file may have more layers: those that the original does not run as modules
        _, ours = next(pair for pair in columns if pair[0] == expected.shape[1])
        compared, moved = compared + expected.size, moved + np.abs(expected - ours).sum()
    return compared, int(found.n_neurons_.sum()), moved / len(pictures)


def measure(name, folder, way, device):
    """Return the rows of a network computed in one way."""
    torch.manual_seed(0)
    backbone, resnet = NETWORKS[name](folder), "resnet" in name
    if way == "ONNX":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield row(backbone, "default", way, [compare_onnx(backbone, folder, device)])
        return
    blocks = f"{len(find_blocks(backbone.module))} blocks"
    choices = {blocks: "blocks", "default": None, "normalizations": "*bn?" if resnet else "*norm*"}
    for choice, layers in choices.items():
        if way == "compiled" and choice != blocks:  # a graph takes half a minute
            continue
        found = [
            compare(backbone, way, tokens, threshold, layers, device)
            for tokens in (TOKENS[:1] if resnet else TOKENS)
            for threshold in THRESHOLDS
        ]
        yield row(backbone, choice, way, found)


def row(backbone, choice, way, found):
    """Format comparisons as one row."""
    compared, neurons, moved = zip(*found, strict=True)
    cells = [backbone.name, way, choice, len(found), sum(compared), f"{max(neurons):,}"]
    print(*cells, max(moved), flush=True)
    return [*cells, f"{max(moved):.2f}"]


def main(arguments=None):
    """Compare every network and save the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--device", default="cpu", help="where it counts; the reference: the CPU")
    options = parser.parse_args(arguments)
    find_recipes()
    import_torchvision()
    for name in options.networks:
        for way in options.ways:
            with tempfile.TemporaryDirectory() as folder:
                rows = list(measure(name, folder, way, options.device))
            save(options.out, rows, options.device)


def save(out, rows, device):
    """Write the table, with the other rows that it has already."""
    name = "reference" if device == "cpu" else f"reference_on_{device}"
    kept, file = [], out / f"{name}.csv"
    if file.exists():
        with open(file, encoding="utf-8") as lines:
            kept = [row for row in list(csv.reader(lines))[1:] if row[:2] != rows[0][:2]]
    notes = [
        f"{N_PICTURES} generated pictures, torch {torch.__version__}, {device_name(device)}. What "
        "differs is at the threshold: folding a batch normalization rounds otherwise."
    ]
    title = "Transformers against a literal reference"
    command = "python benchmarks/reference.py" + (f" --device {device}" if device != "cpu" else "")
    ordered = sorted([*kept, *rows], key=lambda row: (row[0].lower(), WAYS.index(row[1])))
    save_table(out, name, title, command, HEADER, ordered, notes)


if __name__ == "__main__":
    main()
