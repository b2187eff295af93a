"""Workers: processes that work a bounded number of steps ahead of their consumer."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import joblib
from joblib.externals.loky import ProcessPoolExecutor

IDLE = 30  # seconds after which a worker without work ends
N_THREADS = min(os.cpu_count() or 1, 8)  # for work that releases the interpreter lock

_POOLS: dict[int, ProcessPoolExecutor] = {}
_HERE = threading.local()
if hasattr(os, "register_at_fork"):  # a child has none of its parent's workers
    os.register_at_fork(after_in_child=_POOLS.clear)


def work_ahead(submit: Callable, tasks: Iterable, depth: int) -> Iterator:
    """Submit tasks a bounded number of steps ahead of their consumer.

    Parameters
    ----------
    submit : callable
        ``submit(task)`` returns a future.
    tasks : iterable
        What to submit.
    depth : int
        Tasks under way or done, and not yet taken.

    Yields
    ------
    object
        Results, in order.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from skfakespotter._workers import work_ahead
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(work_ahead(lambda n: pool.submit(pow, n, 2), range(4), depth=2))
    [0, 1, 4, 9]
    """
    tasks = iter(tasks)
    waiting = deque(submit(task) for task in islice(tasks, depth))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(submit(task) for task in islice(tasks, 1))
        yield result


def in_threads(
    function: Callable,
    *items: Sequence,
    n_threads: int = N_THREADS,
    initializer: Callable | None = None,
) -> list:
    """Map a function that releases the interpreter lock over many items.

    Parameters
    ----------
    function : callable
        Of one item of each sequence.
    *items : sequence
        Of one length.
    n_threads : int, default=the CPU count, at most 8
        Threads at most.
    initializer : callable, default=None
        Called in each thread first; not where the caller's own thread does the work.

    Returns
    -------
    list
        Results, in order.

    Examples
    --------
    >>> from skfakespotter._workers import in_threads
    >>> in_threads(pow, [2, 3], [1, 2])
    [2, 9]
    """
    n_threads = min(n_threads, len(items[0]))
    if n_threads < 2:
        return list(map(function, *items))
    with ThreadPoolExecutor(n_threads, "in-threads", initializer=initializer) as pool:
        return list(pool.map(function, *items))


def in_processes(
    function: Callable, tasks: Iterable[tuple], n_processes: int, depth: int
) -> Iterator[Any]:
    """Run a function in processes, as :func:`work_ahead` does.

    Parameters
    ----------
    function : callable
        ``function(*task)``; both are pickled.
    tasks : iterable of tuple
        Arguments.
    n_processes : int
        Processes. They are kept for further calls, and end when they have been idle.
    depth : int
        As for :func:`work_ahead`.

    Yields
    ------
    object
        Results, in order. What a worker that died was at is done in this process.
    """
    yield from work_ahead(lambda task: _Job(function, task, n_processes), tasks, depth)


class _Job:
    """A future whose task is repeated in this process when its worker died."""

    def __init__(self, function, task, n_processes):
        self.function, self.task = function, task
        self.future = _submit(n_processes, function, task)

    def result(self):
        try:
            return self.future.result()
        except BrokenExecutor:
            return self.function(*self.task)


def _submit(n_processes, function, task):
    try:
        return _pool(n_processes).submit(function, *task)
    except BrokenExecutor:
        del _POOLS[n_processes]
        return _pool(n_processes).submit(function, *task)


def _pool(n_processes):
    if n_processes not in _POOLS:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        _POOLS[n_processes] = ProcessPoolExecutor(n_processes, timeout=IDLE, env=one)
    return _POOLS[n_processes]


def process_count(n_processes: int | None, name: str = "n_processes") -> int:
    """Return how many processes may be used.

    Parameters
    ----------
    n_processes : int or None
        As ``n_jobs`` in scikit-learn: None for none, -1 for the CPU count.
    name : str, default="n_processes"
        What the caller calls it, for the message of the error.

    Returns
    -------
    int
        0 for none: not wanted, or this is itself a part of parallel work, or a daemonic
        process, which may have no children.

    Raises
    ------
    ValueError
        For 0; it names the caller's parameter.

    Examples
    --------
    >>> from skfakespotter._workers import process_count
    >>> process_count(None), process_count(2)
    (0, 2)
    """
    if n_processes == 0:
        raise ValueError(f"{name} is 0: expected None, a number of processes or -1.")
    if n_processes is None or getattr(_HERE, "alone", False):
        return 0
    backend, _ = joblib.parallel.get_active_backend()
    if getattr(backend, "nesting_level", 0) or multiprocessing.current_process().daemon:
        return 0
    return n_processes if n_processes > 0 else max(1, joblib.cpu_count() + 1 + n_processes)


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let :func:`process_count` return 0 in this thread: for a task on a cluster."""
    before, _HERE.alone = getattr(_HERE, "alone", False), True
    try:
        yield
    finally:
        _HERE.alone = before
