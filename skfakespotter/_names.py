"""Names: what a package shows of itself, and which of it is imported when first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

NONE: Mapping[str, str] = MappingProxyType({})


def public_names(
    package: str, homes: Mapping[str, str] = NONE
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    ``dir`` shows the names in the package's ``__all__`` and nothing that it imports for itself.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to str, default={}
        By name, the module of the package that has it, for names whose module is imported when
        they are first used.

    Returns
    -------
    (callable, callable)
        ``__getattr__`` and ``__dir__``, see the language reference on modules.

    Examples
    --------
    >>> from skfakespotter._names import public_names
    >>> getattr_, dir_ = public_names("skfakespotter.datasets")
    >>> dir_()[1:]
    ['load_coverage_sample', 'load_folders', 'make_pictures']
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    def __dir__() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return __getattr__, __dir__
