"""Contents: whether a file is still the one that was read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence

from skfakespotter._files import stamp_of

RACY = 2.0  # seconds; a file may change twice within one tick of its time stamp
_KNOWN = {}


def content_of(paths: Sequence[str | os.PathLike]) -> tuple[str | None, ...]:
    """Return a digest of what files hold, reading again only those that have changed.

    Parameters
    ----------
    paths : sequence of path
        Files.

    Returns
    -------
    tuple of (str or None)
        SHA-256 of each; None where it cannot be read: whoever loads it says why.

    Examples
    --------
    >>> from skfakespotter.backbones._contents import content_of
    >>> content_of(["no/such/file"])
    (None,)
    """
    return tuple(_digest(os.path.abspath(path)) for path in paths)


def _digest(path):
    stamp = stamp_of(path)
    if stamp is None:  # reading a pipe would wait for ever
        return None
    known, digest, safe = _KNOWN.get(path, (None, None, False))
    if known == stamp and safe:
        return digest
    now = time.time()
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    safe = now - max(stamp[-2:]) / 1e9 > RACY
    _KNOWN[path] = (stamp, digest, safe)
    return digest
