r"""Evidence: how much each place of each layer speaks for fake; it adds up to the score.

.. math:: s = b + \sum_l \sum_u e_l(u), \qquad
          e_l(u) = \sum_{c} w_c [\delta_c(u) > \xi_l]

Over the places u of a layer's map the evidence is counted from a zero line, what real
photographs have there on average; the sums of the zero lines go to the constant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from skfakespotter.backbones import PlacedNetwork
from skfakespotter.coverage import NeuronMonitor, exceeds
from skfakespotter.transformer import NeuronCoverageTransformer

SMOOTH = 4.0  # places of a map of 75 x 75: about a twentieth of its side


class LayerEvidence(NamedTuple):
    """Evidence of one layer in n faces, for one detector or k.

    Attributes
    ----------
    map : ndarray of shape (n, [k,] rows, columns), float64, or None
        Of every place; None for a layer without a map.
    rest : ndarray of shape (n, [k]), float64
        What has no place: a class token, or all of a layer without a map.
    """

    map: NDArray[np.float64] | None
    rest: NDArray[np.float64]


def layer_evidence(
    coverage: NeuronCoverageTransformer, weights: NDArray[np.float64], crops: NDArray[np.uint8]
) -> dict[str, LayerEvidence]:
    """Compute the evidence of every place of every layer.

    A map is what has the proportions of the faces: the units of a convolution, or patches with
    or without a class token before them. A layer that runs more than once has none.

    Parameters
    ----------
    coverage : NeuronCoverageTransformer
        Fitted; it says what counts.
    weights : ndarray of shape (n_channels in all,) or (k, n_channels in all)
        Of an active neuron of each channel, for one detector or several.
    crops : ndarray of shape (n, h, w, 3), uint8
        Aligned faces.

    Returns
    -------
    dict of str to LayerEvidence
        By layer, in the network's order.

    Raises
    ------
    ImageError
        For photographs where ``coverage`` expects crops.
    ValueError
        When the network's output is not finite.
    """
    X, direct = coverage.direct_statistics(crops)
    layout, thresholds = direct.layout, coverage.thresholds_.astype(np.float32)
    several = np.atleast_2d(np.asarray(weights, np.float64))
    parts = np.split(several, np.cumsum(layout.n_channels)[:-1], axis=1)
    of_layer = dict(zip(layout.names, parts, strict=True))
    in_all = dict(zip(layout.names, layout.n_neurons // layout.n_channels, strict=True))
    units: dict[str, int] = {}

    def evidence(network: PlacedNetwork, monitor: NeuronMonitor, x: torch.Tensor) -> torch.Tensor:
        xi = layout.split_thresholds(thresholds, x.device)

        def of_places(name: str, values: torch.Tensor) -> torch.Tensor:
            # else the threshold would be rounded to half precision too
            wide = values.to(torch.promote_types(values.dtype, torch.float32))
            w = torch.from_numpy(of_layer[name]).to(x.device)
            found = torch.einsum("kc,ncu->nku", w, exceeds(wide, xi[name]).double())
            if values.shape[2] != in_all[name]:  # one run of several
                found = found.sum(2, keepdim=True)
            units[name] = found.shape[2]
            return found.flatten(1)

        return monitor.collect(x, of_places)

    found = np.concatenate([part.values for part in direct.compute(X, evidence)])
    if np.isnan(found).any():
        raise ValueError(f"the network's output is not finite (precision={direct.precision!r}).")
    ends = np.cumsum([len(several) * units[name] for name in layout.names])
    shape = (len(found), *np.shape(weights)[:-1])
    return {
        name: _placed(flat.reshape(*shape, units[name]), direct.shape[1:])
        for name, flat in zip(layout.names, np.split(found, ends[:-1], axis=1), strict=True)
    }


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


def _placed(of_units: NDArray[np.float64], crop: tuple[int, ...]) -> LayerEvidence:
    """Arrange the units of a layer as a map, if they are one; a class token comes first."""
    for first in (0, 1):
        shape = _map_shape(of_units.shape[-1] - first, crop)
        if shape:
            places = of_units[..., first:].reshape(*of_units.shape[:-1], *shape)
            return LayerEvidence(places, of_units[..., :first].sum(-1))
    return LayerEvidence(None, of_units.sum(-1))


def _map_shape(units: int, crop: tuple[int, ...]) -> tuple[int, int] | None:
    """Say which rows and columns so many units have in proportion to the crop, if any."""
    rows = round(np.sqrt(units * crop[0] / crop[1]))
    columns, left = divmod(units, max(rows, 1))
    fits = units > 1 and not left and abs(rows * crop[1] / crop[0] - columns) < 1
    return (rows, columns) if fits else None
