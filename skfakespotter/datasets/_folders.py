"""Folders of real and fake pictures: their labels, and what must not be torn apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from warnings import warn

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions

from skfakespotter import _typing
from skfakespotter._grouping import name_groups
from skfakespotter._params import checked
from skfakespotter.images import find_images


@checked(groups=[StrOptions({"auto", "stem", "parent"}), callable])
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
            stacklevel=4,  # past the check of load_folders' parameters, to its caller
        )
    return names
