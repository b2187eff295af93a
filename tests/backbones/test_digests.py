"""Fingerprints: networks that may give other results have other ones, copies have equal ones."""

import copy
import functools
import json
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from skfakespotter import CoverageCache, NeuronCoverageTransformer, load_backbone, make_pictures
from skfakespotter.backbones import Backbone
from skfakespotter.backbones._digests import digest

DATA = Path(__file__).resolve().parents[2] / "skfakespotter" / "datasets" / "data"


class Encoder(nn.Module):
    """A small vision transformer of torch's own parts, and attributes of many kinds."""

    def __init__(self, heads=2, **options):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.block = nn.TransformerEncoderLayer(8, heads, 16, batch_first=True, **options)
        self.register_buffer("position", torch.linspace(0, 1, 8), persistent=False)
        self.window, self.activation = [4, 4], nn.functional.gelu
        self.norm_layer = functools.partial(nn.LayerNorm, eps=1e-6)
        self.calls_cached, self.seen, self.maps = 0, None, []

    def forward(self, x):
        y = self.patches(x).flatten(2).mT + self.position
        self.calls_cached += 1
        self.seen = y
        self.maps.append(y)
        return self.block(y)


CHANGES = {
    "heads": lambda m: setattr(m.block.self_attn, "num_heads", 4),
    "order": lambda m: setattr(m.block, "norm_first", True),
    "buffer": lambda m: m.position.add_(1),
    "list": lambda m: setattr(m, "window", [4, 2]),
    "function": lambda m: setattr(m, "activation", nn.functional.silu),
    "partial": lambda m: setattr(m, "norm_layer", functools.partial(nn.LayerNorm, eps=1e-5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_repr_and_state_do_not_show_counts(change):
    network = Encoder().eval()
    before = Encoder().eval()
    backbone = Backbone("n", network)
    assert backbone.fingerprint == Backbone("n", before).fingerprint
    CHANGES[change](network)
    assert backbone.fingerprint != Backbone("n", before).fingerprint
    assert str(network) == str(before)
    assert network.state_dict().keys() == before.state_dict().keys()


def test_options_of_torch_and_of_pooling_count():
    networks = [Encoder(), Encoder(4), Encoder(norm_first=True), Encoder(activation="gelu")]
    networks += [nn.AvgPool2d(2), nn.AvgPool2d(2, ceil_mode=True)]
    assert len({digest(network) for network in networks}) == 6


def test_a_cache_and_a_fitted_transformer_tell_the_networks_apart():
    pictures, _ = make_pictures(4, size=32, random_state=0)
    two, four = (Backbone("n", Encoder(n), input_size=(32, 32), scale=64.0) for n in (2, 4))
    options = {"layers": "block", "granularity": "channel", "device": "cpu"}
    expected = NeuronCoverageTransformer(four, **options).fit_transform(pictures)
    cache = CoverageCache()
    fitted = NeuronCoverageTransformer(two, cache=cache, **options).fit(pictures)
    found = NeuronCoverageTransformer(four, cache=cache, **options).fit_transform(pictures)
    assert (found == expected).all()
    with pytest.raises(ValueError, match="has the fingerprint"):
        fitted.set_params(backbone=four, cache=None).transform(pictures)


def check_unchanged(network, x):
    """A pass, copies, pickles and modes leave the digest as it is."""
    before = digest(network)
    with torch.no_grad():
        network(x)
    for same in (
        network,
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(network).train(),
        copy.deepcopy(network).eval().requires_grad_(False),
    ):
        assert digest(same) == before


def test_passes_copies_and_modes_do_not_count():
    check_unchanged(Encoder().eval(), torch.ones(1, 3, 32, 32))


def test_processes_do_not_count():
    code = "from test_digests import Encoder, digest; print(digest(Encoder()))"
    path = f"import sys; sys.path[:] = {[str(Path(__file__).parent), *sys.path]!r}; "
    run = [sys.executable, "-c", path + code]
    found = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert found.split() == [digest(Encoder())]


def real_networks():
    """Give classes of transformers and timm, small."""
    import timm
    import transformers

    size = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    size |= {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    vit = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 3}
    return {
        "clip": transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**size)).eval(),
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**size)).eval(),
        "timm": timm.create_model("vit_tiny_patch16_224", **vit).eval(),
    }


@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("timm", "torchvision", "transformers")),
    reason="needs timm, torchvision, transformers",
)
def test_passes_copies_and_modes_do_not_count_in_public_classes(tmp_path):
    import reference

    reference.import_torchvision()
    networks = real_networks()
    before = {name: digest(network) for name, network in networks.items()}
    for network in networks.values():
        check_unchanged(network, torch.ones(1, 3, 32, 32))
    networks["clip"].save_pretrained(tmp_path)
    loaded = type(networks["clip"]).from_pretrained(tmp_path).eval()
    assert digest(loaded) == before["clip"]  # wherever it was loaded from
    networks["clip"].encoder.layers[0].self_attn.num_heads = 4
    networks["timm"].blocks[0].attn.num_heads = 4
    assert digest(networks["clip"]) != before["clip"]
    assert digest(networks["timm"]) != before["timm"]


def test_networks_of_this_package_are_told_by_layers_and_weights_alone():
    """Detectors that ship are bound to them, whatever attributes another torch may add."""
    facts = json.loads((DATA / "coverage_sample.json").read_text())
    assert load_backbone("dlib").fingerprint == facts["backbone_fingerprint"]
    network = copy.deepcopy(load_backbone("dlib", weights="random").module)
    before = digest(network)
    for part in network.modules():
        part.of_a_later_torch = 1
    assert digest(network) == before


class Stateful(nn.Module):
    def __init__(self, extra):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        nn.init.ones_(self.conv.weight)
        nn.init.ones_(self.conv.bias)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, extra):
        self.extra = extra

    def forward(self, x):
        return self.conv(x)


def test_state_that_is_no_tensor():
    states = ({"v": 1}, {"v": 2}, {"v": (1, [torch.zeros(2)])}, {"v": (1, [torch.ones(2)])}, b"1")
    assert len({digest(Stateful(state)) for state in states}) == 5
    assert digest(Stateful({"v": 1})) == digest(Stateful({"v": 1}))
    with pytest.raises(TypeError, match=r"holds a object under '_extra_state\.v': expected"):
        digest(Stateful({"v": object()}))


@pytest.mark.filterwarnings("ignore:.*(quantize_per_tensor|TypedStorage):UserWarning")
def test_sparse_and_quantized_tensors():
    networks = [nn.Conv2d(3, 4, 3) for _ in range(3)]
    for network, value in zip(networks, (1.0, 1.0, 2.0), strict=True):
        nn.init.ones_(network.weight)
        nn.init.ones_(network.bias)
        network.register_buffer("mask", (value * torch.eye(3)).to_sparse())
        quantized = torch.quantize_per_tensor(torch.full((2,), value), 0.1, 0, torch.qint8)
        network.register_buffer("table", quantized)
    prints = [digest(network) for network in networks]
    assert prints[0] == prints[1] != prints[2]
    X = make_pictures(2, size=16, random_state=0)[0]
    fitted = NeuronCoverageTransformer(Backbone("b", networks[0], scale=255.0), device="cpu").fit(X)
    assert fitted.layer_names_ == [""]
