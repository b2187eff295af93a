"""Display of a ROC or precision-recall curve, with the interval that a bootstrap gives it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter._params import checked
from skfakespotter._style import STYLES, make_axes
from skfakespotter._typing import Labels, RandomState
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._labels import check_scores
from skfakespotter.evaluation._plot._base import ScoreDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GRID = np.linspace(0, 1, 201)  # where the ends of the band are computed
_KINDS = {  # figure, x, y
    "roc": ("AUC", "false-positive rate (real called fake)", "true-positive rate (fakes found)"),
    "precision-recall": ("AP", "recall (fakes found)", "precision (alarms that are right)"),
}


class DetectionCurveDisplay(ScoreDisplay):
    """ROC or precision-recall curve of a detector, with its interval as a band.

    Fake is the positive class. Make it with :meth:`from_predictions` or
    :meth:`from_estimator`; pass ``ax_`` of an earlier display to compare detectors.

    Parameters
    ----------
    x, y : array-like of shape (n_points,)
        The curve: rates in [0, 1], x ascending.
    low, high : array-like of shape (201,), default=None
        Ends of the interval of y at ``x = 0, 0.005, ..., 1``. None draws no band.
    kind : {"roc", "precision-recall"}, default="roc"
        Which curve it is.
    figure : (float, float, float), default=None
        AUC or average precision with the ends of its interval, for the legend. NaN ends
        are left out.
    chance : float, default=0.5
        Share of fakes: the precision of guessing.
    name : str, default=None
        Legend entry.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the curve, of equal scales.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    line_ : matplotlib.lines.Line2D
        The curve.
    band_ : matplotlib.collections.PolyCollection or None
        The interval.

    See Also
    --------
    detection_report : The same scores as figures with intervals.
    ScoreDistributionDisplay : The scores themselves.

    Notes
    -----
    The band is pointwise: it holds the true height of the curve at any one place with the
    confidence asked for, not the whole curve at once.

    Examples
    --------
    >>> from skfakespotter import DetectionCurveDisplay
    >>> y, scores = [0, 0, 1, 1] * 10, [0.1, 0.6, 0.4, 0.9] * 10
    >>> display = DetectionCurveDisplay.from_predictions(y, scores)
    >>> display.ax_.get_legend().get_texts()[0].get_text()
    'AUC 0.750 [0.576, 0.896]'
    """

    @checked(kind=[StrOptions(set(_KINDS))])
    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        kind: Literal["roc", "precision-recall"] = "roc",
        figure: tuple[float, float, float] | None = None,
        chance: float = 0.5,
        name: str | None = None,
    ) -> None:
        self.x, self.y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        self.low, self.high = low, high
        self.kind, self.figure, self.chance, self.name = kind, figure, chance, name

    @classmethod
    @checked(
        kind=[StrOptions(set(_KINDS))],
        n_bootstraps=[Interval(Integral, 0, None, closed="left")],
        confidence_level=[Interval(Real, 0, 1, closed="neither")],
        random_state=["random_state"],
    )
    def from_predictions(
        cls,
        y_true: Labels,
        y_score: ArrayLike,
        *,
        kind: Literal["roc", "precision-recall"] = "roc",
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        n_bootstraps: int = 1000,
        confidence_level: float = 0.95,
        random_state: RandomState = 0,
        name: str | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> DetectionCurveDisplay:
        """Compute the curve of scores and draw it.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of two classes, both present.
        y_score : array-like of shape (n_samples,)
            Scores; larger means more fake.
        kind : {"roc", "precision-recall"}, default="roc"
            Which curve to draw.
        groups : array-like of shape (n_samples,), default=None
            Items of one group (photograph, person, video) are resampled together.
        pos_label : label, default=None
            The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
        n_bootstraps : int, default=1000
            Resamples; 0 draws no band.
        confidence_level : float, default=0.95
            Of the band, in (0, 1).
        random_state : int, RandomState instance or None, default=0
            Seed of the resamples.
        name : str, default=None
            Legend entry.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        DetectionCurveDisplay
            The drawing.

        Raises
        ------
        ValueError
            For labels or scores that ``detection_report`` refuses, or an unknown kind.
        """
        fake, score = check_scores(y_true, y_score, pos_label)
        check_consistent_length(y_true, groups)
        drawn = resample(fake, number_groups(groups, len(fake)), n_bootstraps, random_state)
        weights = np.concatenate([np.ones((1, len(fake))), *(chunk for chunk, _ in drawn)])
        ends = (50 * (1 - confidence_level), 50 * (1 + confidence_level))
        x, y = (part[0] for part in _points(fake, score, weights[:1], kind))
        display = cls(x, y, kind=kind, chance=float(fake.mean()), name=name)
        value = weighted_figures(fake, score, 0.0, weights)[:, FIGURES.index(_KINDS[kind][0])]
        display.figure = (float(value[0]), np.nan, np.nan)
        if n_bootstraps:
            heights = _heights(fake, score, weights[1:], kind)
            display.low, display.high = np.percentile(heights, ends, axis=0)
            low, high = np.percentile(value[1:], ends)
            display.figure = (float(value[0]), float(low), float(high))
        return display.plot(ax, **options)

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, **line_kwargs: Any
    ) -> DetectionCurveDisplay:
        """Draw the curve and its band.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw, such as ``ax_`` of an earlier display. None makes a figure.
        name : str, default=None
            Legend entry; None takes that of the display.
        **line_kwargs : dict
            For :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        DetectionCurveDisplay
            Itself, with ``ax_``, ``figure_``, ``line_`` and ``band_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((4.4, 4.4)) if ax is None else ax
        self.figure_ = self.ax_.figure
        earlier = sum(line.get_gid() == "detection" for line in self.ax_.lines)
        draw = {"roc": "default", "precision-recall": "steps-pre"}[self.kind]
        style: dict[str, Any] = {
            "color": STYLES[earlier % len(STYLES)][0],
            "drawstyle": draw,
            **line_kwargs,
        }
        label = self._label(self.name if name is None else name)
        self.line_ = self.ax_.plot(self.x, self.y, gid="detection", label=label, **style)[0]
        self.band_ = None
        if self.low is not None and self.high is not None:
            band: dict[str, Any] = {"color": self.line_.get_color(), "alpha": 0.2, "linewidth": 0}
            self.band_ = self.ax_.fill_between(_GRID, self.low, self.high, **band)
        if not earlier:
            guess = (0, 1) if self.kind == "roc" else (self.chance, self.chance)
            self.ax_.plot((0, 1), guess, color="0.4", linestyle=":", label="guessing")
        _, xlabel, ylabel = _KINDS[self.kind]
        self.ax_.set(xlabel=xlabel, ylabel=ylabel, aspect="equal")
        self.ax_.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        place: Any = "lower right" if self.kind == "roc" else "lower left"
        self.ax_.legend(loc=place, frameon=False, fontsize="small")
        return self

    def _label(self, name: str | None) -> str | None:
        if self.figure is None:
            return name
        value, low, high = self.figure
        text = f"{_KINDS[self.kind][0]} {value:.3f}"
        if np.isfinite(low):
            text += f" [{low:.3f}, {high:.3f}]"
        return text if name is None else f"{name}: {text}"


def _points(fake: NDArray, score: NDArray, weights: NDArray, kind: str) -> tuple[NDArray, NDArray]:
    """Return the corners of the curve, one row a weighting, x ascending."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]), -1))  # of each run of ties
    weights, fake = weights[:, order], fake[order]
    found = np.cumsum(weights * fake, axis=1)[:, last]
    alarms = np.cumsum(weights, axis=1)[:, last]
    recall = found / found[:, -1:]
    if kind == "roc":
        false = alarms - found
        rate = false / false[:, -1:]
        return tuple(np.pad(part, ((0, 0), (1, 0))) for part in (rate, recall))  # type: ignore
    precision = np.divide(found, alarms, out=np.ones_like(found), where=alarms > 0)
    return recall, precision


def _heights(fake: NDArray, score: NDArray, weights: NDArray, kind: str) -> NDArray:
    """Return the height of the curve on the grid, one row a weighting."""
    rows = zip(*_points(fake, score, weights, kind), strict=True)
    if kind == "roc":
        return np.array([np.interp(_GRID, x, y) for x, y in rows])
    return np.array([y[np.searchsorted(x, _GRID - 1e-12)] for x, y in rows])
