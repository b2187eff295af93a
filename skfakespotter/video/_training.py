"""Training on clips: the faces or windows of all clips, and what a detector's ``fit`` gets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.validation import has_fit_parameter

from skfakespotter.video._detector import last_step
from skfakespotter.video._reading import Clip
from skfakespotter.video._unscored import describe_unscored, refuse_unscored
from skfakespotter.video._weights import share_weights
from skfakespotter.video._windows import Windows


def gather_items(
    copies: Iterable[Iterable[Clip]], windows: Windows, n_clips: int, on_missing: str
) -> tuple[list[Any], NDArray[np.int64]]:
    """List what the detector is trained on, and the clip that each comes from.

    It is trained on the main person of each clip: the label says nothing of the others, who may
    be real in a clip that is called fake.

    Parameters
    ----------
    copies : iterable of iterables of Clip
        All clips as they are, and again for each compression.
    windows : Windows
        How tracks are cut.
    n_clips : int
        How many there are.
    on_missing : {"raise", "nan"}
        What to do about clips without a face: refuse them, or leave them out with a warning.

    Returns
    -------
    items : list
        Crops, or lists of them.
    of : ndarray of shape (n_items,)
        Places of their clips.

    Raises
    ------
    ValueError
        For clips without a score, all of them named.
    """
    items, of, unscored = [], [], []
    for number, clips in enumerate(copies):
        for index, clip in enumerate(clips):
            if clip.status == "scored":
                followed = [track for track in clip.tracks if windows.cut(track)]
                own = windows.items(max(followed, key=lambda track: track.prominence))
                items += own
                of += [index] * len(own)
            elif number == 0:  # a copy may well be beyond recognition
                unscored.append((index, clip))
    if unscored and on_missing == "raise":
        refuse_unscored(unscored, n_clips)
    elif unscored:
        named = describe_unscored(unscored, n_clips)
        warnings.warn(f"left out of training: {named}", UserWarning, stacklevel=3)
    return items, np.array(of, dtype=np.int64)


def fit_options(
    detector: Any, of: NDArray[np.int64], sample_weight: Any, groups: Any
) -> dict[str, Any]:
    """Return what ``fit`` of the detector takes besides items and labels, under its own names.

    Parameters
    ----------
    detector : classifier
        A Pipeline or not.
    of : ndarray of shape (n_items,)
        The clip that each item comes from.
    sample_weight, groups : array-like of shape (n_clips,), or None
        As for :meth:`skfakespotter.video.VideoScorer.fit`.

    Returns
    -------
    dict
        Keywords and values.
    """
    last, prefix = last_step(detector)
    options = {"groups": of if groups is None else column_or_1d(groups)[of], "units": of}
    options = {name: value for name, value in options.items() if has_fit_parameter(last, name)}
    if sample_weight is not None:
        options["sample_weight"] = share_weights(sample_weight, of)
    return {prefix + name: value for name, value in options.items()}
