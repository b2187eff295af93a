"""Check the docstrings of public names: what numpydoc finds, and how they begin.

Usage: python tools/docstrings.py

Public is what a package lists in ``__all__``, and the public methods of public classes. Names that
``skfakespotter`` itself exports also have an example.
"""

import inspect
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module

from numpydoc.validate import validate

import skfakespotter

CODES = {
    "GL03": "two blank lines in a row",
    "PR01": "a parameter that is not documented",
    "PR02": "an unknown parameter",
    "PR03": "parameters in another order",
    "PR04": "a parameter without a type",
    "RT01": "no Returns section",
    "YD01": "no Yields section",
}
VAGUE = ("Give", "Say", "Bring", "Deal", "Handle")  # what comes out? Return, Compute, ...


def main() -> int:
    """Print one line for each fault.

    Returns
    -------
    int
        Exit status: 1 when there is a fault.
    """
    lines = [
        f"{path}: {fault}" for path, value in public_objects() for fault in faults(path, value)
    ]
    print("\n".join([*lines, f"Faults in docstrings: {len(lines)}"]))
    return 1 if lines else 0


def public_objects() -> Iterator[tuple[str, object]]:
    """Find public classes, their public methods, and public functions.

    Yields
    ------
    (str, object)
        Where it is imported from, and the object.
    """
    homes = {f"skfakespotter.{home}" for home in skfakespotter._HOMES.values()}
    packages = (m for m in pkgutil.iter_modules(skfakespotter.__path__, "skfakespotter."))
    for home in sorted(homes | {m.name for m in packages if m.ispkg}):
        module = import_module(home)
        exported = [n for n, of in skfakespotter._HOMES.items() if home == f"skfakespotter.{of}"]
        below = home in (
            "skfakespotter.cache",
            "skfakespotter.coverage",
        )  # for who reads the source
        for name in exported if below else getattr(module, "__all__", exported):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{home}.{name}", value
            for method in vars(value) if inspect.isclass(value) else ():
                if not method.startswith("_") and callable(getattr(value, method)):
                    yield f"{home}.{name}.{method}", getattr(value, method)


def faults(path: str, value: object) -> list[str]:
    """Name what is wrong with a docstring.

    Parameters
    ----------
    path : str
        Where the object is imported from.
    value : object
        The object.

    Returns
    -------
    list of str
        Nothing for a docstring that is as it should be.
    """
    codes = set(CODES)
    if path.count(".") == 2 and path.split(".")[-1] in skfakespotter._HOMES:
        codes.add("EX01")
    if hasattr(value, "__dataclass_fields__") or hasattr(value, "_fields"):
        codes -= {"PR01"}  # its fields are Attributes
    if "Yields\n" in (inspect.getdoc(value) or ""):
        codes -= {"RT01"}  # a function that returns a generator
    found = [f"{code} {told}" for code, told in validate(path)["errors"] if code in codes]
    begins = (inspect.getdoc(value) or "").split(" ", 1)[0]
    if begins in VAGUE:
        found.append(f"begins with {begins!r}: expected Return, Compute, Load, ...")
    return found


if __name__ == "__main__":
    sys.exit(main())
