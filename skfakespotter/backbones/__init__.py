"""Backbones: face-recognition networks by name."""

from skfakespotter._names import public_names
from skfakespotter.backbones._backbone import (
    Backbone,
    WeightsError,
    monitored_layers,
)
from skfakespotter.backbones._batch_invariant import steady
from skfakespotter.backbones._copies import share_weights
from skfakespotter.backbones._norms import find_norms
from skfakespotter.backbones._placed import PlacedNetwork, place
from skfakespotter.backbones._registry import (
    check_fingerprint,
    list_backbones,
    load_backbone,
    register_backbone,
    takes_arrays,
)
from skfakespotter.backbones._weights import check_weights, find_weights, load_weights, read_weights
from skfakespotter.backbones.dlib import dlib_backbone
from skfakespotter.backbones.toy import toy_image_backbone, toy_vector_backbone
from skfakespotter.backbones.vggface2 import vggface2_resnet50, vggface2_senet50

register_backbone("dlib", dlib_backbone)
register_backbone("vggface2_resnet50", vggface2_resnet50)
register_backbone("vggface2_senet50", vggface2_senet50)
register_backbone("toy_image", toy_image_backbone)
register_backbone("toy_vector", toy_vector_backbone, takes_arrays=True)

__all__ = [
    "Backbone",
    "PlacedNetwork",
    "WeightsError",
    "check_fingerprint",
    "check_weights",
    "find_norms",
    "find_weights",
    "list_backbones",
    "load_backbone",
    "load_weights",
    "monitored_layers",
    "place",
    "read_weights",
    "register_backbone",
    "share_weights",
    "steady",
    "takes_arrays",
]

__getattr__, __dir__ = public_names(__name__)
