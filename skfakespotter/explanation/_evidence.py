r"""Evidence: how much each place of each layer speaks for fake; it adds up to the score.

.. math:: s = b + \sum_l \sum_u e_l(u), \qquad
          e_l(u) = \sum_{c} w_c [\delta_c(u) > \xi_l]

Over the places u of a layer's map the evidence is counted from a zero line, what real
photographs have there on average; the sums of the zero lines go to the constant.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from skfakespotter._device import resolve_devices
from skfakespotter.backbones import load_backbone, place
from skfakespotter.coverage import NeuronMonitor, exceeds
from skfakespotter.images import fit_to
from skfakespotter.transformer import NeuronCoverageTransformer

SMOOTH = 4.0  # places of a map of 75 x 75: about a twentieth of its side


def layer_evidence(
    coverage: NeuronCoverageTransformer, weights: NDArray[np.float64], crops: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """Compute the evidence of every place of every layer.

    Parameters
    ----------
    coverage : NeuronCoverageTransformer
        Fitted; it says what counts.
    weights : ndarray of shape (n_features,) or (k, n_features)
        Of the features of ``coverage``, for one detector or several.
    crops : ndarray of shape (n, h, w, 3), uint8
        Aligned faces.

    Returns
    -------
    dict of str to ndarray of shape (n, [k,] rows, columns), or (n, [k,]) for no map, float64
        By layer.
    """
    several = np.ndim(weights) == 2
    of_units = np.atleast_2d(_per_unit(coverage, np.asarray(weights, np.float64)))
    parts = np.split(of_units, np.cumsum(coverage.n_channels_)[:-1], axis=1)
    of_layer = dict(zip(coverage.layer_names_, parts, strict=True))
    limits = dict(zip(coverage.layer_names_, coverage.thresholds_.tolist(), strict=True))
    units: dict[str, int] = {}

    def evidence(name: str, values: torch.Tensor) -> torch.Tensor:
        units[name] = values.shape[2]
        active = exceeds(values, limits[name]).double()
        w = torch.from_numpy(of_layer[name]).to(active.device)
        return torch.einsum("kc,ncu->nku", w, active).flatten(1)

    size = load_backbone(coverage.backbone).input_size or crops.shape[1:3]
    crops = np.stack([fit_to(crop, size) for crop in crops])
    placed, monitor = _watch(coverage, size)
    found = monitor.collect(placed.input(crops), evidence).cpu().numpy()
    k, ends = len(of_units), np.cumsum([len(of_units) * units[n] for n in monitor.layer_names])
    by_layer = {}
    for name, flat in zip(monitor.layer_names, np.split(found, ends[:-1], axis=1), strict=True):
        values = flat.reshape(len(crops), k, *_map_shape(units[name], crops.shape[1:3]))
        by_layer[name] = values if several else values[:, 0]
    return by_layer


def spread(layer_map: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Draw a layer's map on a finer grid, so that it keeps its sum.

    Parameters
    ----------
    layer_map : ndarray of shape (..., rows, columns)
        Evidence per place of the layer.
    shape : (int, int)
        Rows and columns of the result.

    Returns
    -------
    ndarray of shape (..., h, w)
        Every place is spread over the part of the face that it covers, and smoothly into
        that of its neighbors; what it holds is kept.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.explanation._evidence import spread
    >>> float(spread(np.array([[1.0, 2.0], [3.0, -4.0]]), (10, 10)).sum().round(12))
    2.0
    """
    rows, columns = (_spreader(n, m) for n, m in zip(layer_map.shape[-2:], shape, strict=True))
    return rows @ layer_map @ columns.T


def smooth(maps: NDArray[np.float64], sigma: float = SMOOTH) -> NDArray[np.float64]:
    """Blur maps; each keeps its sum, because borders are mirrored.

    Where a face is edited, many neurons near the place answer, and each is placed a little
    beside it. Blurred maps point better: ``benchmarks/localization.py`` measures by how much.

    Parameters
    ----------
    maps : ndarray of shape (..., h, w)
        Maps.
    sigma : float, default=4
        Standard deviation in places of the map.

    Returns
    -------
    ndarray of shape (..., h, w)
        Blurred.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.explanation import smooth
    >>> point = np.zeros((75, 75))
    >>> point[3, 70] = 2.0
    >>> blurred = smooth(point)
    >>> float(blurred.sum().round(9)), bool(blurred.max() < 0.1)
    (2.0, True)
    """
    return gaussian_filter(maps, (*[0] * (maps.ndim - 2), sigma, sigma), mode="reflect")


def _spreader(n: int, m: int) -> NDArray[np.float64]:
    """Return the matrix (m, n) whose columns are hats, one layer place wide, that sum to 1."""
    places = (np.arange(m) + 0.5) / m * n - 0.5
    hats = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(n)))
    return hats / hats.sum(0)


def _per_unit(coverage, weights):
    """Expand weights of features to weights of channels, in neurons."""
    if coverage.granularity == "layer":
        weights = np.repeat(weights, coverage.n_channels_, axis=-1)
    if coverage.output == "fraction":
        per = coverage.n_neurons_ / (
            coverage.n_channels_ if coverage.granularity == "channel" else 1
        )
        weights = weights / np.repeat(per, coverage.n_channels_)
    return weights


def _watch(coverage, size):
    """Return network and monitor as the transformer uses them."""
    backbone = load_backbone(coverage.backbone)
    placed = place(backbone, resolve_devices(coverage.device)[0], (3, *size))
    monitor = NeuronMonitor(
        placed.module,
        list(coverage.layer_names_),
        neuron=coverage.neuron,
        rectify=coverage.rectify,
        precision=coverage.precision,
    )
    return placed, monitor


def _map_shape(units: int, crop: tuple[int, int]) -> tuple[int, ...]:
    """Say which shape a layer's map has, if its units are one: in proportion to the crop."""
    rows = round(np.sqrt(units * crop[0] / crop[1]))
    return (rows, units // rows) if units > 1 and rows * (units // rows) == units else ()
