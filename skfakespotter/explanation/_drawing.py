"""Drawing: small charts as SVG, and maps as pixels, for a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skfakespotter.explanation._explain import Explanation

ORANGE, PURPLE, BLUE, GRAY = "#B35806", "#542788", "#0072B2", "#595959"
DECADES = 3  # of the p-value axis


def draw_p_values(values: Sequence[tuple[str, float]], fpr: float) -> str:
    """Draw p-values on a logarithmic axis, with the promised rate as a line.

    Parameters
    ----------
    values : sequence of (str, float)
        Names and p-values.
    fpr : float
        Promised false-positive rate.

    Returns
    -------
    str
        An SVG element.

    Examples
    --------
    >>> from skfakespotter.explanation._drawing import draw_p_values
    >>> draw_p_values([("StyleGAN", 0.5)], 0.01).count("<circle")
    1
    """
    left, width, row = 140, 380, 22
    height = row * len(values) + 40

    def place(p: float) -> float:
        share = min(1.0, max(0.0, -np.log10(p) / DECADES))
        return left + share * (width - left - 48)

    spoken = "; ".join(f"{name}: p = {p:.2g}" for name, p in values)
    parts = [f'<svg role="img" viewBox="0 0 {width} {height}" class="chart"><title>']
    parts.append(f"p-values, promised rate {fpr:g}. {escape(spoken)}</title>")
    for exponent in range(DECADES + 1):
        x = place(10.0**-exponent)
        parts.append(f'<line x1="{x}" x2="{x}" y1="4" y2="{height - 36}" stroke="#ddd"/>')
        label = f"{10.0**-exponent:g}"
        parts.append(f'<text x="{x}" y="{height - 21}" text-anchor="middle">{label}</text>')
    limit = place(fpr)
    parts.append(
        f'<line x1="{limit}" x2="{limit}" y1="4" y2="{height - 36}" stroke="{GRAY}" '
        'stroke-dasharray="4 3"/>'
    )
    for number, (name, p) in enumerate(values):
        y, color = 4 + row * (number + 0.5), ORANGE if p <= fpr else BLUE
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<circle cx="{place(p)}" cy="{y}" r="5" fill="{color}"/>')
        parts.append(f'<text x="{place(p) + 10}" y="{y + 4}">{p:.2g}</text>')
    parts.append(f'<text x="{left}" y="{height - 4}">p-value (right: rarer)</text>')
    return "".join([*parts, "</svg>"])


def draw_layers(explanation: Explanation, n: int = 8) -> str:
    """Draw the evidence of the layers that say most as bars about zero.

    Parameters
    ----------
    explanation : Explanation
        From :func:`skfakespotter.explain`.
    n : int, default=8
        Layers at most.

    Returns
    -------
    str
        An SVG element.
    """
    top = explanation.top_layers(n)
    left, width, row = 110, 380, 20
    height, middle = row * len(top) + 22, left + (width - left) / 2
    scale = (width - left) / 2 / (max(abs(value) for _, value in top) or 1.0)
    spoken = "; ".join(f"{name} {value:+.2f}" for name, value in top)
    parts = [f'<svg role="img" viewBox="0 0 {width} {height}" class="chart"><title>']
    parts.append(f"Evidence of layers: {escape(spoken)}</title>")
    for number, (name, value) in enumerate(top):
        y, length = 4 + row * number, abs(value) * scale
        x = middle if value > 0 else middle - length
        color = ORANGE if value > 0 else PURPLE
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{x:.1f}" y="{y + 2}" width="{length:.1f}" height="{row - 5}" '
            f'fill="{color}"/>'
        )
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="2" y2="{height - 18}" stroke="black"/>')
    parts.append(f'<text x="{left}" y="{height - 4}">looks real</text>')
    parts.append(f'<text x="{width}" y="{height - 4}" text-anchor="end">looks fake</text>')
    return "".join([*parts, "</svg>"])


def paint_map(explanation: Explanation) -> NDArray[np.uint8]:
    """Paint the map over the gray face: orange where it looks fake, purple where real.

    Parameters
    ----------
    explanation : Explanation
        From :func:`skfakespotter.explain`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Of the size of the crop.
    """
    height, width = explanation.crop.shape[:2]
    small = Image.fromarray(explanation.map.astype(np.float32))
    evidence = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    strength = np.clip(np.abs(evidence) / (np.quantile(np.abs(evidence), 0.99) or 1.0), 0, 1)
    gray = 0.5 * explanation.crop.mean(2, keepdims=True) + 110
    colors = np.where(evidence[..., None] > 0, _rgb(ORANGE), _rgb(PURPLE))
    mixed = gray + (colors - gray) * (0.75 * strength)[..., None]
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def _rgb(color: str) -> NDArray[np.float64]:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)
