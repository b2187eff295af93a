"""Measuring: the main face of many pictures, counted in batches, described, never kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._device import resolve_devices
from skfakespotter._progress import track
from skfakespotter._typing import Devices
from skfakespotter.detectors._faces import CroppedFace
from skfakespotter.faces import Cropping, FaceNote, find_noted
from skfakespotter.images import ImageError, load_image
from skfakespotter.transformer import NeuronCoverageTransformer

BATCH = 64  # pictures held at a time
GROUP = 16  # of them that are searched together
SAMPLE = 2000  # faces that the thresholds of equation 1 are taken over


@dataclass(frozen=True, eq=False)
class MeasuredFaces:
    """What was measured of the main faces of pictures; pictures without one have no row.

    Attributes
    ----------
    index : ndarray of shape (n,), int
        Positions of the pictures.
    counts : ndarray of shape (n, n_channels in all)
        From :func:`count_faces`.
    width, sharpness : ndarray of shape (n,)
        Of the faces.
    """

    index: NDArray[np.int64]
    counts: NDArray[Any]
    width: NDArray[np.float64]
    sharpness: NDArray[np.float64]


def sample_coverage(
    pictures: Sequence[Any],
    cropping: Cropping,
    *,
    backbone: Any = "dlib",
    device: Devices = "auto",
    n: int = SAMPLE,
    notes: Sequence[FaceNote] | None = None,
) -> NeuronCoverageTransformer:
    """Compute the thresholds over an even sample of pictures.

    Parameters
    ----------
    pictures : sequence of pictures
        All of them.
    cropping : Cropping
        How faces are found and cropped.
    backbone : str, default="dlib"
        The network.
    device : str, default="auto"
        Where it computes, and faces are found.
    n : int, default=2000
        Pictures of the sample at most.
    notes : sequence of FaceNote, default=None
        See :func:`main_faces`.

    Returns
    -------
    NeuronCoverageTransformer
        Fitted; it counts per channel.

    Raises
    ------
    ValueError
        When no picture shows a face.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(n, len(pictures))).astype(int))
    faces = main_faces(
        [pictures[i] for i in chosen],
        cropping,
        device=device,
        notes=None if notes is None else [notes[i] for i in chosen],
    )
    crops = [face.crop for _, face in faces]
    if not crops:
        raise ValueError("pictures show no face: expected pictures of faces.")
    coverage = NeuronCoverageTransformer(backbone, granularity="channel", device=device)
    return coverage.fit(np.stack(crops))


def measure_faces(
    pictures: Sequence[Any],
    coverage: NeuronCoverageTransformer,
    cropping: Cropping,
    *,
    change: Any = None,
    notes: Sequence[FaceNote] | None = None,
    verbose: int = 0,
) -> MeasuredFaces:
    """Find and count the main face of every picture.

    Parameters
    ----------
    pictures : sequence of pictures
        Those that cannot be read, or show no face, have no row.
    coverage : NeuronCoverageTransformer
        Fitted; faces are found on its device.
    cropping : Cropping
        How faces are found and cropped.
    change : callable, default=None
        ``change(index, picture)`` returns what to look at instead, such as a perturbed copy.
    notes : sequence of FaceNote, default=None
        See :func:`main_faces`.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    MeasuredFaces
        One row per face.
    """
    index, width, sharpness = [], [], []
    counts = [np.empty((0, int(np.sum(coverage.n_channels_))), np.float32)]
    starts = (
        range(start, min(start + BATCH, len(pictures))) for start in range(0, len(pictures), BATCH)
    )
    for batch in track(starts, len(pictures), "faces", verbose):
        changed = [pictures[i] if change is None else change(i, pictures[i]) for i in batch]
        known = None if notes is None else [notes[i] for i in batch]
        found = list(main_faces(changed, cropping, device=coverage.device, notes=known))
        index += [batch[place] for place, _ in found]
        width += [face.width for _, face in found]
        sharpness += [face.sharpness for _, face in found]
        if found:
            crops = np.stack([face.crop for _, face in found])
            counts.append(count_faces(coverage, crops))
    return MeasuredFaces(
        np.array(index, np.int64), np.concatenate(counts), np.array(width), np.array(sharpness)
    )


def count_faces(
    coverage: NeuronCoverageTransformer, crops: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Count faces as they are and mirrored: the mean of both is what detectors judge by.

    A trace of a generator is there on either side, what chance brings mostly on one.

    Parameters
    ----------
    coverage : NeuronCoverageTransformer
        Fitted; it counts per channel.
    crops : ndarray of shape (n, h, w, 3), uint8
        Aligned faces.

    Returns
    -------
    ndarray of shape (n, n_channels in all), float32
        Active neurons per channel, in halves.
    """
    views = (crops, np.ascontiguousarray(crops[:, :, ::-1]))
    return np.mean([coverage.transform(view) for view in views], axis=0, dtype=np.float32)


def main_faces(
    pictures: Sequence[Any],
    cropping: Cropping,
    *,
    device: Devices = "cpu",
    notes: Sequence[FaceNote] | None = None,
) -> Iterator[tuple[int, CroppedFace]]:
    """Find the main face of every picture that shows one.

    Parameters
    ----------
    pictures : sequence of pictures
        The pictures.
    cropping : Cropping
        How faces are found and cropped.
    device : str, default="cpu"
        Where CenterFace runs; of several devices, the first.
    notes : sequence of FaceNote, default=None
        One per picture, of what an earlier call has found, or this one will. None: every face
        is looked for, and forgotten.

    Yields
    ------
    (int, CroppedFace)
        Position and face.
    """
    place = resolve_devices(device)[0]
    for start in range(0, len(pictures), GROUP):
        images = {}
        for index in range(start, min(start + GROUP, len(pictures))):
            with suppress(ImageError):
                images[index] = load_image(pictures[index])
        known = [None if notes is None else notes[index] for index in images]
        found = find_noted(list(images.values()), known, cropping.detector, device=place)
        for (index, image), faces in zip(images.items(), found, strict=True):
            if faces:
                yield index, CroppedFace(image, faces[0], cropping)
