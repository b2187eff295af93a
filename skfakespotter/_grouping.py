"""Grouping: which pictures belong together, as the names of files and folders tell it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# folders between a video and its frames, which name neither
_GENERIC = {"frames", "frame", "images", "image", "imgs", "faces", "crops", "png", "jpg", "raw"}
_NUMBERED = re.compile(r"(.*?)[ ._-]*(?:frame|f)?[ ._-]*\d+", re.IGNORECASE)


def name_groups(paths: Sequence[Sequence[PurePath]]) -> tuple[list[str], str]:
    """Name the group of each picture: its video where names look like frames, else its stem.

    Parameters
    ----------
    paths : sequence of sequences of PurePath
        For each class, the pictures relative to the folder of the class.

    Returns
    -------
    groups : list of str
        One name per picture, class after class. Names that are connected (``000_003`` shows
        ``000`` and ``003``) are one group, called by its first name.
    guess : str
        What was taken for a group, in words; empty where the stems are used as they are.

    Examples
    --------
    >>> from pathlib import PurePath
    >>> from skfakespotter._grouping import name_groups
    >>> real, fake = ["000/1.png", "000/2.png"], ["000_003/1.png", "000_003/2.png"]
    >>> name_groups([[PurePath(p) for p in real], [PurePath(p) for p in fake]])
    (['000', '000', '000', '000'], 'the folder as the video')
    """
    nested = [path for own in paths for path in own if len(path.parts) > 1]
    flat = [_frames_of([path.stem for path in own if len(path.parts) == 1]) for own in paths]
    names = [
        _folder_name(path) if len(path.parts) > 1 else prefixes.get(path.stem, path.stem)
        for own, prefixes in zip(paths, flat, strict=True)
        for path in own
    ]
    guesses = ["the folder as the video"] * bool(nested)
    guesses += ["the name before the last number as the video"] * any(flat)
    swaps = None if guesses else {name for name in names if len(show_identities(name)) == 1}
    shown = [_known(show_identities(name), name, swaps) for name in names]
    if not guesses and any(len(identities) > 1 for identities in shown):
        guesses = ["numbers joined by _ as two identities"]
    return connect_identities(shown), " and ".join(guesses)


def show_identities(name: str) -> tuple[str, ...]:
    """Read identities from the name of a video or picture.

    Parameters
    ----------
    name : str
        Such as ``519_515``, ``id16_id6_0012``, or any other.

    Returns
    -------
    tuple of str
        Two leading numbers, all ids, or else the whole name.

    Examples
    --------
    >>> from skfakespotter._grouping import show_identities
    >>> show_identities("519_515"), show_identities("id16_id6_0012"), show_identities("anna")
    (('519', '515'), ('id16', 'id6'), ('anna',))
    """
    parts = name.split("_")
    if ids := tuple(part for part in parts if re.fullmatch(r"id\d+", part)):
        return ids
    leading = [part for part in parts[:2] if part.isdigit()] if parts[0].isdigit() else []
    return tuple(leading) or (name,)


def connect_identities(shown: Sequence[Iterable[str]]) -> list[str]:
    """Name for each item the group of identities that items connect: its first identity.

    Parameters
    ----------
    shown : sequence of iterables of str
        The identities that each item shows, one or more.

    Returns
    -------
    list of str
        One name per item.

    Examples
    --------
    >>> from skfakespotter._grouping import connect_identities
    >>> connect_identities([("b",), ("a", "b"), ("c",)])
    ['a', 'a', 'c']
    """
    tuples = [tuple(identities) for identities in shown]
    names, numbers = np.unique([name for own in tuples for name in own], return_inverse=True)
    items = np.repeat(np.arange(len(shown)), [len(own) for own in tuples])
    size = len(shown) + len(names)
    edges = coo_array((np.ones(len(items)), (items, len(shown) + numbers)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    first: dict[int, str] = {}
    for name, number in zip(names.tolist(), component[len(shown) :].tolist(), strict=True):
        first.setdefault(number, name)
    return [first[number] for number in component[: len(shown)].tolist()]


def _known(identities: tuple[str, ...], name: str, known: set[str] | None) -> tuple[str, ...]:
    """Keep two identities where they are known from elsewhere; None: of a video, always."""
    if known is None or len(identities) == 1 or known.issuperset(identities):
        return identities
    return (name,)


def _folder_name(path: PurePath) -> str:
    names = [part for part in reversed(path.parent.parts) if part.lower() not in _GENERIC]
    return names[0] if names else path.parent.as_posix()


def _frames_of(stems: list[str]) -> dict[str, str]:
    """Map stems to what stands before their last number, where those look like videos.

    They do when there are two or more, and at least half of the pictures share theirs. One
    alone (``img_0001``, ``img_0002``) is how a camera or a script numbers all it makes.
    """
    matches = {stem: _NUMBERED.fullmatch(stem) for stem in stems}
    prefixes = {stem: match[1] for stem, match in matches.items() if match and match[1]}
    counts = Counter(prefixes.values())
    sharing = sum(count for count in counts.values() if count > 1)
    return prefixes if len(counts) > 1 and 2 * sharing >= len(stems) else {}
