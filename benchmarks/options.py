"""Options: the one command line of all benchmarks."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def make_parser(doc, *, data=None, out=RESULTS, rounds=None):
    """Make a parser with the options that most benchmarks have.

    Parameters
    ----------
    doc : str
        The script's docstring; its first line is the description.
    data : str, default=None
        What the folder of ``--data`` holds; None leaves the option out.
    out : Path, default=RESULTS
        Where results go unless ``--out`` says otherwise.
    rounds : int, default=None
        Default of ``--rounds``; None leaves the option out.

    Returns
    -------
    argparse.ArgumentParser
        To which a script adds its own options.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if data is not None:
        parser.add_argument("--data", type=Path, required=True, help=f"folder with {data}")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="the best one counts")
    parser.add_argument("--out", type=Path, default=out, help="folder for tables and figures")
    return parser


def find_recipes():
    """Make ``recipes``, the networks of ``examples/``, importable."""
    sys.path.insert(0, str(HERE.parent / "examples"))


def import_object(path):
    """Import what stands under ``package.module:name``; call it if it is a function or a class.

    Parameters
    ----------
    path : str
        Import path of a user's own detector or attacks.

    Returns
    -------
    object
        What stands there, or what it returns.

    Raises
    ------
    ValueError
        When the path has no colon.
    """
    sys.path.append(str(Path.cwd()))  # where a user's own module is
    module, colon, name = path.partition(":")
    if not colon:
        raise ValueError(f"{path!r}: expected 'package.module:name'.")
    found = getattr(import_module(module), name)
    return found() if callable(found) else found
