"""Detectors of faces, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._typing import Device
from skfakespotter.faces._centerface import GROUP_SIDE, find_centerface
from skfakespotter.faces._centerface_network import placed_network, weights_path
from skfakespotter.faces._dlib import find_dlib, load_dlib
from skfakespotter.faces._face import DEFAULT_DETECTOR, Face, with_sharpness
from skfakespotter.images import load_image

DETECTORS = ("centerface", "dlib")


def find_faces(
    image: Any,
    detector: str = DEFAULT_DETECTOR,
    *,
    device: Device = "cpu",
    side: int = GROUP_SIDE,
) -> list[Face]:
    """Find all faces of one picture.

    Parameters
    ----------
    image : picture
        A path, PIL image, uint8 array (h, w, 3), ...; see :mod:`skfakespotter.images`.
    detector : {"centerface", "dlib"} or path, default="centerface"
        The face detector: "centerface", a small network that works in batches and on any
        device; "dlib", histograms of gradients and a support vector machine, upright frontal
        faces alone; or the path of another file of CenterFace's weights (``.onnx``).
    device : str or torch.device, default="cpu"
        Where CenterFace runs.
    side : int, default=800
        Longer side in pixels at which CenterFace still looks for faces beside a main face that
        is known. Less is faster and misses small ones: 320 takes a fifth of the time.

    Returns
    -------
    list of Face
        Main face first: in order of area times score, so that a large false alarm, whose
        score is low, does not come before a face. Small faces that are found only in a larger
        version of the picture come after those that are seen in a small one. Empty when there
        is none, or a side is shorter than 16 pixels.

    Raises
    ------
    ImageError
        When the picture cannot be read.
    ImportError
        When the detector's extra is not installed.

    References
    ----------
    Y. Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    arXiv:1911.03599. D. King, "Max-Margin Object Detection", arXiv:1502.00046 (dlib's
    detector). V. Kazemi and J. Sullivan, "One Millisecond Face Alignment with an Ensemble of
    Regression Trees", CVPR 2014 (dlib's landmarks).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.faces import find_faces
    >>> (face,) = find_faces(astronaut())
    >>> [round(edge, -1) for edge in face.box]
    [180.0, 60.0, 270.0, 180.0]
    """
    images = [load_image(image)]
    return find_all(images, detector, device=device, every=True, side=side)[0]


def find_all(
    images: Sequence[NDArray[np.uint8]],
    detector: str,
    *,
    device: Device = "cpu",
    every: bool = False,
    side: int = GROUP_SIDE,
) -> list[list[Face]]:
    """Find the faces of several pictures.

    Parameters
    ----------
    images : sequence of ndarray of shape (h, w, 3), uint8
        RGB; sizes may differ.
    detector : str
        See :func:`find_faces`.
    device : str or torch.device, default="cpu"
        See :func:`find_faces`.
    every : bool, default=False
        False may end the search of a picture once its main face is found. True measures the
        sharpness of all faces, too.
    side : int
        See :func:`find_faces`.

    Returns
    -------
    list of list of Face
        Of each picture, main face first.
    """
    if detector == "dlib":
        found = [find_dlib(image) for image in images]
    else:
        weights = None if detector == "centerface" else detector
        found = find_centerface(images, weights=weights, device=device, every=every, side=side)
    if not every:
        return found
    pairs = zip(images, found, strict=True)
    return [[with_sharpness(image, face) for face in faces] for image, faces in pairs]


def check_detector(detector: str) -> None:
    """Raise an ImportError or WeightsError unless a face detector can be used here."""
    if detector == "dlib":
        load_dlib()
    else:
        placed_network(weights_path() if detector == "centerface" else detector, "cpu")
