"""Progress: a bar with the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

_Batch = TypeVar("_Batch", bound=Sized)


def track(
    batches: Iterable[_Batch], total: int | None, task: str, verbose: int
) -> Iterator[_Batch]:
    """Pass batches on, showing how many of ``total`` items have passed and the time left.

    Parameters
    ----------
    batches : iterable of sized
        What to pass on.
    total : int or None
        Items in all batches together, if that is known.
    task : str
        What to call the work.
    verbose : int
        0 shows nothing.

    Yields
    ------
    sized
        Each batch.

    Examples
    --------
    >>> from skfakespotter._progress import track
    >>> [len(batch) for batch in track([[1, 2], [3]], 3, "count", verbose=0)]
    [2, 1]
    """
    from tqdm import tqdm

    bar = tqdm(total=total, desc=task, unit=" pictures", disable=not verbose, file=sys.stderr)
    with bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
