"""Findings: how well one fact about the pictures alone tells the label, and how bad that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skfakespotter._tables import Table
from skfakespotter._typing import RandomState

SEVERITIES = ("leak", "warning", "ok", "not checked")
CHANCE = 0.001  # how often labels dealt at random would give an AUC that counts


class Finding(NamedTuple):
    """One fact about the data, and how well it alone tells the label.

    Attributes
    ----------
    name : str
        The fact, such as ``"format"``.
    severity : {"leak", "warning", "ok", "not checked"}
        See :func:`~skfakespotter.leakage.audit` for the rule.
    auc : float
        AUC of this fact alone, 0 to 1; NaN when it was not checked.
    text : str
        What was seen, in words.
    examples : tuple of str
        The worst offenders, at most six.
    """

    name: str
    severity: str
    auc: float
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AuditReport(Table):
    """Whether the data leaks the label, and how; what :func:`~skfakespotter.leakage.audit` returns.

    ``str(report)`` is the verdict with all findings in words; ``to_frame()`` has one row a
    finding, worst first: ``name``, ``severity``, ``auc``, ``text``, ``examples``.

    Parameters
    ----------
    findings : list of Finding
        Worst first.
    n_real, n_fake, n_groups : int
        Pictures of each class, and units that never stand on both sides of a fold.
    chance_auc : float
        The AUC that shuffled labels reach once in a thousand times; less is no evidence.

    Examples
    --------
    >>> from skfakespotter.leakage import AuditReport, Finding
    >>> finding = Finding("format", "leak", 1.0, "real: PNG (9); fake: JPEG (9)")
    >>> report = AuditReport([finding], 9, 9, 18, 0.93)
    >>> report.leaks
    True
    """

    findings: list[Finding]
    n_real: int
    n_fake: int
    n_groups: int
    chance_auc: float

    @property
    def leaks(self) -> bool:
        """Whether any finding is a leak."""
        return any(finding.severity == "leak" for finding in self.findings)

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        names = ", ".join(finding.name for finding in self.findings)
        raise KeyError(f"no finding {name!r}: expected one of {names}")

    def __str__(self) -> str:
        lines = [
            f"{self.n_real:,} real and {self.n_fake:,} fake pictures in {self.n_groups:,} groups; "
            f"an AUC under {self.chance_auc:.2f} is chance",
            self._verdict(),
            "",
        ]
        for name, severity, auc, text, examples in self.findings:
            figure = f"{auc:.2f}" if np.isfinite(auc) else "  - "
            lines.append(f"{severity:<12}{figure}  {name}: {text}")
            if examples and severity in ("leak", "warning"):
                lines.append(f"{'':<18}for example {', '.join(examples)}")
        return "\n".join(lines)

    def _columns(self) -> dict[str, list]:
        columns = zip(*self.findings, strict=True)
        return dict(zip(Finding._fields, map(list, columns), strict=True))

    def _verdict(self) -> str:
        by = {s: [f.name for f in self.findings if f.severity == s] for s in SEVERITIES}
        if by["leak"]:
            verdict = (
                f"LEAKS the label through {', '.join(by['leak'])}: a detector can score without "
                "looking at a face. Do not trust a result on this set as it is."
            )
        else:
            verdict = "No leak found."
        if by["warning"]:
            verdict += f" Mind {', '.join(by['warning'])}."
        if by["not checked"]:
            verdict += f" Not checked: {', '.join(by['not checked'])}."
        return verdict


class Judge:
    """Turns facts into findings: the labels, the folds and the bounds.

    The rule stands in the text of :func:`~skfakespotter.leakage.audit`.

    Parameters
    ----------
    names : list of str of length n
        What to call each picture.
    fake : ndarray of shape (n,), bool
        Labels.
    group : ndarray of shape (n,), int
        Groups, which never stand on both sides of a fold.
    leak_auc, cue_auc : float
        AUC from which a fact counts, and from which a fact about content is a leak.
    random_state : int, RandomState or None
        Deals the groups into folds.

    Raises
    ------
    ValueError
        When there are too few groups of a class.
    """

    def __init__(
        self,
        names: list[str],
        fake: NDArray,
        group: NDArray,
        *,
        leak_auc: float,
        cue_auc: float,
        random_state: RandomState,
    ) -> None:
        self.names, self.fake, self.group = names, fake, group
        self.leak_auc, self.cue_auc = leak_auc, cue_auc
        self.chance_auc = _find_chance_auc(fake, group)
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=random_state)
        self.folds = [
            (train, test)
            for train, test in folds.split(fake, fake, group)
            if len(set(fake[train])) == len(set(fake[test])) == 2
        ]
        if not self.folds:
            raise ValueError("groups: no fold holds both classes; expected more, smaller groups.")

    def auc(self, model: Any, table: NDArray) -> float:
        """Return the mean AUC over the folds of ``model``, which predicts labels from ``table``."""
        scores = cross_val_score(model, table, self.fake, cv=self.folds, scoring="roc_auc")
        return float(scores.mean())

    def severity(self, auc: float, content: bool) -> str:
        """Return how bad an AUC is; ``content``: of what a detector may be right to use."""
        leak = max(self.cue_auc if content else self.leak_auc, self.chance_auc)
        warning = max(self.leak_auc, self.chance_auc) if content else self.chance_auc
        return "leak" if auc >= leak else "warning" if auc >= warning else "ok"

    def words(
        self, name: str, values: Sequence[str], columns: list[NDArray] | None = None
    ) -> Finding:
        """Judge a fact that is a word a picture; ``columns`` add what else it is judged by."""
        column = np.asarray(values, dtype=str)
        kinds, kind = np.unique(column, return_inverse=True)
        counts = [np.bincount(kind[self.fake == side], minlength=len(kinds)) for side in (0, 1)]
        text = f"{kinds[0]} in every picture"
        examples: tuple[str, ...] = ()
        if len(kinds) > 1:
            text = "; ".join(map(_tally, ("real", "fake"), (kinds, kinds), counts))
            excess = counts[1] / counts[1].sum() - counts[0] / counts[0].sum()
            examples = self._some((kind == excess.argmin()) & ~self.fake)
            examples += self._some((kind == excess.argmax()) & self.fake)
        table = np.column_stack([column, *(columns or [])])
        return self._judge(name, table, text, examples)

    def numbers(self, name: str, values: NDArray, what: str, *, content: bool = True) -> Finding:
        """Judge a fact that is a number a picture, NaN where there is none."""
        real, fake = (values[(self.fake == side) & np.isfinite(values)] for side in (0, 1))
        if not len(real) or not len(fake):
            return Finding(name, "not checked", np.nan, f"no {what} in one class or both")
        medians = np.median(real), np.median(fake)
        text = f"{what}, median {medians[0]:.3g} real, {medians[1]:.3g} fake"
        order = np.argsort(values if medians[0] <= medians[1] else -values)  # NaN last
        order = order[np.isfinite(values[order])]
        low, high = order[~self.fake[order]][:2], order[self.fake[order]][-2:]
        examples = tuple(self.names[i] for i in [*low, *high])
        return self._judge(name, cut_tenths(values)[:, None], text, examples, content=content)

    def _judge(
        self,
        name: str,
        columns: NDArray,
        text: str,
        examples: tuple[str, ...],
        *,
        content: bool = False,
    ) -> Finding:
        auc = 0.5  # of a fact that is the same in every picture; most files' facts are
        if (columns != columns[0]).any():
            one_hot = OneHotEncoder(handle_unknown="ignore")
            model = make_pipeline(one_hot, LogisticRegression(max_iter=1000))
            auc = self.auc(model, np.asarray(columns, dtype=object))
        return Finding(name, self.severity(auc, content), auc, text, examples)

    def _some(self, mask: NDArray) -> tuple[str, ...]:
        return tuple(self.names[i] for i in np.flatnonzero(mask)[:3])


def _find_chance_auc(fake: NDArray, group: NDArray) -> float:
    real, fakes = (len(np.unique(group[fake == side])) for side in (0, 1))
    sd = np.sqrt((real + fakes + 1) / (12 * real * fakes))
    chance_auc = 0.5 + norm.isf(CHANCE) * sd
    if chance_auc >= 1:
        raise ValueError(
            f"{real} real and {fakes} fake groups of pictures are too few to tell a leak from "
            "chance: expected at least 7 of each."
        )
    return chance_auc


def cut_tenths(values: NDArray) -> NDArray:
    """Cut numbers into ten bins of equally many; NaN is a bin of its own.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Numbers.

    Returns
    -------
    ndarray of shape (n,), int
        Bins, -1 for NaN.
    """
    edges = np.unique(np.nanquantile(values, np.arange(1, 10) / 10))
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values))


def _tally(side: str, kinds: NDArray, counts: NDArray) -> str:
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    shown = ", ".join(f"{kinds[i]} ({counts[i]})" for i in order[:3])
    return f"{side}: {shown}" + (f" and {len(order) - 3} others" if len(order) > 3 else "")
