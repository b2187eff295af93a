"""The command line: what it prints, and how it ends."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from skfakespotter import list_detectors, load_detector, save_detector
from skfakespotter.cli import main
from skfakespotter.detectors import Calibration


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "astronaut.png")
    return tmp_path


@pytest.fixture
def suspicious(tmp_path_factory):
    """A detector to which everything is fake."""
    import dataclasses

    path = tmp_path_factory.mktemp("detector") / "alarm.npz"
    low = np.linspace(-1000, -900, 199).astype(np.float32)
    detector = load_detector("stylegan")
    calibration = Calibration({"a": low}, low)
    save_detector(dataclasses.replace(detector, name="alarm", calibration=calibration), path)
    return str(path)


def run(capsys, *words):
    code = main([*map(str, words)])
    return code, capsys.readouterr()


def test_a_table_for_people(folder, capsys):
    code, printed = run(capsys, "score", folder, "--detector", "stylegan", "--quiet")
    assert code == 0
    assert "astronaut.png face 0: no trace of the families" in printed.out
    assert printed.err == ""


def test_progress_goes_to_standard_error(folder, capsys):
    code, printed = run(capsys, "score", folder, "--detector", "stylegan", "--format", "csv")
    assert code == 0
    assert "1/1" in printed.err
    (row,) = csv.DictReader(io.StringIO(printed.out))
    assert row["detector"] == "stylegan"
    assert float(row["p"]) > 0.01


def test_json_lines_and_exit_code_when_something_is_found(folder, suspicious, capsys):
    words = ("--format", "json", "--quiet")
    code, printed = run(capsys, "score", folder, "--detector", suspicious, "stylegan", *words)
    assert code == 1
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["detector"] for row in rows] == ["alarm", "stylegan"]
    assert rows[0]["verdict"].startswith("resembles the fakes of StyleGAN")


def test_exit_code_when_nothing_can_be_said(folder, capsys):
    (folder / "broken.png").write_text("no picture")
    code, printed = run(capsys, "score", folder, "--detector", "stylegan", "--quiet")
    assert code == 3
    assert "broken.png: cannot say: cannot be read as a picture" in printed.out


def test_wrong_use(folder, capsys):
    code, printed = run(capsys, "score", folder, "--detector", "nobody")
    assert code == 2
    assert printed.err.startswith("skfakespotter: name is 'nobody': expected one of")
    code, printed = run(capsys, "score", folder, "--format", "html")
    assert code == 2
    assert "--out FILE.html" in printed.err
    with pytest.raises(SystemExit) as stopped:
        main(["judge"])
    assert stopped.value.code == 2


def test_a_file_that_is_gone_on_with(folder, capsys, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "scores.csv"
    words = ("score", folder, "--detector", "stylegan", "--quiet", "--out", out)
    assert run(capsys, *words)[0] == 0
    before = out.read_text()
    assert run(capsys, *words)[0] == 0
    assert out.read_text() == before


def test_names_on_standard_input(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder / 'astronaut.png'}\n\n"))
    code, printed = run(capsys, "score", "-", "--detector", "stylegan", "--quiet")
    assert code == 0
    assert printed.out.count("\n") == 1


def test_explain(folder, capsys, tmp_path_factory):
    picture, out = folder / "astronaut.png", tmp_path_factory.mktemp("out") / "why.png"
    code, printed = run(capsys, "explain", picture, "--detector", "stylegan", "--out", out)
    assert code == 0
    assert "an average photograph" in printed.out
    with Image.open(out) as drawn:
        assert drawn.size[0] > 500
    words = ("--detector", "stylegan", "--format", "json")
    code, printed = run(capsys, "explain", picture, *words)
    found = json.loads(printed.out)
    assert found["constant"] + sum(found["layers"].values()) == pytest.approx(found["score"])


def test_a_report(folder, capsys, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report.html"
    words = ("--detector", "stylegan", "--format", "html", "--out", out, "--quiet")
    code, _ = run(capsys, "score", folder, *words)
    assert code == 0
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_train_and_evaluate(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(42):  # twenty photographs at least
        picture = rng.uniform(0.7, 1.0) * astronaut()[:256, 100:356]
        if i % 2:
            picture[::2, ::2] += 25
        path = tmp_path / ("fake" if i % 2 else "real") / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path)
    out = tmp_path / "mine.npz"
    code, printed = run(capsys, "train", tmp_path, "--out", out, "--family", "grids", "--quiet")
    assert code == 0
    assert "# mine: resembles the fakes of grids?" in printed.out
    few = tmp_path / "few"  # ten of each kind, as intervals need: to look at all takes seconds
    for path in tmp_path.glob("*/[01]?.png"):
        (few / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(few / path.parent.name / path.name)
    code, printed = run(capsys, "evaluate", out, few, "--quiet")
    assert code == 0
    assert "verdicts at a promised 0.01" in printed.out
    code, printed = run(capsys, "audit", few)
    assert code == 0
    assert printed.out


def test_what_ships(capsys):
    code, printed = run(capsys, "detectors")
    assert code == 0
    assert [line.split()[0] for line in printed.out.splitlines()] == list_detectors()
    code, printed = run(capsys, "detectors", "stylegan")
    assert "## Held-out figures" in printed.out


def test_python_m_and_help():
    command = [sys.executable, "-m", "skfakespotter", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "exit codes of score" in done.stdout
    assert "skfakespotter score album/" in done.stdout
