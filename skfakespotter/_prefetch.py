"""Prefetching: pictures decoded before they are asked for, in order, a bounded number of them."""

import os
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice

import joblib
import numpy as np
from joblib.externals.loky import ProcessPoolExecutor

from skfakespotter.images import ImageError, fit_to, is_path, load_image

CHUNK = 8  # pictures that a process makes at a time
IDLE = 30  # seconds after which a worker without work ends

_POOLS = {}
_HERE = threading.local()


def iter_images(X, prepare=None, *, draft_side=None, n_threads=None, ahead=None):
    """Decode pictures in order, a bounded number of them ahead of the consumer.

    Parameters
    ----------
    X : list or ndarray
        What :func:`skfakespotter.images.check_images` returned.
    prepare : callable, default=None
        Applied to each uint8 RGB array in the decoding thread or process.
    draft_side : int, default=None
        See :func:`skfakespotter.images.load_image`.
    n_threads : int, default=None
        Decoding threads (Pillow releases the interpreter lock). None: the CPU count, at most
        8. Pictures that have an attribute ``n_jobs``, because making them holds the lock, are
        made in so many processes instead.
    ahead : int, default=None
        Pictures that are ready or being made before they are asked for. None: 8 a thread or
        24 a process.

    Yields
    ------
    object
        What ``prepare`` returned, or a uint8 array (h, w, 3).

    Raises
    ------
    ImageError
        At the first picture that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter._prefetch import iter_images
    >>> [image.shape for image in iter_images([np.zeros((4, 6), np.uint8)])]
    [(4, 6, 3)]
    """
    n_processes = process_count(getattr(X[0], "n_jobs", None)) if len(X) > CHUNK else 0
    if n_processes:
        depth = 3 * n_processes if ahead is None else -(-ahead // CHUNK)
        starts = range(0, len(X), CHUNK)
        tasks = ((X[s : s + CHUNK], s, prepare, draft_side) for s in starts)
        for images in in_processes(_load_chunk, tasks, n_processes, depth):
            yield from images
        return
    n_threads = n_threads or min(os.cpu_count() or 1, 8)
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="decode")
    try:
        submit = lambda i: pool.submit(_load, X[i], i, prepare, draft_side)  # noqa: E731
        yield from work_ahead(submit, range(len(X)), ahead or 8 * n_threads)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def iter_batches(X, batch_size, size, crop=1.0):
    """Give the pictures as uint8 batches of one size, decoded ahead of the consumer.

    Parameters
    ----------
    X : list or ndarray
        What :func:`skfakespotter.images.check_images` returned.
    batch_size : int
        Pictures per batch; the last batch may be smaller.
    size, crop : (int, int) and float, default=1.0
        Height and width in pixels, part of the shorter side; see
        :func:`skfakespotter.images.fit_to`.

    Yields
    ------
    ndarray of shape (at most batch_size, size[0], size[1], 3), uint8
        RGB.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter._prefetch import iter_batches
    >>> [b.shape for b in iter_batches([np.zeros((40, 60), np.uint8)] * 3, 2, (20, 20))]
    [(2, 20, 20, 3), (1, 20, 20, 3)]
    """
    if isinstance(X, np.ndarray) and X.shape[1:3] == tuple(size):
        for start in range(0, len(X), batch_size):
            yield X[start : start + batch_size]
        return
    fit = partial(fit_to, size=size, crop=crop)
    # the consumer takes a whole batch at once, and computes while the next one is made
    images = iter_images(X, fit, draft_side=max(size), ahead=2 * batch_size)
    while batch := list(islice(images, batch_size)):
        yield np.stack(batch)


def _load(picture, index, prepare, draft_side):
    image = load_image(picture, index=index, draft_side=draft_side)
    try:
        return image if prepare is None else prepare(image)
    except ImageError as error:
        path = os.fspath(picture) if is_path(picture) else None
        raise ImageError(error.reason, index, path) from error


def _load_chunk(pictures, start, prepare, draft_side):
    return [_load(picture, i, prepare, draft_side) for i, picture in enumerate(pictures, start)]


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
    >>> from skfakespotter._prefetch import work_ahead
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
