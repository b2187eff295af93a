"""Batches: pictures decoded ahead of their consumer, a bounded number of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np

from .ahead import in_processes, process_count, work_ahead
from .images import ImageError, fit_to, is_path, load_image

CHUNK = 8  # pictures that a process makes at a time


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
    >>> from skfakespotter.batches import iter_images
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
    >>> from skfakespotter.batches import iter_batches
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
