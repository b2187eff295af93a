"""Style: colours and new axes that the displays share."""

# Okabe and Ito's colours, which all kinds of colour vision tell apart, and markers for grey print
STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
BLUE = STYLES[0][0]


def make_axes(size, *, n_rows=1, n_columns=1, **options):
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
        What ``subplots`` gives.

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
