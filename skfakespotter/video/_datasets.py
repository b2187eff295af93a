"""Data sets of clips: their own trees of folders become paths, labels and groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions

from skfakespotter._grouping import connect_identities
from skfakespotter._params import checked
from skfakespotter.video._layouts import LAYOUTS, Entry


@checked(
    layout=[StrOptions({"auto", *LAYOUTS})],
    methods=[str, "array-like", None],
    compression=[str, None],
    split=[str, None],
    identities=[callable, None],
)
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
    if layout == "auto":
        layout = _recognize(root)
    entries = list(LAYOUTS[layout].read(root))
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
    for name, layout in LAYOUTS.items():
        if layout.fits(root):
            return name
    found = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    listed = ", ".join(found[:12]) + ", ..." * (len(found) > 12) if found else "nothing"
    expected = "; ".join(f"{name!r}: {layout.typical}" for name, layout in LAYOUTS.items())
    raise ValueError(
        f"{str(root)!r} looks like no data set of clips that is known. Found: {listed}. "
        f"Expected one of: {expected}."
    )


def _shown(entry: Entry, identities: Callable | None) -> tuple:
    if identities is None:
        return entry.identities
    given = identities(str(entry.path))
    named = (given,) if isinstance(given, str) else tuple(given)
    if not named:
        raise ValueError(f"identities gives none for {str(entry.path)!r}: expected one or more.")
    return named


def _wanted(
    entry: Entry,
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
        return f"no clips in {str(root)!r}, read as {layout!r}: expected {LAYOUTS[layout].typical}."
    there = {
        name: sorted({getattr(entry, name) for entry in entries})
        for name in ("method", "compression", "split")
    }
    return f"no clip in {str(root)!r} matches. There are: {there}."
