"""Data sets of clips: their own trees of folders become paths, labels and groups."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skfakespotter._grouping import connect_identities, show_identities
from skfakespotter.images import readable_suffixes

CLIP_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
CLIP_SUFFIXES |= {".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".h264"}
SOURCES = {"DeepFakeDetection": "actors"}  # of FaceForensics++; all other methods: youtube


@dataclass(frozen=True)
class _Entry:
    """One clip of a tree, before groups are known."""

    path: Path
    target: int
    method: str
    identities: tuple
    compression: str = ""
    split: str = ""


def load_clips(
    folder: str | os.PathLike,
    layout: str = "auto",
    *,
    methods: str | Sequence[str] | None = None,
    compression: str | None = None,
    split: str | None = None,
    identities: Callable[[str], Iterable[str]] | None = None,
) -> Bunch:
    """List the clips of a data set with labels and groups, without opening any.

    A clip is a file, or a folder that holds the frames of one clip as pictures: the trees
    that DeepfakeBench makes of these data sets. If there are both ``videos`` and ``frames``, the
    videos are used.

    Parameters
    ----------
    folder : path
        Root of the data set.
    layout : {"auto", "faceforensics", "celebdf", "dfdc", "folders"}, default="auto"
        How the tree is laid out; "auto" looks for what is typical of each:

        - "faceforensics": ``original_sequences`` and ``manipulated_sequences/METHOD``,
          below them ``c23/videos``, and ``splits/train.json``, where present.
        - "celebdf": ``Celeb-real``, ``YouTube-real``, ``Celeb-synthesis``, and
          ``List_of_testing_videos.txt``, where present.
        - "dfdc": ``metadata.json``, in the folder or in its subfolders.
        - "folders": ``real`` and ``fake``.
    methods : str or sequence of str, default=None
        Keep the fakes of these methods only; the real clips stay.
    compression : str, default=None
        Keep clips of this compression only, such as "c23".
    split : str, default=None
        Keep clips of this part of the published split only.
    identities : callable, default=None
        From the path of a clip to the identities that it shows. None: as the data set names
        its clips. In "folders" these are the leading numbers of the name (``519_515.mp4``),
        or its ids (``id16_id6_0012.mp4``), or else the whole name.

    Returns
    -------
    Bunch
        ``data``: list of str, the paths; ``target``: ndarray of int, 0 real and 1 fake;
        ``groups``: ndarray of str: clips whose identities are connected by swaps share one:
        033_097 joins 033 and 097; ``method``: ndarray of str, "real" or the method;
        ``compression`` and ``split``: ndarrays of str, empty where unknown;
        ``identities``: list of tuple of str; ``layout``: str; ``target_names``.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    ValueError
        When the tree looks like none of the layouts, or holds no clip that was asked for.

    Warns
    -----
    UserWarning
        When clips that a list names are not there.

    Notes
    -----
    In FaceForensics++ a group is one pair of recordings. In Celeb-DF and among the actors of
    DeepFakeDetection most identities are connected: such sets are for testing, not for folds.

    References
    ----------
    Rossler et al., "FaceForensics++", ICCV 2019. Li et al., "Celeb-DF", CVPR 2020.
    Dolhansky et al., "The DeepFake Detection Challenge (DFDC) Dataset", arXiv:2006.07397.
    Yan et al., "DeepfakeBench", NeurIPS 2023.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skfakespotter import load_clips
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("real/033.mp4", "real/097.mp4", "fake/033_097.mp4", "real/200.mp4"):
    ...         Path(root, name).parent.mkdir(exist_ok=True)
    ...         Path(root, name).touch()
    ...     clips = load_clips(root)
    >>> clips.target, clips.groups
    (array([0, 0, 0, 1]), array(['033', '033', '200', '033'], dtype='<U3'))
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {os.fspath(folder)!r}")
    if layout not in ("auto", *_LAYOUTS):
        raise ValueError(f"layout is {layout!r}: expected one of {('auto', *_LAYOUTS)}.")
    if layout == "auto":
        layout = _recognize(root)
    entries = list(_LAYOUTS[layout].read(root))
    shown = [_shown(entry, identities) for entry in entries]
    groups = connect_identities(shown)
    keep = [i for i, entry in enumerate(entries) if _wanted(entry, methods, compression, split)]
    if not keep:
        raise ValueError(_nothing(root, layout, entries))
    kept = [entries[i] for i in keep]
    return Bunch(
        data=[str(entry.path) for entry in kept],
        target=np.array([entry.target for entry in kept]),
        groups=np.array(groups)[keep],
        method=np.array([entry.method for entry in kept]),
        compression=np.array([entry.compression for entry in kept]),
        split=np.array([entry.split for entry in kept]),
        identities=[shown[i] for i in keep],
        layout=layout,
        target_names=np.array(["real", "fake"]),
    )


def _recognize(root: Path) -> str:
    for name, layout in _LAYOUTS.items():
        if layout.fits(root):
            return name
    found = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    listed = ", ".join(found[:12]) + ", ..." * (len(found) > 12) if found else "nothing"
    expected = "; ".join(f"{name!r}: {layout.typical}" for name, layout in _LAYOUTS.items())
    raise ValueError(
        f"{str(root)!r} looks like no data set of clips that is known. Found: {listed}. "
        f"Expected one of: {expected}."
    )


def _shown(entry: _Entry, identities: Callable | None) -> tuple:
    if identities is None:
        return entry.identities
    given = identities(str(entry.path))
    named = (given,) if isinstance(given, str) else tuple(given)
    if not named:
        raise ValueError(f"identities gives none for {str(entry.path)!r}: expected one or more.")
    return named


def _wanted(
    entry: _Entry,
    methods: str | Sequence[str] | None,
    compression: str | None,
    split: str | None,
) -> bool:
    methods = [methods] if isinstance(methods, str) else methods
    return (
        (methods is None or entry.target == 0 or entry.method in methods)
        and compression in (None, entry.compression)
        and split in (None, entry.split)
    )


def _nothing(root: Path, layout: str, entries: list) -> str:
    if not entries:
        return (
            f"no clips in {str(root)!r}, read as {layout!r}: expected {_LAYOUTS[layout].typical}."
        )
    there = {
        name: sorted({getattr(entry, name) for entry in entries})
        for name in ("method", "compression", "split")
    }
    return f"no clip in {str(root)!r} is what was asked for. There are: {there}."


def _clips_in(folder: Path) -> list[Path]:
    """List the clips below a folder: files, or folders that hold pictures."""
    found, readable = [], readable_suffixes()
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = [name for name in files if not name.startswith(".")]
        found += [Path(path, name) for name in files if _suffix(name) in CLIP_SUFFIXES]
        if Path(path) != folder and any(_suffix(name) in readable for name in files):
            found.append(Path(path))
    return sorted(found)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _clips_of(folder: Path) -> list[Path]:
    """List the clips of one class: in ``videos``, else in ``frames``, else in the folder."""
    for name in ("videos", "frames"):
        if (folder / name).is_dir() and (clips := _clips_in(folder / name)):
            return clips
    return _clips_in(folder)


def _faceforensics(root: Path) -> Iterator[_Entry]:
    splits = _read_splits(root)
    for kind, target in (("original_sequences", 0), ("manipulated_sequences", 1)):
        for rate in sorted((root / kind).glob("*/*")):
            name = rate.parent.name
            if not re.fullmatch(r"raw|c\d+", rate.name):  # masks and models stand beside them
                continue
            source = SOURCES.get(name, "youtube") if target else name
            for path in _clips_of(rate):
                numbers = path.stem.split("__")[0].split("_")  # 01_02__hugging_happy__ABCDEFGH
                split = splits.get(numbers[0], "") if source == "youtube" else ""
                shown = tuple(n if source == "youtube" else f"{source}/{n}" for n in numbers)
                yield _Entry(path, target, name if target else "real", shown, rate.name, split)


def _read_splits(root: Path) -> dict[str, str]:
    """Read FaceForensics++'s lists of pairs: from a recording's number to its part."""
    parts = {}
    for name in ("train", "val", "test"):
        for path in (root / "splits" / f"{name}.json", root / f"{name}.json"):
            if path.is_file():
                pairs = _read_list(path, list, list, "a list of pairs of numbers")
                parts.update({str(number): name for pair in pairs for number in pair})
                break
    return parts


def _read_list(path: Path, kind: type, of: type, expected: str) -> Any:
    """Read a list of clips in JSON; an error names the file and says what it should hold."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error}): expected {expected}.") from error
    values = found.values() if isinstance(found, dict) else found
    if not isinstance(found, kind) or not all(isinstance(value, of) for value in values):
        raise ValueError(f"{str(path)!r} holds something else: expected {expected}.")
    return found


def _celebdf(root: Path) -> Iterator[_Entry]:
    listed = root / "List_of_testing_videos.txt"
    testing = set()
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8").splitlines()
        testing = {os.path.splitext(line.split()[-1])[0] for line in lines if line.strip()}
    for name in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        for path in _clips_of(root / name):
            split = "test" if f"{name}/{path.stem}" in testing else "train"
            shown = (
                show_identities(path.stem) if name != "YouTube-real" else (f"YouTube/{path.stem}",)
            )
            target = int(name == "Celeb-synthesis")
            method = name if target else "real"
            yield _Entry(path, target, method, shown, split=split if testing else "")


def _dfdc(root: Path) -> Iterator[_Entry]:
    lists = sorted([*root.glob("metadata.json"), *root.glob("*/metadata.json")])
    missing = []
    for listed in lists:
        facts = _read_list(listed, dict, dict, "a dict of a clip's name to its label")
        for name, fact in sorted(facts.items()):
            stem = os.path.splitext(name)[0]
            places = [listed.parent / name, listed.parent / "frames" / stem, listed.parent / stem]
            path = next((place for place in places if place.exists()), None)
            if path is None:
                missing.append(name)
                continue
            if fact.get("label") not in ("FAKE", "REAL"):
                raise ValueError(
                    f"{str(listed)!r}: the label of {name!r} is {fact.get('label')!r}: expected "
                    "'FAKE' or 'REAL'."
                )
            target = int(fact["label"] == "FAKE")
            original = str(fact.get("original") or name)
            method = "DFDC" if target else "real"
            shown = (os.path.splitext(original)[0],)
            yield _Entry(path, target, method, shown, split=fact.get("split", ""))
    if missing:
        warnings.warn(
            f"{len(missing)} clips that metadata.json names are not there, such as "
            f"{missing[0]!r}: left out.",
            UserWarning,
            stacklevel=3,
        )


def _folders(root: Path) -> Iterator[_Entry]:
    for target, name in enumerate(("real", "fake")):
        for path in _clips_of(root / name):
            yield _Entry(path, target, name, show_identities(path.stem))


@dataclass(frozen=True)
class _Layout:
    """How a tree is recognized, described and read."""

    read: Callable[[Path], Iterator[_Entry]]
    fits: Callable[[Path], bool]
    typical: str


_LAYOUTS = {
    "faceforensics": _Layout(
        _faceforensics,
        lambda root: (
            (root / "original_sequences").is_dir() or (root / "manipulated_sequences").is_dir()
        ),
        "original_sequences/ and manipulated_sequences/METHOD/, below them c23/videos/",
    ),
    "celebdf": _Layout(
        _celebdf,
        lambda root: (root / "Celeb-synthesis").is_dir() or (root / "Celeb-real").is_dir(),
        "Celeb-real/, YouTube-real/ and Celeb-synthesis/",
    ),
    "dfdc": _Layout(
        _dfdc,
        lambda root: any(root.glob("metadata.json")) or any(root.glob("*/metadata.json")),
        "metadata.json beside the clips or in subfolders",
    ),
    "folders": _Layout(
        _folders,
        lambda root: (root / "real").is_dir() and (root / "fake").is_dir(),
        "real/ and fake/",
    ),
}
