"""What the package says of itself agrees with what it does."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skfakespotter

ROOT = Path(__file__).parents[1]
# where the name to import is not the name to install
DISTRIBUTIONS = {"PIL": "pillow", "dlib": "dlib-bin", "sklearn": "scikit-learn"}


@pytest.fixture(scope="module")
def setup():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def _names(requirements):
    return {re.split(r"[\[<>=!~ ;]", line)[0] for line in requirements.split("\n") if line}


def _imported():
    """Map each package of others that the source imports to one of the files that do."""
    found = {}
    for path in Path(skfakespotter.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in modules:
                found[module.split(".")[0]] = path.name
    own = {*sys.stdlib_module_names, "skfakespotter"}
    return {DISTRIBUTIONS.get(name, name): path for name, path in found.items() if name not in own}


def test_whatever_is_imported_is_declared(setup):
    declared = _names(setup["options"]["install_requires"])
    for requirements in setup["options.extras_require"].values():
        declared |= _names(requirements)
    imported = _imported()
    assert {"torch", "filelock", "pillow"} <= set(imported)
    declared.add("triton")  # torch declares it, where there is one; no package of ours is missed
    undeclared = {name: path for name, path in imported.items() if name not in declared}
    assert not undeclared


def test_whatever_is_declared_is_imported(setup):
    assert _names(setup["options"]["install_requires"]) <= set(_imported())


def test_extras_named_in_messages_exist(setup):
    source = "".join(p.read_text() for p in Path(skfakespotter.__file__).parent.rglob("*.py"))
    named = set(re.findall(r"skfakespotter\[(\w+)\]", source))
    assert named
    assert named <= set(setup["options.extras_require"])


def test_constraints_hold_every_direct_requirement(setup):
    lines = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = {line.split("==")[0] for line in lines}
    wanted = _names(setup["options"]["install_requires"])
    for requirements in setup["options.extras_require"].values():
        wanted |= {name for name in _names(requirements) if not name.startswith("%")}
    assert {name.lower().replace("_", "-") for name in wanted} <= pinned


def test_the_front_table_is_what_the_command_beside_it_prints():
    command = [sys.executable, str(ROOT / "tools" / "front_table.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("**") >= 6
    assert printed.strip() in (ROOT / "README.md").read_text()


def test_contributing_is_in_step_with_the_tree():
    """Files and names on the drawn path of a picture exist, each in the module it stands beside."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    drawing = text.split("```")[3]
    package = Path(skfakespotter.__file__).parent
    files = re.findall(r"[\w/]+\.py|\w+/(?=\s)", drawing)
    assert len(files) > 7
    for name in files:
        assert (package / name).exists(), name
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    for name in ("check_images", "load_image", "iter_batches", "sums", "counts"):
        assert name in drawing
        assert f"def {name}(" in source, name
    for name in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", drawing):
        if name != "StandardScaler":
            assert f"class {name}" in source, name
