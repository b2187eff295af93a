"""Display of layer importance: what a classifier loses when it cannot read a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._style import BLUE, make_axes
from skfakespotter._typing import Labels, Pictures, RandomState
from skfakespotter.explanation._plot._steps import split_at_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LayerImportanceDisplay:
    """Loss of score when the counts of one layer are shuffled among the faces.

    All columns of a layer are shuffled together, several times [1]_. A layer whose loss is
    about zero is not needed *beside the others*: layers that see alike can stand in for each
    other. Make it with :meth:`from_predictor` or :meth:`from_estimator`.

    Parameters
    ----------
    importances : array-like of shape (n_layers, n_repeats)
        Score of the classifier minus its score with the layer shuffled.
    layer_names : sequence of str of length n_layers
        Names of the layers, from input to output.
    score_name : str, default="AUC"
        What is lost.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the bars.
    figure_ : matplotlib.figure.Figure
        Figure that holds them.
    bars_ : matplotlib.container.BarContainer
        Mean losses; lines reach from the least to the largest of the repeats.

    See Also
    --------
    sklearn.inspection.permutation_importance : The same for one column at a time.
    CoverageProfileDisplay : What the layers count.
    explain : The layers of one face's score.

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45, 2001.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import LayerImportanceDisplay
    >>> X, y = [[0, 5], [1, 4], [4, 5], [5, 4]] * 5, [0, 0, 1, 1] * 5
    >>> display = LayerImportanceDisplay.from_predictor(
    ...     LogisticRegression().fit(X, y), X, y, layers=["conv1", "conv2"], random_state=0
    ... )
    >>> bool(display.importances[0].mean() > 0.2 > abs(display.importances[1]).max())
    True
    """

    def __init__(
        self, importances: ArrayLike, layer_names: Sequence[str], *, score_name: str = "AUC"
    ) -> None:
        self.importances = np.asarray(importances, np.float64)
        self.layer_names, self.score_name = list(layer_names), score_name
        if self.importances.ndim != 2 or len(self.importances) != len(self.layer_names):
            raise ValueError(
                f"importances has shape {self.importances.shape}: expected "
                f"({len(self.layer_names)}, n_repeats), one row per layer."
            )

    @classmethod
    @checked(n_repeats=[Interval(Integral, 1, None, closed="left")])
    def from_predictor(
        cls,
        predictor: Any,
        counts: ArrayLike,
        y: Labels,
        *,
        layers: Sequence[str],
        scoring: str | Callable = "roc_auc",
        n_repeats: int = 10,
        random_state: RandomState = None,
        ax: Axes | None = None,
        **options: Any,
    ) -> LayerImportanceDisplay:
        """Shuffle the counts of each layer and draw what a classifier of counts loses.

        Parameters
        ----------
        predictor : fitted classifier
            Takes counts.
        counts : array-like of shape (n_samples, n_features)
            Coverage of faces that it was not trained on.
        y : array-like of shape (n_samples,)
            Labels.
        layers : sequence of str of length n_features
            Layer of each column, such as ``sample.feature_names`` of counts per layer.
            ``"conv1[3]"``, the name of a channel, belongs to ``"conv1"``.
        scoring : str or callable, default="roc_auc"
            A scorer of scikit-learn.
        n_repeats : int, default=10
            Shuffles of each layer, at least 1.
        random_state : int, RandomState or None, default=None
            Seed of the shuffling.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`plot`.

        Returns
        -------
        LayerImportanceDisplay
            The drawing.

        Raises
        ------
        ValueError
            When ``layers`` does not name a layer for each column, or ``n_repeats`` is
            below 1.
        """
        X = np.asarray(counts, np.float64)
        check_consistent_length(X, y)
        names = np.array([str(name).partition("[")[0] for name in layers])
        if X.ndim != 2 or len(names) != X.shape[1]:
            raise ValueError(
                f"layers has {len(names)} names for counts of shape {X.shape}: expected one a "
                "column."
            )
        scorer = check_scoring(predictor, scoring=scoring)
        rng = check_random_state(random_state)
        unique = list(dict.fromkeys(names.tolist()))
        whole = scorer(predictor, X, y)
        losses = np.empty((len(unique), n_repeats))
        for row, repeat in np.ndindex(*losses.shape):
            shuffled = _shuffled(X, names == unique[row], rng)
            losses[row, repeat] = whole - scorer(predictor, shuffled, y)
        title = {"roc_auc": "AUC"}.get(scoring, scoring) if isinstance(scoring, str) else "score"
        return cls(losses, unique, score_name=title).plot(ax, **options)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Pictures, y: Labels, **options: Any
    ) -> LayerImportanceDisplay:
        """Count the neurons of pictures, shuffle each layer and draw what is lost.

        Parameters
        ----------
        estimator : fitted Pipeline
            From pictures to scores, with a NeuronCoverageTransformer as a step.
        X : sequence of n pictures
            Pictures that it was not trained on.
        y : array-like of shape (n,)
            Labels.
        **options : dict
            For :meth:`from_predictor`.

        Returns
        -------
        LayerImportanceDisplay
            The drawing.

        Raises
        ------
        TypeError
            When there is no NeuronCoverageTransformer, or no classifier behind it.
        """
        head, coverage, tail = split_at_coverage(estimator)
        if tail is None:
            raise TypeError("estimator has no classifier: expected a fitted Pipeline with one.")
        layers = list(coverage.get_feature_names_out())
        return cls.from_predictor(tail, head.transform(X), y, layers=layers, **options)

    def plot(self, ax: Axes | None = None, *, color: str = BLUE) -> LayerImportanceDisplay:
        """Draw a bar for each layer.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        color : str, default="#0072B2"
            Color of the bars.

        Returns
        -------
        LayerImportanceDisplay
            Itself, with ``ax_``, ``figure_`` and ``bars_``.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        self.ax_ = make_axes((6.4, 3.2)) if ax is None else ax
        self.figure_ = self.ax_.figure
        mean = self.importances.mean(1)
        ends = np.abs([self.importances.min(1), self.importances.max(1)] - mean)
        places = np.arange(len(mean))
        line = {"ecolor": "0.3", "elinewidth": 1}
        self.bars_ = self.ax_.bar(places, mean, color=color, yerr=ends, error_kw=line)
        self.ax_.axhline(0, color="black", linewidth=0.8)
        size = "small" if len(places) < 20 else 6
        self.ax_.set_xticks(places, self.layer_names, rotation=90, fontsize=size)
        self.ax_.set(
            xlabel="layer, from input to output", ylabel=f"{self.score_name} lost when shuffled"
        )
        self.ax_.margins(x=0.01)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self


def _shuffled(X: NDArray, columns: NDArray, rng: np.random.RandomState) -> NDArray:
    """Return a copy whose columns of one layer come from other rows."""
    copy = X.copy()
    copy[:, columns] = X[rng.permutation(len(X))][:, columns]
    return copy
