"""CLIP and DINOv2 of Hugging Face's transformers as backbones that see whole pictures.

``pip install "skfakespotter[networks]"``. Weights are a folder as ``save_pretrained`` or a
download makes it. With the folder that holds this one on ``sys.path``::

    backbone = load_backbone("recipes.hugging_face:clip", weights="clip-vit-large-patch14")
    detector = make_fakespotter(backbone, granularity="channel", align=False)
    detector.set_params(coverage__layers="blocks", coverage__threshold="channel-mean")
"""

from pathlib import Path

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from skfakespotter.backbones import Backbone, WeightsError, find_weights


def clip(weights=None):
    """Build the picture side of CLIP (Radford et al., ICML 2021).

    Parameters
    ----------
    weights : None, "random" or path, default=None
        None: the folder ``clip-vit-large-patch14`` where ``find_weights`` looks; "random": the
        seeded untrained network of the size ViT-B/32; a path: a folder of any size of it,
        which may hold the side of the texts too.

    Returns
    -------
    Backbone
        Whole pictures, resized to the shorter side and cropped to the center.
    """
    network, source = build(CLIPVisionModel, CLIPVisionConfig, weights, "clip-vit-large-patch14")
    return Backbone(
        name="clip",
        module=network,
        input_size=(network.config.image_size,) * 2,
        template="whole",
        mean=[255 * value for value in (0.48145466, 0.4578275, 0.40821073)],
        scale=[255 * value for value in (0.26862954, 0.26130258, 0.27577711)],
        license="MIT",
        source=source,
    )


def dinov2(weights=None):
    """Build DINOv2 (Oquab et al., TMLR 2024).

    Parameters
    ----------
    weights : None, "random" or path, default=None
        None: the folder ``dinov2-base`` where ``find_weights`` looks; "random": the seeded
        untrained network of the size ViT-B/14; a path: a folder of any size of it.

    Returns
    -------
    Backbone
        Whole pictures of 224 pixels (its positions are of 518 and are interpolated), or of
        its own size where that is smaller: 7/8 of the shorter side are kept.
    """
    network, source = build(Dinov2Model, Dinov2Config, weights, "dinov2-base")
    return Backbone(
        name="dinov2",
        module=network,
        input_size=(min(224, network.config.image_size),) * 2,
        crop=224 / 256,
        template="whole",
        mean=[255 * value for value in (0.485, 0.456, 0.406)],
        scale=[255 * value for value in (0.229, 0.224, 0.225)],
        license="Apache-2.0",
        source=source,
    )


def build(model, config, weights, published):
    """Build a network and name where its weights come from."""
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return model(config()).eval(), "random"
    if weights is None:
        file = f"{published}/model.safetensors"
        weights = find_weights([file], f"the model card of {published}").parent
    try:  # a folder on this disk, never a name to download
        network = model.from_pretrained(
            Path(weights).resolve(strict=True), local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(weights, f"holds no {model.__name__} ({error})") from error
    return network.eval(), Path(weights).name
