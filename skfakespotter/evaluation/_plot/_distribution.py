"""Display of the scores of real and fake items, with the threshold that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skfakespotter._style import FAKE, REAL, make_axes
from skfakespotter._typing import Labels
from skfakespotter.evaluation._labels import check_scores
from skfakespotter.evaluation._plot._base import ScoreDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreDistributionDisplay(ScoreDisplay):
    """Histograms of the scores of real and of fake items, and the threshold between them.

    Each class is drawn in shares of its own, so that a rare class is seen as well. Make it
    with :meth:`from_predictions` or :meth:`from_estimator`.

    Parameters
    ----------
    real, fake : array-like of shape (n_real,) and (n_fake,)
        Scores; larger means more fake.
    threshold : float, default=None
        Scores at or above it are called fake. None draws no line.
    name : str, default=None
        Title.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the histograms.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    stairs_ : list of matplotlib.patches.StepPatch
        The histograms, of real and of fake.
    line_ : matplotlib.lines.Line2D or None
        The threshold.

    See Also
    --------
    choose_threshold : A threshold for a rate of false alarms.

    Examples
    --------
    >>> from skfakespotter import ScoreDistributionDisplay
    >>> display = ScoreDistributionDisplay.from_predictions(
    ...     [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], threshold=0.5
    ... )
    >>> display.line_.get_label()
    'threshold 0.50: 50 % of fakes found, 50 % of real called fake'
    """

    def __init__(
        self,
        real: ArrayLike,
        fake: ArrayLike,
        *,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        self.real, self.fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
        self.threshold, self.name = threshold, name

    @classmethod
    def from_predictions(
        cls,
        y_true: Labels,
        y_score: ArrayLike,
        *,
        threshold: float | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> ScoreDistributionDisplay:
        """Draw the scores of labeled items.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of two classes, both present.
        y_score : array-like of shape (n_samples,)
            Scores; larger means more fake.
        threshold : float, default=None
            Scores at or above it are called fake. None draws no line.
        pos_label : label, default=None
            The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
        name : str, default=None
            Title.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        ScoreDistributionDisplay
            The drawing.

        Raises
        ------
        ValueError
            For labels or scores that ``detection_report`` refuses.
        """
        fake, score = check_scores(y_true, y_score, pos_label)
        display = cls(score[~fake], score[fake], threshold=threshold, name=name)
        return display.plot(ax, **options)

    def plot(
        self, ax: Axes | None = None, *, bins: int = 25, score_name: str | None = None
    ) -> ScoreDistributionDisplay:
        """Draw both histograms and the threshold.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        bins : int, default=25
            Bars between the lowest and the highest score, or between 0 and 1 where all
            scores lie there.
        score_name : str, default=None
            Label of the axis; None: "P(fake)" where all scores lie in [0, 1], else "score".

        Returns
        -------
        ScoreDistributionDisplay
            Itself, with ``ax_``, ``figure_``, ``stairs_`` and ``line_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((6.0, 3.0)) if ax is None else ax
        self.figure_ = self.ax_.figure
        scores = np.concatenate([self.real, self.fake])
        probable = bool(scores.min() >= 0 and scores.max() <= 1)
        low, high = (0.0, 1.0) if probable else (float(scores.min()), float(scores.max()))
        edges = np.linspace(low, high, bins + 1)
        self.stairs_ = []
        for values, name, color, fill in (
            (self.real, "real", REAL, True),
            (self.fake, "fake", FAKE, False),
        ):
            share = 100 * np.histogram(values, edges)[0] / len(values)
            style: dict[str, Any] = {"color": color, "label": f"{name} ({len(values):,})"}
            style |= {"fill": fill, "alpha": 0.45 if fill else 1, "linewidth": 1.6}
            self.stairs_.append(self.ax_.stairs(share, edges, **style))
        self.line_ = None
        if self.threshold is not None:
            label = self._decision(self.threshold)
            self.line_ = self.ax_.axvline(
                self.threshold, label=label, color="black", linestyle="--", linewidth=1
            )
        wanted = score_name or ("P(fake)" if probable else "score")
        self.ax_.set(xlabel=wanted, ylabel="share of the class (%)", xlim=(low, high))
        if self.name is not None:
            self.ax_.set_title(self.name, fontsize="medium")
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False, fontsize="small", loc="upper center")
        return self

    def _decision(self, threshold: float) -> str:
        found, alarms = (_share(values, threshold) for values in (self.fake, self.real))
        return f"threshold {threshold:.2f}: {found} of fakes found, {alarms} of real called fake"


def _share(values: NDArray, threshold: float) -> str:
    return f"{100 * np.mean(values >= threshold):.2g} %"
