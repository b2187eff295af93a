"""Results: what protocols and robustness curves return; tables that save and draw themselves."""

from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import RocCurveDisplay

from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._plot import (
    RobustnessDisplay,
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._tables import Table

PERCENTILES = (2.5, 97.5)  # ends of the 95 % bootstrap intervals under attack


class _Drawn(Table):
    """A table with a display; a subclass gives ``_display()``."""

    def plot(self, ax=None):
        """Draw the result.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display
            One of this package's displays, with ``ax_`` and ``figure_``.
        """
        return self._display().plot(ax)


@dataclass(frozen=True, eq=False)
class WithinPairResult(Table):
    """Out-of-fold scores of one pair; what ``within_pair`` returns.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        Labels as they were given.
    scores : ndarray of shape (n_samples,)
        Score of each item from the one detector that did not see its group.
    folds : ndarray of shape (n_samples,)
        Fold in which each item was tested, from 0.
    fold_auc : ndarray of shape (n_folds,)
        AUC within each fold.
    groups : ndarray of shape (n_samples,) or None
        Groups as they were given.
    threshold : float
        0.5 for probabilities, 0 for decision values.
    pos_label : label
        The label of fakes.
    """

    y_true: np.ndarray
    scores: np.ndarray
    folds: np.ndarray
    fold_auc: np.ndarray
    groups: np.ndarray | None
    threshold: float
    pos_label: object

    def report(self, **options):
        """Give the eleven figures on the scores of all folds together.

        Its AUC ranks items of different folds against each other; ``fold_auc.mean()``
        does not. They differ where the folds' detectors score on different scales.

        Parameters
        ----------
        **options
            For :func:`~skfakespotter.evaluation.detection_report`: ``threshold``,
            ``n_bootstraps``, ``confidence_level``, ``random_state``.

        Returns
        -------
        DetectionReport
            Intervals are drawn by group where there are groups.
        """
        options = {"threshold": self.threshold, "groups": self.groups, **options}
        return detection_report(self.y_true, self.scores, pos_label=self.pos_label, **options)

    def plot(self, ax=None):
        """Draw the ROC curve of the scores of all folds together.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        sklearn.metrics.RocCurveDisplay
            With ``ax_`` and ``figure_``.
        """
        return RocCurveDisplay.from_predictions(
            self.y_true,
            self.scores,
            pos_label=self.pos_label,
            name="out of fold",
            ax=ax,
            plot_chance_level=True,
        )

    def _columns(self):
        columns = {"item": list(range(len(self.scores))), "label": self.y_true.tolist()}
        if self.groups is not None:
            columns["group"] = self.groups.tolist()
        return columns | {"fold": self.folds.tolist(), "score": self.scores.tolist()}


@dataclass(frozen=True, eq=False)
class CrossGeneratorResult(_Drawn):
    """A detector trained on each set, tested on each; what ``cross_generator`` returns.

    ``plot`` draws the matrix of AUC with its values printed.

    Parameters
    ----------
    names : list of str
        The sets.
    reports : dict of (str, str) to DetectionReport
        Figures by (training set, test set), with intervals.
    n_train : dict of (str, str) to int
        Items the detector was fitted on; where there are folds, their mean, rounded.
    """

    names: list
    reports: dict
    n_train: dict

    @property
    def matrix(self):
        """AUC, ndarray of shape (n_sets, n_sets): a row a training set, a column a test set."""
        return np.array([[self.reports[a, b]["AUC"].value for b in self.names] for a in self.names])

    def _display(self):
        return ScoreMatrixDisplay(self.matrix, self.names)

    def _columns(self):
        pairs = [(a, b) for a in self.names for b in self.names]
        columns = {"train": [a for a, _ in pairs], "test": [b for _, b in pairs]}
        columns |= _auc_columns([self.reports[pair] for pair in pairs])
        return columns | {"n_train": [self.n_train[pair] for pair in pairs]}


@dataclass(frozen=True, eq=False)
class LeaveOneOutResult(_Drawn):
    """A detector tested on each set in turn; what ``leave_one_generator_out`` returns.

    ``plot`` draws the AUC on each set with its interval.

    Parameters
    ----------
    reports : dict of str to DetectionReport
        Figures by the set that was left out.
    n_train : dict of str to int
        Items of the other sets that the detector was fitted on; of folds, the rounded mean.
    """

    reports: dict
    n_train: dict

    def _display(self):
        return ScoreIntervalDisplay(
            list(self.reports), *_auc_columns(self.reports.values()).values()
        )

    def _columns(self):
        columns = {"test": list(self.reports)} | _auc_columns(self.reports.values())
        return columns | {"n_train": list(self.n_train.values())}


@dataclass(frozen=True, eq=False)
class LearningCurveResult(_Drawn):
    """AUC by training size; what ``detection_learning_curve`` returns.

    ``plot`` draws mean and standard deviation against the number of training items.

    Parameters
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Numbers of training items, rising.
    scores : ndarray of shape (n_sizes, n_repeats, n_folds)
        AUC on the test fold.
    """

    train_sizes: np.ndarray
    scores: np.ndarray = field(repr=False)

    def _display(self):
        return TrainingSizeDisplay(self.train_sizes, self.scores.reshape(len(self.train_sizes), -1))

    def _columns(self):
        size, repeat, fold = np.indices(self.scores.shape).reshape(3, -1)
        return {
            "n_train": self.train_sizes[size].tolist(),
            "repeat": repeat.tolist(),
            "fold": fold.tolist(),
            "auc": self.scores.ravel().tolist(),
        }


@dataclass(frozen=True, eq=False)
class RobustnessCurve(Table):
    """Scores of one detector under attacks.

    :mod:`skfakespotter.evaluation._robustness` returns it.

    Parameters
    ----------
    clean_score : float
        Score on the pictures as they came.
    columns : dict of str to list
        The table: ``attack`` (name), ``intensity`` (in the attack's unit, weak to strong),
        ``score`` and ``drop`` (clean score minus score); with bootstraps also ``score_low``,
        ``score_high``, ``drop_low`` and ``drop_high``, ends of 95 % intervals.
    scores : dict of (str, intensity) to ndarray of shape (n,)
        What the estimator said of each picture, larger = more fake: decision values or
        probabilities, whichever the scorer asked for. The key of the unperturbed pictures is
        ``("clean", None)``. Empty when the scorer asked for labels alone.
    y_true : ndarray of shape (n,)
        1 for fake, 0 for real, in the order of ``scores``.
    scoring : str
        Name of the scorer.
    bootstraps : ndarray of shape (1 + n_rows, n_bootstraps), default=None
        Scores of the resamples; row 0 is clean, then as in ``columns``.
    """

    clean_score: float
    columns: dict
    scores: dict
    y_true: np.ndarray
    scoring: str
    bootstraps: np.ndarray | None = None

    @property
    def mean_drop(self):
        """Average fall of the score in points (hundredths), as the paper reports it.

        Of each attack over its intensities, and of all of them under the key ``"average"``
        (attacks count alike). The paper's own figure is 3.77 points of AUC, averaged over the
        four attacks alone: leave combined chains out to compare.
        """
        return {name: float(drop) for name, drop in self._means(np.asarray(self.columns["drop"]))}

    @property
    def mean_drop_interval(self):
        """95 % intervals (low, high) of ``mean_drop``, in points; empty without bootstraps."""
        if self.bootstraps is None:
            return {}
        drops = self._means(self.bootstraps[0] - self.bootstraps[1:])
        return {name: tuple(np.percentile(drop, PERCENTILES).tolist()) for name, drop in drops}

    def plot(self, ax=None, *, name=None):
        """Draw one panel for each attack.

        Parameters
        ----------
        ax : array of matplotlib Axes, default=None
            ``display.axes_`` of an earlier drawing, to compare. None makes a figure.
        name : str, default=None
            Legend entry.

        Returns
        -------
        RobustnessDisplay
            The drawing.
        """
        return RobustnessDisplay.from_curve(self, ax=ax, name=name)

    def _columns(self):
        return self.columns

    def _means(self, drops):
        attack = np.asarray(self.columns["attack"])
        names = list(dict.fromkeys(self.columns["attack"]))
        means = [100 * drops[attack == name].mean(axis=0) for name in names]
        return [*zip(names, means, strict=True), ("average", np.mean(means, axis=0))]


def _auc_columns(reports):
    value, low, high = zip(*(report["AUC"] for report in reports), strict=True)
    return {"auc": list(value), "low": list(low), "high": list(high)}
