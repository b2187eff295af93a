"""The public names: loaded lazily, and all the same seen by completion and type checkers."""

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import skfakespotter

PACKAGE = Path(skfakespotter.__file__).parent


def test_stub_has_the_names_and_homes_of_the_package():
    statements = ast.parse((PACKAGE / "__init__.pyi").read_text()).body
    imports = [one for one in statements if isinstance(one, ast.ImportFrom)]
    homes = {alias.asname: one.module for one in imports for alias in one.names}
    assert homes == {
        name: f"skfakespotter.{home}" for name, home in skfakespotter._HOMES.items()
    }, "append a name to both skfakespotter/__init__.py and skfakespotter/__init__.pyi"
    # a type checker takes `import X as Y` for private unless X is Y
    assert all(alias.name == alias.asname for one in imports for alias in one.names)


def test_every_name_loads_and_says_where_it_lives():
    for name, home in skfakespotter._HOMES.items():
        value = getattr(skfakespotter, name)
        assert value.__name__ == name
        assert value.__module__.startswith(f"skfakespotter.{home}")
        assert value.__doc__


def test_dir_shows_public_names_only():
    assert dir(skfakespotter) == sorted(["__version__", *skfakespotter._HOMES])


PACKAGES = [
    f"skfakespotter.{module.name}"
    for module in pkgutil.iter_modules(skfakespotter.__path__)
    if module.ispkg
]


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_public_names_only_in_packages(package):
    module = import_module(package)
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("package", ["skfakespotter", "skfakespotter.faces"])
def test_an_unknown_name_is_an_attribute_error(package):
    module = __import__(package, fromlist=["nothing"])
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_importing_loads_no_torch():
    code = "import sys, skfakespotter; dir(skfakespotter); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from skfakespotter import make_", {"make_baseline", "make_fakespotter"}),
        ("import skfakespotter\nskfakespotter.Neuron", {"NeuronCoverageTransformer"}),
        ("from skfakespotter import load_f", {"load_folders"}),
    ],
)
def test_jedi_completes(code, expected):
    jedi = pytest.importorskip("jedi")
    script = jedi.Script(code, project=jedi.Project(PACKAGE.parent))
    assert expected <= {completion.name for completion in script.complete()}


def test_pyright_completes(tmp_path):
    pytest.importorskip("basedpyright")
    code = "from skfakespotter import make_"
    assert {"make_baseline", "make_fakespotter"} <= set(_pyright_completions(code, tmp_path))


def _pyright_completions(code, folder):
    """List what pyright's language server offers at the end of a line of code."""
    uri = (folder / "code.py").as_uri()
    config = {"extraPaths": [str(PACKAGE.parent)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    document = {"uri": uri, "languageId": "python", "version": 1, "text": code}
    root = {"processId": None, "rootUri": folder.as_uri(), "capabilities": {}}
    root["workspaceFolders"] = [{"uri": folder.as_uri(), "name": "code"}]
    position = {"line": 0, "character": len(code)}
    start = "from basedpyright.langserver import main; main()"
    command = [sys.executable, "-c", start, "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        _send(server, "initialize", root, id=1)
        _receive(server, id=1)
        _send(server, "initialized", {})
        _send(server, "textDocument/didOpen", {"textDocument": document})
        where = {"textDocument": {"uri": uri}, "position": position}
        _send(server, "textDocument/completion", where, id=2)
        answer = _receive(server, id=2)
        server.kill()
    items = answer["result"]
    return [item["label"] for item in (items["items"] if isinstance(items, dict) else items)]


def _send(server, method, params, **id):
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **id}).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    server.stdin.flush()


def _receive(server, id):
    """Read messages until the answer to a request; the server's own questions get no answer."""
    while True:
        length = 0
        while line := server.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the language server ended"
        message = json.loads(server.stdout.read(length))
        if message.get("id") == id and "method" not in message:
            return message
