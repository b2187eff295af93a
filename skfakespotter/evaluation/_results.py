"""Results: what protocols and robustness curves return; tables that save and draw themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._tables import Table
from skfakespotter.evaluation._curve import PERCENTILES, AttackScores
from skfakespotter.evaluation._metrics import detection_report
from skfakespotter.evaluation._plot import (
    DetectionCurveDisplay,
    RobustnessDisplay,
    ScoreIntervalDisplay,
    ScoreMatrixDisplay,
    TrainingSizeDisplay,
)
from skfakespotter.evaluation._report import DetectionReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Result(Table):
    """A table that shows itself in one line; a subclass has ``_summary()``, facts by name."""

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self._summary().items())
        return f"{type(self).__name__}({facts})"

    def _summary(self) -> dict[str, str]:
        raise NotImplementedError(f"{type(self).__name__} has no _summary()")


class _Drawn(Result):
    """A result with a display; a subclass has ``_display()``."""

    def plot(self, ax: Axes | None = None) -> Any:
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

    def _display(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _display()")


@dataclass(frozen=True, eq=False, repr=False)
class WithinPairResult(Result):
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

    y_true: NDArray
    scores: NDArray
    folds: NDArray
    fold_auc: NDArray
    groups: NDArray | None
    threshold: float
    pos_label: Any

    def report(self, **options: Any) -> DetectionReport:
        """Return the eleven figures on the scores of all folds together.

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

    def plot(self, ax: Axes | None = None, **options: Any) -> DetectionCurveDisplay:
        """Draw the ROC curve of the scores of all folds together, with its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        **options : dict
            For :meth:`DetectionCurveDisplay.from_predictions
            <skfakespotter.DetectionCurveDisplay.from_predictions>`: ``kind``, ``name``,
            ``n_bootstraps``, ``confidence_level``, ``random_state``.

        Returns
        -------
        DetectionCurveDisplay
            With ``ax_`` and ``figure_``; resampled by group where there are groups.
        """
        return DetectionCurveDisplay.from_predictions(
            self.y_true,
            self.scores,
            groups=self.groups,
            pos_label=self.pos_label,
            ax=ax,
            **options,
        )

    def _columns(self) -> dict[str, list]:
        columns = {"item": list(range(len(self.scores))), "label": self.y_true.tolist()}
        if self.groups is not None:
            columns["group"] = self.groups.tolist()
        return columns | {"fold": self.folds.tolist(), "score": self.scores.tolist()}

    def _summary(self) -> dict[str, str]:
        auc = f"{self.fold_auc.mean():.3f} ± {self.fold_auc.std():.3f}"
        return {"fold_auc": auc, "n_folds": f"{len(self.fold_auc)}", "n": f"{len(self.scores)}"}


@dataclass(frozen=True, eq=False, repr=False)
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

    names: list[str]
    reports: dict[tuple[str, str], DetectionReport]
    n_train: dict[tuple[str, str], int]

    @property
    def matrix(self) -> NDArray:
        """AUC, ndarray of shape (n_sets, n_sets): a row a training set, a column a test set."""
        return np.array([[self.reports[a, b]["AUC"].value for b in self.names] for a in self.names])

    def _display(self) -> ScoreMatrixDisplay:
        return ScoreMatrixDisplay(self.matrix, self.names)

    def _columns(self) -> dict[str, list]:
        pairs = [(a, b) for a in self.names for b in self.names]
        columns: dict[str, list] = {"train": [a for a, _ in pairs], "test": [b for _, b in pairs]}
        columns |= _auc_columns([self.reports[pair] for pair in pairs])
        return columns | {"n_train": [self.n_train[pair] for pair in pairs]}

    def _summary(self) -> dict[str, str]:
        others = self.matrix[~np.eye(len(self.names), dtype=bool)]
        return {
            "names": f"{self.names}",
            "auc_within": f"{np.diag(self.matrix).mean():.3f}",
            "auc_across": f"{others.mean():.3f}",
        }


@dataclass(frozen=True, eq=False, repr=False)
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

    reports: dict[str, DetectionReport]
    n_train: dict[str, int]

    def _display(self) -> ScoreIntervalDisplay:
        return ScoreIntervalDisplay(
            list(self.reports), *_auc_columns(self.reports.values()).values()
        )

    def _columns(self) -> dict[str, list]:
        columns = {"test": list(self.reports)} | _auc_columns(self.reports.values())
        return columns | {"n_train": list(self.n_train.values())}

    def _summary(self) -> dict[str, str]:
        return {name: f"{report['AUC'].value:.3f}" for name, report in self.reports.items()}


@dataclass(frozen=True, eq=False, repr=False)
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

    train_sizes: NDArray
    scores: NDArray

    def _display(self) -> TrainingSizeDisplay:
        return TrainingSizeDisplay(self.train_sizes, self.scores.reshape(len(self.train_sizes), -1))

    def _columns(self) -> dict[str, list]:
        size, repeat, fold = np.indices(self.scores.shape).reshape(3, -1)
        return {
            "n_train": self.train_sizes[size].tolist(),
            "repeat": repeat.tolist(),
            "fold": fold.tolist(),
            "auc": self.scores.ravel().tolist(),
        }

    def _summary(self) -> dict[str, str]:
        auc = self.scores.reshape(len(self.train_sizes), -1).mean(axis=1).round(3)
        return {"train_sizes": f"{self.train_sizes.tolist()}", "auc": f"{auc.tolist()}"}


@dataclass(frozen=True, eq=False, repr=False)
class RobustnessCurve(AttackScores, Result):
    """Scores of one detector under attacks; what ``robustness_curve`` returns.

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
    attacked : ndarray of shape (n_attacked,), int
        Positions of the pictures that were attacked, to which scores and drops refer. The
        others have only a clean score; NaN stands for them under attack.
    bootstraps : ndarray of shape (1 + n_rows, n_bootstraps), default=None
        Scores of the resamples; row 0 is clean, then as in ``columns``.
    """

    @property
    def mean_drop(self) -> dict[str, float]:
        """Average fall of the score in points (hundredths), as the paper reports it.

        Of each attack over its intensities, and of all of them under the key ``"average"``
        (attacks count alike). The paper's own figure is 3.77 points of AUC, averaged over the
        four attacks alone: leave combined chains out to compare.
        """
        return {name: float(drop) for name, drop in self._means(np.asarray(self.columns["drop"]))}

    @property
    def mean_drop_interval(self) -> dict[str, tuple[float, float]]:
        """95 % intervals (low, high) of ``mean_drop``, in points; empty without bootstraps."""
        if self.bootstraps is None:
            return {}
        drops = self._means(self.bootstraps[0] - self.bootstraps[1:])
        return {name: tuple(np.percentile(drop, PERCENTILES).tolist()) for name, drop in drops}

    def plot(self, ax: Any = None, *, name: str | None = None) -> RobustnessDisplay:
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

    def _columns(self) -> dict[str, list]:
        return self.columns

    def _summary(self) -> dict[str, str]:
        drops = {name: round(drop, 2) for name, drop in self.mean_drop.items()}
        return {
            "scoring": repr(self.scoring),
            "clean_score": f"{self.clean_score:.3f}",
            "mean_drop": f"{drops}",
        }

    def _means(self, drops: NDArray) -> list[tuple[str, Any]]:
        attack = np.asarray(self.columns["attack"])
        names = list(dict.fromkeys(self.columns["attack"]))
        means = [100 * drops[attack == name].mean(axis=0) for name in names]
        return [*zip(names, means, strict=True), ("average", np.mean(means, axis=0))]


def _auc_columns(reports: Iterable[DetectionReport]) -> dict[str, list[float]]:
    value, low, high = zip(*(report["AUC"] for report in reports), strict=True)
    return {"auc": list(value), "low": list(low), "high": list(high)}
