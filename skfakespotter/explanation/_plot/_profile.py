"""Display of a coverage profile: how many neurons are active in each layer, real against fake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skfakespotter._channels import neurons_per_channel, sum_by_layer
from skfakespotter._style import FAKE, REAL, make_axes
from skfakespotter._typing import Labels, Pictures
from skfakespotter.evaluation import positive_label
from skfakespotter.explanation._plot._steps import split_at_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CoverageProfileDisplay:
    """Share of active neurons in each layer, of real and of fake faces.

    Lines are medians over the faces, bands hold the middle half of them. Make it with
    :meth:`from_counts` or :meth:`from_estimator`.

    Parameters
    ----------
    real, fake : array-like of shape (3, n_layers)
        Lower quartile, median and upper quartile of the share of active neurons, in
        percent, of each layer from input to output.
    layer_names : sequence of str of length n_layers, default=None
        Names of the layers; None numbers them from 1.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with both profiles.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    lines_ : list of matplotlib.lines.Line2D
        The medians, of real and of fake.

    See Also
    --------
    LayerImportanceDisplay : Which layers a classifier relies on.
    skfakespotter.load_coverage_sample : Counts that come with the package.

    Examples
    --------
    >>> from skfakespotter import CoverageProfileDisplay, load_coverage_sample
    >>> sample = load_coverage_sample(pair="stylegan", split="test")
    >>> display = CoverageProfileDisplay.from_counts(
    ...     sample.data, sample.target, n_neurons=sample.n_neurons
    ... )
    >>> display.real.shape
    (3, 30)
    """

    def __init__(
        self, real: ArrayLike, fake: ArrayLike, *, layer_names: Sequence[str] | None = None
    ) -> None:
        self.real, self.fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
        if self.real.ndim != 2 or self.real.shape != self.fake.shape or len(self.real) != 3:
            raise ValueError(
                f"real has shape {self.real.shape} and fake {self.fake.shape}: expected "
                "(3, n_layers) for both, quartiles by layer."
            )
        self.layer_names = None if layer_names is None else list(layer_names)

    @classmethod
    def from_counts(
        cls,
        counts: ArrayLike,
        y: Labels,
        *,
        n_neurons: ArrayLike,
        n_channels: ArrayLike | None = None,
        layer_names: Sequence[str] | None = None,
        pos_label: Any = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> CoverageProfileDisplay:
        """Draw the profile of counts.

        Parameters
        ----------
        counts : array-like of shape (n_samples, n_layers) or (n_samples, n_channels_total)
            Active neurons per layer, or per channel.
        y : array-like of shape (n_samples,)
            Labels of two classes.
        n_neurons : array-like of shape (n_layers,)
            Neurons of each layer.
        n_channels : array-like of shape (n_layers,), default=None
            Channels of each layer; needed for counts per channel.
        layer_names : sequence of str, default=None
            Names of the layers; None numbers them.
        pos_label : label, default=None
            The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        CoverageProfileDisplay
            The drawing.

        Raises
        ------
        ValueError
            When ``counts`` has neither one column per layer nor one per channel.
        """
        of_layer = _by_layer(np.asarray(counts, np.float64), n_neurons, n_channels)
        percent = 100 * of_layer / np.asarray(n_neurons)
        fake = np.asarray(y) == positive_label(y, pos_label)
        quartiles = (np.percentile(percent[rows], (25, 50, 75), axis=0) for rows in (~fake, fake))
        return cls(*quartiles, layer_names=layer_names).plot(ax, **options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Pictures,
        y: Labels,
        *,
        pos_label: Any = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> CoverageProfileDisplay:
        """Count the neurons of pictures and draw their profile.

        Parameters
        ----------
        estimator : NeuronCoverageTransformer or Pipeline
            Fitted; a pipeline, such as that of :func:`skfakespotter.make_fakespotter`,
            holds a transformer.
        X : sequence of n pictures
            What it takes.
        y : array-like of shape (n,)
            Labels of two classes.
        pos_label : int or str, default=None
            Label that means fake; see :meth:`from_counts`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        CoverageProfileDisplay
            The drawing.

        Raises
        ------
        TypeError
            When there is no NeuronCoverageTransformer.
        """
        head, coverage, _ = split_at_coverage(estimator)
        counts = np.asarray(head.transform(X), np.float64)
        per_channel = coverage.granularity == "channel"
        if coverage.output == "fraction":
            per = neurons_per_channel(coverage.n_neurons_, coverage.n_channels_)
            counts = counts * (per if per_channel else coverage.n_neurons_)
        return cls.from_counts(
            counts,
            y,
            n_neurons=coverage.n_neurons_,
            n_channels=coverage.n_channels_ if per_channel else None,
            layer_names=coverage.layer_names_,
            pos_label=pos_label,
            ax=ax,
            **options,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        real_name: str = "real",
        fake_name: str = "fake",
        show_names: bool = False,
    ) -> CoverageProfileDisplay:
        """Draw both profiles.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        real_name, fake_name : str, default="real" and "fake"
            Legend entries.
        show_names : bool, default=False
            Label the ticks with the names of the layers instead of their numbers.

        Returns
        -------
        CoverageProfileDisplay
            Itself, with ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((6.4, 3.2)) if ax is None else ax
        self.figure_ = self.ax_.figure
        depth = np.arange(1, self.real.shape[1] + 1)
        self.lines_: list[Any] = []
        for (low, middle, high), name, color, line in (
            (self.real, real_name, REAL, "-"),
            (self.fake, fake_name, FAKE, "--"),
        ):
            self.lines_ += self.ax_.plot(depth, middle, line, color=color, label=name)
            self.ax_.fill_between(depth, low, high, color=color, alpha=0.2, linewidth=0)
        self.ax_.set(xlabel="layer, from input to output", ylabel="active neurons (%)")
        if show_names and self.layer_names is not None:
            small: Any = {"rotation": 90, "fontsize": 6} if len(depth) > 12 else {}
            self.ax_.set_xticks(depth, self.layer_names, **small)
        self.ax_.margins(x=0.01)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(frameon=False, title="median and middle half")
        return self


def _by_layer(counts: NDArray, n_neurons: ArrayLike, n_channels: ArrayLike | None) -> NDArray:
    """Add the counts of a layer's channels."""
    n_layers = len(np.atleast_1d(n_neurons))
    if n_channels is None and counts.ndim == 2 and counts.shape[1] == n_layers:
        return counts
    wanted = np.atleast_1d(n_layers if n_channels is None else n_channels)
    if counts.ndim != 2 or n_channels is None or counts.shape[1] != wanted.sum():
        hint = "layer; pass n_channels for counts per channel" if n_channels is None else "channel"
        raise ValueError(
            f"counts has shape {counts.shape}: expected (n_samples, {wanted.sum()}), one column "
            f"per {hint}."
        )
    return sum_by_layer(counts, wanted)
