"""Find public functions whose parameters or return lack a type: mypy passes over these.

Usage: python tools/annotations.py FOLDER ...

Public is what has no underscore in front, in whichever module, and the constructors of public
classes. Whether the types are true is mypy's business.
"""

import ast
import sys
from pathlib import Path


def main(folders: list[str]) -> int:
    """Print one line for each function with a missing annotation.

    Parameters
    ----------
    folders : list of str
        Where the source is.

    Returns
    -------
    int
        Exit status: 1 when something is missing.
    """
    lines = [
        f"{path}:{function.lineno}: {function.name} lacks the type of {', '.join(missing)}"
        for folder in folders
        for path in sorted(Path(folder).rglob("*.py"))
        for function in public_functions(ast.parse(path.read_text()))
        if (missing := missing_types(function))
    ]
    print("\n".join([*lines, f"Public functions with a missing annotation: {len(lines)}"]))
    return 1 if lines else 0


def public_functions(node: ast.Module | ast.ClassDef) -> list[ast.FunctionDef]:
    """List the public functions of a module or class, methods included.

    Parameters
    ----------
    node : ast.Module or ast.ClassDef
        What to search.

    Returns
    -------
    list of ast.FunctionDef
        In the order of the source.
    """
    found = []
    for child in node.body:
        if isinstance(child, ast.FunctionDef):
            if not child.name.startswith("_") or child.name == "__init__":
                found.append(child)
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            found += public_functions(child)
    return found


def missing_types(function: ast.FunctionDef) -> list[str]:
    """Name what a function does not annotate.

    Parameters
    ----------
    function : ast.FunctionDef
        The function.

    Returns
    -------
    list of str
        Names of parameters, and "return".
    """
    a = function.args
    arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    missing = [x.arg for x in arguments if x is not None and x.annotation is None]
    missing = [name for name in missing if name not in ("self", "cls")]
    if function.returns is None and function.name != "__init__":
        missing.append("return")
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
