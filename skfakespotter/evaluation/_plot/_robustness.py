"""Display of robustness curves: one panel an attack, score against intensity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from skfakespotter._style import STYLES, make_axes
from skfakespotter._typing import Labels, Pictures
from skfakespotter.evaluation._curve import AttackScores, score_under_attacks
from skfakespotter.images import check_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_UNITS = {
    "jpeg": ("JPEG compression", "quality"),
    "blur": ("Gaussian blur", "sigma (pixels)"),
    "resize": ("Resizing, down and back", "scale"),
    "noise": ("Gaussian noise", "variance"),
    "jpeg50+blur": ("JPEG at quality 50, then blur", "sigma (pixels)"),
    "resize0.5+jpeg": ("Half size, then JPEG", "quality"),
    "webp": ("WebP compression", "quality"),
    "avif": ("AVIF compression", "quality"),
    "h264": ("H.264 compression", "constant rate factor"),
    "screenshot": ("Screenshot, sharpened", "scale"),
    "messenger": ("Messengers", "times forwarded"),
    "beautify": ("Beautifying filter", "strength"),
    "crop": ("Random crop", "share of the side kept"),
    "border": ("White border", "share of the side added"),
}
_SCORES = {"roc_auc": "AUC", "average_precision": "AP", "f1": "F1"}
_N_COLUMNS = 4


class RobustnessDisplay:
    """Score of a detector against the intensity of each attack.

    Small multiples: one panel an attack, from weak (left) to strong (right), the ticks at equal
    distances and labeled with the intensities. The dashed line is the score on the pictures
    as they came. Make it with :meth:`from_estimator` or :meth:`from_curve`.

    Parameters
    ----------
    attack : array-like of shape (n_rows,) of str
        Name of the attack; rows of one attack follow each other, weak to strong.
    intensity : array-like of shape (n_rows,)
        Tick labels.
    score : array-like of shape (n_rows,)
        Score under the attack.
    clean_score : float
        Score without attack.
    score_low, score_high : array-like of shape (n_rows,), default=None
        Ends of the intervals.
    estimator_name : str, default=None
        Legend entry.
    scoring : str, default=None
        Label of the vertical axis.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_attacks,)
        The panels.
    figure_ : matplotlib Figure
        What holds them.
    lines_ : list of matplotlib Line2D
        The curves, one per panel.

    See Also
    --------
    skfakespotter.robustness_curve : Computes what is drawn.

    Examples
    --------
    >>> from skfakespotter.evaluation import RobustnessDisplay
    >>> display = RobustnessDisplay(
    ...     attack=["jpeg", "jpeg"], intensity=[90, 10], score=[0.95, 0.9], clean_score=0.96
    ... )
    >>> _ = display.plot()
    >>> len(display.axes_)
    1
    """

    def __init__(
        self,
        *,
        attack: Sequence[str],
        intensity: Sequence[Any],
        score: ArrayLike,
        clean_score: float,
        score_low: ArrayLike | None = None,
        score_high: ArrayLike | None = None,
        estimator_name: str | None = None,
        scoring: str | None = None,
    ) -> None:
        self.attack = attack
        self.intensity = intensity
        self.score = score
        self.clean_score = clean_score
        self.score_low = score_low
        self.score_high = score_high
        self.estimator_name = estimator_name
        self.scoring = scoring

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Pictures,
        y: Labels,
        *,
        ax: Any = None,
        name: str | None = None,
        **parameters: Any,
    ) -> RobustnessDisplay:
        """Score a fitted estimator under attacks and draw it.

        Parameters
        ----------
        estimator : fitted classifier
            Takes pictures.
        X : sequence of pictures
            Pictures that it was not trained on.
        y : array-like of shape (n,)
            Labels.
        ax : array of matplotlib Axes, default=None
            ``display.axes_`` of an earlier drawing, to compare estimators.
        name : str, default=None
            Legend entry. None: the name of the estimator's class.
        **parameters : dict
            To :func:`skfakespotter.robustness_curve`.

        Returns
        -------
        RobustnessDisplay
            The drawing.
        """
        X, y = check_images(X), np.asarray(y)
        check_consistent_length(X, y)
        folds = [({None: estimator}, np.arange(len(X)))]
        scores = score_under_attacks(folds, X, y, **parameters)
        return cls.from_curve(scores[None], ax=ax, name=name or type(estimator).__name__)

    @classmethod
    def from_curve(
        cls, curve: AttackScores, *, ax: Any = None, name: str | None = None, **line_kwargs: Any
    ) -> RobustnessDisplay:
        """Draw a result of ``robustness_curve`` or ``robustness_cross_val``.

        Parameters
        ----------
        curve : RobustnessCurve
            The result.
        ax : array of matplotlib Axes, default=None
            ``display.axes_`` of an earlier drawing, to compare.
        name : str, default=None
            Legend entry.
        **line_kwargs : dict
            To :meth:`matplotlib.axes.Axes.plot`, for the curves.

        Returns
        -------
        RobustnessDisplay
            The drawing.
        """
        columns = curve.columns
        display = cls(
            attack=columns["attack"],
            intensity=columns["intensity"],
            score=columns["score"],
            score_low=columns.get("score_low"),
            score_high=columns.get("score_high"),
            clean_score=curve.clean_score,
            estimator_name=name,
            scoring=curve.scoring,
        )
        return display.plot(ax, **line_kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, **line_kwargs: Any
    ) -> RobustnessDisplay:
        """Draw the panels.

        Parameters
        ----------
        ax : array of matplotlib Axes, default=None
            One for each attack, such as ``axes_`` of an earlier display of the same attacks
            and intensities. None makes a figure.
        name : str, default=None
            Legend entry. None: ``estimator_name``.
        **line_kwargs : dict
            To :meth:`matplotlib.axes.Axes.plot`, for the curves.

        Returns
        -------
        RobustnessDisplay
            This object.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When ``ax`` shows other attacks or intensities.
        """
        panels = [
            (attack, [row for row, _ in rows])
            for attack, rows in groupby(enumerate(self.attack), key=lambda item: item[1])
        ]
        axes = _new_axes(len(panels)) if ax is None else np.atleast_1d(ax).ravel()
        self._check_axes(axes, panels)
        name = name if name is not None else self.estimator_name
        color, marker = STYLES[_n_drawn(axes[0]) % len(STYLES)]
        style = {"color": color, "marker": marker, "markersize": 5, "label": name, **line_kwargs}
        self.lines_ = [
            self._draw(panel, attack, rows, style)
            for panel, (attack, rows) in zip(axes, panels, strict=True)
        ]
        self.axes_, self.figure_ = axes, axes[0].figure
        if scoring := self.scoring:
            for panel in axes[::_N_COLUMNS]:
                panel.set_ylabel(_SCORES.get(scoring, scoring))
        _draw_legend(axes[0])
        return self

    def _draw(self, axes: Axes, attack: str, rows: list[int], style: dict[str, Any]) -> Line2D:
        place = np.arange(len(rows))
        (line,) = axes.plot(place, np.asarray(self.score)[rows], gid="robustness", **style)
        axes.axhline(self.clean_score, color=line.get_color(), linestyle="--", linewidth=1)
        if self.score_low is not None:
            low, high = np.asarray(self.score_low)[rows], np.asarray(self.score_high)[rows]
            axes.fill_between(place, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        title, unit = _UNITS.get(attack, (attack, "intensity"))
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel(f"{unit}, weak to strong")
        axes.set_xticks(place, [_label(self.intensity[row]) for row in rows])
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        return line

    def _check_axes(self, axes: NDArray, panels: list[tuple[str, list[int]]]) -> None:
        if len(axes) != len(panels):
            raise ValueError(f"ax holds {len(axes)} axes: expected {len(panels)}, one per attack.")
        for panel, (attack, rows) in zip(axes, panels, strict=True):
            shown = [tick.get_text() for tick in panel.get_xticklabels()]
            wanted = [_label(self.intensity[row]) for row in rows]
            if _n_drawn(panel) and shown != wanted:
                raise ValueError(
                    f"ax shows the intensities {shown} where {attack!r} has {wanted}: draw "
                    "curves of the same attacks together."
                )


def _new_axes(n_panels: int) -> NDArray:
    n_columns = min(n_panels, _N_COLUMNS)
    n_rows = -(-n_panels // n_columns)
    shape = {"n_rows": n_rows, "n_columns": n_columns, "sharey": True, "squeeze": False}
    axes = make_axes((3.1 * n_columns, 3.0 * n_rows), **shape).ravel()
    for spare in axes[n_panels:]:
        spare.remove()
    return axes[:n_panels]


def _draw_legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    handles, _ = axes.get_legend_handles_labels()
    handles.append(Line2D([], [], color="0.4", linestyle="--", linewidth=1, label="not attacked"))
    figure = axes.figure
    if figure.get_layout_engine() is None:  # nothing makes room outside the panels
        axes.legend(handles=handles, loc="best", frameon=False, fontsize="small")
        return
    for earlier in list(figure.legends):
        earlier.remove()
    columns = min(len(handles), 4)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)


def _n_drawn(axes: Axes) -> int:
    return sum(line.get_gid() == "robustness" for line in axes.lines)


def _label(intensity: Any) -> str:
    return f"{intensity:g}" if isinstance(intensity, (int, float)) else str(intensity)
