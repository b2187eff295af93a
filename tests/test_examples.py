"""Every example runs, with warnings as errors.

The gallery's run in the process of the tests, which saves importing torch twenty times; the
quickstart runs as a user runs it, in a process of its own.
"""

import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import pytest
from PIL import Image

from skfakespotter import make_pictures

EXAMPLES = Path(__file__).parents[1] / "examples"
FEW_EPOCHS = ("--epochs", 3)


def run(name, *arguments, cwd):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_quickstart_does_the_main_job(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    output = run("quickstart.py", *FEW_EPOCHS, text, cwd=tmp_path)
    for figure in ("precision", "recall", "F1", "accuracy", "AP", "AUC", "FPR", "FNR"):
        assert output.count(f"\n{figure}") == 2
    assert len(re.findall("cross-validated AUC 0.8[3-9]", output)) == 4  # each has learned
    assert "probability of fake: " in output
    assert "not scored, unreadable" in output
    assert "astronaut.png: no trace of the families these detectors know" in output
    assert "text.jpg: cannot say: cannot be read as a picture" in output
    with Image.open(tmp_path / "report" / "curves.png") as curves:
        assert curves.size[0] > 1000
    assert (tmp_path / "report" / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "report" / "detector.joblib").stat().st_size < 1_000_000


@pytest.fixture
def run_here(tmp_path, monkeypatch, capfd, close_figures):
    """Return a function that runs an example in this process and returns what it prints."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.syspath_prepend(EXAMPLES)

    def run_here(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with joblib.parallel_config(backend="threading"):  # processes would import torch again
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capfd.readouterr().out

    return run_here


def test_quickstart_on_a_folder_reports_what_it_leaves_out(tmp_path, run_here):
    """Generated pictures have no face: all are named, none is scored, the run says why."""
    X, y = make_pictures(4, size=64, random_state=0)
    for i, (picture, label) in enumerate(zip(X, y, strict=True)):
        folder = tmp_path / "data" / ("fake" if label else "real")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i}.png")
    with pytest.raises(SystemExit, match="no face was found in any picture"):
        run_here("quickstart.py", "--data", tmp_path / "data")


def test_quickstart_on_real_faces(faces_dir, tmp_path, run_here):
    """From JPEG to report, on so few faces that it says what their intervals are worth."""
    for kind in ("real", "fake"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for path in sorted((faces_dir / "stgan_eyeglasses" / kind).glob("*.jpg"))[:20]:
            (tmp_path / "data" / kind / path.name).symlink_to(path)
    with pytest.warns(UserWarning, match="4 groups hold real items and 4 hold fakes: intervals"):
        output = run_here("quickstart.py", *FEW_EPOCHS, "--data", tmp_path / "data")
    assert "40 faces in 40 pictures" in output
    assert "probability of fake: " in output


GALLERY = sorted(path.name for path in EXAMPLES.glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", GALLERY)
def test_example_runs(name, run_here):
    output = run_here(name)
    assert output
    assert not list(Path.cwd().iterdir()), "examples leave nothing behind"
    if name == "plot_cached_search.py":  # the search finds with a cache what it finds without
        accuracies = re.findall(r"cache (\w+) *: .* best accuracy (\S+)", output)
        assert [way for way, _ in accuracies] == ["off", "empty", "full"]
        assert len({accuracy for _, accuracy in accuracies}) == 1


def test_gallery_has_an_order():
    assert sorted((EXAMPLES / "ORDER.txt").read_text().split()) == GALLERY
