"""write_report: one page that can be sent, printed and read without a network."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import skfakespotter
from skfakespotter._typing import Device, Pictures
from skfakespotter._typing import Path as PathLike
from skfakespotter.detectors import (
    Detector,
    ScoreRow,
    iter_named,
    kind_of,
    list_detectors,
    list_items,
    load_detector,
    score_each,
    summarize,
)
from skfakespotter.explanation._drawing import draw_layers, draw_p_values, paint_map
from skfakespotter.explanation._explain import Explanation, explain
from skfakespotter.images import is_path

TRUSTED = 0.7  # pixel AUC of one picture's map, from which on it is shown
SIGNS = {"resembles": "&#9650;", "no trace": "&#9675;", "cannot say": "?"}  # not by color alone


def write_report(
    pictures: Pictures | PathLike,
    path: PathLike,
    detectors: Any = None,
    *,
    fpr: float = 0.01,
    device: Device = "auto",
    verbose: int = 0,
) -> list[ScoreRow]:
    """Judge pictures and write a page about them: verdicts, p-values, reasons.

    The page holds everything it shows, the faces included: send it only to whom you may send
    the pictures.

    Parameters
    ----------
    pictures : sequence of pictures, folders and clips, or path of one
        As for :func:`skfakespotter.score_pictures`.
    path : str or PathLike
        File to write, ``.html``.
    detectors : None, str, PathLike, Detector, or a sequence of these, default=None
        None: all that ship.
    fpr : float, default=0.01
        Promised false-positive rate of each detector on its worst source.
    device : str, default="auto"
        Where networks compute.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    list of ScoreRow
        What the page says.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.explanation import write_report
    >>> rows = write_report([astronaut()], "report.html", "stylegan")  # doctest: +SKIP
    """
    known = _loaded(detectors)
    each = score_each(pictures, list(known.values()), fpr=fpr, device=device, verbose=verbose)
    again = iter_named(list_items(pictures))  # decoded once more, so that none is kept
    rows, parts = [], []
    for (_, picture), found in zip(again, each, strict=True):
        rows += found
        parts.append(_picture_part(picture, found, known, fpr))
    Path(path).write_text(_page(rows, parts, known, fpr), encoding="utf-8")
    return rows


def _loaded(detectors: Any) -> dict[str, Detector]:
    if detectors is None:
        detectors = list_detectors()
    if isinstance(detectors, Detector) or is_path(detectors):
        detectors = [detectors]
    loaded = [d if isinstance(d, Detector) else load_detector(d) for d in detectors]
    return {detector.name: detector for detector in loaded}


def _picture_part(picture: Any, rows: Sequence[Any], known: dict[str, Detector], fpr: float) -> str:
    """Write the section of one picture."""
    name = escape(rows[0].picture)
    if rows[0].status != "scored":
        return (
            f'<section><h2>{name}</h2><p class="verdict unsure">{SIGNS["cannot say"]} '
            f"cannot say: {escape(rows[0].reason)}</p></section>"
        )
    faces = dict.fromkeys(row.face for row in rows)
    parts = [
        _face_part(picture, [row for row in rows if row.face == face], known, fpr) for face in faces
    ]
    return f"<section><h2>{name}</h2>{''.join(parts)}</section>"


def _face_part(picture: Any, rows: Sequence[Any], known: dict[str, Detector], fpr: float) -> str:
    """Write the article of one face: crop, verdict, p-values, reasons."""
    strongest = min(rows, key=lambda row: row.p)
    detector = known[strongest.detector]
    reason = explain(detector, picture, face=rows[0].face)
    verdict = summarize(rows)
    kind = kind_of(verdict)
    css = {"resembles": "found", "no trace": "none", "cannot say": "unsure"}[kind]
    title = f"face {rows[0].face}, {rows[0].width:.0f} pixels wide"
    where = ", ".join(f"{edge:.0f}" for edge in rows[0].box)
    return f"""
<article>
<h3>{title}</h3>
<div class="columns">
<figure><img alt="The aligned face that was judged, {title}" src="{_data_url(reason.crop)}">
<figcaption>as the network saw it; in the picture at {where}</figcaption></figure>
<div>
<p class="verdict {css}"><span aria-hidden="true">{SIGNS[kind]}</span> {escape(verdict)}</p>
<p>{escape(strongest.reason)}.</p>
{draw_p_values([(row.detector, row.p) for row in rows], fpr)}
</div>
</div>
{_why(detector, reason)}
<details><summary>Text to copy</summary>
<pre tabindex="0">{escape(_text(rows, verdict))}</pre></details>
</article>"""


def _why(detector: Detector, reason: Explanation) -> str:
    """Write which layers speak, and where, if one picture's map is worth showing."""
    trust = detector.card.get("localization", {}).get("single")
    layers = draw_layers(reason)
    if trust is not None and trust >= TRUSTED:
        image = _data_url(paint_map(reason), "PNG")
        where = (
            f'<figure><img alt="Map of the evidence over the face" src="{image}"><figcaption>'
            "orange: looks fake; purple: looks real. Measured on edits whose place is known, such "
            f"a map has a pixel AUC of {trust:.2f} (0.5 is guessing)</figcaption></figure>"
        )
    else:
        measured = "has not been measured" if trust is None else f"is {trust:.2f} (0.5 is guessing)"
        where = (
            "<p>No map is shown: for one picture of this family its pixel AUC "
            f"{measured}, so it would mislead. The layers are exact.</p>"
        )
    return (
        f"<h4>Why: the evidence for {escape(detector.family)}, layer by layer</h4>"
        f'<div class="columns">{layers}{where}</div>'
    )


def _text(rows: Sequence[ScoreRow], verdict: str) -> str:
    lines = [f"{rows[0].picture}, face {rows[0].face}: {verdict}."]
    lines += [f"  {row.detector}: p = {row.p:.2g}; {row.verdict}; {row.reason}" for row in rows]
    lines.append(f"  skfakespotter {skfakespotter.__version__}. No proof by itself.")
    return "\n".join(lines)


def _page(
    rows: Sequence[ScoreRow], parts: Sequence[str], known: dict[str, Detector], fpr: float
) -> str:
    n_found = len({(r.picture, r.face) for r in rows if r.verdict.startswith("resembles")})
    n_faces = len({(r.picture, r.face) for r in rows if r.status == "scored"})
    facts = "".join(_detector_facts(detector, fpr) for detector in known.values())
    style = (files("skfakespotter.explanation") / "page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Faces judged by skfakespotter</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{len(parts)} picture{"s" * (len(parts) != 1)}, {n_faces} face{"s" * (n_faces != 1)}:
{n_found} resemble{"s" * (n_found == 1)} known fakes</h1>
<p>Each detector knows one family of fakes and is wrong about at most {fpr:.0%} of the photographs
of any source that it was measured on. A face that resembles no family is not proved real: other
families leave no trace here.</p>
</header>
<main>{"".join(parts)}</main>
<footer>
<h2>What the detectors know, and what they do not</h2>
<table><thead><tr><th scope="col">detector</th><th scope="col">fakes of</th>
<th scope="col">finds of them</th><th scope="col">photographs it was measured on</th></tr></thead>
<tbody>{facts}</tbody></table>
<p>skfakespotter {skfakespotter.__version__}, Python {platform.python_version()}; network
{escape(next(iter(known.values())).backbone)}, fingerprint
<code>{next(iter(known.values())).fingerprint[:16]}</code>.</p>
</footer>
</body>
</html>
"""


def _detector_facts(detector: Detector, fpr: float) -> str:
    sources = ", ".join(
        f"{len(of):,} {escape(source)}" for source, of in detector.calibration.real.items()
    )
    return (
        f'<tr><th scope="row">{escape(detector.name)}</th><td>{escape(detector.family)}</td>'
        f"<td>{detector.recall(fpr):.0%}</td><td>{sources}</td></tr>"
    )


def _data_url(pixels: np.ndarray, form: str = "JPEG") -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, quality=90)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
