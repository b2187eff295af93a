"""Verdicts: what a score allows to say of a face, in words that promise no more than measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from skfakespotter.detectors._calibration import Calibration

RESEMBLES, NO_TRACE, CANNOT_SAY = "resembles", "no trace", "cannot say"
NO_PROOF = "which is no proof of a real photograph"


class ScoreRow(NamedTuple):
    """What one detector says of one face; a row of :func:`skfakespotter.score_pictures`.

    Attributes
    ----------
    picture : str
        Path, or ``X[index]`` for a picture that is not a file.
    face : int or None
        Number of the face in the picture, from 0, the main face; None where there is none.
    box : (float, float, float, float) or None
        Left, top, right, bottom of the face in pixels of the picture.
    width : float or None
        Of the face in pixels: the longer side of its box.
    status : {"scored", "no face", "unreadable"}
        What came of it. Only a scored face has a score.
    detector : str or None
        Name of the detector.
    score : float or None
        Larger means more fake; its unit is the detector's own.
    p : float or None
        Conformal p-value against the worst source of photographs; None for a pipeline
        without calibration.
    verdict : str
        Begins with "resembles", "no trace" or "cannot say".
    reason : str
        What the verdict rests on, or why there is none.
    """

    picture: str
    face: int | None
    box: tuple[float, float, float, float] | None
    width: float | None
    status: str
    detector: str | None
    score: float | None
    p: float | None
    verdict: str
    reason: str


def kind_of(verdict: str) -> str:
    """Return which of the three kinds a verdict is.

    Parameters
    ----------
    verdict : str
        From a row.

    Returns
    -------
    {"resembles", "no trace", "cannot say"}
        How it begins.

    Examples
    --------
    >>> from skfakespotter.detectors import kind_of
    >>> kind_of("no trace of StyleGAN")
    'no trace'
    """
    return next(kind for kind in (RESEMBLES, NO_TRACE, CANNOT_SAY) if verdict.startswith(kind))


def judge(
    family: str,
    calibration: Calibration,
    score: float,
    *,
    fpr: float,
    complaint: str | None = None,
    light_scores: Sequence[float] = (),
) -> tuple[float, str, str]:
    """Turn a score into a verdict.

    Parameters
    ----------
    family : str
        What the detector knows.
    calibration : Calibration
        Its calibration.
    score : float
        Of the face.
    fpr : float
        Promised false-positive rate on the worst source.
    complaint : str, default=None
        Why nothing can be said about such a face.
    light_scores : sequence of float, default=()
        Scores of the face in lightly changed copies of the picture.

    Returns
    -------
    p : float
        p-value against the worst source.
    verdict, reason : str
        See :class:`ScoreRow`.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.detectors import Calibration
    >>> from skfakespotter.detectors._verdicts import judge
    >>> calibration = Calibration({"a": np.arange(199.0)}, np.arange(150.0, 250.0))
    >>> judge("StyleGAN", calibration, 198.0, fpr=0.01)[1]
    'resembles the fakes of StyleGAN (p = 0.01)'
    >>> judge("StyleGAN", calibration, 198.0, fpr=0.01, light_scores=[120.0])[1]
    'cannot say'
    >>> judge("StyleGAN", calibration, 20.0, fpr=0.01)[1]
    'no trace of StyleGAN'
    """
    p = float(calibration.p_value(score))
    if complaint is not None:
        return p, CANNOT_SAY, complaint
    others = [float(calibration.p_value(light)) for light in light_scores]
    if any((other <= fpr) != (p <= fpr) for other in others):
        span = f"{min(p, *others):.2g} to {max(p, *others):.2g}"
        return (
            p,
            CANNOT_SAY,
            f"the verdict flips when the picture is lightly recompressed or resized (p = {span})",
        )
    source = calibration.worst_source(score)
    if p <= fpr:
        reason = (
            f"at most {fpr:.1%} of the photographs of any source score so high (worst measured: "
            f"{source}); so do {calibration.recall(fpr):.0%} of the held-out fakes of {family}"
        )
        return p, f"{RESEMBLES} the fakes of {family} (p = {p:.2g})", reason
    share = float(calibration.p_values(score)[source])
    reason = (
        f"{share:.1%} of the photographs of {source} score as high or higher; no proof: "
        f"{1 - calibration.recall(fpr):.0%} of the fakes of {family} leave no trace either"
    )
    return p, f"{NO_TRACE} of {family}", reason


def summarize(rows: Sequence[Any]) -> str:
    """Sum up in one sentence what all detectors say of one face.

    Parameters
    ----------
    rows : sequence of ScoreRow
        All rows of one face, or the one row of a picture without any.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> from skfakespotter.detectors import ScoreRow, summarize
    >>> row = ScoreRow("a.jpg", 0, None, 90.0, "scored", "x", -1.0, 0.4, "no trace of X", "")
    >>> summarize([row])
    'no trace of the families these detectors know, which is no proof of a real photograph'
    """
    if rows[0].status != "scored":
        return f"{CANNOT_SAY}: {rows[0].reason}"
    found = [row for row in rows if row.verdict.startswith(RESEMBLES)]
    if found:
        named = [row.verdict.removeprefix(f"{RESEMBLES} the fakes of ") for row in found]
        others = f"; looked for {len(rows)} families" if len(rows) > 1 else ""
        return f"{RESEMBLES} the fakes of {', '.join(named)}{others}"
    unsure = [row for row in rows if row.verdict.startswith(CANNOT_SAY)]
    if unsure:
        return f"{CANNOT_SAY}: {unsure[0].reason}"
    return f"{NO_TRACE} of the families these detectors know, {NO_PROOF}"
