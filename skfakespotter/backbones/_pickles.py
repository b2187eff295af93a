"""Pickles: named arrays out of a pickle, executing nothing that it holds.

A pickle is a program for a small stack machine that may call anything.
:class:`PickleMachine` knows the instructions that describe a dict of arrays, and no others.
"""

import math
import pickletools
import re
from typing import ClassVar

import numpy as np


class _Callable(str):
    """The name of something that a pickle wants to call; nothing is imported for it."""


class _DType:
    """What a pickle says of a NumPy dtype."""

    def __init__(self, kind, *_):
        self.kind, self.order = kind, "="

    def build(self, state):
        self.order = state[1]


class PickledArray:
    """What a pickle says of a NumPy array."""

    def __init__(self, *_):
        self.values = None

    def build(self, state):
        """Take the state that the pickle gives: version, shape, dtype, order and bytes."""
        _, shape, dtype, fortran, data = state
        if dtype.kind not in ("f4", "f8", "i8"):
            raise ValueError(f"an array of type {dtype.kind!r}; expected f4, f8 or i8")
        dtype = np.dtype(dtype.kind).newbyteorder(dtype.order)
        # Python 2 wrote bytes as str
        data = data.encode("latin1") if isinstance(data, str) else data
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"{len(data)} bytes in an array of shape {shape}, {dtype}")
        values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        self.values = values.astype(dtype.newbyteorder("="))


def _latin1(text, encoding):
    """Stand in for ``_codecs.encode``, with which Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"the encoding {encoding!r}; expected latin1")
    return text.encode("latin1")


class PickleMachine:
    """Runs the instructions of a pickle that describe a dict of arrays, and no others.

    What the pickle calls is looked up in ``CALLS`` by name; nothing is imported, and the
    stand-ins there do nothing but keep what they are given.
    """

    CALLS: ClassVar = {
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

    def __init__(self):
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, data):
        """Give the object that the pickle describes."""
        for instruction, argument, _ in pickletools.genops(data):
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
        return self.stack.pop()

    def _take(self, count):
        """Pop ``count`` objects, the deepest first."""
        if count > len(self.stack):
            raise ValueError("an empty stack")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _take_marked(self):
        return self._take(len(self.stack) - self.marks.pop())

    def _mark(self, _):
        self.marks.append(len(self.stack))

    def _empty_dict(self, _):
        self.stack.append({})

    def _dict(self, _):
        items = self._take_marked()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _setitem(self, _):
        key, value = self._take(2)
        self._check_type(dict)[key] = value

    def _setitems(self, _):
        items = self._take_marked()
        self._check_type(dict).update(zip(items[::2], items[1::2], strict=True))

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
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index):
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _global(self, name):
        if name not in self.CALLS:
            raise ValueError(f"it asks to import {name!r}: refused, nothing was run")
        self.stack.append(_Callable(name))

    def _stack_global(self, _):
        self._global(" ".join(self._take(2)))

    def _reduce(self, _):
        name, arguments = self._take(2)
        if not isinstance(name, _Callable) or not self.CALLS[name]:
            raise ValueError(f"it asks to call {name!r}: refused, nothing was run")
        self.stack.append(self.CALLS[name](*arguments))

    def _build(self, _):
        (state,) = self._take(1)
        self._check_type((_DType, PickledArray)).build(state)

    def _check_type(self, expected):
        if not isinstance(self.stack[-1], expected):
            raise ValueError(f"a {type(self.stack[-1]).__name__} is built like an array or dict")
        return self.stack[-1]
