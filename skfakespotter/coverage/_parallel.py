"""ParallelStatistics: the work on pictures split into joblib tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray

from skfakespotter._parallel import parallel_map
from skfakespotter._workers import in_this_process
from skfakespotter.coverage._direct import DirectStatistics
from skfakespotter.coverage._layers import Layout
from skfakespotter.coverage._statistics import Part, Statistics
from skfakespotter.images import ImageError

TASK_BATCHES = 4  # batches per task, at most


@dataclass(frozen=True)
class ParallelStatistics:
    """The statistics of pictures from tasks of a few batches each.

    Parameters
    ----------
    statistics : DirectStatistics or CachedStatistics
        What does the work; a copy goes to every task.
    n_jobs : int or None
        As in scikit-learn; None: what :func:`joblib.parallel_config` says.
    """

    statistics: Any
    n_jobs: int | None = None

    @property
    def layout(self) -> Layout:
        """Names and sizes of the layers."""
        return self.statistics.layout

    @property
    def direct(self) -> DirectStatistics:
        """The network behind the statistics, cached or not."""
        return getattr(self.statistics, "direct", self.statistics)

    @property
    def home(self) -> torch.device | None:
        """The device where counts are to lie; None for arrays."""
        return self.direct.lanes[0].network.device if self.direct.resident else None

    def sums(self, X: Any) -> Iterator[Part]:
        """Sum as :meth:`DirectStatistics.sums` does, in any order of the parts."""
        return self._run("sums", X)

    def counts(self, X: Any, thresholds: NDArray, granularity: str) -> Iterator[Part]:
        """Count as :meth:`DirectStatistics.counts` does, in any order of the parts."""
        return self._run("counts", X, thresholds, granularity)

    def n_tasks(self, X: Any) -> int:
        """Return the number of tasks that ``X`` is split into."""
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        n_batches = -(-len(X) // self.statistics.n_at_once)
        if n_jobs == 1 or n_batches == 1:
            return 1
        return min(n_batches, max(n_jobs, -(-n_batches // TASK_BATCHES)))

    def _run(self, method: str, X: Any, *args: Any) -> Iterator[Part]:
        n_tasks = self.n_tasks(X)
        if n_tasks == 1:
            yield from getattr(self.statistics, method)(X, *args)
            return
        statistics = self.statistics.for_tasks(X, *args)
        n_at_once = self.statistics.n_at_once
        chunk = -(-len(X) // (n_tasks * n_at_once)) * n_at_once
        starts = range(0, len(X), chunk)
        tasks = ((statistics, method, X[s : s + chunk], s, *args) for s in starts)
        for parts in parallel_map(_task, tasks, n_jobs=self.n_jobs):
            yield from parts


def _task(statistics: Statistics, method: str, X: Any, start: int, *args: Any) -> list[Part]:
    """Do a part of the work in a worker; positions and errors count from the whole."""
    statistics = replace(statistics)  # type: ignore[type-var]  # own monitors, among threads
    try:
        with in_this_process():
            parts = list(getattr(statistics, method)(X, *args))
    except ImageError as error:
        raise error.at((error.index or 0) + start, error.path) from error
    return [Part(np.asarray(part.positions) + start, part.values) for part in parts]
