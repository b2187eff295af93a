"""Card: what a detector knows, how well, and what it is not for, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOT_FOR = (
    "No proof, and no ground for a decision about a person without other evidence.",
    "No score says that a picture is real: other families of fakes leave no trace here.",
    "Not for faces below its limits, drawings, or pictures that were processed heavily.",
    "Not measured by age, skin color or sex: the sources do not say them.",
)


def card_text(detector: Any) -> str:
    """Write the model card of a detector as Markdown.

    Parameters
    ----------
    detector : Detector
        The detector.

    Returns
    -------
    str
        Headings, tables and lists.
    """
    card, limits = detector.card, detector.limits
    parts = [f"# {detector.name}: resembles the fakes of {detector.family}?"]
    if facts := card.get("facts"):
        parts.append(_list([f"{name}: {value}" for name, value in facts.items()]))
    parts.append(
        _list(
            [
                f"Network: `{detector.backbone}`, fingerprint `{detector.fingerprint[:16]}`",
                f"Faces: {detector.cropping}",
                f"Says nothing about faces below {limits.width:.0f} pixels, below a sharpness of "
                f"{limits.sharpness:.3f}, or beyond a distance of {limits.distance:.1f}",
            ]
        )
    )
    if where := card.get("localization"):
        parts[-1] += (
            "\n- Where its map points, on edits whose place is known: pixel AUC "
            f"{where['single']:.2f} for one picture, {where['average']:.2f} for the average of "
            "the family (0.5 is guessing)"
        )
    for title, table in card.get("tables", {}).items():
        parts += [f"## {title}", _table(table["header"], table["rows"])]
        parts += [table["note"]] if table.get("note") else []
    parts += ["## What it must not be used for", _list(NOT_FOR)]
    return "\n\n".join(parts) + "\n"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping) and "low" in value:
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
