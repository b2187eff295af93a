"""ParallelStatistics: the work on pictures split into joblib tasks."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skfakespotter._parallel import parallel_map
from skfakespotter._workers import in_this_process
from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._equations import ExactSums
from skfakespotter.coverage._results import PartialResult
from skfakespotter.coverage._statistics import Statistics
from skfakespotter.images import ImageError

TASK_BATCHES = 4  # batches per task, at most


def in_tasks(statistics: Statistics, X: Any, n_jobs: int | None) -> Statistics:
    """Split the work on pictures into joblib tasks, where that is asked for and pays.

    Parameters
    ----------
    statistics : Statistics
        What does the work.
    X : list, ndarray or Tensor
        The pictures.
    n_jobs : int or None
        As in scikit-learn; None: what :func:`joblib.parallel_config` says.

    Returns
    -------
    Statistics
        The same, or what runs it in tasks.
    """
    parallel = ParallelStatistics(statistics, n_jobs)
    return statistics if parallel.n_tasks(X) == 1 else parallel


@dataclass(frozen=True)
class ParallelStatistics:
    """The statistics of pictures from tasks of a few batches each, in any order of the parts.

    Parameters
    ----------
    statistics : Statistics
        What does the work; a copy goes to every task.
    n_jobs : int or None
        As in scikit-learn; None: what :func:`joblib.parallel_config` says.
    """

    statistics: Statistics
    n_jobs: int | None = None

    @property
    def direct(self) -> DirectStatistics:
        """The network behind the statistics."""
        return self.statistics.direct

    def sums(self, X: Any) -> Iterator[PartialResult]:
        """Sum as :meth:`Statistics.sums` says."""
        return self._run(self.statistics.for_tasks(X), "sums", X)

    def counts(
        self, X: Any, thresholds: NDArray, granularity: str, seen: ExactSums | None = None
    ) -> Iterator[PartialResult]:
        """Count as :meth:`Statistics.counts` says."""
        of_tasks = self.statistics.for_tasks(X, thresholds, seen)
        return self._run(of_tasks, "counts", X, thresholds, granularity)

    def for_tasks(
        self, X: Any, thresholds: NDArray | None = None, seen: ExactSums | None = None
    ) -> Statistics:
        """Return what a task uses: it does not split its part again."""
        return self.statistics.for_tasks(X, thresholds, seen)

    def n_tasks(self, X: Any) -> int:
        """Return the number of tasks that ``X`` is split into."""
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if n_jobs == 1 or len(X) <= self.direct.n_at_once:
            return 1
        n_batches = -(-len(X) // self.direct.n_at_once)
        return min(n_batches, max(n_jobs, -(-n_batches // TASK_BATCHES)))

    def _run(
        self, statistics: Statistics, method: str, X: Any, *args: Any
    ) -> Iterator[PartialResult]:
        n_tasks, n_at_once = self.n_tasks(X), self.direct.n_at_once
        chunk = -(-len(X) // (n_tasks * n_at_once)) * n_at_once
        starts = range(0, len(X), chunk)
        tasks = ((statistics, method, X[s : s + chunk], s, *args) for s in starts)
        for parts in parallel_map(_task, tasks, n_jobs=self.n_jobs):
            yield from parts


def _task(
    statistics: Statistics, method: str, X: Any, start: int, *args: Any
) -> list[PartialResult]:
    """Do a part of the work in a worker; positions and errors count from the whole."""
    statistics = copy(statistics)  # monitors of its own, among threads
    try:
        with in_this_process():
            parts = list(getattr(statistics, method)(X, *args))
    except ImageError as error:
        raise error.at((error.index or 0) + start, error.path) from error
    return [PartialResult(np.asarray(part.positions) + start, part.values) for part in parts]
