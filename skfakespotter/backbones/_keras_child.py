"""Read one of Keras's ``.h5`` files in a process of its own; run as a script.

The HDF5 library may loop or crash on a damaged file. Here that costs this process alone, and
nothing of the package (nor torch) is imported, so that it starts quickly.

HDF5 can point to other files in four ways (external links, external storage, virtual
datasets, and filters loaded from plugins), and a dataset may claim any size. What Keras
writes needs none of that, so that it is refused before a value is read.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, BinaryIO

import h5py
import numpy as np

KINDS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
KINDS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
COMPRESSION = 50  # values over file; trained weights hardly compress at all
SECONDS, BYTES_PER_SECOND = 4, 20e6  # of processor time


class RefusedError(ValueError):
    """Something that Keras does not write: the reason, and the place in the file."""


def main(path: str, out: BinaryIO) -> None:
    """Write a line of JSON (names and shapes, or a reason), then the values as float32."""
    head: Any
    try:
        with open(path, "rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            _limit(size)
            with h5py.File(raw, "r") as file:
                weights = read(file, max(2**20, COMPRESSION * size))
        head = [[name, list(values.shape)] for name, values in weights.items()]
    except RefusedError as error:
        weights, head = {}, {"reason": error.args[0], "key": error.args[1]}
    except Exception as error:  # broken files make the library raise many types
        weights, head = {}, {"reason": f"cannot be read; truncated, or not weights? ({error})"}
    out.write(json.dumps(head).encode() + b"\n")
    for values in weights.values():
        out.write(values.tobytes())


def _limit(size):
    """Bound processor time, which does not depend on what else runs, and memory."""
    try:
        import resource
    except ImportError:  # Windows; the parent does not wait for ever either
        return
    seconds = int(SECONDS + size / BYTES_PER_SECOND)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    memory = 2**30 + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def read(file: h5py.File, left: int) -> dict[str, np.ndarray]:
    """Return arrays by ``layer.weight`` and so on, in PyTorch's axis order."""
    weights = {}
    root = _follow(file, "model_weights") if "model_weights" in file else file
    for layer in _names(root, "layer_names"):
        group = _follow(root, layer)
        for name in _names(group, "weight_names"):
            kind = name.rpartition("/")[2].partition(":")[0]
            if kind not in KINDS:
                raise RefusedError(f"is a {kind[:80]!r}; expected one of {[*KINDS]}", name)
            dataset = _follow(group, name)
            left -= _checked_size(dataset, name)
            if left < 0:
                raise RefusedError("claims more values than the file can hold", name)
            values = np.asarray(dataset, dtype=np.float32)
            # Keras has (h, w, in, out) and (in, out)
            order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(values.ndim, range(values.ndim))
            weights[f"{layer}.{KINDS[kind]}"] = values.transpose(*order)
    return weights


def _names(group, attribute):
    """Read the list of names that Keras keeps beside a group."""
    names = np.asarray(group.attrs[attribute]).ravel().tolist()
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    if not all(isinstance(name, str) and len(name) < 1000 for name in names):
        raise RefusedError(f"{attribute} are no names", None)
    return names


def _follow(group, name):
    """Walk to an object by hard links alone, which cannot leave the file."""
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or part in ("", ".", ".."):
            raise RefusedError("is no place in the file", name)
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise RefusedError("is a link, perhaps to another file: refused", name)
        group = group[part]
    return group


def _checked_size(dataset, name):
    """Return the bytes that a dataset takes in memory, when it is plain floats in the file."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise RefusedError("is no array of floating-point numbers", name)
    if dataset.is_virtual or dataset.external:
        raise RefusedError("stands in another file: refused", name)
    filters = dataset.id.get_create_plist()
    known = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
    if any(filters.get_filter(i)[0] not in known for i in range(filters.get_nfilters())):
        raise RefusedError("is compressed by a filter other than gzip", name)
    if dataset.shape is None or len(dataset.shape) > 8:
        raise RefusedError("has no dimensions, or more than eight", name)
    return 4 * math.prod(dataset.shape)


if __name__ == "__main__":
    main(sys.argv[1], sys.stdout.buffer)
