"""Recipes of CLIP, DINOv2, timm and torchvision: the real classes, small, with random weights."""

import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from PIL import Image

from skfakespotter import FaceAligner, load_backbone, make_fakespotter, make_pictures
from skfakespotter.backbones import Backbone, WeightsError
from skfakespotter.images import fit_to

for package in ("timm", "torchvision", "transformers"):
    if find_spec(package) is None:
        pytest.skip(f"needs {package}", allow_module_level=True)

FOLDER = "recipes.hugging_face:clip"


@pytest.fixture(scope="module", autouse=True)
def library():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).resolve().parents[2] / "examples")
        reference.import_torchvision()
        yield


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """CLIP of two small blocks with both its sides, as ``save_pretrained`` writes it."""
    from transformers import CLIPConfig, CLIPModel

    little = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    little["intermediate_size"] = 64
    config = CLIPConfig(
        text_config={**little, "vocab_size": 50, "max_position_embeddings": 8},
        vision_config={**little, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["torch_encoder", "clip", "dinov2", "timm_vit", "torchvision_resnet"]
)
def test_counts_equal_the_literal_reference(name, tmp_path):
    """Every way, token choice and threshold: ``python benchmarks/reference.py``."""
    torch.manual_seed(0)
    backbone = reference.NETWORKS[name](tmp_path)
    for way, tokens, threshold, layers in (
        ("eager", "all", "mean", None),
        ("single pass", "class", "channel-mean", "blocks"),
        ("cached", "patches", "mean", "blocks"),
        ("eager", "mean", "channel-mean", "blocks"),
    ):
        tokens = "all" if "resnet" in name else tokens
        compared, neurons, moved = reference.compare(
            backbone, way, tokens, threshold, layers, "cpu"
        )
        assert compared > 12
        assert moved <= 1e-5 * neurons


def test_whole_pictures_of_any_size_through_the_pipeline(clip_folder):
    backbone = load_backbone(FOLDER, weights=clip_folder)
    assert (backbone.template, backbone.input_size) == ("whole", (32, 32))
    X, y = make_pictures(24, size=40, random_state=0)
    pictures = [x[:, 2:-3] if i % 2 else x for i, x in enumerate(X)]
    detector = make_fakespotter(
        backbone, preset="recommended", align=False, device="cpu", random_state=0
    )
    parameters = {"layers": "blocks", "threshold": "channel-mean", "tokens": "patches"}
    step = "classifier__estimator__coverage__"
    detector.set_params(**{step + name: value for name, value in parameters.items()})
    detector.fit(pictures, y)
    scores = detector.predict_proba(pictures)
    assert scores.shape == (24, 2)
    fitted = np.stack([fit_to(picture, (32, 32)) for picture in pictures])
    np.testing.assert_array_equal(scores, detector.predict_proba(fitted))


def test_faces_are_cut_for_it_only_when_asked(clip_folder):
    backbone = load_backbone(FOLDER, weights=clip_folder)
    with pytest.raises(ValueError, match=r"'clip' sees whole pictures.*align=False"):
        make_fakespotter(backbone)
    aligner = FaceAligner("dlib")
    assert make_fakespotter(backbone, align=aligner).named_steps["align"] is aligner


def test_clip_is_read_from_a_folder_and_pickles_small(clip_folder, tmp_path):
    from transformers import CLIPModel

    backbone = load_backbone(FOLDER, weights=clip_folder)
    whole = CLIPModel.from_pretrained(clip_folder).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = backbone.module(x).last_hidden_state
        theirs = whole.vision_model(x).last_hidden_state
    torch.testing.assert_close(ours, theirs)
    assert len(pickle.dumps(backbone)) < 1000
    assert pickle.loads(pickle.dumps(backbone)).fingerprint == backbone.fingerprint
    with pytest.raises(WeightsError, match="holds no CLIPVisionModel"):
        load_backbone(FOLDER, weights=tmp_path)


def test_weights_are_found_by_their_published_names(monkeypatch, tmp_path, clip_folder):
    monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="clip-vit-large-patch14/model"):
        load_backbone(FOLDER)
    (tmp_path / "clip-vit-large-patch14").symlink_to(clip_folder)
    by_name = load_backbone(FOLDER)
    assert by_name.fingerprint == load_backbone(FOLDER, weights=clip_folder).fingerprint


def test_torchvision_by_name(monkeypatch, tmp_path):
    from torchvision.models import resnet18

    spec = "recipes.torchvision_models:resnet18"
    torch.manual_seed(1)
    network = resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(tmp_path))
    backbone = load_backbone(spec)
    assert (backbone.input_size, backbone.crop) == ((224, 224), 224 / 256)
    assert torch.equal(backbone.module.fc.weight, network.fc.weight)
    assert backbone.fingerprint != load_backbone(spec, weights="random").fingerprint
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth.*another network.*conv1"):
        load_backbone(spec, weights=tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"torchvision\.models has no 'resnet9'"):
        load_backbone("recipes.torchvision_models:resnet9")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_googles_networks_scale_their_input_as_their_weights_expect(monkeypatch, name):
    from torchvision import models

    asked = {}

    def get_model(name, **options):
        asked.update(options)
        return torch.nn.Conv2d(3, 2, 3)

    monkeypatch.setattr(models, "get_model", get_model)
    spec = f"recipes.torchvision_models:{name}"
    load_backbone(spec, weights="random")
    assert asked["transform_input"] is True


def test_timm_by_name_and_its_own_transform(tmp_path):
    import timm
    from safetensors.torch import save_file

    name = "test_vit__r160_in1k"  # timm's own toy
    assert load_backbone(f"recipes.timm_models:{name}", weights="random").crop == 0.95
    torch.manual_seed(1)
    network = timm.create_model("test_vit.r160_in1k").eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    backbone = load_backbone(f"recipes.timm_models:{name}", weights=tmp_path / "model.safetensors")
    assert torch.equal(backbone.module.head.weight, network.head.weight)
    picture = make_pictures(2, size=300, random_state=0)[0][0][:, :250]
    config = timm.data.resolve_model_data_config(network)
    expected = timm.data.create_transform(**config)(Image.fromarray(picture))
    pixels = torch.from_numpy(fit_to(picture, backbone.input_size, backbone.crop).copy())
    found = backbone.preprocess(pixels.permute(2, 0, 1)[None])[0]
    difference = (found - expected).abs()  # both resize and crop, timm in two steps
    assert difference.mean() < 0.05 * expected.std()
    with pytest.raises(ValueError, match="timm has no model 'no_such'"):
        load_backbone("recipes.timm_models:no_such")


@pytest.mark.parametrize(("template", "alignment"), [(None, "dlib"), ("arcface", "arcface")])
def test_other_networks_say_their_alignment(template, alignment):
    backbone = Backbone("net", torch.nn.Conv2d(3, 2, 3), template=template)
    assert backbone.alignment == alignment
    assert backbone.sees_faces == (template is not None)
