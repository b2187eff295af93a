"""Tables: every table of the report, as Markdown for people and as CSV with all digits."""

import numpy as np
from pairs import describe_pair
from table import format_table, spell, write_csv

from skfakespotter.evaluation import FIGURES

from .detectors import (
    BLOCKS,
    CHANNEL_SVC,
    COMPARED,
    COMPARED_UNDER_ATTACK,
    IN_CURVES,
    IN_FULL,
    IN_MATRIX,
    LAYER_FSC,
    METHODS,
)
from .summary import interval

CHOSEN_ON = ("stylegan", "pggan")  # the recommendation is made on these, tested on the others


def spell_points(value, low, high):
    """Return a difference with its interval, in points."""
    return spell(100 * value, 100 * low, 100 * high, digits=1, sign="+")


def data(summary):
    """Count the pictures."""
    rows = []
    for pair in summary.pairs:
        faces, facts = summary.bench.set(pair), describe_pair(pair)
        real, fake = np.bincount(faces.y, minlength=2)
        missing = "{} real, {} fake".format(*faces.left_out)
        groups = len(np.unique(faces.groups))
        rows.append(
            [pair, facts.kind, facts.generator, real, fake, missing, groups, faces.n_joined]
        )
    header = ("pair", "kind of fake", "generator", "real", "fake")
    return format_table((*header, "left out: no face", "groups", "near-duplicates joined"), rows)


def table_2(summary, out):
    """Tabulate AUC, its mean within folds, and all eleven figures of the main methods."""
    rows = [
        [pair, describe_pair(pair).kind, method, name, *summary.report(pair, method)[name]]
        for pair in summary.pairs
        for method in summary.bench.methods
        for name in FIGURES
    ]
    header = ("pair", "kind", "method", "figure", "value", "low", "high")
    write_csv(out / "table2.csv", header, rows)

    def tabulate(cell):
        lines = [[m, *(cell(pair, m) for pair in summary.pairs)] for m in summary.bench.methods]
        return format_table(["method", *summary.pairs], lines)

    def list_figures(pair, method):
        return [f"{summary.report(pair, method)[name].value:.3f}" for name in FIGURES]

    return {
        "auc": tabulate(lambda pair, method: spell(*summary.report(pair, method)["AUC"])),
        "auc_within_folds": tabulate(lambda pair, m: f"{summary.fold_auc(pair, m):.3f}"),
        "eleven_figures": {
            m: format_table(["pair", *FIGURES], [[p, *list_figures(p, m)] for p in summary.pairs])
            for m in IN_FULL
        },
    }


def differences(summary, out):
    """Compare coverage with the simple things, pair by pair."""
    rows, lines = [], []
    rivals = [(CHANNEL_SVC, rival) for rival in summary.bench.rivals]
    for first, second in [*COMPARED, *rivals]:
        lines.append([f"{first} − {second}"])
        for name, pairs in [*((p, [p]) for p in summary.pairs), ("mean", summary.pairs)]:
            cell = interval(summary.mean_auc(pairs, first) - summary.mean_auc(pairs, second))
            rows.append([first, second, name, *cell])
            lines[-1].append(spell_points(*cell))
    header = ("method", "other", "pair", "difference", "low", "high")
    write_csv(out / "differences.csv", header, rows)
    return format_table(["difference", *summary.pairs, "mean"], lines)


def attacks(summary, out):
    """Tabulate the loss and the AUC under attack; every point of Figure 4 goes to a file."""
    rows = []
    for pair in summary.pairs:
        for method in summary.bench.attacked:
            draws, clean = summary.attacked(pair, method)
            for (attack, intensity), row in zip(summary.settings, draws, strict=True):
                cells = *interval(row), *interval(clean - row)
                rows.append([pair, method, attack, intensity, clean[0], *cells])
    header = ("pair", "method", "attack", "intensity", "clean", "score", "score_low", "score_high")
    write_csv(out / "figure4.csv", (*header, "drop", "drop_low", "drop_high"), rows)
    groups = {**summary.kinds, "all pairs": summary.pairs}
    losses, levels = [], []
    for m in summary.bench.attacked:
        losses.append([m, *(spell(*interval(summary.loss(p, m)), 2) for p in groups.values())])
        means = [summary.attacked_auc(pairs, m)[0] for pairs in groups.values()]
        means.append(np.mean([summary.attacked(p, m)[1][0] for p in summary.pairs]))
        levels.append([m, *(f"{mean:.3f}" for mean in means)])
    return {
        "losses": format_table(["AUC loss in points", *groups], losses),
        "attacked": format_table(
            ["AUC under attack", *groups, "unattacked, same pictures"], levels
        ),
    }


def attack_differences(summary):
    """Compare detectors under attack."""
    rows, pairs = [], summary.pairs
    for first, second in COMPARED_UNDER_ATTACK:
        loss = interval(summary.loss(pairs, first) - summary.loss(pairs, second))
        auc = interval(summary.attacked_auc(pairs, first) - summary.attacked_auc(pairs, second))
        rows.append([f"{first} − {second}", spell_points(*auc), spell(*loss, 2)])
    return format_table(["difference, mean over all pairs", "AUC under attack", "AUC loss"], rows)


def missing(summary):
    """Count the pictures in which an attack hid the face."""
    rows = []
    for pair in summary.pairs:
        counts, curves = summary.work.load(f"missing/{pair}"), summary.curves(pair)
        rows.append([pair, len(next(iter(curves.values())).attacked), *counts.values()])
    return format_table(["pair", "attacked", *counts], rows)


def matrices(summary, out):
    """Tabulate what detectors of one pair do on another."""
    rows, tables, pairs = [], {}, summary.pairs
    for name, method in IN_MATRIX.items():
        result = summary.work.load(f"matrix/{method}")
        rows += [[method, a, b, *result.reports[a, b]["AUC"]] for a in pairs for b in pairs]
        lines = [
            [pair, *(f"{auc:.3f}" for auc in row)]
            for pair, row in zip(pairs, result.matrix, strict=True)
        ]
        off = result.matrix[~np.eye(len(pairs), dtype=bool)]
        figures = {"mean": f"{off.mean():.3f}", "lowest": f"{off.min():.3f}"}
        table = format_table(["trained on", *pairs], lines)
        tables[name] = {"method": method, "table": table, **figures}
    write_csv(out / "matrix.csv", ("method", "train", "test", "auc", "low", "high"), rows)
    return tables


def learning_curves(summary, out):
    """Tabulate AUC against training size."""
    rows, lines = [], []
    for pair in summary.bench.headline:
        for method in IN_CURVES:
            result = summary.work.load(f"curves/{pair}/{method}")
            for size, folds in zip(result.train_sizes, result.scores, strict=True):
                folds = folds.ravel()
                rows += [[pair, method, size, fold, v] for fold, v in enumerate(folds.tolist())]
                lines.append([pair, method, size, f"{folds.mean():.3f} ± {folds.std():.3f}"])
    write_csv(out / "learning_curves.csv", ("pair", "method", "n_train", "fold", "auc"), rows)
    return format_table(["pair", "method", "training pictures", "AUC"], lines)


def readings(summary, out):
    """Tabulate what the paper leaves unsaid, varied one at a time."""
    columns = [(pair, block) for pair in summary.bench.headline for block in BLOCKS]
    default = {column: summary.auc(column[0], BLOCKS[column[1]]) for column in columns}
    rows, lines = [], [["default", *(spell(*interval(draws)) for draws in default.values())]]
    rows += [[p, "default", b, *interval(default[p, b]), 0.0, 0.0, 0.0] for p, b in columns]
    for name in summary.bench.readings:
        lines.append([name])
        for pair, block in columns:
            draws = summary.draw_auc(
                pair, summary.work.load(f"ablation/{pair}/{name}/{block}").scores
            )
            value, change = interval(draws), interval(draws - default[pair, block])
            rows.append([pair, name, block, *value, *change])
            lines[-1].append(f"{spell(*value)}, {spell_points(*change)}")
    header = ("pair", "reading", "granularity", "auc", "low", "high")
    write_csv(out / "ablation.csv", (*header, "change", "change_low", "change_high"), rows)
    return format_table(["reading", *(f"{p}, per {b}" for p, b in columns)], lines)


def recommendations(summary):
    """Choose on two pairs, say what it wins on the others; none where a pair is missing."""
    others = [pair for pair in summary.pairs if pair not in CHOSEN_ON]
    if not others or not set(CHOSEN_ON) <= set(summary.pairs):
        return []
    choices, bench = [], summary.bench
    for under, methods, mean in (
        ("unattacked", bench.methods, summary.mean_auc),
        ("mean under the four attacks", bench.attacked, summary.attacked_auc),
    ):
        coverage = [m for m in methods if m in METHODS and METHODS[m].features in BLOCKS]
        best = max(coverage, key=lambda m: mean(CHOSEN_ON, m)[0])
        wins = [
            [name, spell_points(*interval(mean(pairs, best) - mean(pairs, LAYER_FSC)))]
            for name, pairs in [*((pair, [pair]) for pair in others), ("mean", others)]
        ]
        ranks = [[m, *(f"{mean(p, m)[0]:.3f}" for p in (CHOSEN_ON, others))] for m in coverage]
        ranks.sort(key=lambda row: row[1], reverse=True)
        header = ["candidate", " and ".join(CHOSEN_ON), "the other pairs"]
        tables = {"wins": format_table(["pair", "win"], wins), "ranks": format_table(header, ranks)}
        choices.append({"under": under, "best": best, **tables})
    return choices
