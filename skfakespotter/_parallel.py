"""Parallel work through joblib, whatever its backend can do, and whichever worker dies."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from itertools import islice
from typing import Any

import joblib

from skfakespotter._pillow import PillowSettings, WithSettings

BLOCK = 8  # tasks a worker at a time, with a backend that returns them all at once
ROUNDS = 3  # workers may die in so many calls in a row before the run is given up


def parallel_map(
    function: Callable, tasks: Iterable[tuple], *, n_jobs: int | None = None
) -> Iterator[Any]:
    """Apply a function to tasks, side by side, and yield the results in order.

    Parameters
    ----------
    function : callable
        ``function(*task)``.
    tasks : iterable of tuple
        Arguments.
    n_jobs : int, default=None
        As in joblib: None is one, or what :func:`joblib.parallel_config` says. In a daemonic
        process, which may have no children, the work is done by that process itself.

    Yields
    ------
    object
        Results. With a backend that cannot yield them one by one they come in blocks.

    Raises
    ------
    RuntimeError
        When workers die again and again, for instance because memory runs out.

    Warns
    -----
    UserWarning
        When a worker has died; what it was at is done again.

    Examples
    --------
    >>> from skfakespotter._parallel import parallel_map
    >>> list(parallel_map(pow, [(2, 3), (3, 2)], n_jobs=2))
    [8, 9]
    """
    if multiprocessing.current_process().daemon or joblib.effective_n_jobs(n_jobs) == 1:
        for task in tasks:
            yield function(*task)
        return
    work, rest = WithSettings(PillowSettings.here(), function), list(tasks)
    done, failures = 0, 0
    while done < len(rest):
        try:
            for result in _results(work, rest[done:], n_jobs):
                done, failures = done + 1, 0
                yield result
        except BrokenExecutor as error:
            failures += 1
            if failures == ROUNDS:
                raise RuntimeError(
                    f"worker processes died {ROUNDS} times in a row, at task {done} of "
                    f"{len(rest)}, perhaps out of memory: lower n_jobs"
                ) from error
            warnings.warn(
                "A worker process died (killed, or out of memory); its work is done again.",
                stacklevel=2,
            )


def _results(work, tasks, n_jobs):
    """Yield results one by one where the backend can, otherwise in blocks."""
    backend, _ = joblib.parallel.get_active_backend()
    calls = (joblib.delayed(work)(*task) for task in tasks)
    if backend.supports_return_generator:
        yield from joblib.Parallel(n_jobs, return_as="generator")(calls)
        return
    size = BLOCK * joblib.effective_n_jobs(n_jobs)
    while block := list(islice(calls, size)):
        yield from joblib.Parallel(n_jobs)(block)
