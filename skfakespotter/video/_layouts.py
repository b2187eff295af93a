"""Layouts: the trees of folders that data sets of clips come in."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skfakespotter._grouping import show_identities
from skfakespotter.images import readable_suffixes

CLIP_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
CLIP_SUFFIXES |= {".ts", ".mts", ".m2ts", ".3gp", ".ogv", ".h264"}
SOURCES = {"DeepFakeDetection": "actors"}  # of FaceForensics++; all other methods: youtube


@dataclass(frozen=True)
class Entry:
    """One clip of a tree, before groups are known."""

    path: Path
    target: int
    method: str
    identities: tuple
    compression: str = ""
    split: str = ""


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


def _faceforensics(root: Path) -> Iterator[Entry]:
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
                yield Entry(path, target, name if target else "real", shown, rate.name, split)


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


def _celebdf(root: Path) -> Iterator[Entry]:
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
            yield Entry(path, target, method, shown, split=split if testing else "")


def _dfdc(root: Path) -> Iterator[Entry]:
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
            yield Entry(path, target, method, shown, split=fact.get("split", ""))
    if missing:
        warnings.warn(
            f"{len(missing)} clips that metadata.json names are not there, such as "
            f"{missing[0]!r}: left out.",
            UserWarning,
            stacklevel=4,  # past the check of load_clips' parameters, to its caller
        )


def _folders(root: Path) -> Iterator[Entry]:
    for target, name in enumerate(("real", "fake")):
        for path in _clips_of(root / name):
            yield Entry(path, target, name, show_identities(path.stem))


@dataclass(frozen=True)
class Layout:
    """How a tree is recognized, described and read."""

    read: Callable[[Path], Iterator[Entry]]
    fits: Callable[[Path], bool]
    typical: str


LAYOUTS = {
    "faceforensics": Layout(
        _faceforensics,
        lambda root: (
            (root / "original_sequences").is_dir() or (root / "manipulated_sequences").is_dir()
        ),
        "original_sequences/ and manipulated_sequences/METHOD/, below them c23/videos/",
    ),
    "celebdf": Layout(
        _celebdf,
        lambda root: (root / "Celeb-synthesis").is_dir() or (root / "Celeb-real").is_dir(),
        "Celeb-real/, YouTube-real/ and Celeb-synthesis/",
    ),
    "dfdc": Layout(
        _dfdc,
        lambda root: any(root.glob("metadata.json")) or any(root.glob("*/metadata.json")),
        "metadata.json beside the clips or in subfolders",
    ),
    "folders": Layout(
        _folders,
        lambda root: (root / "real").is_dir() and (root / "fake").is_dir(),
        "real/ and fake/",
    ),
}
