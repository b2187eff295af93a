"""Clips without a score: which they are and why, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def refuse_unscored(numbered: Iterable[tuple[int, Any]], n_clips: int) -> None:
    """Raise ValueError that names the clips without a score, if there are any.

    Parameters
    ----------
    numbered : iterable of (int, Clip or ClipScore)
        Clips and their places.
    n_clips : int
        How many there are in all.
    """
    if unscored := describe_unscored(numbered, n_clips):
        raise ValueError(
            f"{unscored}. Drop these clips (score_clips tells which and why), "
            "or pass on_missing='nan'."
        )


def describe_unscored(numbered: Iterable[tuple[int, Any]], n_clips: int) -> str:
    """Name the clips without a score and say why; an empty string when there is none.

    Parameters
    ----------
    numbered, n_clips
        As for :func:`refuse_unscored`.

    Returns
    -------
    str
        One sentence.
    """
    named = [
        f"X[{index}] ({clip.path!r}): {clip.reason}"
        for index, clip in numbered
        if clip.status != "scored"
    ]
    return f"{len(named)} of {n_clips} clips have no score: " + "; ".join(named) if named else ""
