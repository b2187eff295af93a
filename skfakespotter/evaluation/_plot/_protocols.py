"""Displays of the protocols: a score matrix, a curve over training sizes, intervals.

They follow scikit-learn's displays: plain data in, ``plot(ax=None)``, then ``ax_`` and
``figure_``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skfakespotter._style import BLUE, STYLES, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreMatrixDisplay:
    """Scores of detectors trained on one set (rows) and tested on another (columns).

    Parameters
    ----------
    matrix : array-like of shape (n_rows, n_columns)
        Scores. NaN cells are left white.
    names : list of str of length n_columns
        Names of the test sets.
    row_names : list of str of length n_rows, default=None
        Names of the training sets; None: those of ``names``.
    score_name : str, default="AUC"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the matrix.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    im_ : matplotlib.image.AxesImage
        The colored cells.
    text_ : ndarray of shape (n_rows, n_columns), dtype=object
        The printed values.

    Examples
    --------
    >>> from skfakespotter.evaluation import ScoreMatrixDisplay
    >>> display = ScoreMatrixDisplay([[0.95, 0.61], [0.58, 0.97]], ["stylegan", "pggan"])
    >>> display.plot().text_[0, 1].get_text()
    '0.61'
    """

    def __init__(
        self,
        matrix: ArrayLike,
        names: Sequence[str],
        *,
        row_names: Sequence[str] | None = None,
        score_name: str = "AUC",
    ) -> None:
        self.matrix = np.asarray(matrix, dtype=np.float64)
        self.names = list(names)
        self.row_names = self.names if row_names is None else list(row_names)
        self.score_name = score_name
        if self.matrix.shape != (len(self.row_names), len(self.names)):
            raise ValueError(
                f"matrix has shape {self.matrix.shape}: expected "
                f"{(len(self.row_names), len(self.names))}, one row and one column per name."
            )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: Any = "cividis",
        vmin: float = 0.5,
        vmax: float = 1.0,
        values_format: str = ".2f",
    ) -> ScoreMatrixDisplay:
        """Draw the matrix with its values printed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure whose size follows the number of names.
        cmap : str or Colormap, default="cividis"
            Colors from low to high.
        vmin, vmax : float, default=0.5 and 1.0
            Scores at the ends of the colors; 0.5 is the AUC of guessing. Scores outside
            get the color of the nearer end; the printed value is exact.
        values_format : str, default=".2f"
            Format of the printed values.

        Returns
        -------
        ScoreMatrixDisplay
            Itself, with ``ax_``, ``figure_``, ``im_`` and ``text_``.
        """
        size = (2.6 + 0.55 * len(self.names), 1.6 + 0.5 * len(self.row_names))
        self.ax_ = make_axes(size) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.im_ = self.ax_.imshow(self.matrix, cmap=cmap, vmin=vmin, vmax=vmax)
        self.text_ = np.empty(self.matrix.shape, dtype=object)
        for place, value in np.ndenumerate(self.matrix):
            red, green, blue, _ = self.im_.cmap(self.im_.norm(np.asarray(value)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # luma, ITU-R BT.601
            self.text_[place] = self.ax_.text(
                place[1],
                place[0],
                "" if np.isnan(value) else format(value, values_format),
                ha="center",
                va="center",
                fontsize="small",
                color="white" if dark else "black",
            )
        self.ax_.set_xticks(
            range(len(self.names)), self.names, rotation=40, ha="right", rotation_mode="anchor"
        )
        self.ax_.set_yticks(range(len(self.row_names)), self.row_names)
        self.ax_.set(xlabel="tested on", ylabel="trained on")
        extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(
            (bool(np.any(self.matrix < vmin)), bool(np.any(self.matrix > vmax))), "both"
        )
        self.figure_.colorbar(self.im_, ax=self.ax_, label=self.score_name, extend=extend)
        return self


class TrainingSizeDisplay:
    """Score against the number of training items, mean and spread over repeats.

    Parameters
    ----------
    train_sizes : array-like of shape (n_sizes,)
        Numbers of training items.
    scores : array-like of shape (n_sizes, n_repeats)
        Scores at each size.
    score_name : str, default="AUC"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the curve.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    line_ : matplotlib.lines.Line2D
        The mean.
    fill_between_ : matplotlib.collections.PolyCollection
        Mean minus to mean plus one standard deviation.

    Examples
    --------
    >>> from skfakespotter.evaluation import TrainingSizeDisplay
    >>> display = TrainingSizeDisplay([100, 200], [[0.7, 0.8], [0.8, 0.9]]).plot()
    >>> display.line_.get_ydata().round(2).tolist()
    [0.75, 0.85]
    """

    def __init__(
        self, train_sizes: ArrayLike, scores: ArrayLike, *, score_name: str = "AUC"
    ) -> None:
        self.train_sizes = np.asarray(train_sizes)
        self.scores = np.asarray(scores, dtype=np.float64)
        self.score_name = score_name
        if self.scores.ndim != 2 or len(self.scores) != len(self.train_sizes):
            raise ValueError(
                f"scores has shape {self.scores.shape}: expected "
                f"({len(self.train_sizes)}, n_repeats), one row per training size."
            )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        color: str | None = None,
        marker: str | None = None,
    ) -> TrainingSizeDisplay:
        """Draw the curve; call it again with the same axes to compare detectors.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        name : str, default=None
            Name of the detector in the legend; None draws no legend.
        color : str, default=None
            Color of the line and the band; None takes the next one in these axes.
        marker : str, default=None
            Marker of the points, which tells curves apart in gray print; None takes the next.

        Returns
        -------
        TrainingSizeDisplay
            Itself, with ``ax_``, ``figure_``, ``line_`` and ``fill_between_``.
        """
        self.ax_ = make_axes((4.2, 3.2)) if ax is None else ax
        self.figure_ = self.ax_.figure
        earlier = sum(line.get_gid() == "training size" for line in self.ax_.lines)
        usual = STYLES[earlier % len(STYLES)]
        color, marker = color or usual[0], marker or usual[1]
        style: dict[str, Any] = {"color": color, "marker": marker, "gid": "training size"}
        mean, spread = self.scores.mean(axis=1), self.scores.std(axis=1)
        self.line_ = self.ax_.plot(self.train_sizes, mean, label=name, **style)[0]
        self.fill_between_ = self.ax_.fill_between(
            self.train_sizes, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0
        )
        self.ax_.set_xscale("log", base=2)
        # of every curve in the axes; 1 and less can only be a horizontal guide line
        ticks = sorted(
            {x for line in self.ax_.lines for x in np.asarray(line.get_xdata()) if x > 1}
        )
        self.ax_.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        self.ax_.set(xlabel="training items", ylabel=f"{self.score_name}, mean ± s.d.")
        self.ax_.grid(alpha=0.3)
        if name is not None:
            self.ax_.legend()
        return self


class ScoreIntervalDisplay:
    """Named scores with their confidence intervals, as points and bars.

    Parameters
    ----------
    names : list of str of length n
        Names, drawn from the top down.
    values, low, high : array-like of shape (n,)
        Scores and the ends of their intervals.
    score_name : str, default="AUC"
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the points.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    errorbar_ : matplotlib.container.ErrorbarContainer
        Points and bars.

    Examples
    --------
    >>> from skfakespotter.evaluation import ScoreIntervalDisplay
    >>> display = ScoreIntervalDisplay(["pggan", "stylegan"], [0.8, 0.9], [0.7, 0.8], [0.9, 1])
    >>> display.plot().ax_.get_xlabel()
    'AUC'
    """

    def __init__(
        self,
        names: Sequence[str],
        values: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        *,
        score_name: str = "AUC",
    ) -> None:
        self.names, self.score_name = list(names), score_name
        self.values, self.low, self.high = (
            np.asarray(part, dtype=np.float64) for part in (values, low, high)
        )

    def plot(self, ax: Axes | None = None, *, color: str = BLUE) -> ScoreIntervalDisplay:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure whose size follows the number of names.
        color : str, default="#0072B2"
            Color of points and bars.

        Returns
        -------
        ScoreIntervalDisplay
            Itself, with ``ax_``, ``figure_`` and ``errorbar_``.
        """
        size = (4.2, 1.2 + 0.35 * len(self.names))
        self.ax_ = make_axes(size) if ax is None else ax
        self.figure_ = self.ax_.figure
        # a percentile interval need not hold the value itself; a bar's length is never negative
        ends = np.clip([self.values - self.low, self.high - self.values], 0, None)
        rows = np.arange(len(self.names))
        self.errorbar_ = self.ax_.errorbar(
            self.values, rows, xerr=ends, fmt="o", color=color, capsize=3
        )
        self.ax_.set_yticks(rows, self.names)
        self.ax_.set_ylim(len(self.names) - 0.5, -0.5)
        self.ax_.set_xlabel(self.score_name)
        self.ax_.grid(axis="x", alpha=0.3)
        return self
