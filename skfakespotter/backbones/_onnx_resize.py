"""Resize: ONNX's many variants of it, of which torch has those that its exporters write."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from skfakespotter.backbones._onnx_layers import UnsupportedError
from skfakespotter.backbones._onnx_shapes import numbers

# torch's mode and align_corners by ONNX's mode and what it makes of coordinates
MODES = {
    ("nearest", "asymmetric floor"): ("nearest", None),
    ("nearest", "half_pixel round_prefer_ceil"): ("nearest-exact", None),
    ("linear", "half_pixel"): ("bilinear", False),
    ("linear", "pytorch_half_pixel"): ("bilinear", False),
    ("linear", "align_corners"): ("bilinear", True),
    ("cubic", "half_pixel"): ("bicubic", False),
    ("cubic", "pytorch_half_pixel"): ("bicubic", False),
    ("cubic", "align_corners"): ("bicubic", True),
}


def resize(attributes: dict, x: torch.Tensor, *inputs: Any) -> torch.Tensor:
    """Resize maps.

    Parameters
    ----------
    attributes : dict
        Of the node, with its scales, if it has any.
    x : Tensor of shape (n, channels, h, w)
        The maps.
    *inputs : None, None, Tensor
        The region and the scales, which are not looked at, and the sizes.

    Returns
    -------
    Tensor of shape (n, channels, height, width)
        As ``torch.nn.functional.interpolate`` makes them.
    """
    mode, corners = _mode(attributes)
    scales = attributes.get("scales")
    whole = [1.0] * x.ndim if scales else list(x.shape)
    unchanged = whole[:2]
    axes = attributes.get("axes", range(x.ndim))
    if not scales and len(inputs) < 3:
        raise UnsupportedError("neither scales nor sizes")
    for axis, value in zip(axes, scales or numbers(inputs[2]), strict=True):
        whole[axis] = value
    if x.ndim != 4 or whole[:2] != unchanged:
        raise UnsupportedError("axes other than height and width")
    options: dict[str, Any] = {"scale_factor": whole[2:]} if scales else {"size": whole[2:]}
    antialias = bool(attributes.get("antialias", 0))
    made = F.interpolate(x, **options, mode=mode, align_corners=corners, antialias=antialias)
    variant = attributes.get("coordinate_transformation_mode")
    if variant == "pytorch_half_pixel" and 1 in made.shape[2:]:  # torch no longer does so
        raise UnsupportedError("pytorch_half_pixel to a length of 1")
    return made


def _mode(attributes):
    """Return torch's mode and align_corners; raise where torch has no such variant."""
    mode = attributes.get("mode", "nearest")
    variant = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        variant += " " + attributes.get("nearest_mode", "round_prefer_floor")
    antialias = attributes.get("antialias", 0)
    fixed = {"exclude_outside": antialias, "keep_aspect_ratio_policy": "stretch"}
    if mode == "cubic":  # what torch computes with, Keys' where it smooths
        fixed["cubic_coeff_a"] = -0.5 if antialias else -0.75
    defaults = {"exclude_outside": 0, "keep_aspect_ratio_policy": "stretch", "cubic_coeff_a": -0.75}
    for name, value in fixed.items():
        if (found := attributes.get(name, defaults[name])) != value:
            raise UnsupportedError(f"{name}={found}")
    if (mode, variant) not in MODES:
        raise UnsupportedError(f"mode={mode} with coordinates {variant}")
    return MODES[mode, variant]
