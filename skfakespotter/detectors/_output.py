"""Output: scores as CSV or JSON lines, written as they are made, and resumed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skfakespotter._typing import Path as PathLike
from skfakespotter.detectors._inputs import unit_of
from skfakespotter.detectors._verdicts import ScoreRow

SUFFIXES = (".csv", ".jsonl")


def write_rows(rows: Iterable[ScoreRow], file: Any, *, form: str, header: bool = True) -> None:
    """Write rows to an open text file.

    Parameters
    ----------
    rows : iterable of ScoreRow
        The rows.
    file : text file
        Where to write.
    form : {"csv", "jsonl"}
        CSV with a header line, or one JSON object a line.
    header : bool, default=True
        Whether CSV begins with the names of the columns.

    Examples
    --------
    >>> import sys
    >>> from skfakespotter.detectors import ScoreRow, write_rows
    >>> row = ScoreRow("a.jpg", None, None, None, "no face", None, None, None, "cannot say", "-")
    >>> write_rows([row], sys.stdout, form="csv", header=False)
    a.jpg,,,,no face,,,,cannot say,-
    """
    if form == "csv":
        writer = csv.writer(file, lineterminator="\n")
        if header:
            writer.writerow(ScoreRow._fields)
        for row in rows:
            box = "" if row.box is None else " ".join(map(str, row.box))
            writer.writerow([*row[:2], box, *row[3:]])
        return
    for row in rows:
        file.write(json.dumps(row._asdict()) + "\n")


class RowFile(Sequence):
    """Rows in a file: a sequence that holds one of them in memory at a time.

    Parameters
    ----------
    path : str or PathLike
        File that ends in ``.csv`` or ``.jsonl``.
    settings : Mapping, default=None
        What the rows depend on; kept beside the file as ``NAME.settings.json``.

    Raises
    ------
    ValueError
        For another ending, or a file that was written with other settings.
    """

    def __init__(self, path: PathLike, settings: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES:
            raise ValueError(f"out is {str(path)!r}: expected a file name in {SUFFIXES}.")
        self.form = self.path.suffix[1:]
        self._settings = settings
        self._offsets: list[int] | None = None

    def resume(self) -> set[str]:
        """Take up the file where it was left: drop the last picture, which may be cut off.

        Returns
        -------
        set of str
            Pictures and clips that are complete.
        """
        beside = self.path.with_name(f"{self.path.name}.settings.json")
        if self.path.exists() and self._settings is not None:
            known = json.loads(beside.read_text()) if beside.exists() else None
            if known != dict(self._settings):
                raise ValueError(
                    f"out is {str(self.path)!r}, which was written with {known}, not with "
                    f"{dict(self._settings)}: choose another file, or delete this one."
                )
        elif self._settings is not None:
            beside.write_text(json.dumps(dict(self._settings)))
        if not self.path.exists():
            return set()
        done: set[str] = set()
        last, end = None, self._first()
        for offset, row in self._whole_rows():
            if unit_of(row.picture) != last:
                done |= set() if last is None else {last}
                last, end = unit_of(row.picture), offset
        with open(self.path, "r+b") as file:
            file.truncate(end)
        return done

    @contextmanager
    def appending(self) -> Iterator[Callable[[Iterable[ScoreRow]], None]]:
        """Open the file to append rows, a picture at a time, each on disk before the next.

        Yields
        ------
        callable
            Takes the rows of one picture.
        """
        with open(self.path, "a", newline="", encoding="utf-8") as file:

            def append(rows: Iterable[ScoreRow]) -> None:
                text = io.StringIO()
                write_rows(rows, text, form=self.form, header=file.tell() == 0)
                file.write(text.getvalue())
                file.flush()

            yield append
        self._offsets = None

    def __len__(self) -> int:
        return len(self._places())

    def __iter__(self) -> Iterator[ScoreRow]:
        return (row for _, row in self._whole_rows())

    def __getitem__(self, index: Any) -> Any:
        places = self._places()[index]
        with open(self.path, "rb") as file:
            if isinstance(index, slice):
                return [self._at(file, place) for place in places]
            return self._at(file, places)

    def _places(self):
        if self._offsets is None:
            self._offsets = [offset for offset, _ in self._whole_rows()]
        return self._offsets

    def _first(self):
        """Return where the rows begin: behind the header of a CSV file, if it has one yet."""
        with open(self.path, "rb") as file:
            header = file.readline() if self.form == "csv" else b""
            return len(header) if header.endswith(b"\n") else 0

    def _whole_rows(self):
        with open(self.path, "rb") as file:
            file.seek(self._first())
            while True:
                offset = file.tell()
                try:
                    row = self._at(file, offset)
                except (ValueError, TypeError):  # the last line was cut off
                    return
                if row is None:
                    return
                yield offset, row

    def _at(self, file, offset):
        file.seek(offset)
        line = file.readline().decode()
        if not line:
            return None
        if not line.endswith("\n"):
            raise ValueError("the line is cut off")
        if self.form == "jsonl":
            values = json.loads(line)
            box = values.pop("box")
            return ScoreRow(box=None if box is None else tuple(box), **values)
        while line.count('"') % 2:  # a name may hold a line break
            more = file.readline().decode()
            if not more:
                raise ValueError("the line is cut off")
            line += more
        (cells,) = csv.reader(io.StringIO(line, newline=""))
        return _from_cells(cells)


def _from_cells(cells):
    picture, face, box, width, status, detector, score, p, verdict, reason = cells
    number = lambda cell: float(cell) if cell else None  # noqa: E731
    edges: Any = tuple(map(float, box.split())) if box else None
    return ScoreRow(
        picture,
        int(face) if face else None,
        edges,
        number(width),
        status,
        detector or None,
        number(score),
        number(p),
        verdict,
        reason,
    )
