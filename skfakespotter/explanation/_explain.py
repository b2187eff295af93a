"""explain: evidence for fake by layer and by place in the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._detector_parts import DetectorParts, linear, take_apart
from skfakespotter._typing import Picture
from skfakespotter.detectors import Detector, load_detector, read_faces
from skfakespotter.explanation._evidence import layer_evidence, smooth, spread
from skfakespotter.images import ImageError, MissingFaceError, is_path, load_image, path_of
from skfakespotter.transformer import NeuronCoverageTransformer

GRID = 75  # rows and columns of the map: a place is two pixels of dlib's crop


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts of a score; what :func:`explain` returns.

    ``map.sum() + remainder == score``, to rounding, for every detector.

    Attributes
    ----------
    score : float
        The detector's score of the face, larger means more fake.
    map : ndarray of shape (75, 75), float64
        Evidence of each place of the aligned face, over all layers that have maps, blurred
        so that it keeps its sum: above 0 where it looks fake, in units of the score.
    remainder : float
        What has no place: the constant, class tokens, and layers without a map.
    layers : dict of str to float
        Sum of each layer's evidence, in the network's order. With ``constant`` they add up
        to the score.
    constant : float
        The score of an average real photograph: the intercept and all zero lines.
    layer_maps : dict of str to ndarray of shape (rows, columns)
        Evidence of the places of each layer at its own resolution.
    exact : bool
        False for an RBF SVC or a FakeSpotterClassifier: then all parts are those of its
        first-order expansion about this face. They still add up to the score, but only describe
        small changes of the counts.
    crop : ndarray of shape (h, w, 3), uint8
        The aligned face that was looked at.
    box : (float, float, float, float) or None
        Where the face is in the picture; None when pictures are aligned faces.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter import explain
    >>> found = explain("stylegan", astronaut())
    >>> bool(abs(found.map.sum() + found.remainder - found.score) < 1e-9)
    True
    """

    score: float
    map: NDArray[np.float64]
    remainder: float
    layers: dict[str, float]
    constant: float
    layer_maps: dict[str, NDArray[np.float64]]
    exact: bool
    crop: NDArray[np.uint8]
    box: tuple[float, float, float, float] | None

    def top_layers(self, n: int = 5) -> list[tuple[str, float]]:
        """List the layers that say most, either way.

        Parameters
        ----------
        n : int, default=5
            Layers at most.

        Returns
        -------
        list of (str, float)
            Names and evidence, the strongest first.
        """
        return sorted(self.layers.items(), key=lambda pair: -abs(pair[1]))[:n]


def explain(detector: Any, picture: Picture, *, face: int = 0, flip: bool = False) -> Explanation:
    """Split the score of a face by layer and by place.

    A score that is linear in counts of neurons is a sum over neurons, and every neuron of a
    feature map has a place. The map therefore adds up to the score, without a gradient and
    without an approximation. The average over many fakes of a family shows what the detector
    looks at. ``docs/detectors.md`` says how far you can trust the map of one picture.

    Parameters
    ----------
    detector : str, Detector or fitted Pipeline
        A detector, or the name or file of one; or a pipeline of ``FaceAligner``,
        :class:`NeuronCoverageTransformer`, scaler and a linear classifier, such as
        ``make_fakespotter(preset="recommended")``. With an RBF SVC or a
        :class:`FakeSpotterClassifier` the parts are those of a first-order expansion.
    picture : path, PIL image or ndarray
        The picture.
    face : int, default=0
        Which face of the picture, the main one first.
    flip : bool, default=False
        Average with the mirrored face: its score, and its evidence mirrored back. The
        parts then add up to the mean of two scores. A Detector always does so.

    Returns
    -------
    Explanation
        Score, map and layers.

    Raises
    ------
    ImageError
        When the picture cannot be read, or has no such face.
    TypeError
        When the score of the detector cannot be split.

    References
    ----------
    S. Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by
    Layer-Wise Relevance Propagation", PLoS ONE 10, 2015 (parts that add up to the score).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter import explain
    >>> explanation = explain("stylegan", astronaut())
    >>> bool(abs(explanation.map.sum() + explanation.remainder - explanation.score) < 1e-4)
    True
    """
    if is_path(detector):
        detector = load_detector(detector)
    parts, baselines = _parts(detector)
    flip = flip or isinstance(detector, Detector)
    crop, box = _crop(picture, parts.cropping, face)
    crops = np.stack([crop, crop[:, ::-1]] if flip else [crop])
    exact = parts.decision.is_linear
    weights, constant = parts.expand(None if exact else _counts(parts.coverage, crops[:1]))
    layers, maps = {}, {}
    for name, of in layer_evidence(parts.coverage, weights, crops).items():
        zero = np.asarray(baselines.get(name, 0.0), np.float64)
        constant += float(zero.sum())
        layers[name] = float(of.rest.mean() - zero.sum())
        if of.map is not None:
            layers[name] += float(of.map.sum() / len(crops))
            # borders are padded on one side: the zero line turns too
            maps[name] = _mean_map(of.map - zero, flip)
    total = smooth(sum((spread(of, (GRID, GRID)) for of in maps.values()), np.zeros((GRID, GRID))))
    score = constant + sum(layers.values())
    return Explanation(
        score, total, score - float(total.sum()), layers, constant, maps, exact, crop, box
    )


def _parts(detector: Any) -> tuple[DetectorParts, Mapping[str, NDArray[np.float32]]]:
    """Return the parts of a detector, and its zero lines."""
    if not isinstance(detector, Detector):
        return take_apart(detector), {}
    decision = linear(detector.weights, detector.intercept)
    return DetectorParts(detector.cropping, detector.coverage, decision), detector.baselines


def _counts(coverage: NeuronCoverageTransformer, crops: NDArray[np.uint8]) -> Any:
    """Count the active neurons of each channel of one face."""
    X, direct = coverage.direct_statistics(crops)
    (part,) = replace(direct, keep_on_device=False).counts(X, coverage.thresholds_, "channel")
    return part.values[0]


def _crop(picture, cropping, face):
    """Return the aligned face and its box."""
    if cropping is None:
        return load_image(picture), None
    faces, path = read_faces(picture, cropping), path_of(picture)
    if not faces:
        raise MissingFaceError(path=path)
    if not 0 <= face < len(faces):
        reason = f"has {len(faces)} faces, counted from 0: there is no face {face}"
        raise ImageError(reason, path=path)
    return faces[face].crop, faces[face].box


def _mean_map(maps, flip):
    """Average the map of a face with that of its mirror image, mirrored back."""
    return (maps[0] + maps[1, :, ::-1]) / 2 if flip else maps[0]
