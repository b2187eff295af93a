"""Protocols over clips: within a method, with one left out, and across data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import Bunch, check_consistent_length

from skfakespotter._tables import Table
from skfakespotter.video._results import ClipReport, ClipScore, clip_report
from skfakespotter.video._scorer import VideoScorer
from skfakespotter.video._weights import balanced_weights


@dataclass(frozen=True, eq=False)
class ClipEvaluation(Table):
    """Scores of clips of unknown identities; what the protocols return.

    Attributes
    ----------
    tests : dict of str to (list of ClipScore, ndarray, ndarray)
        For each test, such as a method: scores, labels (1 is fake) and groups of its clips.
    n_bootstraps : int
        Resamples of groups behind the intervals.
    """

    tests: dict[str, tuple[list[ClipScore], NDArray[np.int64], NDArray[Any]]]
    n_bootstraps: int = 1000

    def __repr__(self) -> str:
        values = zip(self._columns()["test"], self._columns()["clip AUC"], strict=True)
        return f"ClipEvaluation({', '.join(f'{name}: {value:.3f}' for name, value in values)})"

    def report(self, test: str) -> ClipReport:
        """Compute all figures of one test, over clips and over frames.

        Parameters
        ----------
        test : str
            A key of ``tests``.

        Returns
        -------
        ClipReport
            Intervals are from drawing whole groups.
        """
        scores, y, groups = self.tests[test]
        return clip_report(scores, y, groups=groups, n_bootstraps=self.n_bootstraps)

    def _columns(self):
        columns: dict[str, list] = {"test": list(self.tests)}
        reports = [self.report(test) for test in self.tests]
        for level in ("clip", "frame"):
            figures = [getattr(report, level)["AUC"] for report in reports]
            columns[f"{level} AUC"] = [figure.value for figure in figures]
            columns[f"{level} low"] = [figure.low for figure in figures]
            columns[f"{level} high"] = [figure.high for figure in figures]
            columns[f"{level}s"] = [getattr(report, level).n_samples for report in reports]
        columns["groups"] = [report.clip.n_groups for report in reports]
        columns["left out"] = [report.n_no_face + report.n_unreadable for report in reports]
        return columns


def within_methods(
    scorer: VideoScorer,
    clips: Bunch,
    *,
    methods: Iterable[str] | None = None,
    tested_as: Sequence[str] | None = None,
    cv: int = 5,
    random_state: int = 0,
    n_bootstraps: int = 1000,
) -> ClipEvaluation:
    """Cross-validate a detector of clips on each method against the real clips.

    Parameters
    ----------
    scorer : VideoScorer
        Clones are fitted.
    clips : Bunch
        From :func:`load_clips`.
    methods : iterable of str, default=None
        Which; None: all. "all" is all of them at once, each with the same weight where the
        detector takes weights.
    tested_as : sequence of str, default=None
        For each of ``clips.data`` the path that is tested in its place, such as a copy that was
        compressed; training sees the clips themselves. None: they are tested themselves.
    cv : int, default=5
        Shuffled folds; connected identities are tested in the same fold.
    random_state : int, default=0
        Seed of the folds.
    n_bootstraps : int, default=1000
        Resamples of groups for the intervals.

    Returns
    -------
    ClipEvaluation
        One test per method.
    """
    folds = _folds(clips, cv, random_state)
    every = _methods(clips)
    chosen_methods = sorted(every) if methods is None else methods
    return _evaluate(
        scorer,
        clips,
        folds,
        {name: every if name == "all" else {name} for name in chosen_methods},
        lambda chosen: chosen,
        n_bootstraps,
        clips.data if tested_as is None else tested_as,
    )


def leave_one_method_out(
    scorer: VideoScorer,
    clips: Bunch,
    *,
    cv: int = 5,
    random_state: int = 0,
    n_bootstraps: int = 1000,
) -> ClipEvaluation:
    """Train on all methods but one and test on that one, for each in turn.

    The method left out is tested fold by fold, and no clip with an identity of the fold is
    trained on.

    Parameters
    ----------
    scorer : VideoScorer
        Clones are fitted.
    clips : Bunch
        From :func:`load_clips`.
    cv : int, default=5
        Shuffled folds; connected identities are tested in the same fold.
    random_state : int, default=0
        Seed of the folds.
    n_bootstraps : int, default=1000
        Resamples of groups for the intervals.

    Returns
    -------
    ClipEvaluation
        One test per method.

    Raises
    ------
    ValueError
        When there are fewer than two methods.
    """
    every = _methods(clips)
    if len(every) < 2:
        raise ValueError(f"clips holds the methods {sorted(every)}: expected two or more.")
    return _evaluate(
        scorer,
        clips,
        _folds(clips, cv, random_state),
        {name: {name} for name in sorted(every)},
        lambda chosen: every - chosen,
        n_bootstraps,
        clips.data,
    )


def across_data_sets(
    scorer: VideoScorer,
    train: Bunch,
    tests: dict[str, Bunch],
    *,
    n_bootstraps: int = 1000,
) -> ClipEvaluation:
    """Train on one data set and test on others.

    Parameters
    ----------
    scorer : VideoScorer
        A clone is fitted on all of ``train``.
    train : Bunch
        From :func:`load_clips`.
    tests : dict of str to Bunch
        Data sets by name. Identities are taken to be others than those of ``train``.
    n_bootstraps : int, default=1000
        See :func:`within_methods`.

    Returns
    -------
    ClipEvaluation
        One test per data set.
    """
    fitted = _fit(scorer, train, np.arange(len(train.data)))
    return ClipEvaluation(
        {
            name: (fitted.score_clips(test.data), test.target, test.groups)
            for name, test in tests.items()
        },
        n_bootstraps,
    )


def _methods(clips: Bunch) -> set[str]:
    return set(clips.method[clips.target == 1].tolist())


def _folds(clips: Bunch, cv: int, random_state: int) -> list[NDArray[np.int64]]:
    """Positions under test, fold by fold; the same for every method."""
    splitter = StratifiedGroupKFold(cv, shuffle=True, random_state=random_state)
    splits = splitter.split(clips.data, clips.method, clips.groups)
    return [test for _, test in splits]


def _evaluate(
    scorer: VideoScorer,
    clips: Bunch,
    folds: list[NDArray[np.int64]],
    tested: dict[str, set[str]],
    trained_for: Callable[[set[str]], set[str]],
    n_bootstraps: int,
    tested_as: Sequence[str],
) -> ClipEvaluation:
    check_consistent_length(clips.data, tested_as)
    tests = {}
    for name, chosen in tested.items():
        of_training, of_test = _rows(clips, trained_for(chosen)), _rows(clips, chosen)
        scores: dict[int, ClipScore] = {}
        for fold in folds:
            fitted = _fit(scorer, clips, np.setdiff1d(of_training, fold))
            under_test = np.intersect1d(of_test, fold)
            paths = [tested_as[row] for row in under_test]
            scores.update(zip(under_test.tolist(), fitted.score_clips(paths), strict=True))
        rows = sorted(scores)
        tests[name] = ([scores[row] for row in rows], clips.target[rows], clips.groups[rows])
    return ClipEvaluation(tests, n_bootstraps)


def _rows(clips: Bunch, methods: set[str]) -> NDArray[np.int64]:
    """Positions of the real clips and of those of some methods."""
    return np.flatnonzero((clips.target == 0) | np.isin(clips.method, sorted(methods)))


def _fit(scorer: VideoScorer, clips: Bunch, rows: NDArray[np.int64]) -> VideoScorer:
    y, options = clips.target[rows], {}
    if scorer.takes_weights:
        options["sample_weight"] = balanced_weights(y, clips.method[rows])
    paths = [clips.data[row] for row in rows]
    return clone(scorer).fit(paths, y, groups=clips.groups[rows], **options)
