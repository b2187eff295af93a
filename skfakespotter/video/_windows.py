"""Windows: what a detector takes of a track, single faces or runs of consecutive ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from skfakespotter.video._reading import in_a_row
from skfakespotter.video._tracks import Track


@dataclass(frozen=True)
class Windows:
    """How a track is cut.

    Attributes
    ----------
    length : int or None
        Faces of a window at most; None: single faces.
    min_faces : int
        Windows of fewer are left out.
    every, burst
        How frames were taken, see :func:`skfakespotter.video.iter_frames`.
    """

    length: int | None
    min_faces: int
    every: int | float
    burst: int

    def cut(self, track: Track) -> list[slice]:
        """Find the windows of a track, of nearly equal length, none across missing frames.

        Parameters
        ----------
        track : Track
            The faces of one person.

        Returns
        -------
        list of slice
            In order of time.
        """
        if self.length is None:
            return [slice(i, i + 1) for i in range(len(track))]
        parts = []
        for run in in_a_row(track.frames, self.every, self.burst):
            n_windows = -(-(run.stop - run.start) // self.length)
            edges = np.linspace(run.start, run.stop, n_windows + 1).astype(int)
            parts += [slice(a, b) for a, b in pairwise(edges.tolist())]
        return [part for part in parts if part.stop - part.start >= self.min_faces]

    def items(self, track: Track) -> list[Any]:
        """Return what the detector takes of a track: crops, or lists of them.

        Parameters
        ----------
        track : Track
            The faces of one person.

        Returns
        -------
        list
            One item for each window.
        """
        parts = self.cut(track)
        if self.length is None:
            return [track.crops[part.start] for part in parts]
        return [track.crops[part] for part in parts]
