"""Display of reliability: of the items with a probability, the share that is fake."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions

from skfakespotter._params import checked
from skfakespotter._style import STYLES, make_axes
from skfakespotter._typing import Labels
from skfakespotter.evaluation._bootstrap import number_groups
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._labels import check_scores
from skfakespotter.evaluation._plot._base import ScoreDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReliabilityDisplay(ScoreDisplay):
    """Share of fakes against the probability that they got, with intervals.

    A reliable probability lies on the diagonal: of the items that got 0.8, eight in ten are
    fake. Make it with :meth:`from_predictions` or :meth:`from_estimator`; pass ``ax_`` of an
    earlier display to compare classifiers.

    Parameters
    ----------
    probability : array-like of shape (n_bins,)
        Mean probability of the items in each bin.
    share : array-like of shape (n_bins,)
        Share of fakes among them.
    low, high : array-like of shape (n_bins,)
        Ends of the intervals of ``share``.
    error : float, default=None
        Expected calibration error, for the legend.
    name : str, default=None
        Legend entry.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the points, of equal scales.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    errorbar_ : matplotlib.container.ErrorbarContainer
        Points and intervals.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same curve without intervals.

    Notes
    -----
    The intervals are Wilson's [1]_, of as many independent items as a bin holds groups.

    References
    ----------
    .. [1] E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
       Inference", JASA 22, 1927.

    Examples
    --------
    >>> from skfakespotter import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_predictions(
    ...     [0, 0, 0, 1, 0, 1, 1, 1], [0.2] * 4 + [0.7] * 4, n_bins=2
    ... )
    >>> display.share.tolist(), display.low.round(2).tolist()
    ([0.25, 0.75], [0.05, 0.3])
    """

    def __init__(
        self,
        probability: ArrayLike,
        share: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        *,
        error: float | None = None,
        name: str | None = None,
    ) -> None:
        self.probability, self.share, self.low, self.high = (
            np.asarray(part, np.float64) for part in (probability, share, low, high)
        )
        self.error, self.name = error, name

    @classmethod
    @checked(
        n_bins=[Interval(Integral, 1, None, closed="left")],
        strategy=[StrOptions({"quantile", "uniform"})],
        confidence_level=[Interval(Real, 0, 1, closed="neither")],
    )
    def from_predictions(
        cls,
        y_true: Labels,
        y_score: ArrayLike,
        *,
        n_bins: int = 10,
        strategy: Literal["quantile", "uniform"] = "quantile",
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        confidence_level: float = 0.95,
        name: str | None = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> ReliabilityDisplay:
        """Count the fakes among items of like probability and draw their shares.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels of two classes, both present.
        y_score : array-like of shape (n_samples,)
            P(fake), in [0, 1].
        n_bins : int, default=10
            Bins at most; empty ones are left out.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equal numbers of items, or of equal width.
        groups : array-like of shape (n_samples,), default=None
            Items of one group (photograph, person, video) count as one where the width of
            an interval is computed.
        pos_label : label, default=None
            The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
        confidence_level : float, default=0.95
            In (0, 1).
        name : str, default=None
            Legend entry.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        ReliabilityDisplay
            The drawing.

        Raises
        ------
        ValueError
            For scores outside of [0, 1], labels of other than two classes, or an unknown
            strategy.
        """
        fake, score = check_scores(y_true, y_score, pos_label)
        check_consistent_length(y_true, groups)
        if score.min() < 0 or score.max() > 1:
            raise ValueError(
                f"y_score reaches from {score.min():g} to {score.max():g}: expected probabilities, "
                "in [0, 1]. Calibrate decision values with CalibratedClassifierCV."
            )
        group = number_groups(groups, len(fake))
        bins = np.searchsorted(_edges(score, n_bins, strategy), score, side="right")
        parts = [bins == place for place in np.unique(bins)]
        share = np.array([fake[part].mean() for part in parts])
        n = np.array([len(np.unique(group[part])) for part in parts])
        once = weighted_figures(fake, score, 0.5, np.ones((1, len(fake))))
        display = cls(
            [score[part].mean() for part in parts],
            share,
            *_wilson(share, n, confidence_level),
            error=float(once[0, FIGURES.index("ECE")]),
            name=name,
        )
        return display.plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, name: str | None = None) -> ReliabilityDisplay:
        """Draw points, intervals and the diagonal.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw, such as ``ax_`` of an earlier display. None makes a figure.
        name : str, default=None
            Legend entry; None takes that of the display.

        Returns
        -------
        ReliabilityDisplay
            Itself, with ``ax_``, ``figure_`` and ``errorbar_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((4.4, 4.4)) if ax is None else ax
        self.figure_ = self.ax_.figure
        earlier = len(self.ax_.containers)
        color, marker = STYLES[earlier % len(STYLES)]
        ends = np.clip([self.share - self.low, self.high - self.share], 0, None)
        style: dict[str, Any] = {"fmt": f"{marker}-", "color": color, "linewidth": 1}
        self.errorbar_ = self.ax_.errorbar(
            self.probability,
            self.share,
            yerr=ends,
            label=self._label(self.name if name is None else name),
            markersize=5,
            capsize=2,
            **style,
        )
        if not earlier:
            self.ax_.plot((0, 1), (0, 1), color="0.4", linestyle=":", label="reliable")
        self.ax_.set(xlabel="P(fake)", ylabel="share of fakes", aspect="equal")
        self.ax_.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        self.ax_.legend(loc="upper left", frameon=False, fontsize="small")
        return self

    def _label(self, name: str | None) -> str | None:
        if self.error is None:
            return name
        text = f"ECE {self.error:.3f}"
        return text if name is None else f"{name}: {text}"


def _edges(score: NDArray, n_bins: int, strategy: str) -> NDArray:
    """Return the inner edges of the bins."""
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    return inner if strategy == "uniform" else np.unique(np.quantile(score, inner))


def _wilson(share: NDArray, n: NDArray, confidence_level: float) -> tuple[NDArray, NDArray]:
    """Return the ends of Wilson's interval of shares of ``n`` items."""
    z = norm.ppf((1 + confidence_level) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return middle - half, middle + half
