"""Files changed at random: a short run over every reader, and the runner itself."""

import os
import signal
import time
from pathlib import Path

import fuzzing
import numpy as np
import pytest

NEEDS = {"onnx": "onnx", "h5": "h5py", "safetensors": "safetensors", "clip": "av", "model": "skops"}
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="inputs are read in forks")


def make_target(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return fuzzing.TARGETS[name]()


@pytest.mark.parametrize("name", fuzzing.TARGETS)
def test_changed_files_are_read_or_refused(tmp_path, name):
    target = make_target(name)
    for number, data in enumerate(target.files):  # what is changed is good
        assert fuzzing.read_one(target, tmp_path / f"{number}{target.suffix}", data) == "read"
    count = 6 if name == "h5" else 200
    found = fuzzing.run(name, target, count)
    assert found["faults"] == []
    assert found["read"] + found["refused"] == count
    assert name == "h5" or (found["read"] and found["refused"])  # or it proves nothing
    assert found["seconds"] < fuzzing.SECONDS


def test_an_input_depends_on_its_number_alone():
    target = fuzzing.TARGETS["pickle"]()
    first, again = (fuzzing.make_input("pickle", target, 0, 7) for _ in range(2))
    assert first == again
    assert first not in target.files
    assert first != fuzzing.make_input("pickle", target, 0, 8)
    assert first != fuzzing.make_input("pickle", target, 1, 7)


def fault(kind):
    """A reader that goes wrong in one way, at its third input."""

    def read(path):
        place = int.from_bytes(Path(path).read_bytes(), "big")
        if place == 2:
            kind()
        raise ValueError(f"{path} is refused")

    return fuzzing.Target(read, ".bin", (ValueError,), [b""])


def burn():
    while True:
        pass


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (lambda: [][0], "IndexError"),
        (lambda: exec("raise ValueError('nameless')"), "does not name the file"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "dies of signal 11"),
        (lambda: os._exit(3), "ends its process"),
        (burn, "takes too long"),
        (lambda: time.sleep(60), "takes too long"),
        (lambda: np.ones(2**28), "MemoryError"),
    ],
)
def test_the_runner_notices(monkeypatch, kind, words):
    monkeypatch.setattr(fuzzing, "make_input", lambda *args: bytes([args[-1]]))
    monkeypatch.setattr(fuzzing, "SECONDS", 0.3)
    monkeypatch.setattr(fuzzing, "PATIENCE", 1)
    found = fuzzing.run("broken", fault(kind), 6)
    ((number, said),) = found["faults"]
    assert number == 2
    assert words in said
    assert found["refused"] >= 3  # it went on; what the lost child said last may be lost
