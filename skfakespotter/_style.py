"""Style: colors and new axes that the displays share."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's colors, which all kinds of color vision tell apart, and markers for gray print
STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
BLUE = STYLES[0][0]
REAL, FAKE = STYLES[0][0], STYLES[1][0]  # the classes, in every figure


def make_axes(
    size: tuple[float, float], *, n_rows: int = 1, n_columns: int = 1, **options: Any
) -> Any:
    """Make a figure with axes, or say how to install matplotlib.

    Parameters
    ----------
    size : (float, float)
        Width and height of the figure in inches.
    n_rows, n_columns : int, default=1
        Axes.
    **options
        To :func:`matplotlib.pyplot.subplots`.

    Returns
    -------
    Axes or ndarray of Axes
        What ``subplots`` returns.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('plot needs matplotlib: pip install "skfakespotter[plot]"') from error
    _, axes = pyplot.subplots(n_rows, n_columns, figsize=size, layout="constrained", **options)
    return axes
