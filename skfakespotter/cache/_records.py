"""Records: observations of pictures, each under the key of its content, in files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skfakespotter._files import DamagedFile, open_arrays
from skfakespotter.coverage import Observations

KEY_BYTES = 16
HEAD = ("keys", "sums", "low", "high", "n_neurons", "n_channels")  # all that an index needs


class DamagedRecords(ValueError):
    """A file that does not hold records of the group that it lies in."""


@dataclass(frozen=True)
class Records(Observations):
    """Observations of pictures that are known by their content.

    Parameters
    ----------
    keys : ndarray of shape (n, 16), uint8
        Of each picture's content.
    **observations
        As of :class:`skfakespotter.coverage.Observations`.
    """

    keys: NDArray[np.uint8]

    @classmethod
    def keyed(cls, keys: Sequence[bytes], observations: Observations) -> Records:
        """Make records of observations, one key a picture."""
        array = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        return cls(keys=array, **vars(observations))

    def save(self, file: IO[bytes], group: str) -> None:
        """Write to a binary file.

        Parameters
        ----------
        file : binary file
            Open for writing.
        group : str
            Name of the group of records that the file belongs to.
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {"group": np.frombuffer(group.encode(), np.uint8), **arrays, **_digests(arrays)}
        np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, group: str) -> Records:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path
            The file.
        group : str
            Name of the group that it must belong to.

        Returns
        -------
        Records
            The content.

        Raises
        ------
        DamagedRecords
            When it is cut off, altered, or of another group.
        OSError
            When it cannot be read, which says nothing of its content.
        """
        return cls(**_read(path, group, [field.name for field in fields(cls)]))


def load_head(path: Path, group: str) -> dict[str, NDArray]:
    """Read what an index of a file of records needs.

    Parameters
    ----------
    path, group
        As for :meth:`Records.load`.

    Returns
    -------
    dict of str to ndarray
        The arrays named in ``HEAD``.

    Raises
    ------
    DamagedRecords, OSError
        As for :meth:`Records.load`.
    """
    return _read(path, group, HEAD)


def _read(path: Path, group: str, names: Sequence[str]) -> dict[str, NDArray]:
    try:
        with open_arrays(path) as archive:
            if archive["group"].tobytes() != group.encode():
                raise DamagedRecords("it belongs to another network or other options")
            arrays = {name: archive[name] for name in names}
            for part, digest in _digests(arrays).items():
                if not np.array_equal(archive[part], digest):
                    raise DamagedRecords("its content does not match its checksum")
    except DamagedFile as error:
        raise DamagedRecords(str(error)) from error
    return arrays


def _digests(arrays: dict[str, NDArray]) -> dict[str, NDArray[np.uint8]]:
    """Hash the head, and the rest where it is there."""
    parts = {"head": HEAD, "body": tuple(name for name in arrays if name not in HEAD)}
    found = {}
    for part, names in parts.items():
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        for name in sorted(names):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
        if names:
            found[f"{part}_digest"] = np.frombuffer(digest.digest(), np.uint8)
    return found


def keys_of(records: Any) -> list[bytes]:
    """List the keys of records as bytes."""
    return [key.tobytes() for key in records]
