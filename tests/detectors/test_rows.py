"""Rows in files: they come back as they were, and work goes on where it was cut off."""

import json

import pandas as pd
import pytest

from skfakespotter.detectors import ScoreRow
from skfakespotter.detectors._output import RowFile

ROWS = [
    ScoreRow("a.jpg", 0, (1.0, 2.0, 3.5, 4.0), 2.5, "scored", "d", 0.25, 0.5, "no trace of X", "r"),
    ScoreRow('b, "c"\nd.jpg', None, None, None, "no face", None, None, None, "cannot say", "none"),
    ScoreRow("e.jpg", 0, (1.0, 2.0, 3.0, 4.0), 2.0, "scored", "d", 1.5, 0.01, "resembles", "r"),
    ScoreRow("e.jpg", 1, (1.0, 2.0, 3.0, 4.0), 2.0, "scored", "d", -1.5, 0.9, "no trace", "r"),
]


def write(file, rows):
    with file.appending() as append:
        append(rows[:1])
        append(rows[1:2])
        append(rows[2:])


@pytest.fixture(params=["csv", "jsonl"])
def path(request, tmp_path):
    return tmp_path / f"scores.{request.param}"


def test_round_trip(path):
    file = RowFile(path)
    write(file, ROWS)
    assert list(file) == ROWS
    assert (len(file), file[1], file[-1], file[1:3]) == (4, ROWS[1], ROWS[3], ROWS[1:3])
    assert pd.DataFrame(file).columns.tolist() == list(ScoreRow._fields)


@pytest.mark.parametrize("cut", [0, 1, 5, 30])
def test_the_last_picture_is_done_again(path, cut):
    """Wherever the process was killed, what is left is whole and the rest is to do."""
    file = RowFile(path, {"fpr": 0.01})
    assert file.resume() == set()
    write(file, ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    file = RowFile(path, {"fpr": 0.01})
    assert file.resume() == {"a.jpg", ROWS[1].picture}
    with file.appending() as append:
        append(ROWS[2:])
    assert list(file) == ROWS


def test_resume_of_almost_nothing(path):
    path.write_bytes(b"pict")
    assert RowFile(path).resume() == set()
    write(RowFile(path), ROWS)
    assert list(RowFile(path)) == ROWS


def test_other_settings_are_refused(path):
    write(RowFile(path), ROWS)
    settings = path.with_name(f"{path.name}.settings.json")
    settings.write_text(json.dumps({"fpr": 0.05}))
    with pytest.raises(ValueError, match=r"written with \{'fpr': 0.05\}, not with \{'fpr': 0.01\}"):
        RowFile(path, {"fpr": 0.01}).resume()


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"out is .*scores\.xlsx"):
        RowFile(tmp_path / "scores.xlsx")
