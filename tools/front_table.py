"""Print the table of the front page from the results of the benchmarks.

Usage: python tools/front_table.py

Means over all pairs of the AUC: out of fold on the generator trained on, under the four attacks
on it, and on the other pairs' generators. The best of each column is bold, whoever's it is.
"""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "paper"
COLUMNS = ("known generator", "under attack", "unknown generator")
ATTACKS = ("jpeg", "blur", "resize", "noise")
METHODS = {
    "coverage per channel + SVC": "coverage per channel",
    "coverage per channel + SVC, trained with perturbed copies": "… trained with perturbed copies",
    "coverage per layer + FakeSpotterClassifier": "coverage per layer, the paper's form",
    "mean activations + SVC": "mean activations of the same network",
    "embedding + SVC": "final embedding of the same network",
    "cheap-cues": "cheap cues, which know nothing of faces",
}


def main() -> None:
    """Print the table."""
    print(table())


def table() -> str:
    """Lay the table out in Markdown.

    Returns
    -------
    str
        One line for each method.
    """
    figures = measured()
    best = [max((row[i] for row in figures.values() if row[i]), default=0) for i in range(3)]
    lines = [f"| AUC | {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    for method, name in METHODS.items():
        cells = [cell(value, top) for value, top in zip(figures[method], best, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured() -> dict[str, list[float | None]]:
    """Average each method over the pairs.

    Returns
    -------
    dict of str to list of float
        Three figures a method; None where it was not measured.
    """
    by_method: dict[str, list[list[float]]] = defaultdict(lambda: [[], [], []])
    for row in rows("table2.csv"):
        if row["figure"] == "AUC":
            by_method[row["method"]][0].append(float(row["value"]))
    for row in rows("figure4.csv"):
        if row["attack"] in ATTACKS:
            by_method[row["method"]][1].append(float(row["score"]))
    for row in rows("matrix.csv"):
        if row["train"] != row["test"]:
            by_method[row["method"]][2].append(float(row["auc"]))
    return {m: [mean(v) if v else None for v in values] for m, values in by_method.items()}


def rows(name: str) -> list[dict[str, str]]:
    """Read a table of results.

    Parameters
    ----------
    name : str
        Its file.

    Returns
    -------
    list of dict
        Its rows.
    """
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def cell(value: float | None, best: float) -> str:
    """Write a figure, bold when nothing is better.

    Parameters
    ----------
    value : float or None
        The figure.
    best : float
        The best of its column.

    Returns
    -------
    str
        Two decimals; a dash for None.
    """
    if value is None:
        return "–"
    return f"**{value:.3f}**" if round(value, 3) == round(best, 3) else f"{value:.3f}"


if __name__ == "__main__":
    main()
