"""ExplanationDisplay: the map over the face, and the layers as bars."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfakespotter._style import FAKE, REAL, make_axes
from skfakespotter.explanation._explain import Explanation, explain


class ExplanationDisplay:
    """Evidence for fake by place, over the face, and by layer.

    Parameters
    ----------
    explanation : Explanation
        From :func:`skfakespotter.explain`.

    Attributes
    ----------
    axes_ : ndarray of shape (2,)
        Axes of the map and of the layers.
    figure_ : Figure
        The figure.

    See Also
    --------
    explain : Splits a score.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skimage.data import astronaut
    >>> from skfakespotter import ExplanationDisplay
    >>> display = ExplanationDisplay.from_detector("stylegan", astronaut())
    >>> [axes.get_title() for axes in display.axes_]
    ['where', 'in which layers']
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation

    @classmethod
    def from_detector(
        cls, detector: Any, picture: Any, *, show_face: bool = True, **options: Any
    ) -> ExplanationDisplay:
        """Explain the score of a picture and draw it.

        Parameters
        ----------
        detector : str, Detector or fitted Pipeline
            As for :func:`skfakespotter.explain`.
        picture : picture
            As for :func:`skfakespotter.explain`.
        show_face : bool, default=True
            See :meth:`plot`.
        **options : dict
            For :func:`skfakespotter.explain`.

        Returns
        -------
        ExplanationDisplay
            Drawn.
        """
        return cls(explain(detector, picture, **options)).plot(show_face=show_face)

    def plot(self, axes: Any = None, *, show_face: bool = True) -> ExplanationDisplay:
        """Draw the map and the layers.

        Parameters
        ----------
        axes : sequence of 2 Axes, default=None
            Where to draw; None makes a figure.
        show_face : bool, default=True
            Draw the map over the face; False leaves the face out, so that the figure can be
            passed on where the picture may not be.

        Returns
        -------
        self : ExplanationDisplay
            With ``axes_`` and ``figure_``.
        """
        if axes is None:
            axes = make_axes((9, 4), n_columns=2)
        self.axes_ = np.asarray(axes, dtype=object)
        self.figure_ = self.axes_[0].figure
        self._draw_map(self.axes_[0], show_face)
        self._draw_layers(self.axes_[1])
        return self

    def _draw_map(self, axes, show_face):
        found = self.explanation
        height, width = found.crop.shape[:2]
        extent = (0, width, height, 0)
        if show_face:
            axes.imshow(found.crop.mean(2), cmap="gray", vmin=-80, vmax=335, extent=extent)
        limit = float(np.abs(found.map).max()) or 1.0
        drawn = axes.imshow(
            found.map,
            cmap="PuOr_r",  # orange speaks for fake; all kinds of color vision tell it from purple
            vmin=-limit,
            vmax=limit,
            alpha=0.6 if show_face else None,
            extent=extent,
            interpolation="bilinear",
        )
        axes.set(title="where", xticks=[], yticks=[])
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.set_label("evidence for fake")

    def _draw_layers(self, axes):
        names, values = zip(*self.explanation.layers.items(), strict=True)
        places = np.arange(len(names))
        axes.barh(places, values, color=[FAKE if value > 0 else REAL for value in values])
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(places, names, fontsize=6)
        axes.invert_yaxis()
        kind = "" if self.explanation.exact else " (first order)"
        axes.set(title="in which layers", xlabel=f"evidence for fake{kind}")
