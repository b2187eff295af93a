"""Any classifier of torchvision, such as its ResNets, as a backbone that sees whole pictures.

``pip install "skfakespotter[networks]"``. Every name that torchvision knows is a factory here.
With the folder that holds this one on ``sys.path``::

    backbone = load_backbone("recipes.torchvision_models:resnet50", weights="resnet50-11ad3fa6.pth")
"""

from functools import partial

import torch
from torchvision import models

from skfakespotter.backbones import Backbone, find_weights, load_weights

# Their published weights are of networks that scale their input once more. torchvision sets that,
# and how weights are drawn, only where it loads them itself.
_GOOGLE = {"transform_input": True, "init_weights": True}
_OPTIONS = {"inception_v3": _GOOGLE, "googlenet": _GOOGLE}


def torchvision_model(name, weights=None, **options):
    """Build a classifier of torchvision.

    Parameters
    ----------
    name : str
        As in ``torchvision.models.list_models(torchvision.models)``.
    weights : None, "random" or path, default=None
        None: the file that torchvision names (its second set, where there are two) where
        ``find_weights`` looks; "random": the seeded untrained network; a path: such a file.
    **options
        To the class, such as ``num_classes``.

    Returns
    -------
    Backbone
        Whole pictures, with the size, crop, mean and scale that torchvision states.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = {**_OPTIONS.get(name, {}), **options}
        network = models.get_model(name, weights=None, **given).eval()
    published = models.get_model_weights(name).DEFAULT
    if weights != "random":
        file = published.url.rsplit("/", 1)[-1]
        load_weights(network, weights or find_weights([file], published.url))
    shown = published.transforms()
    return Backbone(
        name=name,
        module=network,
        input_size=(shown.crop_size[0],) * 2,
        crop=shown.crop_size[0] / shown.resize_size[0],
        template="whole",
        mean=[255 * value for value in shown.mean],
        scale=[255 * value for value in shown.std],
        license="BSD-3-Clause",
        source=f"torchvision: {published}",
    )


def __getattr__(name):
    if name in models.list_models(models):
        return partial(torchvision_model, name)
    raise AttributeError(f"torchvision.models has no {name!r}.")
