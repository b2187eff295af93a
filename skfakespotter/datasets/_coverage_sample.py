"""The table of coverage that was measured on real and fake faces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions

from skfakespotter._channels import channel_names
from skfakespotter._params import checked

if TYPE_CHECKING:
    from skfakespotter.transformer import NeuronCoverageTransformer


class CoverageSample(Bunch):
    """Measured coverage vectors; see :func:`load_coverage_sample`.

    Parameters
    ----------
    **kwargs : dict
        Keys and values, which are attributes as well.
    """

    def transformer(self, **params: Any) -> NeuronCoverageTransformer:
        """Return the fitted transformer that the vectors were measured with.

        A classifier trained on the table joins it in a Pipeline that scores new pictures.

        Parameters
        ----------
        **params
            Parameters that do not change the vectors: ``batch_size``, ``device``,
            ``verbose``.

        Returns
        -------
        NeuronCoverageTransformer
            With thresholds and fingerprint set.
        """
        from skfakespotter.transformer import NeuronCoverageTransformer

        fixed = {"backbone": self.backbone, "granularity": self.granularity}
        if clash := fixed.keys() & params:
            raise ValueError(f"{sorted(clash)} are fixed by the table: {fixed}.")
        return NeuronCoverageTransformer.from_thresholds(
            self.thresholds,
            layer_names=list(self.layer_names),
            n_neurons=self.n_neurons,
            n_channels=self.n_channels,
            backbone_fingerprint=self.backbone_fingerprint,
            **fixed,
            **params,
        )


@checked(
    granularity=[StrOptions({"layer", "channel"})],
    pair=[str, "array-like", None],
    split=[StrOptions({"train", "test"}), None],
)
def load_coverage_sample(
    granularity: str = "layer",
    *,
    pair: str | Sequence[str] | None = None,
    split: str | None = None,
) -> CoverageSample:
    """Load coverage vectors that this package measured on real and GAN-made faces.

    The faces themselves cannot be shipped. They are aligned by :class:`FaceAligner` and
    counted by the network ``"dlib"``; ``benchmarks/coverage_sample.py`` makes the table
    from folders of pictures. The pairs and their sources:

    ==================  =======================  =========================================
    pair                kind                     real against fake
    ==================  =======================  =========================================
    stylegan            entire synthesis         FFHQ against StyleGAN
    stylegan2           entire synthesis         Unsplash against StyleGAN2 (two sources)
    pggan               entire synthesis         CIPLAB against PGGAN (two sources)
    stargan_brown_hair  attribute editing        CelebA against the same edited by StarGAN
    stgan_eyeglasses    attribute editing        CelebA against the same edited by STGAN
    stgan_mouth_open    expression manipulation  CelebA against the same edited by STGAN
    faceswap            DeepFake                 OpenForensics against its swaps
    ==================  =======================  =========================================

    Parameters
    ----------
    granularity : {"layer", "channel"}, default="layer"
        One count per layer (30), for all pictures, or per channel (3,680), for a part of
        them, to keep the file small.
    pair : str or sequence of str, default=None
        Rows of these pairs only.
    split : {"train", "test"}, default=None
        Rows of this part of the published split only. No photograph is in both.

    Returns
    -------
    CoverageSample
        ``data``: ndarray (n, n_features) of counts, float32; ``target``: 0 real, 1 fake;
        ``pair``, ``kind``, ``generator``, ``groups``, ``split``: ndarrays of str;
        ``feature_names``; ``thresholds`` (n_layers,), ``layer_names``, ``n_neurons``,
        ``n_channels``, ``backbone``, ``backbone_fingerprint``; ``DESCR``; and the method
        ``transformer()``.

    Raises
    ------
    ValueError
        For an unknown granularity, pair or split.

    Examples
    --------
    >>> from skfakespotter import load_coverage_sample
    >>> sample = load_coverage_sample(pair="stylegan", split="train")
    >>> sample.data.shape[1], sorted(set(sample.target.tolist()))
    (30, [0, 1])
    """
    folder = files(__package__) / "data"
    facts = json.loads((folder / "coverage_sample.json").read_text())
    with np.load(str(folder / "coverage_sample.npz")) as table:
        arrays = {key: table[key] for key in table.files}
    channels, layer = arrays.pop("channel_counts"), arrays.pop("layer_counts")
    rows = arrays.pop("channel_rows") if granularity == "channel" else np.arange(len(layer))
    columns = {key: arrays[key][rows] for key in ("target", "groups", "split")}
    columns["pair"] = np.array(facts["pairs"])[arrays["pair"][rows]]
    for key in ("kind", "generator"):
        columns[key] = np.array([facts[key][p] for p in facts["pairs"]])[arrays["pair"][rows]]
    columns["split"] = np.array(["train", "test"])[columns["split"]]
    data = channels if granularity == "channel" else layer
    keep = _chosen(columns, "pair", pair) & _chosen(columns, "split", split)
    names, n_channels = facts["layer_names"], arrays["n_channels"]
    if granularity == "channel":
        names = channel_names(names, n_channels)
    return CoverageSample(
        data=data[keep].astype(np.float32),
        **{key: column[keep] for key, column in columns.items()},
        feature_names=np.array(names, dtype=object),
        granularity=granularity,
        thresholds=arrays["thresholds"],
        n_neurons=arrays["n_neurons"],
        n_channels=n_channels,
        layer_names=facts["layer_names"],
        backbone=facts["backbone"],
        backbone_fingerprint=facts["backbone_fingerprint"],
        DESCR=facts["description"],
    )


def _chosen(columns: dict[str, NDArray], name: str, values: str | Sequence[str] | None) -> NDArray:
    """Mark the rows whose column holds one of the values."""
    if values is None:
        return np.ones(len(columns[name]), bool)
    values = [values] if isinstance(values, str) else list(values)
    known = np.unique(columns[name])
    if unknown := sorted(set(values) - set(known.tolist())):
        raise ValueError(f"{name} is {unknown}: expected from {known.tolist()}.")
    return np.isin(columns[name], values)
