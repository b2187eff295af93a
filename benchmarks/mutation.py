"""Which small changes of the code the tests notice: a seeded run over chosen modules.

    python benchmarks/mutation.py [--changes 100] [--seed 0] [--out benchmarks/results]

A change is one comparison, operation, constant, condition or statement that is another or gone.
Each is made in a copy of the package, and the tests of its module run on it until the first that
fails; one that does not end is noticed too. ``mutation_equivalent.csv`` lists changes that no
test can notice, and why. What is finished is kept in ``--work``, and a run goes on from there.
"""

import ast
import copy
import csv
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from options import HERE, make_parser
from table import save_table
from work import Work

ROOT = HERE.parent
EQUIVALENT = HERE / "mutation_equivalent.csv"
# Tests of the cache without those that search, start processes or fork
_SLOW = ("grid_search", "cold_processes", "crashed", "dlib", "forked", "two_users", "cross_val")
QUICK = f"-k=not({'or'.join(f'({name})' for name in _SLOW)})"
# Modules in which changes once went unnoticed, and the tests of each; the fastest come first
MODULES = {
    "faces/_templates.py": "faces/test_templates.py",
    "evaluation/_metrics.py": "evaluation/test_metrics.py",
    "images/_loading.py": "test_images.py",
    "images/_sizes.py": "test_images.py",
    "perturbations/_augmentation.py": "perturbations/test_augmentation.py",
    "video/_tracks.py": "video/test_video.py::TestFollowFaces",
    "video/_decoding.py": "video/test_frames_hard.py video/test_video.py::TestIterFrames",
    "cache/_contents.py": "cache/test_contents.py",
    "backbones/_onnx_operators.py": "backbones/test_onnx.py backbones/test_hostile_onnx.py",
    "leakage/_findings.py": "leakage/test_audit.py",
    "classifier/_training.py": "test_classifier.py",
    "cache/_cached.py": f"cache/test_contents.py cache/test_cache.py {QUICK}",
    "cache/_lookup.py": f"cache/test_contents.py cache/test_cache.py {QUICK}",
    "cache/_locks.py": f"cache/test_cache.py cache/test_foreign.py {QUICK}",
    "coverage/_graphs.py": "coverage/test_compiled.py",
}
SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "True": "False"}


def variants(node):
    """Return changed copies of a node, each of which differs in one thing."""
    found = []

    def change(**fields):
        other = copy.copy(node)
        vars(other).update(fields)
        found.append(ast.copy_location(other, node))

    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        change(ops=[SWAPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        change(op=SWAPS[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        change(value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        change(value=node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        change(value=node.value * 1.25 or 1.0)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        found.append(node.operand)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        change(test=ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test))
    elif isinstance(node, ast.Name) and node.id in NAMES:
        change(id=NAMES[node.id])
    elif isinstance(node, (ast.Continue, ast.Break)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        found.append(ast.copy_location(ast.Pass(), node))
    return found


def changes_of(path):
    """List the changes of a module: line, what it was, what it is, the whole new source."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []

    def visit(owner):
        for name, value in ast.iter_fields(owner):
            # types, messages and names of exports decide nothing
            if name in ("annotation", "returns", "decorator_list", "exc", "msg"):
                continue
            for index, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or isinstance(node, (ast.JoinedStr, ast.Assert)):
                    continue
                for other in variants(node):
                    replace(owner, name, index, node, other)
                visit(node)

    def replace(owner, name, index, node, other):
        before = getattr(owner, name)
        after = (
            [*before[:index], other, *before[index + 1 :]] if isinstance(before, list) else other
        )
        setattr(owner, name, after)
        source = ast.unparse(ast.fix_missing_locations(tree))
        setattr(owner, name, before)
        found.append((node.lineno, _short(node), _short(other), source))

    visit(tree)
    return found


def _short(node):
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return " ".join(text.split())[:70]


def choose(count, seed):
    """Draw changes, as many of each module as its number of changes asks for."""
    every = [(module, *c) for module in MODULES for c in changes_of(package() / module)]
    return random.Random(seed).sample(every, count)


def text_of(module, line):
    """Return a line of a module, by which a change is known when lines have moved."""
    return (package() / module).read_text(encoding="utf-8").splitlines()[line - 1].strip()


def package():
    """Return the folder of the package."""
    return ROOT / "skfakespotter"


def run_tests(module, source, seconds):
    """Run the tests of a module on a copy of the package with another source for it.

    Returns
    -------
    str
        "passed", "failed" or "hung".
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(package(), Path(folder, "skfakespotter"), copy_function=os.symlink)
        if source is not None:
            Path(folder, "skfakespotter", module).unlink()
            Path(folder, "skfakespotter", module).write_text(source, encoding="utf-8")
        child = os.fork()
        if child == 0:
            _be_tests(folder, module)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return "passed" if status == 0 else "failed"
            time.sleep(0.2)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hung"


def _be_tests(folder, module):
    """Become the process that runs them; what it starts ends with it."""
    os.setpgrp()
    os.chdir(ROOT)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.path[:0] = [folder, str(ROOT / "tests")]
    os.environ["PYTHONPATH"] = folder
    import pytest

    given = MODULES[module].split()
    tests = [n if n.startswith("-") else str(ROOT / "tests" / n) for n in given]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", f"--basetemp={folder}/tmp"]
    os._exit(int(pytest.main([*options, *tests])))


def warm():
    """Import what takes long, so that every child has it; not the package itself."""
    import av  # noqa: F401
    import onnx  # noqa: F401
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.utils.estimator_checks  # noqa: F401
    import skorch  # noqa: F401
    import torch

    torch.set_num_threads(1)


def measure(work, module):
    """Return how long the tests of a module take unchanged; they must pass."""

    def compute():
        start = time.monotonic()
        outcome = run_tests(module, None, 1200)
        if outcome != "passed":
            raise SystemExit(f"the tests of {module} are {outcome} without any change")
        return time.monotonic() - start

    name = f"unchanged/{module}"
    return work.load(name) if work.has(name) else work.save(name, compute())


def main(arguments=None):
    """Make changes one at a time, see which are noticed, save."""
    parser = make_parser(__doc__)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("work/mutation"))
    options = parser.parse_args(arguments)
    work = Work(options.work)
    warm()
    with open(EQUIVALENT, newline="", encoding="utf-8") as file:
        equivalent = {(r["module"], r["text"], r["is"]): r["why"] for r in csv.DictReader(file)}
    rows = []
    drawn = list(enumerate(choose(options.changes, options.seed)))
    order = list(MODULES)
    for number, (module, line, was, now, source) in sorted(
        drawn, key=lambda c: order.index(c[1][0])
    ):
        name = f"{options.seed}/{number}"
        if not work.has(name):
            limit = 120 + 8 * measure(work, module)
            work.save(name, run_tests(module, source, limit))
        outcome, text = work.load(name), text_of(module, line)
        why = equivalent.get((module, text, now), "") if outcome == "passed" else ""
        outcome = "equivalent" if why else {"passed": "not noticed"}.get(outcome, outcome)
        rows.append([module, line, text, was, now, outcome, why])
        print(number, *rows[-1], sep="\t", flush=True)
    save(options, rows)


def save(options, rows):
    """Write the table of all changes and the share that was noticed."""
    outcomes = [row[5] for row in rows]
    noticed = outcomes.count("failed") + outcomes.count("hung")
    whole = len(rows) - outcomes.count("equivalent")
    notes = [
        f"Noticed: {noticed} of {whole} changes ({noticed / whole:.1%}), "
        f"{outcomes.count('equivalent')} that no test can notice aside. Seed {options.seed}."
    ]
    command = f"python benchmarks/mutation.py --changes {options.changes} --seed {options.seed}"
    header = ["module", "line", "text", "was", "is", "outcome", "why no test can notice"]
    shown = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    save_table(
        options.out, "mutation", "Changes that the tests notice", command, header, shown, notes
    )


if __name__ == "__main__":
    main()
