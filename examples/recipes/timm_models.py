"""Any model of timm as a backbone that sees whole pictures.

``pip install "skfakespotter[networks]"``. Every name that timm knows is a factory here; a
"." in it, which no name in Python may have, is written "__". With the folder that holds this
one on ``sys.path``::

    name = "recipes.timm_models:vit_small_patch14_dinov2__lvd142m"
    backbone = load_backbone(name, weights="model.safetensors")
"""

from functools import partial

import timm
import torch

from skfakespotter.backbones import Backbone, find_weights, load_weights


def timm_model(name, weights=None, **options):
    """Build a model of timm.

    Parameters
    ----------
    name : str
        As in ``timm.list_models()``, with or without the tag of its weights.
    weights : None, "random" or path, default=None
        None: ``NAME/model.safetensors`` or ``NAME.safetensors`` where ``find_weights`` looks;
        "random": the seeded untrained network; a path: such a file.
    **options
        To ``timm.create_model``, such as ``img_size=224`` for other sizes than the published.

    Returns
    -------
    Backbone
        Whole pictures, with the size, crop, mean and scale that timm states.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False, **options).eval()
    published = network.pretrained_cfg
    hub = published.get("hf_hub_id") or name
    if weights != "random":
        names = [f"{hub.split('/')[-1]}/model.safetensors", f"{name}.safetensors"]
        load_weights(network, weights or find_weights(names, f"timm's page of {hub}"))
    given = timm.data.resolve_model_data_config(network)
    size = options.get("img_size") or given["input_size"][1:]
    return Backbone(
        name=name,
        module=network,
        input_size=(size, size) if isinstance(size, int) else tuple(size),
        crop=given["crop_pct"],
        template="whole",
        mean=[255 * value for value in given["mean"]],
        scale=[255 * value for value in given["std"]],
        license=published.get("license") or "",
        source=f"timm: {hub}",
    )


def __getattr__(name):
    if timm.is_model(name.replace("__", ".")):
        return partial(timm_model, name.replace("__", "."))
    raise AttributeError(f"timm has no model {name!r}.")
