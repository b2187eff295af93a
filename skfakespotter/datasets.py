"""Data: folders of pictures, generated pictures, and a table of measured coverage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter
from sklearn.utils import Bunch, check_random_state

from skfakespotter import _typing
from skfakespotter._grouping import name_groups
from skfakespotter._typing import RandomState
from skfakespotter.images import find_images

if TYPE_CHECKING:
    from skfakespotter.transformer import NeuronCoverageTransformer


def load_folders(
    folder: _typing.Path,
    *,
    real: str = "real",
    fake: str = "fake",
    groups: str | Callable[[str], object] = "auto",
) -> Bunch:
    """List the pictures of two folders with their labels and groups, without opening any.

    Parameters
    ----------
    folder : path
        Holds one subfolder of each class.
    real, fake : str, default="real" and "fake"
        Names of the subfolders.
    groups : {"auto", "stem", "parent"} or callable, default="auto"
        What must not be split between training and test:

        - "stem": pictures whose file names agree but for the suffix, as those of a photograph
          and its edited copy do.
        - "parent": pictures whose folder within the class has the same name, as frames of
          one video have.
        - callable: from the path of a picture, a str, to the name of its group.
        - "auto": "stem", unless names look like frames of videos: pictures in subfolders are
          grouped by folder (``000/0001.png``), and numbered pictures by the name before
          their number (``clip7_0001.png``), where a class has two such names or more. Videos
          that a swap connects are one group: ``000_003`` joins ``000`` and ``003``, and
          ``id0_id1_0002`` joins ``id0`` and ``id1``. A warning says what was guessed.

    Returns
    -------
    Bunch
        ``data``: list of str, the paths; ``target``: ndarray of int, 0 real and 1 fake;
        ``groups``: ndarray of str; ``target_names``.

    Raises
    ------
    FileNotFoundError
        When a subfolder does not exist.
    ValueError
        When a subfolder holds no pictures, or for "parent" where pictures have no folder.

    Warns
    -----
    UserWarning
        When groups other than the stems were guessed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skfakespotter import load_folders
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("real/7.png", "fake/7.png", "fake/8.png"):
    ...         Path(root, name).parent.mkdir(exist_ok=True)
    ...         Path(root, name).touch()
    ...     data = load_folders(root)
    >>> data.target, data.groups
    (array([0, 1, 1]), array(['7', '7', '8'], dtype='<U1'))
    """
    if not callable(groups) and groups not in ("auto", "stem", "parent"):
        raise ValueError(
            f"groups is {groups!r}: expected 'auto', 'stem', 'parent' or a function from the path "
            "of a picture to its group."
        )
    roots = [Path(folder, name) for name in (real, fake)]
    paths = [find_images(root) for root in roots]
    return Bunch(
        data=[str(path) for own in paths for path in own],
        target=np.repeat([0, 1], [len(own) for own in paths]),
        groups=np.array(_group_names(roots, paths, groups)),
        target_names=np.array(["real", "fake"]),
    )


def _group_names(
    roots: list[Path], paths: list[list[Path]], groups: str | Callable[[str], object]
) -> list[str]:
    flat = [path for own in paths for path in own]
    if callable(groups):
        return [str(groups(str(path))) for path in flat]
    if groups == "stem":
        return [path.stem for path in flat]
    within = [
        [path.relative_to(root) for path in own] for root, own in zip(roots, paths, strict=True)
    ]
    if groups == "parent":
        alone = [path for own in within for path in own if len(path.parts) == 1]
        if alone:
            raise ValueError(
                f"groups is 'parent': expected pictures in subfolders; {str(alone[0])!r} and "
                f"{len(alone) - 1} others stand in the folder of their class itself."
            )
        return [path.parent.name for own in within for path in own]
    names, guess = name_groups(within)
    if guess:
        warn(
            f"groups='auto' took {guess}: {len(flat)} pictures in {len(set(names))} groups, such "
            f"as {names[0]!r}. Pass groups='stem', 'parent' or a function to choose yourself.",
            stacklevel=3,
        )
    return names


def make_pictures(
    n_samples: int = 100,
    *,
    size: int = 150,
    strength: float = 1.0,
    random_state: RandomState = None,
) -> tuple[NDArray, NDArray]:
    """Generate pictures that differ as those of a camera and of a generator do.

    Every picture shows random soft blobs. Class 0 passes through a camera: a Bayer mosaic,
    shot and read noise, bilinear demosaicing. Class 1 passes through a generator's last
    layer: it is made at half size and enlarged by a transposed convolution, whose uneven
    kernel leaves a faint grid, and has smooth noise instead of a sensor's. The pictures
    make no claim to be faces: they serve to test a whole pipeline anywhere.

    Parameters
    ----------
    n_samples : int, default=100
        Pictures, half of them of each class.
    size : int, default=150
        Side in pixels, an even number.
    strength : float, default=1.0
        Scales noise and grid; 0 leaves nothing that tells the classes apart but the
        resampling itself.
    random_state : int, RandomState instance or None, default=None
        Seeds everything.

    Returns
    -------
    X : ndarray of shape (n_samples, size, size, 3), uint8
        RGB pictures in random order.
    y : ndarray of shape (n_samples,), int
        0 camera, 1 generator.

    Raises
    ------
    ValueError
        For an odd size or fewer than two samples.

    Examples
    --------
    >>> from skfakespotter import make_pictures
    >>> X, y = make_pictures(4, random_state=0)
    >>> X.shape, sorted(y.tolist())
    ((4, 150, 150, 3), [0, 0, 1, 1])
    """
    if size % 2 or size < 16:
        raise ValueError(f"size is {size!r}: expected an even number of at least 16.")
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples!r}: expected at least 2, one of each class.")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % 2)
    X = np.empty((n_samples, size, size, 3), np.uint8)
    for i, label in enumerate(y):
        render = _generate if label else _photograph
        X[i] = np.rint(255 * np.clip(render(size, strength, rng), 0, 1))
    return X, y


class CoverageSample(Bunch):
    """Measured coverage vectors; see :func:`load_coverage_sample`."""

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
    if granularity not in ("layer", "channel"):
        raise ValueError(f"granularity is {granularity!r}: expected 'layer' or 'channel'.")
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
    names = facts["layer_names"]
    n_channels = arrays["n_channels"]
    if granularity == "channel":
        names = [f"{n}[{c}]" for n, k in zip(names, n_channels, strict=True) for c in range(k)]
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


def _scene(size: int, rng: np.random.RandomState) -> NDArray:
    """Draw soft colored blobs, values about 0.1 to 0.9, shape (size, size, 3)."""
    coarse = gaussian_filter(rng.normal(size=(size, size, 3)), (size / 10, size / 10, 0))
    fine = gaussian_filter(rng.normal(size=(size, size, 3)), (size / 50, size / 50, 0))
    blobs = coarse / coarse.std() + 0.4 * fine / fine.std()
    return np.clip(0.5 + 0.18 * blobs, 0.05, 0.95)


def _photograph(size: int, strength: float, rng: np.random.RandomState) -> NDArray:
    """Mosaic, noise, and bilinear demosaicing of a scene."""
    scene = _scene(size, rng)
    mosaic = np.zeros((size, size, 3))
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):  # RGGB
        mosaic[row::2, column::2, channel] = 1
    noise = rng.normal(size=scene.shape) * np.sqrt(0.0004 * scene + 0.0001)  # shot and read
    raw = (scene + strength * noise) * mosaic
    return _blur(raw) / _blur(mosaic)


def _generate(size: int, strength: float, rng: np.random.RandomState) -> NDArray:
    """Enlarge a scene of half the size by a transposed convolution with an uneven kernel."""
    sparse, filled = np.zeros((2, size, size, 3))
    sparse[::2, ::2], filled[::2, ::2] = _scene(size // 2, rng), 1
    grid = 1 + 0.02 * strength * np.array([[1, -1], [-1, 1]])
    picture = _blur(sparse) / _blur(filled) * np.tile(grid, (size // 2, size // 2))[:, :, None]
    smooth = gaussian_filter(rng.normal(size=picture.shape), (1, 1, 0))
    return picture + 0.01 * strength * smooth


def _blur(picture: NDArray) -> NDArray:
    """Convolve rows and columns with (1, 2, 1) / 4: bilinear interpolation on a grid of 2."""
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in (0, 1):
        picture = convolve1d(picture, kernel, axis, mode="mirror")
    return picture
