"""Ahead: work done before it is asked for, in order, a bounded number of steps ahead."""

import threading
from collections import deque
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from itertools import islice

import joblib
from joblib.externals.loky import ProcessPoolExecutor

IDLE = 30  # seconds after which a worker without work ends

_POOLS = {}
_HERE = threading.local()


def work_ahead(submit, tasks, depth):
    """Submit tasks a bounded number of steps ahead of their consumer.

    Parameters
    ----------
    submit : callable
        ``submit(task)`` gives a future.
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
    >>> from skfakespotter.ahead import work_ahead
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


def in_processes(function, tasks, n_jobs, depth):
    """Run a function in processes, as :func:`work_ahead` does.

    Parameters
    ----------
    function : callable
        ``function(*task)``; both are pickled.
    tasks : iterable of tuple
        Arguments.
    n_jobs : int
        Processes. They are kept for further calls, and end when they have been idle.
    depth : int
        As for :func:`work_ahead`.

    Yields
    ------
    object
        Results, in order. What a worker that died was at is done in this process.
    """
    yield from work_ahead(lambda task: _Job(function, task, n_jobs), tasks, depth)


class _Job:
    """A future that is made good here where its worker died."""

    def __init__(self, function, task, n_jobs):
        self.function, self.task = function, task
        self.future = _submit(n_jobs, function, task)

    def result(self):
        try:
            return self.future.result()
        except BrokenExecutor:
            return self.function(*self.task)


def _submit(n_jobs, function, task):
    try:
        return _pool(n_jobs).submit(function, *task)
    except BrokenExecutor:
        del _POOLS[n_jobs]
        return _pool(n_jobs).submit(function, *task)


def _pool(n_jobs):
    if n_jobs not in _POOLS:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        _POOLS[n_jobs] = ProcessPoolExecutor(n_jobs, timeout=IDLE, env=one)
    return _POOLS[n_jobs]


def process_count(n_jobs):
    """Say how many processes may be used.

    Parameters
    ----------
    n_jobs : int or None
        As in scikit-learn; -1 for the CPU count.

    Returns
    -------
    int
        0 for none: not wanted, or this is itself a part of parallel work.

    Raises
    ------
    ValueError
        For ``n_jobs=0``.
    """
    if n_jobs == 0:
        raise ValueError("n_jobs is 0: expected None, a number of processes or -1.")
    backend, _ = joblib.parallel.get_active_backend()
    if n_jobs is None or getattr(backend, "nesting_level", 0) or getattr(_HERE, "alone", False):
        return 0
    return n_jobs if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + n_jobs)


@contextmanager
def in_this_process():
    """Let :func:`process_count` give 0 in this thread: for a task on a cluster."""
    before, _HERE.alone = getattr(_HERE, "alone", False), True
    try:
        yield
    finally:
        _HERE.alone = before
