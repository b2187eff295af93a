"""Prefetching: pictures decoded before they are asked for, in order, a bounded number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from skfakespotter._pillow import PillowSettings, WithSettings
from skfakespotter._typing import Pictures
from skfakespotter._workers import N_THREADS, in_processes, process_count, work_ahead
from skfakespotter.images import (
    ImageError,
    LazyPicture,
    MissingFaceError,
    fit_to,
    load_image,
    path_of,
    take_notes,
    with_notes,
)

CHUNK = 8  # pictures that a process makes at a time
GROUP, GPU_GROUP = 32, 256  # pictures whose faces are found at a time
GROUP_A_CORE = 8  # more of them on many cores
GROUP_PIXELS = 2**26  # fewer of large ones, which lie in memory decoded
AHEAD, GPU_AHEAD = 2 * N_THREADS, 64  # decoded pictures that wait for their group


def iter_images(
    X: Pictures,
    prepare: Callable | None = None,
    *,
    draft_side: int | None = None,
    n_threads: int | None = None,
    ahead: int | None = None,
    prefetch: int | None = None,
) -> Iterator:
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
        Decoding threads (Pillow releases the interpreter lock). None: the CPU count, at most 8.
        A single picture is decoded in the caller's thread.
    ahead : int, default=None
        Pictures that are ready or being made before they are asked for. None: 8 a thread or
        24 a process.
    prefetch : int, default=None
        Processes to decode in, for pictures whose making holds the interpreter lock; -1: the
        CPU count. None: threads.

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
    make = partial(_load, prepare=prepare, draft_side=draft_side)
    yield from _iter_made(make, X, range(len(X)), n_threads, ahead, prefetch)


def iter_batches(
    X: Pictures,
    positions: NDArray[np.integer],
    batch_size: int,
    size: tuple[int, int],
    crop: float = 1.0,
    *,
    prefetch: int | None = None,
    device: object = None,
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.uint8]]]:
    """Make uint8 batches of one size of some pictures, ahead of the consumer.

    Parameters
    ----------
    X : list or ndarray
        What :func:`skfakespotter.images.check_images` returned.
    positions : ndarray of shape (n,), int
        Which pictures of X, in this order.
    batch_size : int
        Pictures per batch; the last batch may be smaller.
    size, crop : (int, int) and float, default=1.0
        Height and width in pixels, part of the shorter side; see
        :func:`skfakespotter.images.fit_to`.
    prefetch : int, default=None
        See :func:`iter_images`.
    device : str or torch.device, default=None
        Where a face detector that can use it finds the faces of
        :class:`skfakespotter.faces.LazyFace`; None for the CPU.

    Yields
    ------
    positions : ndarray of shape (at most batch_size,), int
        Positions in X. A picture without a face that may be left out
        (``FaceAligner(on_missing="nan")``) is in no batch.
    batch : ndarray of shape (at most batch_size, size[0], size[1], 3), uint8
        RGB.

    Raises
    ------
    ImageError
        At the first picture that cannot be used; it names its position in X.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter._prefetch import iter_batches
    >>> X = [np.zeros((40, 60), np.uint8)] * 3
    >>> [(where.tolist(), batch.shape) for where, batch in iter_batches(X, range(3), 2, (20, 20))]
    [([0, 1], (2, 20, 20, 3)), ([2], (1, 20, 20, 3))]
    """
    positions = np.asarray(positions)
    if isinstance(X, np.ndarray) and X.shape[1:3] == tuple(size):
        whole = np.array_equal(positions, np.arange(len(X)))  # then a slice is no copy
        for start in range(0, len(positions), batch_size):
            here = positions[start : start + batch_size]
            yield here, X[start : start + batch_size] if whole else X[here]
        return
    where, ahead = positions.tolist(), 2 * batch_size
    fit = partial(fit_to, size=(size[0], size[1]), crop=crop)
    # the consumer takes a whole batch at once, and computes while the next one is made
    together = all(_is_made_together(X[i]) for i in where)
    if together and (_is_gpu(device) or not process_count(prefetch, "prefetch")):
        made = _iter_made_together(X, where, fit, device, prefetch)
    else:
        make = partial(_load, prepare=fit, draft_side=max(size))
        made = _iter_made(make, X, where, None, ahead, prefetch)
    found = (one for one in zip(where, made, strict=True) if one[1] is not None)
    while batch := list(islice(found, batch_size)):
        places, images = zip(*batch, strict=True)
        yield np.array(places), np.stack(images)


def _iter_made(make, X, positions, n_threads, ahead, prefetch):
    """Yield ``make(X[i], i)`` for every position, in order, made ahead in threads or processes."""
    n_processes = process_count(prefetch, "prefetch") if len(positions) > CHUNK else 0
    if n_processes:
        depth = 3 * n_processes if ahead is None else -(-ahead // CHUNK)
        chunks = [positions[s : s + CHUNK] for s in range(0, len(positions), CHUNK)]
        tasks = ((make, [X[i] for i in chunk], chunk) for chunk in chunks)
        work = WithSettings(PillowSettings.here(), _make_chunk)
        done = in_processes(work, tasks, n_processes, depth)
        for chunk, pairs in zip(chunks, done, strict=True):
            yield from take_notes([X[i] for i in chunk], pairs)
        return
    if len(positions) == 1:  # a thread would cost more than it saves
        yield make(X[positions[0]], positions[0])
        return
    n_threads = n_threads or N_THREADS
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="decode")
    try:
        submit = lambda i: pool.submit(lambda: make(X[i], i))  # noqa: E731
        yield from work_ahead(submit, positions, ahead or 8 * n_threads)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _iter_made_together(X, positions, fit, device, prefetch):
    """Yield pictures that are made in groups, as faces are; see LazyPicture.

    Files are decoded in threads, or in processes where a GPU makes the groups. A thread makes
    them ahead of the consumer, unless both would compute on all cores: then they take turns.
    """
    from torch import get_num_threads

    n_cores, size, ahead = get_num_threads(), GPU_GROUP, GPU_AHEAD
    if not _is_gpu(device):
        size, ahead = max(GROUP, GROUP_A_CORE * n_cores), AHEAD
    make = partial(_make_group, X, fit=fit, device=device)
    takes_turns = not _is_gpu(device) and n_cores > 1
    with closing(_iter_made(_decode, X, positions, None, ahead, prefetch)) as decoded:
        groups = _grouped(zip(positions, decoded, strict=True), size)
        if takes_turns or len(positions) <= size:  # a thread would cost more than it saves
            for group in groups:
                yield from make(group)
            return
        pool = ThreadPoolExecutor(1, thread_name_prefix="decode-group")
        try:
            for made in work_ahead(partial(pool.submit, make), groups, 2):
                yield from made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _is_made_together(picture):
    return isinstance(picture, LazyPicture) and picture.made_together


def _is_gpu(device):
    return device is not None and str(device) != "cpu"


def _grouped(numbered, size):
    group, n_pixels = [], 0
    for position, image in numbered:
        group.append((position, image))
        n_pixels += image.shape[0] * image.shape[1]
        if len(group) == size or n_pixels >= GROUP_PIXELS:
            yield group
            group, n_pixels = [], 0
    if group:
        yield group


def _decode(picture, index):
    try:
        return load_image(picture.picture)
    except ImageError as error:
        raise error.at(index, path_of(picture.picture)) from error


def _make_group(X, group, fit, device):
    positions, images = zip(*group, strict=True)
    pictures = [X[i] for i in positions]
    made = type(pictures[0]).make_together(pictures, images, device)
    return [_settled(*one, fit) for one in zip(pictures, positions, made, strict=True)]


def _settled(picture, index, made, fit):
    """Return fitted pixels, None for what may be left out, or raise the error at its place."""
    if not isinstance(made, ImageError):
        return fit(made)
    if isinstance(made, MissingFaceError) and picture.may_be_missing:
        return None
    raise made.at(index, path_of(picture.picture))


def _load(picture, index, prepare, draft_side):
    """Return a picture; None where it shows no face and may be left out."""
    try:
        image = load_image(picture, draft_side=draft_side)
        return image if prepare is None else prepare(image)
    except MissingFaceError as error:
        if isinstance(picture, LazyPicture) and picture.may_be_missing:
            return None
        raise error.at(index) from error
    except ImageError as error:
        raise error.at(index, path_of(picture)) from error


def _make_chunk(make, pictures, positions):
    made = [make(picture, i) for picture, i in zip(pictures, positions, strict=True)]
    return with_notes(pictures, made)
