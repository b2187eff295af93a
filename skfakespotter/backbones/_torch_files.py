"""PyTorch's files: state dicts read without torch's unpickler, executing nothing.

``torch.load(weights_only=True)`` runs no code of the file either, but hashes and prints what
it finds, and takes sizes and strides on trust: a file of a few bytes may crash the process,
or ask for any amount of memory. Two layouts are read (``torch.save`` since 1.6, a zip of a
pickle and one record a storage; and the older one, pickles and storages in a row).
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections import OrderedDict
from typing import ClassVar, NamedTuple

import torch

from skfakespotter._files import size_of
from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._files import open_file
from skfakespotter.backbones._pickles import PickleMachine, check_shape, shorten

LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch < 1.6, pickled
WRAPPERS = ("state_dict", "net_state_dict", "model_state_dict", "model")
GROWTH = 8  # tensors over file: eight-bit floats become float32, and two names share one
DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}


def read_torch(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a state dict, or a training checkpoint that holds one.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to Tensor
        In the types of the file, each contiguous.

    Raises
    ------
    WeightsError, ValueError
        When it is anything else.
    """
    with open_file(path) as file:
        legacy = LEGACY in file.read(16)
        file.seek(0)
        found, records = (_read_rows if legacy else _read_zip)(file, path)
        for wrapper in WRAPPERS:
            if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
                found = found[wrapper]
        if not isinstance(found, dict) or not all(
            isinstance(name, str) and isinstance(value, _Tensor) for name, value in found.items()
        ):
            kind = "Tensor" if isinstance(found, _Tensor) else type(found).__name__
            raise WeightsError(path, f"holds a {kind}; expected a state dict of names and tensors")
        sizes = sum(4 * math.prod(value.size) for value in found.values())
        if sizes > max(2**20, GROWTH * size_of(file)):
            raise WeightsError(path, f"describes {sizes} bytes; the file has {size_of(file)}")
        return {name: records.tensor(value) for name, value in found.items()}


class _Storage(NamedTuple):
    """A row of values that stands elsewhere in the file."""

    dtype: torch.dtype
    key: str
    length: int


class _Tensor(NamedTuple):
    """What a pickle says of a tensor."""

    storage: _Storage
    offset: int
    size: tuple
    stride: tuple


def _tensor(machine, storage, offset, size, stride, *_):
    """Stand in for ``torch._utils._rebuild_tensor_v2`` and its forerunner."""
    if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor of an object that is not a storage")
    check_shape(size)
    check_shape(stride)
    if len(size) != len(stride):
        raise ValueError("a tensor with more sizes than strides, or fewer")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= storage.length or count > storage.length - offset):
        raise ValueError(f"a tensor of shape {size} over {storage.length} values")
    return _Tensor(storage, offset, size, stride)


def _parameter(machine, tensor, *_):
    """Stand in for ``torch._utils._rebuild_parameter``."""
    if not isinstance(tensor, _Tensor):
        raise ValueError("a parameter that is not a tensor")
    return tensor


class _StateDict(OrderedDict):
    """What a pickle says of an OrderedDict; its attributes (versions of layers) are left out."""

    def build(self, state):
        """Take the attributes that the pickle gives."""


def _ordered(machine, *given):
    if given:
        raise ValueError("a dict made of another object")
    return _StateDict()


class TorchMachine(PickleMachine):
    """Runs the instructions of a pickle that describe tensors and what trainers store by them.

    Keys may be whole numbers: optimizers have them.
    """

    CALLS: ClassVar = {
        "collections OrderedDict": _ordered,
        "torch._utils _rebuild_tensor": _tensor,
        "torch._utils _rebuild_tensor_v2": _tensor,
        "torch._utils _rebuild_parameter": _parameter,
    }
    STORAGE = re.compile(rf"torch ({'|'.join(DTYPES)})Storage")
    LITERALS = re.compile(f"{PickleMachine.LITERALS.pattern}|(BIN)?FLOAT")
    BUILT: ClassVar = (_StateDict,)

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self.storages: dict[str, _Storage] = {}

    def knows(self, name: str) -> bool:
        """Tell whether the pickle may name this."""
        return name in self.CALLS or self.STORAGE.fullmatch(name) is not None

    def _check_key(self, key):
        if type(key) is int and abs(key) < 2**62:
            return key
        return super()._check_key(key)

    def _empty_list(self, _):
        self.stack.append([])

    def _append(self, _):
        (value,) = self._take(1)
        self._check_type(list).append(value)

    def _appends(self, _):
        values = self._take_marked()
        self._check_type(list).extend(values)

    def _binpersid(self, _):
        (given,) = self._take(1)
        if (
            not isinstance(given, tuple)
            or len(given) not in (5, 6)
            or given[5:] not in ((), (None,))
        ):
            raise ValueError("a reference that is not to a storage")
        word, kind, key, _, count = given[:5]
        known = self.STORAGE.fullmatch(kind) if isinstance(kind, str) else None
        if word != "storage" or not known or not isinstance(key, str):
            raise ValueError("a reference that is not to a storage")
        if type(count) is not int or not 0 <= count <= self.left:
            raise ValueError(f"a storage {shorten(key)!r} of more values than the file has")
        self.storages[key] = _Storage(DTYPES[known[1]], key, count)
        self.stack.append(self.storages[key])


class _Records:
    """The storages of a file, read when they are needed."""

    def __init__(self, read):
        self._read, self._known = read, {}

    def tensor(self, described):
        """Build a tensor in memory of its own, or shared with its twins."""
        dtype, key, count = described.storage
        if (key, dtype) not in self._known:
            data = bytearray(self._read(key, count * dtype.itemsize))
            self._known[key, dtype] = torch.frombuffer(data, dtype=dtype) if count else None
        if math.prod(described.size) == 0:
            return torch.empty(described.size, dtype=dtype, device="cpu")
        row = self._known[key, dtype]
        return row.as_strided(described.size, described.stride, described.offset).contiguous()


def _read_zip(file, path):
    archive = zipfile.ZipFile(file)
    records = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if "constants.pkl" in records:
        raise WeightsError(path, "is a ScriptModule (TorchScript): save its state_dict() instead")
    total = sum(info.file_size for info in archive.infolist())
    if total > size_of(file) or any(info.compress_type for info in archive.infolist()):
        raise WeightsError(path, "holds records that are compressed or overlap")
    if "data.pkl" not in records:
        raise WeightsError(path, "is a zip archive, but no file of torch.save")
    order = archive.read(records["byteorder"]) if "byteorder" in records else b"little"
    if order.strip() != b"little":
        raise WeightsError(path, "was written on a machine with another byte order")
    found = TorchMachine(size_of(file)).run(archive.read(records["data.pkl"]))

    def read(key, size):
        if f"data/{key}" not in records or records[f"data/{key}"].file_size != size:
            raise WeightsError(path, f"has no storage {shorten(key)!r} of {size} bytes")
        return archive.read(records[f"data/{key}"])

    # the file is closed when the caller is done, after the last record
    return found, _Records(read)


def _read_rows(file, path):
    machine = TorchMachine(size_of(file))
    machine.run(file)  # the magic number
    if machine.run(file) != 1001:
        raise WeightsError(path, "is of an unknown version of torch's old format")
    written_by = machine.run(file)
    if not isinstance(written_by, dict) or written_by.get("little_endian") is not True:
        raise WeightsError(path, "was written on a machine with another byte order")
    found, keys = machine.run(file), machine.run(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WeightsError(path, "does not list its storages")
    rows = {}
    for key in keys:  # each is its count of values, then the values
        if key in rows or key not in machine.storages:
            raise WeightsError(path, f"lists a storage {shorten(key)!r} that nothing uses")
        (count,) = struct.unpack("<q", file.read(8))
        size = count * machine.storages[key].dtype.itemsize
        rows[key] = file.read(size) if 0 <= count <= size_of(file) else b""

    def read(key, size):
        if len(rows.get(key, b"")) != size:
            raise WeightsError(path, f"has no storage {shorten(key)!r} of {size} bytes; truncated?")
        return rows[key]

    return found, _Records(read)
