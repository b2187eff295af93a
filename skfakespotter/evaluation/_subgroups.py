"""Subgroups: figures of a detector by attributes of the items, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._tables import Table
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._report import DetectionReport, Figure, with_ends

MAX_WORDS = 10  # numbers of more values than these are cut into thirds
_SHOWN = ("AUC", "FPR", "FNR")


@dataclass(frozen=True, eq=False)
class Subgroup:
    """Figures of the items that have one value of an attribute.

    Parameters
    ----------
    attribute, value : str
        Such as "generator" and "stylegan"; or "brightness" and "over 140".
    n_real, n_fake : int
        Items measured.
    shared : {"", "real", "fake"}
        Class of which all items were taken, because the subgroup has none of its own.
    figures : dict of str to Figure
        Its figures.
    gaps : dict of str to Figure
        Its figures minus those of all other items, from the same resamples. A gap whose
        interval does not hold 0 is more than chance, if it was looked for in one place only.
    """

    attribute: str
    value: str
    n_real: int
    n_fake: int
    shared: str
    figures: dict[str, Figure]
    gaps: dict[str, Figure]


@dataclass(frozen=True, eq=False, repr=False)
class SubgroupReport(Table):
    """Figures of a detector by subgroup; what ``detection_report(by=...)`` returns.

    ``report["generator", "stylegan"]`` is a :class:`Subgroup`, ``str(report)`` a table in
    words, and ``to_frame()`` has one row a subgroup and figure: attribute, value, n_real,
    n_fake, shared, figure, value, low, high, gap, gap_low, gap_high.

    Parameters
    ----------
    overall : DetectionReport
        Of all items.
    subgroups : list of Subgroup
        In the order of the attributes, values sorted.
    """

    overall: DetectionReport
    subgroups: list[Subgroup]

    def __getitem__(self, key: tuple[str, str]) -> Subgroup:
        for one in self.subgroups:
            if (one.attribute, one.value) == key:
                return one
        known = ", ".join(f"{one.attribute}={one.value}" for one in self.subgroups)
        raise KeyError(f"no subgroup {key!r}: expected (attribute, value) of {known}")

    def __repr__(self) -> str:
        low, high = self.extremes("AUC")
        return (
            f"SubgroupReport(n_subgroups={len(self.subgroups)}, "
            f"AUC={low.figures['AUC'].value:.3f} ({low.attribute} {low.value}) to "
            f"{high.figures['AUC'].value:.3f} ({high.attribute} {high.value}))"
        )

    def __str__(self) -> str:
        width = max(len(f"{one.attribute} {one.value}") for one in self.subgroups) + 2
        lines = [str(self.overall), "", "by subgroup; in brackets the gap to all others"]
        for one in self.subgroups:
            cells = [
                f"{name} {one.figures[name].value:.3f} "
                f"[{one.gaps[name].low:+.3f}, {one.gaps[name].high:+.3f}]"
                for name in _SHOWN
            ]
            counts = f"{one.n_real} real, {one.n_fake} fake"
            counts += f" (all {one.shared})" if one.shared else ""
            label = f"{one.attribute} {one.value}"
            lines.append(f"{label:<{width}}{'  '.join(cells)}  {counts}")
        return "\n".join(lines)

    def extremes(self, figure: str) -> tuple[Subgroup, Subgroup]:
        """Return the subgroups in which a figure is lowest and highest.

        Parameters
        ----------
        figure : str
            Such as "AUC" or "FPR".

        Returns
        -------
        tuple of Subgroup
            Lowest, highest.
        """
        ranked = sorted(self.subgroups, key=lambda one: one.figures[figure].value)
        return ranked[0], ranked[-1]

    def _columns(self) -> dict[str, list]:
        rows = [(one, name) for one in self.subgroups for name in FIGURES]
        columns: dict[str, list] = {
            name: [getattr(one, "value" if name == "subgroup" else name) for one, _ in rows]
            for name in ("attribute", "subgroup", "n_real", "n_fake", "shared")
        }
        columns["figure"] = [name for _, name in rows]
        for prefix, source in (("", "figures"), ("gap_", "gaps")):
            for end in ("value", "low", "high"):
                ends = [getattr(getattr(one, source)[name], end) for one, name in rows]
                columns[(prefix + end).replace("gap_value", "gap")] = ends
        return columns


def measure_subgroups(
    overall: DetectionReport,
    fake: NDArray,
    score: NDArray,
    by: ArrayLike | Mapping[str, ArrayLike],
    resamples: Iterable[tuple[NDArray, int]],
) -> SubgroupReport:
    """Measure each subgroup, and all others beside it, on the same resamples.

    A subgroup without real items (the fakes of one generator) is measured against all real
    items, one without fakes (a source of photographs) against all fakes; so are the others.

    Parameters
    ----------
    overall : DetectionReport
        Of all items.
    fake, score : ndarray of shape (n,)
        Class and score of each item.
    by : array-like of shape (n,) or mapping of str to such
        Attributes.
    resamples : iterable of (ndarray of shape (n_rows, n), int)
        From :func:`skfakespotter.evaluation.resample`.

    Returns
    -------
    SubgroupReport
        By attribute and value.

    Raises
    ------
    ValueError
        When an attribute has another length, or one value only.
    """
    attributes = by if isinstance(by, Mapping) else {"by": by}
    cuts = [cut for name, values in attributes.items() for cut in _cut(str(name), values, fake)]
    masks = [mask for cut in cuts for mask in (cut.mask, cut.others)]
    everything = np.ones((1, len(fake)))
    options = fake, score, overall.threshold
    values = [_figures(*options, everything, mask)[0] for mask in masks]
    chunks = [[_figures(*options, weights, mask) for mask in masks] for weights, _ in resamples]
    none = np.full((1, len(FIGURES)), np.nan)
    resampled = [np.concatenate(parts) for parts in zip(*chunks, strict=True)] or [none] * len(
        masks
    )
    level = overall.confidence_level
    subgroups = [
        Subgroup(
            attribute=cut.attribute,
            value=cut.value,
            n_real=int(np.sum(cut.mask & ~fake)),
            n_fake=int(np.sum(cut.mask & fake)),
            shared=cut.shared,
            figures=with_ends(values[i], resampled[i], level),
            gaps=with_ends(values[i] - values[i + 1], resampled[i] - resampled[i + 1], level),
        )
        for i, cut in zip(range(0, len(masks), 2), cuts, strict=True)
    ]
    return SubgroupReport(overall, subgroups)


class _Cut(NamedTuple):
    """Items of a subgroup, and those it is compared with."""

    attribute: str
    value: str
    mask: NDArray
    others: NDArray
    shared: str


def _cut(attribute: str, values: ArrayLike, fake: NDArray) -> Iterator[_Cut]:
    column = column_or_1d(np.asarray(values, dtype=object))
    check_consistent_length(fake, column)
    labels = label_values(column)
    names = list(dict.fromkeys(sorted(labels, key=_rank(column, labels))))
    if len(names) < 2:
        raise ValueError(f"by: {attribute!r} is {names[0]!r} for every item: expected two values.")
    own = np.array(labels, dtype=object)
    for name in names:
        mask = own == name
        lacking = [
            word for word, one in (("real", ~fake), ("fake", fake)) if not (mask & one).any()
        ]
        shared = lacking[0] if lacking else ""
        yield _Cut(attribute, name, _complete(mask, fake), _complete(~mask, fake), shared)


def _complete(mask: NDArray, fake: NDArray) -> NDArray:
    """Add all items of each class that the mask has no item of."""
    for one in (fake, ~fake):
        if not (mask & one).any():
            mask = mask | one
    return mask


def label_values(column: NDArray) -> list[str]:
    """Name the values of an attribute: words as they are, many numbers by thirds.

    Parameters
    ----------
    column : ndarray of shape (n,), object
        Values.

    Returns
    -------
    list of str
        A label an item; "unknown" for None and NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.evaluation._subgroups import label_values
    >>> sorted(set(label_values(np.array([*range(12), None], dtype=object))))
    ['3.67 to 7.33', 'over 7.33', 'under 3.67', 'unknown']
    """
    known = np.array([value is not None and value == value for value in column])
    labels = ["unknown"] * len(column)
    numeric = all(
        isinstance(v, Real) and not isinstance(v, (bool, np.bool_)) for v in column[known]
    )
    if numeric and len(set(column[known])) > MAX_WORDS:
        numbers = column[known].astype(float)
        low, high = np.quantile(numbers, [1 / 3, 2 / 3])
        words = np.array([f"under {low:.3g}", f"{low:.3g} to {high:.3g}", f"over {high:.3g}"])
        named = words[np.searchsorted([low, high], numbers)].tolist()
    else:
        named = [str(value) for value in column[known]]
    for place, name in zip(np.flatnonzero(known), named, strict=True):
        labels[place] = name
    return labels


def _rank(column: NDArray, labels: list[str]) -> Any:
    """Return the sorting key of labels: their smallest value, numbers first, "unknown" last."""
    least: dict[str, tuple] = {}
    for value, label in zip(column, labels, strict=True):
        if label == "unknown":
            key: tuple = (2, 0.0, "")
        else:
            key = (0, float(value), "") if isinstance(value, Real) else (1, 0.0, str(value))
        least[label] = min(least.get(label, key), key)
    return least.__getitem__


def _figures(
    fake: NDArray, score: NDArray, threshold: float, weights: NDArray, mask: NDArray
) -> NDArray:
    """Compute the figures of some items; rows of weights that lack a class of them are NaN."""
    some, own = weights[:, mask], fake[mask]
    usable = (some @ own > 0) & (some @ ~own > 0)
    figures = np.full((len(weights), len(FIGURES)), np.nan)
    if usable.any():
        figures[usable] = weighted_figures(own, score[mask], threshold, some[usable])
    return figures
