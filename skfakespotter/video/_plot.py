"""Display of a clip: its score along time, one line a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skfakespotter._style import STYLES, make_axes
from skfakespotter.video._results import ClipScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ClipScoreDisplay:
    """Scores along a clip, one line per track; a line breaks where no face was found.

    Parameters
    ----------
    times : array-like of shape (n_frames,)
        Times of the frames in seconds.
    scores : array-like of shape (n_tracks, n_frames)
        P(fake) of each track's face; NaN where a frame does not show it.
    names : list of str of length n_tracks, default=None
        Legend entries; None: ``track 0``, ``track 1``, ...
    title : str, default=None
        Title of the axes.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the lines.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    lines_ : list of matplotlib.lines.Line2D
        One per track.

    Examples
    --------
    >>> from skfakespotter.video import ClipScoreDisplay
    >>> display = ClipScoreDisplay([0.0, 0.4, 0.8], [[0.2, 0.3, 0.2], [0.9, float("nan"), 0.8]])
    >>> len(display.plot().lines_)
    2
    """

    def __init__(
        self,
        times: ArrayLike,
        scores: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        title: str | None = None,
    ):
        self.times = np.asarray(times, dtype=np.float64)
        self.scores = np.asarray(scores, dtype=np.float64)
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.times):
            raise ValueError(
                f"scores has shape {self.scores.shape}: expected (n_tracks, {len(self.times)}), "
                "one row per track and one column per time."
            )
        self.names = [f"track {i}" for i in range(len(self.scores))] if names is None else names
        self.title = title

    @classmethod
    def from_clip(
        cls, clip_score: ClipScore, *, ax: Axes | None = None, **options: Any
    ) -> ClipScoreDisplay:
        """Draw one result of ``VideoScorer.score_clips``.

        Parameters
        ----------
        clip_score : ClipScore
            A scored clip.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options
            For :meth:`plot`.

        Returns
        -------
        ClipScoreDisplay
            The drawing.

        Raises
        ------
        ValueError
            When the clip has no score.
        """
        if clip_score.status != "scored":
            raise ValueError(f"clip {clip_score.path!r} has no score ({clip_score.reason}).")
        names = [f"track {track.id}: {track.score:.2f}" for track in clip_score.tracks]
        display = cls(
            clip_score.times,
            clip_score.track_scores,
            names=names,
            title=f"P(fake) {clip_score.score:.2f}",
        )
        return display.plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, threshold: float | None = 0.5) -> ClipScoreDisplay:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        threshold : float, default=0.5
            Where the dashed line lies; None draws none.

        Returns
        -------
        ClipScoreDisplay
            Itself, with ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((6.4, 2.8)) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.lines_: list[Any] = []
        for number, (name, scores) in enumerate(zip(self.names, self.scores, strict=True)):
            color, marker = STYLES[number % len(STYLES)]
            style: dict[str, Any] = {
                "color": color,
                "marker": marker,
                "markersize": 3,
                "linewidth": 1,
            }
            self.lines_ += self.ax_.plot(self.times, scores, label=name, **style)
        if threshold is not None:
            self.ax_.axhline(threshold, color="0.4", linestyle="--", linewidth=1)
        self.ax_.set(xlabel="time (s)", ylabel="P(fake)", ylim=(-0.02, 1.02), title=self.title)
        self.ax_.grid(alpha=0.3)
        if len(self.lines_) > 1:
            self.ax_.legend(fontsize="small")
        return self
