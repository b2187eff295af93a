"""Pickles: named arrays out of a pickle, executing nothing that it holds.

A pickle is a program for a small stack machine that may call anything.
:class:`PickleMachine` knows the instructions that describe a dict of arrays, and no others.
What it is given comes from strangers: no object of theirs is hashed unless it is a string,
none is printed, and what is computed from their numbers is bounded by the file's size.
"""

from __future__ import annotations

import math
import os
import pickletools
import re
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch

from skfakespotter._files import size_of
from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._files import open_file

MOST_INSTRUCTIONS = 300_000  # a network of a thousand tensors takes about 50,000
LARGEST = 2**30  # bytes; VGG-16, the largest network in this layout, takes half of it
LONGEST_NAME = 1000  # characters


def read_pickle(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a pickle of name -> NumPy array, as Python 2 and 3 write them.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to Tensor
        In the types of the file.

    Raises
    ------
    WeightsError, ValueError
        When it is anything else.
    """
    with open_file(path, LARGEST) as file:
        weights = PickleMachine(size_of(file)).run(file)
    if not isinstance(weights, dict) or not weights:
        raise WeightsError(path, "is no pickle of named arrays")
    for name, array in weights.items():
        if not isinstance(array, PickledArray) or array.values is None:
            raise WeightsError(path, "is not an array under a name", shorten(name))
    return {name: torch.tensor(array.values) for name, array in weights.items()}


def shorten(text: str, length: int = 80) -> str:
    """Return a name from a file as a message may show it."""
    return text if len(text) <= length else f"{text[:length]}..."


def check_shape(shape: Any) -> tuple[int, ...]:
    """Raise ValueError unless a shape is a tuple of at most eight reasonable numbers."""
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or not all(type(size) is int and 0 <= size < 2**40 for size in shape)
    ):
        raise ValueError("a shape that is not a tuple of at most eight small whole numbers")
    return shape


class Global(str):
    """The name of something that a pickle wants to call; nothing is imported for it."""


class _DType:
    """What a pickle says of a NumPy dtype."""

    def __init__(self, machine: PickleMachine, kind: Any, *_: Any) -> None:
        self.kind, self.order = kind, "="

    def build(self, state: Any) -> None:
        """Take the state that the pickle gives: version, byte order and more."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise ValueError("a dtype whose byte order is none of '<', '>', '=' and '|'")
        self.order = state[1]


class PickledArray:
    """What a pickle says of a NumPy array."""

    def __init__(self, machine: PickleMachine, *_: Any) -> None:
        self.machine = machine
        self.values: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Take the state that the pickle gives: version, shape, dtype, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _DType):
            raise ValueError("an array whose state is not that of an array")
        _, shape, described, fortran, data = state
        if not isinstance(described.kind, str) or described.kind not in ("f4", "f8", "i8"):
            kind = described.kind if isinstance(described.kind, str) else type(described.kind)
            raise ValueError(f"an array of type {shorten(str(kind))!r}; expected f4, f8 or i8")
        dtype = np.dtype(described.kind).newbyteorder(described.order)
        # Python 2 wrote bytes as str
        data = data.encode("latin1") if isinstance(data, str) else data
        size = math.prod(check_shape(shape)) * dtype.itemsize
        if not isinstance(data, bytes) or size != len(data):
            raise ValueError(f"data of another size than the shape {shape} and {dtype} need")
        self.machine.claim(size)
        values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        self.values = values.astype(dtype.newbyteorder("="))


def _latin1(machine, text, encoding):
    """Stand in for ``_codecs.encode``, with which Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("an encoding that is not latin1, or of an object that is not text")
    machine.claim(len(text))
    return text.encode("latin1")


class PickleMachine:
    """Runs the instructions of a pickle that describe a dict of arrays, and no others.

    What the pickle calls is looked up in ``CALLS`` by name; nothing is imported, and the
    stand-ins there do nothing but keep what they are given.

    Parameters
    ----------
    largest : int
        Bytes that the arrays may take together: the file's size, since it holds them.
    """

    CALLS: ClassVar[dict[str, Any]] = {
        "numpy.core.multiarray _reconstruct": PickledArray,
        "numpy._core.multiarray _reconstruct": PickledArray,
        "numpy dtype": _DType,
        "_codecs encode": _latin1,
        "numpy ndarray": None,  # an argument of _reconstruct
    }
    LITERALS = re.compile(
        "(BIN)?INT[12]?|LONG[14]?|(SHORT_)?(BIN)?(STRING|UNICODE)|(SHORT_)?BINBYTES|BINBYTES8"
    )
    CONSTANTS: ClassVar = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
    BUILT: ClassVar[tuple[type, ...]] = (_DType, PickledArray)

    def __init__(self, largest: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = 2 * largest  # as encoded text, and as the array made of it

    def run(self, data: bytes | BinaryIO) -> Any:
        """Return the object that the pickle describes: bytes, or a file at its start."""
        for number, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if number >= MOST_INSTRUCTIONS:
                raise ValueError(f"more than {MOST_INSTRUCTIONS} instructions")
            name = instruction.name
            if self.LITERALS.fullmatch(name):
                self.stack.append(argument)
            elif name in self.CONSTANTS:
                self.stack.append(self.CONSTANTS[name])
            elif name not in ("PROTO", "FRAME", "STOP"):
                step = getattr(self, f"_{name.lower()}", None)
                if step is None:
                    raise ValueError(f"the instruction {name}, which arrays do not need")
                step(argument)
        return self._take(1)[0]

    def claim(self, size: int) -> None:
        """Take so many bytes off what the arrays may have together."""
        self.left -= size
        if self.left < 0:
            raise ValueError("arrays of more bytes than the file has: it uses its data twice")

    def _take(self, count):
        """Pop ``count`` objects, the deepest first."""
        if count > len(self.stack):
            raise ValueError("an empty stack")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _top(self):
        if not self.stack:
            raise ValueError("an empty stack")
        return self.stack[-1]

    def _take_marked(self):
        if not self.marks:
            raise ValueError("no mark on the stack")
        return self._take(max(0, len(self.stack) - self.marks.pop()))

    def _check_key(self, key):
        # hashing any other object may take for ever, or overflow the C stack
        if not isinstance(key, str) or len(key) > LONGEST_NAME:
            raise ValueError("a key that is not a name")
        return key

    def _items(self, given):
        if len(given) % 2:
            raise ValueError("a key without a value")
        return dict(zip(map(self._check_key, given[::2]), given[1::2], strict=True))

    def _mark(self, _):
        self.marks.append(len(self.stack))

    def _empty_dict(self, _):
        self.stack.append({})

    def _dict(self, _):
        self.stack.append(self._items(self._take_marked()))

    def _setitem(self, _):
        items = self._items(self._take(2))
        self._check_type(dict).update(items)

    def _setitems(self, _):
        items = self._items(self._take_marked())
        self._check_type(dict).update(items)

    def _empty_tuple(self, _):
        self.stack.append(())

    def _tuple(self, _):
        self.stack.append(tuple(self._take_marked()))

    def _tuple1(self, _):
        self.stack.append(tuple(self._take(1)))

    def _tuple2(self, _):
        self.stack.append(tuple(self._take(2)))

    def _tuple3(self, _):
        self.stack.append(tuple(self._take(3)))

    def _put(self, index):
        self.memo[index] = self._top()

    _binput = _long_binput = _put

    def _memoize(self, _):
        self.memo[len(self.memo)] = self._top()

    def _get(self, index):
        if index not in self.memo:
            raise ValueError(f"an object number {index} that it never kept")
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _global(self, name):
        if not self.knows(name):
            raise ValueError(f"it asks to import {shorten(name)!r}: refused, nothing was run")
        self.stack.append(Global(name))

    def knows(self, name: str) -> bool:
        """Tell whether the pickle may name this."""
        return name in self.CALLS

    def _stack_global(self, _):
        parts = self._take(2)
        if not all(isinstance(part, str) for part in parts):
            raise ValueError(
                "it asks to import an object that is not a name: refused, nothing was run"
            )
        self._global(" ".join(parts))

    def _reduce(self, _):
        name, arguments = self._take(2)
        if not isinstance(name, Global) or not self.CALLS.get(name):
            shown = shorten(name) if isinstance(name, str) else type(name).__name__
            raise ValueError(f"it asks to call {shown!r}: refused, nothing was run")
        if not isinstance(arguments, tuple):
            raise ValueError(f"it calls {name!r} without arguments")
        self.stack.append(self.CALLS[name](self, *arguments))

    def _build(self, _):
        (state,) = self._take(1)
        self._check_type(self.BUILT).build(state)

    def _check_type(self, expected):
        top = self._top()
        if not isinstance(top, expected):
            raise ValueError(f"a {type(top).__name__} is built like an array or dict")
        return top
