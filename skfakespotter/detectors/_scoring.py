"""score_pictures: every face of every picture, judged by every detector, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sklearn.utils._param_validation import StrOptions

from skfakespotter._params import checked
from skfakespotter._progress import track
from skfakespotter._typing import Device, Pictures
from skfakespotter._typing import Path as PathLike
from skfakespotter.detectors._calibration import FPR_BOUNDS
from skfakespotter.detectors._detector import FPR
from skfakespotter.detectors._faces import CroppedFace, read_faces
from skfakespotter.detectors._inputs import CLIPS, iter_named, list_items, name_of, unit_of
from skfakespotter.detectors._output import RowFile
from skfakespotter.detectors._panel import make_panel
from skfakespotter.detectors._verdicts import CANNOT_SAY, ScoreRow
from skfakespotter.faces import Cropping
from skfakespotter.images import ImageError, is_path

BATCH = 16  # pictures held at a time
_OPTIONS: dict[str, list[Any]] = {
    "fpr": [FPR_BOUNDS],
    "on_error": [StrOptions({"report", "raise"})],
    "verbose": ["verbose"],
}


@checked(**_OPTIONS)
def score_pictures(
    pictures: Pictures | PathLike,
    detectors: Any = None,
    *,
    fpr: float = FPR,
    on_error: Literal["report", "raise"] = "report",
    out: PathLike | None = None,
    device: Device = "auto",
    verbose: int = 0,
) -> Sequence[ScoreRow]:
    """Judge all faces of pictures with detectors; every picture gets a row.

    Parameters
    ----------
    pictures : sequence of pictures, folders and clips, or path of one
        Pictures, see :func:`skfakespotter.images.check_images`. Folders are searched with
        their subfolders. A clip yields one frame per second, twenty at most, and each is a
        picture named ``clip.mp4#t=3.00``; :class:`skfakespotter.video.VideoScorer` judges
        clips as such.
    detectors : None, str, PathLike, Detector, classifier, or a sequence or dict of these, \
            default=None
        None: all detectors that ship. Names of :func:`skfakespotter.list_detectors`, files of
        :func:`skfakespotter.detectors.save_detector`, or fitted classifiers of pictures, such
        as the pipeline of :func:`skfakespotter.make_fakespotter`.
    fpr : float, default=0.01
        Promised false-positive rate of each detector on its worst source of photographs. With
        seven detectors at 1 % more than 1 % of photographs resemble one family or another:
        ``docs/detectors.md`` says how many.
    on_error : {"report", "raise"}, default="report"
        For a picture that cannot be read: a row that says why, or an ImageError.
    out : str or PathLike, default=None
        Write the rows to this file, ``.csv`` or ``.jsonl``, as they are made. An existing file is
        continued: its pictures are not scored again. Pictures must be
        paths.
    device : str, default="auto"
        Where networks compute.
    verbose : int, default=0
        Above 0, show a progress bar with the time left on standard error.

    Returns
    -------
    sequence of ScoreRow
        One row per face and detector, in the order of the pictures, and one for a picture
        without a score; ``pandas.DataFrame(rows)`` is a table. With ``out`` a view of the
        file, that holds one row in memory at a time.

    Raises
    ------
    ImageError
        With ``on_error="raise"``, for a picture that cannot be read.
    ValueError
        For a bad parameter, or a file that was written with others.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter import score_pictures
    >>> (row,) = score_pictures([astronaut()], "stylegan")
    >>> row.status, row.verdict
    ('scored', 'no trace of StyleGAN')
    """
    listed = list_items(pictures)
    options: dict[str, Any] = {
        "fpr": fpr,
        "on_error": on_error,
        "device": device,
        "verbose": verbose,
    }
    if out is None:
        each = score_each(listed, detectors, **options)
        return [row for rows in each for row in rows]
    panel = make_panel(detectors, device)
    names = [name for group in panel for name in group.names]
    file = RowFile(out, settings={"detectors": names, "fpr": fpr})
    done = file.resume()
    left = [item for item in listed if unit_of(name_of(item, 0)) not in done]
    with file.appending() as append:
        for rows in score_each(left, detectors, **options) if left else ():
            append(rows)
    return file


@checked(**_OPTIONS)
def score_each(
    pictures: Pictures | PathLike,
    detectors: Any = None,
    *,
    fpr: float = FPR,
    on_error: Literal["report", "raise"] = "report",
    device: Device = "auto",
    verbose: int = 0,
) -> Iterator[list[ScoreRow]]:
    """Yield the rows of one picture after the other, as :func:`score_pictures` makes them.

    Parameters
    ----------
    pictures : sequence of pictures, folders and clips, or path of one
        As for :func:`score_pictures`, like the others.
    detectors : None, str, PathLike, Detector, classifier, or a sequence or dict of these, \
            default=None
        None: all detectors that ship.
    fpr : float, default=0.01
        Promised false-positive rate of each detector.
    on_error : {"report", "raise"}, default="report"
        What to do with a picture that cannot be read.
    device : str, default="auto"
        Where networks compute.
    verbose : int, default=0
        Above 0, show a progress bar.

    Yields
    ------
    list of ScoreRow
        Of each picture, in order: one row per face and detector, or one that says why not.
    """
    panel = _Panel(make_panel(detectors, device), fpr, on_error)
    yield from panel.rows(list_items(pictures), verbose)


class _Panel:
    """All groups of detectors, with the options of the call."""

    def __init__(self, groups, fpr, on_error):
        self.groups, self.fpr, self.on_error = groups, fpr, on_error

    def rows(self, items, verbose):
        """Yield the rows of each picture, in order, with a batch in memory at a time."""
        named = iter_named(items)
        batches = iter(lambda: list(islice(named, BATCH)), [])
        scored = (self._rows_of_batch(batch) for batch in batches)
        clips = any(is_path(item) and Path(item).suffix.lower() in CLIPS for item in items)
        total = None if clips else len(items)  # nobody knows how many frames there will be
        for batch in track(scored, total, "score", verbose):
            yield from batch

    def _rows_of_batch(self, batch):
        rows: list[list[ScoreRow]] = [[] for _ in batch]
        by_cropping: dict[Cropping, list[Any]] = {}
        for group in self.groups:
            by_cropping.setdefault(group.cropping, []).append(group)
        for cropping, groups in by_cropping.items():
            faces = []
            for place, (name, picture) in enumerate(batch):
                found, problem = self._read(name, picture, cropping)
                faces += [(place, number, face) for number, face in enumerate(found)]
                if problem and not rows[place]:
                    rows[place] = [problem]
            for group in groups if faces else ():
                judged = group.judge([face for _, _, face in faces], self.fpr)
                for (place, number, face), judgments in zip(faces, judged, strict=True):
                    rows[place] += [_row(batch[place][0], number, face, j) for j in judgments]
        return [sorted(of_picture, key=lambda row: row.face or 0) for of_picture in rows]

    def _read(
        self, name: str, picture: Any, cropping: Cropping
    ) -> tuple[list[CroppedFace], ScoreRow | None]:
        try:
            if isinstance(picture, ImageError):
                raise picture
            found = read_faces(picture, cropping)
        except ImageError as error:
            if self.on_error == "raise":
                raise
            return [], _unscored(name, "unreadable", error.reason)
        return found, None if found else _unscored(name, "no face", "no face was found")


def _row(name, number, face, judgment):
    left, top, right, bottom = (round(float(edge), 1) for edge in face.box)
    box = (left, top, right, bottom)
    known = (judgment.detector, judgment.score, judgment.p, judgment.verdict, judgment.reason)
    return ScoreRow(name, number, box, round(face.width, 1), "scored", *known)


def _unscored(name, status, reason):
    return ScoreRow(name, None, None, None, status, None, None, None, CANNOT_SAY, reason)
