"""Contact sheet: the most suspicious faces of a clip on one picture, for a person to look at."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from PIL import Image, ImageDraw
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._typing import Path
from skfakespotter.video._frames import iter_frames
from skfakespotter.video._results import ClipScore

WIDTH, CAPTION, N_COLUMNS = 320, 16, 4  # pixels of a frame's width and of its caption; frames a row
COLOR = "#D55E00"


@checked(n=[Interval(Integral, 1, None, closed="left")])
def contact_sheet(clip_score: ClipScore, path: Path, *, n: int = 12) -> None:
    """Write a picture of the frames with the most suspicious faces of those that may decide.

    The clip is decoded again. Each frame shows a box around the face and under it the time,
    the track and the score; the most suspicious comes first. Nothing is written anywhere else.

    Parameters
    ----------
    clip_score : ClipScore
        A scored clip, from :meth:`VideoScorer.score_clips`.
    path : str or PathLike
        Picture file to write; one that exists is replaced.
    n : int, default=12
        Faces shown at most.

    Raises
    ------
    ValueError
        When the clip has no score, or ``n`` is below 1.
    VideoError
        When the clip can no longer be read.

    Examples
    --------
    >>> from skfakespotter.video import ClipScore, contact_sheet
    >>> contact_sheet(ClipScore("a.mp4", "no face", reason="no face in 9 frames"), "sheet.png")
    Traceback (most recent call last):
    ...
    ValueError: clip 'a.mp4' has no score (no face in 9 frames): there is no frame to show.
    """
    if clip_score.status != "scored":
        raise ValueError(
            f"clip {clip_score.path!r} has no score ({clip_score.reason}): "
            "there is no frame to show."
        )
    faces = [
        (score, track.id, frame, time, box)
        for track in clip_score.tracks
        if track.may_decide
        for score, frame, time, box in zip(
            track.scores, track.frames, track.times, track.boxes, strict=True
        )
    ]
    faces = sorted(faces, key=lambda face: (-face[0], face[2]))[:n]
    cells = _draw_cells(clip_score.path, faces)
    _paste(cells).save(path)


def _draw_cells(path, faces):
    """Decode the frames once, in order, and give one labeled cell for each face."""
    cells, last = [None] * len(faces), max(face[2] for face in faces)
    for frame in iter_frames(path):
        for place, face in enumerate(faces):
            if face[2] == frame.index:
                cells[place] = _cell(frame.image, *face)
        if frame.index == last:
            return cells
    return [cell for cell in cells if cell is not None]  # the clip has become shorter


def _cell(image, score, track, _, time, box):
    picture = Image.fromarray(image)
    scale = WIDTH / picture.width
    picture = picture.resize((WIDTH, max(1, round(scale * picture.height))))
    cell = Image.new("RGB", (WIDTH, picture.height + CAPTION), "white")
    cell.paste(picture)
    draw = ImageDraw.Draw(cell)
    draw.rectangle([scale * edge for edge in box], outline=COLOR, width=2)
    caption = f"{time:.2f} s   track {track}   P(fake) {score:.3f}"
    draw.text((4, picture.height + 2), caption, fill="black")
    return cell


def _paste(cells):
    n_columns = min(len(cells), N_COLUMNS)
    height = max(cell.height for cell in cells)
    n_rows = int(np.ceil(len(cells) / n_columns))
    sheet = Image.new("RGB", (n_columns * WIDTH, n_rows * height), "white")
    for place, cell in enumerate(cells):
        sheet.paste(cell, (place % n_columns * WIDTH, place // n_columns * height))
    return sheet
