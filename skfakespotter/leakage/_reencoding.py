"""Re-encoding: one size, one resampler and one encoding for the pictures of both classes."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any
from warnings import warn

from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter import _typing
from skfakespotter._params import checked
from skfakespotter._prefetch import iter_images
from skfakespotter.images import MIN_SIDE, check_images, is_path
from skfakespotter.leakage._fileinfo import SUBSAMPLINGS

_RESAMPLERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")


@checked(
    quality=[Interval(Integral, 1, 95, closed="both")],
    subsampling=[StrOptions(set(SUBSAMPLINGS))],
    resample=[StrOptions(set(_RESAMPLERS))],
    overwrite=["boolean"],
)
def reencode_images(
    X: _typing.Pictures,
    *,
    size: int | tuple[int, int],
    folder: _typing.Path,
    quality: int = 90,
    subsampling: str = "4:2:0",
    resample: str = "lanczos",
    names: Sequence[_typing.Path] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write every picture again with one size, one resampler and one encoding.

    Each picture is turned upright as its EXIF says and converted to RGB, its shorter side is
    resized and its center cropped to ``size``, and it is saved as a baseline JPEG without
    metadata. Then the headers of the files do not tell the classes apart; whether the pixels
    still do, :func:`skfakespotter.leakage.audit` says.

    Parameters
    ----------
    X : sequence of n pictures
        Of both classes, in one call; see :func:`skfakespotter.images.check_images`.
    size : int or (int, int)
        Side, or height and width, of the new pictures in pixels, at least 16. Choose one
        that no picture is smaller than: enlarging leaves traces of its own.
    folder : path
        Where the new files go; it is made when missing.
    quality : int, default=90
        JPEG quality, 1 to 95. The lower it is, the more of the difference between older
        encodings is covered, and the more of the traces of synthesis too.
    subsampling : {"4:4:4", "4:2:2", "4:2:0"}, default="4:2:0"
        Of the chroma.
    resample : {"box", "bilinear", "hamming", "bicubic", "lanczos"}, default="lanczos"
        Pillow's resampler. Each widens its kernel when it reduces.
    names : sequence of n str, default=None
        File names relative to ``folder``, such as ``"real/0001.jpg"``; the suffix becomes
        ``.jpg``. None: the paths of ``X`` relative to the folder they share, so that ``real/``
        and ``fake/`` stay apart, or ``000000.jpg``, ``000001.jpg``, ... for pictures in memory.
    overwrite : bool, default=False
        Whether to replace a file that exists with other content. A file with
        the same content is left alone, so that an interrupted call can be repeated.

    Returns
    -------
    list of Path
        The new files, in the order of ``X``.

    Raises
    ------
    ImageError
        At the first picture that cannot be used; the files before it have been written.
    FileExistsError
        When a file with other content exists and ``overwrite`` is False.
    ValueError
        When two names are equal, a name leads out of ``folder``, or a new file would replace
        one of the pictures of ``X``, whatever ``overwrite`` says.

    Warns
    -----
    UserWarning
        When pictures had to be enlarged.

    Notes
    -----
    What this cannot do: the past stays in the pixels. A picture that was compressed before
    carries traces of that compression under the new one (double compression [1]_), weaker
    after a reduction and at a lower quality; one that has the target size already is not
    resampled while the others are. Measured on 400 real photos of 200 x 200 pixels, half of
    them, chosen without regard to content, through JPEG 75 (or 40) before, AUC of the block
    grid and of the cheap cues: 0.98 and 0.86 (1.00 and 1.00) at size 200 and quality 90, 0.58
    and 0.56 (0.58 and 0.57) at size 128 and quality 75, where 0.5 is no trace. So reduce, and
    audit the result; better still, collect both classes in the same way.

    References
    ----------
    .. [1] Popescu and Farid, "Statistical tools for digital forensics", Information Hiding 2004.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skfakespotter.leakage import reencode_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = reencode_images([np.zeros((90, 60, 3), np.uint8)], size=32, folder=folder)
    >>> paths[0].name
    '000000.jpg'
    """
    X, size = check_images(X), _check_size(size)
    targets = _targets(X, names, Path(folder))
    resampler, enlarged = Image.Resampling[resample.upper()], []

    def encode(image: NDArray) -> tuple[bool, bytes]:
        fitted = ImageOps.fit(Image.fromarray(image), size[::-1], resampler)
        encoded = io.BytesIO()
        fitted.save(encoded, "JPEG", quality=quality, subsampling=subsampling)
        return image.shape[0] < size[0] or image.shape[1] < size[1], encoded.getvalue()

    for index, (small, content) in enumerate(iter_images(X, encode)):
        enlarged += [index] * small
        _write(targets[index], content, overwrite)
    if enlarged:
        warn(
            f"{len(enlarged)} of {len(X)} pictures are smaller than {size[1]}x{size[0]} and were "
            f"enlarged, first X[{enlarged[0]}]: enlarging leaves traces; choose a smaller size.",
            stacklevel=2,
        )
    return targets


def _check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side >= MIN_SIDE for side in pair):
        raise ValueError(
            f"size={size!r}: expected a side, or (height, width), in whole pixels, at least "
            f"{MIN_SIDE}."
        )
    return pair


def _targets(X: Any, names: Sequence[_typing.Path] | None, folder: Path) -> list[Path]:
    names = _default_names(X) if names is None else [os.fspath(name) for name in names]
    if len(names) != len(X):
        raise ValueError(f"names holds {len(names)} names for {len(X)} pictures in X.")
    for name in names:
        if not name or PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise ValueError(f"names: {name!r} leads out of folder; expected a relative path.")
    targets = [folder / PurePath(name).with_suffix(".jpg") for name in names]
    seen, sources = set(), {os.path.realpath(p) for p in X if is_path(p)}
    for target in targets:
        if target in seen:
            raise ValueError(f"names: two pictures would become {str(target)!r}; pass other names.")
        if os.path.realpath(target) in sources:
            raise ValueError(
                f"folder: {str(target)!r} is one of the pictures in X, which are never replaced; "
                "pass another folder."
            )
        seen.add(target)
    return targets


def _default_names(X: Any) -> list[str]:
    if not all(map(is_path, X)):
        return [f"{index:06d}.jpg" for index in range(len(X))]
    paths = [os.path.abspath(picture) for picture in X]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, shared) for path in paths]


def _write(target: Path, content: bytes, overwrite: bool) -> None:
    """Write a file in one step: whoever looks sees the old one, the new one or none."""
    if target.exists():
        if target.read_bytes() == content:
            return
        if not overwrite:
            raise FileExistsError(
                f"{str(target)!r} exists with other content; pass overwrite=True to replace "
                "it, or another folder."
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
