"""Writing: the report as Markdown, its tables as CSV."""

import csv
import os
import platform
import sys
from importlib.metadata import version

import numpy as np
from pairs import describe_pair

from skfakespotter.evaluation._figures import FIGURES

from .detectors import (
    ATTACKED,
    AUGMENTED_LR,
    AUGMENTED_SVC,
    CHANNEL_LR,
    CHANNEL_SVC,
    EMBEDDING_SVC,
    FEW,
    LAYER_FSC,
    MEANS_LR,
    MEANS_SVC,
    SHORT_EPOCHS,
)
from .drawing import draw_all
from .stages import HELD_OUT_LEVELS, MATRIX_METHODS, N_FOLDS
from .summary import CANDIDATES, CHOSEN_ON, N_BOOTSTRAPS, Summary, interval

PAPER_LOSS = 3.77  # points of AUC, average over four attacks, section 4.4
LEVELS = ("quality", "sigma", "scale", "variance")  # parameters that set an attack's intensity
MAIN = (LAYER_FSC, CHANNEL_SVC, EMBEDDING_SVC, MEANS_SVC, "cheap-cues")
COMPARED = (  # whether the first is better than the second
    (CHANNEL_SVC, EMBEDDING_SVC),
    (CHANNEL_SVC, MEANS_SVC),
    (CHANNEL_LR, MEANS_LR),
    (CHANNEL_SVC, LAYER_FSC),
    (CHANNEL_SVC, "random weights, coverage per channel + SVC"),
    (CHANNEL_SVC, "cheap-cues"),
    (CHANNEL_SVC, "spectrum-cnn"),
    (CHANNEL_SVC, "cooccurrence"),
)


def write_report(bench, out):
    """Write REPORT.md, the tables and the figures.

    Parameters
    ----------
    bench : Bench
        With finished stages.
    out : path
        Folder, made when it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    summary = Summary(bench)
    figures = draw_all(summary, out)
    parts = [
        introduction(summary),
        data_section(summary),
        table_2(summary, out),
        statements(summary, out),
        attack_section(summary, out),
        *([matrix_section(summary, out)] if len(summary.pairs) > 1 else []),
        curve_section(summary, out),
        ablation_section(summary, out),
        recommendation(summary),
        figure_list(figures),
    ]
    (out / "REPORT.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(header, rows):
    """Give a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write_csv(path, header, rows):
    """Write a table with all digits."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def spell(value, low, high, digits=3):
    """Give a figure with its interval."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def verdict(low, high):
    """Say what an interval of a difference carries."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def introduction(summary):
    """Say what was run, on what, and how long it took."""
    bench = summary.bench
    seconds = sum(bench.work.seconds().values())
    packages = ("scikit-learn", "torch", "skorch", "numpy", "scipy", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    limit = "" if bench.limit is None else f" --limit {bench.limit}"
    short = (
        f"With more than {FEW:,} training pictures its channel version is trained for "
        f"{SHORT_EPOCHS} epochs instead of 40."
    )
    return f"""# Neuron coverage measured: tables, figures, rivals

`python benchmarks/paper.py --data FOLDER --attacked {bench.n_attacked}{limit}`

Backbone `{bench.watch.backbone}`, {os.cpu_count()} cores ({platform.machine()}), \
{seconds / 60:.0f} minutes in all stages together. Python {sys.version.split()[0]}, {versions}.

How it was measured. Faces are found, aligned and cut once; pictures without a detected face are \
left out. {N_FOLDS} folds, stratified, no photograph (nor near-duplicate) on both sides; the \
thresholds of equation 1 come from the training pictures of each fold alone, and each picture is \
scored by the one detector that did not see it. AUC and the other figures are of the scores of \
all folds together. Square brackets hold 95 % intervals from {N_BOOTSTRAPS:,} bootstrap resamples \
by photograph; they do not cover the choice of the folds, and means over pairs resample each pair \
by itself. Features are standardised. SVC: RBF kernel, C=10, gamma=1/n_features; logistic \
regression: C=0.02; random forest: 200 trees; FakeSpotterClassifier: the package's defaults. \
{short} A classifier decides at probability 0.5, or at decision value 0."""


def data_section(summary):
    """Count the pictures."""
    rows = []
    for pair in summary.pairs:
        faces, facts = summary.bench.sets[pair], describe_pair(pair)
        real, fake = np.bincount(faces.y, minlength=2)
        missing = "{} real, {} fake".format(*faces.left_out)
        groups = len(np.unique(faces.groups))
        rows.append(
            [pair, facts.kind, facts.generator, real, fake, missing, groups, faces.n_joined]
        )
    header = ("pair", "kind of fake", "generator", "real", "fake")
    header += ("left out: no face", "groups", "near-duplicates joined")
    return "## Data\n\n" + table(header, rows)


def table_2(summary, out):
    """Write the eleven figures of every method; AUC of all, the rest of the main ones."""
    rows = [
        [pair, describe_pair(pair).kind, method, name, *summary.report(pair, method)[name]]
        for pair in summary.pairs
        for method in summary.methods
        for name in FIGURES
    ]
    header = ("pair", "kind", "method", "figure", "value", "low", "high")
    write_csv(out / "table2.csv", header, rows)
    auc = [
        [m, *(spell(*summary.report(p, m)["AUC"]) for p in summary.pairs)] for m in summary.methods
    ]
    folds = [
        [m, *(f"{summary.fold_auc(p, m).mean():.3f}" for p in summary.pairs)]
        for m in summary.methods
    ]
    text = "## Table 2\n\nAUC by pair (all eleven figures with intervals: `table2.csv`).\n\n"
    text += table(["method", *summary.pairs], auc)
    text += "\n\nMean of the AUC within each fold, which does not compare scores across folds:\n\n"
    text += table(["method", *summary.pairs], folds)
    for method in MAIN:
        figures = [
            [pair, *(f"{summary.report(pair, method)[name].value:.3f}" for name in FIGURES)]
            for pair in summary.pairs
        ]
        text += f"\n\n**{method}**\n\n" + table(["pair", *FIGURES], figures)
    note = (
        "ECE is given for probabilities only. The figures at a threshold of `mean activations`, "
        "`embedding` and other SVC rows are at decision value 0."
    )
    return f"{text}\n\n{note}\n\n![Figure 3: precision against recall](figure3.png)"


def statements(summary, out):
    """Compare coverage with the simple things, pair by pair."""
    compared = [pair for pair in COMPARED if set(pair) <= set(summary.methods)]
    rows, table_rows = [], []
    for first, second in compared:
        cells = {p: summary.difference(p, first, second) for p in summary.pairs}
        cells["mean"] = summary.mean_difference(summary.pairs, first, second)
        rows += [[first, second, pair, *cell] for pair, cell in cells.items()]
        table_rows.append([f"{first} − {second}", *(_points(cell) for cell in cells.values())])
    write_csv(
        out / "differences.csv", ("method", "other", "pair", "difference", "low", "high"), rows
    )
    lines = []
    for first, second in compared:
        by_verdict = {"better": [], "worse": [], "no difference shown": []}
        for pair in summary.pairs:
            by_verdict[verdict(*summary.difference(pair, first, second)[1:])].append(pair)
        said = "; ".join(f"{word} on {', '.join(p)}" for word, p in by_verdict.items() if p)
        lines.append(f"- {first} against {second}: {said}.")
    return "\n".join(
        [
            "## Does coverage beat the simple things?",
            "",
            "Difference in AUC, in points, with the paired interval (the same resamples for both):",
            "",
            table(["difference", *summary.pairs, "mean"], table_rows),
            "",
            "In words; better or worse where the interval leaves 0 out:",
            "",
            *lines,
        ]
    )


def _points(cell):
    value, low, high = (100 * number for number in cell)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def attack_section(summary, out):
    """Figure 4 and the average loss against the paper's."""
    rows = []
    for pair in summary.pairs:
        for method, values in summary.attacked(pair).items():
            for (attack, intensity), draws in zip(summary.settings, values[1:], strict=True):
                cells = *interval(draws), *interval(values[0] - draws)
                rows.append([pair, method, attack, intensity, values[0, 0], *cells])
    header = ("pair", "method", "attack", "intensity", "clean", "score", "score_low", "score_high")
    write_csv(out / "figure4.csv", (*header, "drop", "drop_low", "drop_high"), rows)
    groups = {**summary.kinds, "all pairs": summary.pairs}
    losses = [
        [m, *(spell(*interval(summary.loss(pairs, m)), 2) for pairs in groups.values())]
        for m in ATTACKED
    ]
    levels = [
        [
            m,
            *(f"{summary.attacked_auc(pairs, m)[0]:.3f}" for pairs in groups.values()),
            f"{np.mean([summary.attacked(p)[m][0, 0] for p in summary.pairs]):.3f}",
        ]
        for m in ATTACKED
    ]
    figures = [
        f"![Figure 4: {kind}](figure4_{kind.replace(' ', '_')}.png)" for kind in summary.kinds
    ]
    copies = "; ".join(
        f"{name} {', '.join(f'{_level(t):g}' for t in levels)}"
        for name, levels in HELD_OUT_LEVELS.items()
    )
    return "\n\n".join(
        [
            "## Figure 4: under attack",
            f"At most {summary.bench.n_attacked} pictures of each pair, half real and half fake, "
            "the same for every attack, each scored by the detectors of the fold that held it "
            "out. The whole picture is perturbed, its face found and aligned again, and counted "
            "at the thresholds of that fold; a picture without a face after the attack is taken "
            "by its centre. *Trained with perturbed copies*: each training picture stands beside "
            "one perturbed copy of itself, drawn with equal chances from levels that lie between "
            f"the tested ones ({copies}); the thresholds come from both. Average AUC loss in "
            "points over four attacks at five intensities (without the two chains), mean over "
            f"the pairs of each kind; the paper reports {PAPER_LOSS} with its network and data.",
            table(["AUC loss in points", *groups], losses),
            "Average AUC under the four attacks, which a detector that has little to lose cannot "
            "make look good:",
            table(["AUC under attack", *groups, "unattacked, same pictures"], levels),
            attack_statements(summary),
            missing_table(summary),
            *figures,
        ]
    )


def _level(transformer):
    (value,) = (v for k, v in transformer.get_params().items() if k in LEVELS)
    return value


def attack_statements(summary):
    """Say which detector is the more robust, where the intervals carry it."""
    lines = []
    for first, second in (
        (CHANNEL_SVC, EMBEDDING_SVC),
        (CHANNEL_SVC, MEANS_SVC),
        (CHANNEL_LR, MEANS_LR),
        (CHANNEL_SVC, LAYER_FSC),
        (AUGMENTED_SVC, CHANNEL_SVC),
        (AUGMENTED_LR, CHANNEL_LR),
    ):
        loss = interval(summary.loss(summary.pairs, first) - summary.loss(summary.pairs, second))
        auc = interval(
            summary.attacked_auc(summary.pairs, first) - summary.attacked_auc(summary.pairs, second)
        )
        words = {"better": "loses more", "worse": "loses less"}
        lost = words.get(verdict(*loss[1:]), "no difference in loss shown")
        lines.append(
            f"- {first} against {second}: {lost} ({loss[0]:+.2f} points "
            f"[{loss[1]:+.2f}, {loss[2]:+.2f}]); AUC under attack "
            f"{verdict(*auc[1:])} ({_points(auc)} points)."
        )
    over = [m for m in ATTACKED if interval(summary.loss(summary.pairs, m))[1] > PAPER_LOSS]
    under = [m for m in ATTACKED if interval(summary.loss(summary.pairs, m))[2] < PAPER_LOSS]
    lines.append(f"- Average loss below the paper's {PAPER_LOSS}: {'; '.join(under) or 'none'}.")
    lines.append(f"- Average loss above it: {'; '.join(over) or 'none'}.")
    return "\n".join(["Mean over all pairs, paired intervals:", "", *lines])


def missing_table(summary):
    """Count the pictures in which an attack hid the face."""
    rows = []
    for pair in summary.pairs:
        counts, n_pictures = summary.without_face(pair)
        rows.append([pair, n_pictures, *(f"{sum(c)} ({c[-1]})" for c in counts.values())])
    text = "Pictures without a face after the attack, over five levels (at the strongest):\n\n"
    return text + table(["pair", "attacked", *counts], rows)


def matrix_section(summary, out):
    """Write what detectors of one pair do on another."""
    rows = [
        [method, a, b, *cell]
        for method in MATRIX_METHODS
        for (a, b), cell in summary.cross(method).items()
    ]
    write_csv(out / "matrix.csv", ("method", "train", "test", "auc", "low", "high"), rows)
    off = {m: [row[3] for row in rows if row[0] == m and row[1] != row[2]] for m in MATRIX_METHODS}
    text = [
        "## Across generators",
        "AUC of a detector trained on one pair (rows) and tested on another (columns); on the "
        "diagonal out of fold. Thresholds come from the training pair. Where two pairs share "
        "photographs, a picture is scored by the detector of the fold that held its photograph "
        "out.",
    ]
    for method, name in zip(MATRIX_METHODS, ("channel", "embedding"), strict=True):
        cells = summary.cross(method)
        lines = [[a, *(f"{cells[a, b][0]:.3f}" for b in summary.pairs)] for a in summary.pairs]
        text += [
            f"**{method}**, mean off the diagonal {np.mean(off[method]):.3f}, lowest "
            f"{min(off[method]):.3f}"
        ]
        text += [table(["trained on", *summary.pairs], lines), f"![{name}](matrix_{name}.png)"]
    return "\n\n".join(text)


def curve_section(summary, out):
    """Write AUC against training size."""
    rows, lines = [], []
    for pair in summary.pairs:
        if not summary.work.has(f"curves/{pair}"):
            continue
        kept = summary.work.load(f"curves/{pair}")
        for method, auc in zip(kept["methods"].tolist(), kept["auc"], strict=True):
            for size, folds in zip(kept["sizes"].tolist(), auc, strict=True):
                rows += [[pair, method, size, fold, v] for fold, v in enumerate(folds.tolist())]
                lines.append([pair, method, size, f"{folds.mean():.3f} ± {folds.std():.3f}"])
    write_csv(out / "learning_curves.csv", ("pair", "method", "n_train", "fold", "auc"), rows)
    text = "Mean and standard deviation over the folds; thresholds from the same few pictures.\n\n"
    text += table(["pair", "method", "training pictures", "AUC"], lines)
    return f"## Learning curves\n\n{text}\n\n![Learning curves](learning_curves.png)"


def ablation_section(summary, out):
    """Write what the paper leaves unsaid, varied one at a time."""
    rows, lines, pairs = [], {}, []
    for pair in summary.pairs:
        if not summary.work.has(f"ablation_done/{pair}"):
            continue
        pairs.append(pair)
        found = summary.ablation(pair)
        default = found["default"]
        for name, blocks in found.items():
            for block in ("layer", "channel"):
                value, change = interval(blocks[block]), interval(blocks[block] - default[block])
                rows.append([pair, name, block, *value, *change])
                cell = spell(*value)
                if blocks is not default:
                    cell += (
                        f", {100 * change[0]:+.1f} [{100 * change[1]:+.1f}, {100 * change[2]:+.1f}]"
                    )
                lines.setdefault(name, []).append(cell)
    header = ("pair", "reading", "granularity", "auc", "low", "high")
    write_csv(out / "ablation.csv", (*header, "change", "change_low", "change_high"), rows)
    names = [f"{pair}, per {block}" for pair in pairs for block in ("layer", "channel")]
    text = (
        "AUC with a SVC, and the change in points against the default with its paired interval. "
        "The default is `neuron='unit', rectify=False, threshold='mean', output='count'`, "
        "faces aligned. Fractions are counts divided by a constant, which standardising takes "
        "out again."
    )
    body = table(["reading", *names], [[name, *cells] for name, cells in lines.items()])
    return f"## What the paper leaves unsaid\n\n{text}\n\n{body}"


def recommendation(summary):
    """Choose on two pairs, say what it wins on the others."""
    others = [pair for pair in summary.pairs if pair not in CHOSEN_ON]
    if not others or not set(CHOSEN_ON) <= set(summary.pairs):
        chosen_on = " and ".join(CHOSEN_ON)
        return f"## Recommendation\n\nNone: it is chosen on {chosen_on}, and tested on others."
    text = [
        "## Recommendation",
        "Granularity, classifier and augmentation are chosen by the mean AUC on "
        f"{' and '.join(CHOSEN_ON)} alone; the win over the paper's ({LAYER_FSC}) is measured on "
        "the pairs that it was not chosen on. In points of AUC.",
    ]
    for attacked, what in ((False, "unattacked"), (True, "mean under the four attacks")):
        best = summary.recommend(attacked)
        rows = [[p, _points(summary.win(best, p, attacked))] for p in others]
        if attacked:
            draws = summary.attacked_auc(others, best) - summary.attacked_auc(others, LAYER_FSC)
        else:
            draws = np.mean([summary.auc(p, best) - summary.auc(p, LAYER_FSC) for p in others], 0)
        rows.append(["mean", _points(interval(draws))])
        text += [f"By AUC {what}: **{best}**.", table(["pair", "win"], rows)]
        ranks = _ranking(summary, attacked, others)
        text += [table(["candidate", " and ".join(CHOSEN_ON), "the other pairs"], ranks)]
    return "\n\n".join(text)


def _ranking(summary, attacked, others):
    rows = []
    for method in CANDIDATES:
        if method not in (ATTACKED if attacked else summary.methods):
            continue
        means = [
            summary.attacked_auc(pairs, method)[0]
            if attacked
            else np.mean([summary.auc(p, method)[0] for p in pairs])
            for pairs in (CHOSEN_ON, others)
        ]
        rows.append([method, *(f"{mean:.3f}" for mean in means)])
    return sorted(rows, key=lambda row: row[1], reverse=True)


def figure_list(figures):
    """Name the files beside the report."""
    names = ", ".join(f"`{name}`" for name in figures)
    tables = "`table2.csv`, `differences.csv`, `figure4.csv`, `matrix.csv`, `learning_curves.csv`, "
    return f"## Files\n\n{tables}`ablation.csv`; {names}."
