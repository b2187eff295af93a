"""Labels: which of them means fake."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.multiclass import unique_labels


def fake_label(labels: Collection[Any], pos_label: Any = None) -> Any:
    """Return the label that fakes have, or would have if there were any.

    Parameters
    ----------
    labels : collection of labels
        Those that there are: of real, of fake, or of both.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are 0 and 1, else ``"fake"``.

    Returns
    -------
    label
        ``pos_label``, 1 or ``"fake"``.

    Examples
    --------
    >>> from skfakespotter._labels import fake_label
    >>> fake_label([0]), fake_label(["real"])
    (1, 'fake')
    """
    if pos_label is not None:
        return pos_label
    return 1 if set(labels) <= {0, 1} else "fake"


def positive_label(y: ArrayLike, pos_label: Any = None) -> Any:
    """Return which of two labels means fake.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.

    Returns
    -------
    label
        ``pos_label``, 1 or ``"fake"``.

    Raises
    ------
    ValueError
        When ``y`` does not hold two labels, or which one means fake is not clear.

    Examples
    --------
    >>> from skfakespotter.evaluation import positive_label
    >>> positive_label(["real", "fake", "fake"])
    'fake'
    """
    labels = unique_labels(y).tolist()
    if len(labels) != 2:
        shown = f"{labels[:5]}"[:-1] + (", ...]" if len(labels) > 5 else "]")
        raise ValueError(f"labels are {shown}: expected two classes, real and fake.")
    wanted = fake_label(labels, pos_label)
    if wanted not in labels:
        raise ValueError(
            f"pos_label={pos_label!r} and labels {labels}: pass the label of fakes as pos_label "
            "(None stands for 1 where the labels are {0, 1}, else for 'fake')."
        )
    return wanted
