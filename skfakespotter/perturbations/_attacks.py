"""Attacks: perturbations by name and intensity, and how a failed picture is named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skfakespotter.images import ImageError, is_path
from skfakespotter.perturbations._beautify import Beautify
from skfakespotter.perturbations._codecs import AVIFCompression, H264Compression, WebPCompression
from skfakespotter.perturbations._framing import Border, RandomCrop
from skfakespotter.perturbations._sharing import MessengerChain, Screenshot
from skfakespotter.perturbations._transformers import (
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
)

BATCH_SIZE = 128  # pictures held at a time

Levels = list[tuple[Any, Any]]  # (intensity, transformer), weak to strong

# Five levels of each of the paper's attacks, from weak to strong.
ATTACKS = {
    "jpeg": (JPEGCompression(), (90, 70, 50, 30, 10)),
    "blur": (GaussianBlur(), (0.5, 0.75, 1.0, 2.0, 4.0)),
    "resize": (Resize(), (0.9, 0.75, 0.6, 0.5, 0.35)),
    "noise": (GaussianNoise(), (0.0005, 0.001, 0.002, 0.005, 0.01)),
}
SHARING = {
    "webp": (WebPCompression(), (90, 70, 50, 30, 10)),
    "avif": (AVIFCompression(), (80, 60, 40, 25, 10)),
    "h264": (H264Compression(), (18, 23, 28, 34, 40)),
    "screenshot": (Screenshot(), (0.9, 0.75, 0.6, 0.5, 0.35)),
    "messenger": (MessengerChain(shift=3), (1, 2, 3, 5, 8)),
    "beautify": (Beautify(), (0.2, 0.4, 0.6, 0.8, 1.0)),
    "crop": (RandomCrop(), (0.95, 0.9, 0.85, 0.8, 0.7)),
    "border": (Border(), (0.02, 0.05, 0.1, 0.2, 0.3)),
}


def paper_attacks(*, combined: bool = False, random_state: int = 0) -> dict[str, Levels]:
    """Return the paper's four attacks at five intensities each, weak to strong.

    The paper names the attacks and counts the intensities but does not list them all; the
    levels are this package's.

    ======== ================================ ================================ ===========
    attack   transformer                      intensities                      unit
    ======== ================================ ================================ ===========
    jpeg     :class:`JPEGCompression`         90, 70, 50, 30, 10               quality
    blur     :class:`GaussianBlur`, 3 x 3     0.5, 0.75, 1, 2, 4               sigma (px)
    resize   :class:`Resize`, bicubic         0.9, 0.75, 0.6, 0.5, 0.35        scale
    noise    :class:`GaussianNoise`           0.0005, 0.001, 0.002, 0.005, .01 variance
    ======== ================================ ================================ ===========

    With its 3x3 kernel the blur saturates near sigma 2.

    Parameters
    ----------
    combined : bool, default=False
        Add two chains: "jpeg50+blur" (JPEG at quality 50, then the five blurs) and
        "resize0.5+jpeg" (half size and back, then the five JPEG qualities).
    random_state : int, default=0
        Seed of the noise.

    Returns
    -------
    dict of str to list of (float, transformer)
        Each attack's intensities and transformers.

    References
    ----------
    .. [1] R. Wang et al., "FakeSpotter", IJCAI 2020, section 4.4 (arXiv 1909.06122).

    Examples
    --------
    >>> from skfakespotter.perturbations import paper_attacks
    >>> paper_attacks()["jpeg"][0]
    (90, JPEGCompression(quality=90))
    """
    grids = _grids(ATTACKS, random_state)
    if combined:
        for label, first, second in (
            ("jpeg50+blur", JPEGCompression(50), "blur"),
            ("resize0.5+jpeg", Resize(0.5), "jpeg"),
        ):
            grids[label] = [(level, make_pipeline(clone(first), t)) for level, t in grids[second]]
    return grids


def sharing_attacks(*, random_state: int = 0) -> dict[str, Levels]:
    """Return attacks that imitate sharing a picture online, at five intensities, weak to strong.

    ========== ============================================== ============================ =========
    attack     transformer                                    intensities                  unit
    ========== ============================================== ============================ =========
    webp       :class:`WebPCompression`                       90, 70, 50, 30, 10           quality
    avif       :class:`AVIFCompression`                       80, 60, 40, 25, 10           quality
    h264       :class:`H264Compression` (needs PyAV)          18, 23, 28, 34, 40           CRF
    screenshot :class:`Screenshot`, sharpened by 0.5          0.9, 0.75, 0.6, 0.5, 0.35    scale
    messenger  :class:`MessengerChain`, 1,600 px, quality 70, 1, 2, 3, 5, 8                times
               3 pixels cut each time
    beautify   :class:`Beautify`                              0.2, 0.4, 0.6, 0.8, 1        strength
    crop       :class:`RandomCrop`                            0.95, 0.9, 0.85, 0.8, 0.7    side kept
    border     :class:`Border`, white                         0.02, 0.05, 0.1, 0.2, 0.3    width
    ========== ============================================== ============================ =========

    Join them with the paper's: ``{**paper_attacks(), **sharing_attacks()}``.

    Parameters
    ----------
    random_state : int, default=0
        Seed of the crops.

    Returns
    -------
    dict of str to list of (float, transformer)
        Each attack's intensities and transformers.

    Examples
    --------
    >>> from skfakespotter import sharing_attacks
    >>> sharing_attacks()["webp"][0]
    (90, WebPCompression(quality=90))
    """
    return _grids(SHARING, random_state)


def _grids(attacks: Mapping[str, tuple[Any, tuple]], random_state: int) -> dict[str, Levels]:
    return {
        name: [
            (level, _seed(clone(kind).set_params(**{kind.intensity: level}), random_state))
            for level in levels
        ]
        for name, (kind, levels) in attacks.items()
    }


def check_attacks(
    attacks: Mapping[str, Sequence] | None, random_state: int = 0
) -> dict[str, Levels]:
    """Convert attacks to one form.

    Parameters
    ----------
    attacks : None or dict
        None: :func:`paper_attacks`. Else name -> list, weak to strong, of transformers or of
        (intensity, transformer) pairs. A transformer without a pair is labeled with the
        parameter that sets its intensity, another one with its position from 1.
    random_state : int, default=0
        Seed for every ``random_state`` parameter that is None, so that the noise is paired.

    Returns
    -------
    dict of str to list of (intensity, transformer)
        Copies; the transformers that came are left as they were.

    Raises
    ------
    TypeError
        When the structure is another.
    ValueError
        When one attack has the same intensity twice.

    Examples
    --------
    >>> from skfakespotter.perturbations import check_attacks
    >>> from skfakespotter.perturbations import GaussianNoise
    >>> check_attacks({"noise": [GaussianNoise(0.01)]}, random_state=7)
    {'noise': [(0.01, GaussianNoise(random_state=7, variance=0.01))]}
    """
    if attacks is None:
        return paper_attacks(random_state=random_state)
    if not isinstance(attacks, Mapping) or not attacks:
        raise TypeError(
            f"attacks is {attacks!r}: expected None or a dict, name -> list of transformers."
        )
    return {
        str(name): _check_levels(name, levels, random_state) for name, levels in attacks.items()
    }


@contextmanager
def naming(X: Any, rows: NDArray, what: str | None = None) -> Iterator[None]:
    """Let an ``ImageError`` about item ``i`` of a batch name picture ``rows[i]`` of ``X``.

    Parameters
    ----------
    X : list or ndarray
        All pictures.
    rows : ndarray of int
        Positions of those in the batch.
    what : str, default=None
        What was done to the picture, for the message.

    Yields
    ------
    None
        A context manager.

    Examples
    --------
    >>> from skfakespotter import ImageError
    >>> from skfakespotter.perturbations import naming
    >>> with naming(["a.jpg", "b.jpg"], [1], "under attack"):
    ...     raise ImageError("holds no face", index=0)
    Traceback (most recent call last):
    ...
    skfakespotter.images._errors.ImageError: X[1] ('b.jpg'): holds no face (under attack)
    """
    try:
        yield
    except ImageError as error:
        if what:
            error.reason += f" ({what})"
        if error.index is None:
            raise
        index, error.path = int(rows[error.index]), None  # it may be that of a short-lived copy
        raise error.at(index, os.fspath(X[index]) if is_path(X[index]) else None) from error


def _check_levels(name: str, levels: Any, random_state: int) -> Levels:
    if not isinstance(levels, (list, tuple)) or not levels:
        raise TypeError(f"attacks[{name!r}] is {levels!r}: expected a list of transformers.")
    pairs: Levels = []
    for position, level in enumerate(levels, start=1):
        intensity, transformer = level if isinstance(level, tuple) else (None, level)
        if not hasattr(transformer, "transform"):
            raise TypeError(
                f"attacks[{name!r}] holds {level!r}: expected a transformer or a pair "
                "(intensity, transformer)."
            )
        transformer = _seed(clone(transformer), random_state)
        if intensity is None:
            name_of = getattr(transformer, "intensity", None)
            intensity = position if name_of is None else getattr(transformer, name_of)
        if intensity in [known for known, _ in pairs]:
            raise ValueError(
                f"attacks[{name!r}] has the intensity {intensity!r} twice: pass pairs "
                "(intensity, transformer) with labels that differ."
            )
        pairs.append((intensity, transformer))
    return pairs


def _seed(transformer: Any, random_state: int) -> Any:
    """Set every ``random_state`` that is None."""
    unseeded = [
        name
        for name, value in transformer.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    ]
    return transformer.set_params(**dict.fromkeys(unseeded, random_state))
