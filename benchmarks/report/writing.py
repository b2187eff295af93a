"""Writing: the report as Markdown, its tables as CSV."""

import os
import platform
import sys
from importlib.metadata import version

import numpy as np
from pairs import describe_pair
from table import format_table, write_csv

from skfakespotter.evaluation import FIGURES

from .detectors import (
    AUGMENTED_LR,
    AUGMENTED_SVC,
    CHANNEL_LR,
    CHANNEL_SVC,
    EMBEDDING_SVC,
    FEW,
    HELD_OUT_LEVELS,
    LAYER_FSC,
    MEANS_LR,
    MEANS_SVC,
    RANDOM_SVC,
    SHORT_EPOCHS,
)
from .drawing import draw_all
from .stages import BLOCKS, CURVE_METHODS, MATRIX_METHODS, N_FOLDS
from .summary import CHOSEN_ON, Summary, interval

PAPER_LOSS = 3.77  # points of AUC, average over four attacks, section 4.4
LEVELS = ("quality", "sigma", "scale", "variance")  # parameters that set an attack's intensity
MAIN = (LAYER_FSC, CHANNEL_SVC, EMBEDDING_SVC, MEANS_SVC, "cheap-cues")
COMPARED = (  # whether the first is better than the second
    (CHANNEL_SVC, EMBEDDING_SVC),
    (CHANNEL_SVC, MEANS_SVC),
    (CHANNEL_LR, MEANS_LR),
    (CHANNEL_SVC, LAYER_FSC),
    (CHANNEL_SVC, RANDOM_SVC),
    (CHANNEL_SVC, "cheap-cues"),
    (CHANNEL_SVC, "spectrum-cnn"),
    (CHANNEL_SVC, "cooccurrence"),
)
COMPARED_UNDER_ATTACK = (
    (CHANNEL_SVC, EMBEDDING_SVC),
    (CHANNEL_SVC, MEANS_SVC),
    (CHANNEL_LR, MEANS_LR),
    (CHANNEL_SVC, LAYER_FSC),
    (AUGMENTED_SVC, CHANNEL_SVC),
    (AUGMENTED_LR, CHANNEL_LR),
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


def spell(value, low, high, digits=3):
    """Return a figure with its interval, in digits."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


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

Backbone `{bench.backbone}`, {os.cpu_count()} cores ({platform.machine()}), \
{seconds / 60:.0f} minutes in all stages together. Python {sys.version.split()[0]}, {versions}.

How it was measured. Faces are found, aligned and cut once; pictures without a detected face are \
left out. {N_FOLDS} folds, stratified, no photograph (nor near-duplicate) on both sides; the \
thresholds of equation 1 come from the training pictures of each fold alone, and each picture is \
scored by the one detector that did not see it. AUC and the other figures are of the scores of \
all folds together. Square brackets hold 95 % intervals from {bench.n_bootstraps:,} bootstrap \
resamples by photograph; they do not cover the choice of the folds, and means over pairs resample \
each pair by itself. Features are standardized. SVC: RBF kernel, C=10, gamma=1/n_features; \
logistic regression: C=0.02; random forest: 200 trees; FakeSpotterClassifier: the package's \
defaults. {short} A classifier decides at probability 0.5, or at decision value 0."""


def data_section(summary):
    """Count the pictures."""
    rows = []
    for pair in summary.pairs:
        faces, facts = summary.faces(pair), describe_pair(pair)
        real, fake = np.bincount(faces.y, minlength=2)
        missing = "{} real, {} fake".format(*faces.left_out)
        groups = len(np.unique(faces.groups))
        rows.append(
            [pair, facts.kind, facts.generator, real, fake, missing, groups, faces.n_joined]
        )
    header = ("pair", "kind of fake", "generator", "real", "fake")
    header += ("left out: no face", "groups", "near-duplicates joined")
    return "## Data\n\n" + format_table(header, rows)


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
        [m, *(f"{summary.fold_auc(p, m):.3f}" for p in summary.pairs)] for m in summary.methods
    ]
    text = "## Table 2\n\nAUC by pair (all eleven figures with intervals: `table2.csv`).\n\n"
    text += format_table(["method", *summary.pairs], auc)
    text += "\n\nMean of the AUC within each fold, which does not compare scores across folds:\n\n"
    text += format_table(["method", *summary.pairs], folds)
    for method in MAIN:
        figures = [
            [pair, *(f"{summary.report(pair, method)[name].value:.3f}" for name in FIGURES)]
            for pair in summary.pairs
        ]
        text += f"\n\n**{method}**\n\n" + format_table(["pair", *FIGURES], figures)
    note = (
        "ECE is given for probabilities only. The figures at a threshold of `mean activations`, "
        "`embedding` and other SVC rows are at decision value 0."
    )
    return f"{text}\n\n{note}\n\n![Figure 3: precision against recall](figure3.png)"


def _differences(summary, pairs, first, second):
    return interval(summary.mean_auc(pairs, first) - summary.mean_auc(pairs, second))


def statements(summary, out):
    """Compare coverage with the simple things, pair by pair."""
    rows, table_rows = [], []
    compared = [pair for pair in COMPARED if set(pair) <= set(summary.methods)]
    for first, second in compared + [(CHANNEL_SVC, rival) for rival in summary.bench.rivals]:
        cells = {p: _differences(summary, [p], first, second) for p in summary.pairs}
        cells["mean"] = _differences(summary, summary.pairs, first, second)
        rows += [[first, second, pair, *cell] for pair, cell in cells.items()]
        table_rows.append([f"{first} − {second}", *(_points(cell) for cell in cells.values())])
    header = ("method", "other", "pair", "difference", "low", "high")
    write_csv(out / "differences.csv", header, rows)
    return "\n\n".join(
        [
            "## Does coverage beat the simple things?",
            "Difference in AUC, in points, with the paired interval (the same resamples for "
            "both); a difference is shown where the interval leaves 0 out.",
            format_table(["difference", *summary.pairs, "mean"], table_rows),
        ]
    )


def _points(cell):
    value, low, high = (100 * number for number in cell)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def attack_section(summary, out):
    """Figure 4 and the average loss against the paper's."""
    write_attacks(summary, out)
    groups = {**summary.kinds, "all pairs": summary.pairs}
    losses, levels = [], []
    for m in summary.attacked_methods:
        losses.append([m, *(spell(*interval(summary.loss(p, m)), 2) for p in groups.values())])
        means = [summary.attacked_auc(pairs, m)[0] for pairs in groups.values()]
        means.append(np.mean([summary.attacked(p, m)[1][0] for p in summary.pairs]))
        levels.append([m, *(f"{mean:.3f}" for mean in means)])
    figures = [f"![Figure 4: {k}](figure4_{k.replace(' ', '_')}.png)" for k in summary.kinds]
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
            "by its center. *Trained with perturbed copies*: each training picture stands beside "
            "one perturbed copy of itself, drawn anew in each fold with equal chances from levels "
            f"that lie between the tested ones ({copies}); the thresholds come from both. Average "
            "AUC loss in points over four attacks at five intensities (without chains), mean over "
            f"the pairs of each kind; the paper reports {PAPER_LOSS} with its network and data.",
            format_table(["AUC loss in points", *groups], losses),
            "Average AUC under the four attacks, which a detector that has little to lose cannot "
            "make look good:",
            format_table(["AUC under attack", *groups, "unattacked, same pictures"], levels),
            "Differences in points, with paired intervals:",
            attack_differences(summary),
            missing_table(summary),
            *figures,
        ]
    )


def write_attacks(summary, out):
    """Write every point of Figure 4, with intervals."""
    rows = []
    for pair in summary.pairs:
        for method in summary.attacked_methods:
            draws, clean = summary.attacked(pair, method)
            for (attack, intensity), row in zip(summary.settings, draws, strict=True):
                cells = *interval(row), *interval(clean - row)
                rows.append([pair, method, attack, intensity, clean[0], *cells])
    header = ("pair", "method", "attack", "intensity", "clean", "score", "score_low", "score_high")
    write_csv(out / "figure4.csv", (*header, "drop", "drop_low", "drop_high"), rows)


def _level(transformer):
    (value,) = (v for k, v in transformer.get_params().items() if k in LEVELS)
    return value


def attack_differences(summary):
    """Compare detectors under attack."""
    rows, pairs = [], summary.pairs
    for first, second in COMPARED_UNDER_ATTACK:
        loss = interval(summary.loss(pairs, first) - summary.loss(pairs, second))
        auc = interval(summary.attacked_auc(pairs, first) - summary.attacked_auc(pairs, second))
        rows.append([f"{first} − {second}", _points(auc), spell(*loss, 2)])
    return format_table(["difference, mean over all pairs", "AUC under attack", "AUC loss"], rows)


def missing_table(summary):
    """Count the pictures in which an attack hid the face."""
    rows = []
    for pair in summary.pairs:
        counts, curves = summary.work.load(f"missing/{pair}"), summary.curves(pair)
        rows.append([pair, len(next(iter(curves.values())).attacked), *counts.values()])
    text = "Pictures without a face after the attack at its strongest level:\n\n"
    return text + format_table(["pair", "attacked", *counts], rows)


def matrix_section(summary, out):
    """Write what detectors of one pair do on another."""
    rows, text = [], []
    for method, name in zip(MATRIX_METHODS, ("channel", "embedding"), strict=True):
        result, pairs = summary.matrix(method), summary.pairs
        rows += [[method, a, b, *result.reports[a, b]["AUC"]] for a in pairs for b in pairs]
        off = result.matrix[~np.eye(len(pairs), dtype=bool)]
        lines = [
            [pair, *(f"{auc:.3f}" for auc in row)]
            for pair, row in zip(pairs, result.matrix, strict=True)
        ]
        text += [
            f"**{method}**, mean off the diagonal {off.mean():.3f}, lowest {off.min():.3f}",
            format_table(["trained on", *pairs], lines),
            f"![{name}](matrix_{name}.png)",
        ]
    write_csv(out / "matrix.csv", ("method", "train", "test", "auc", "low", "high"), rows)
    introduction = (
        "AUC of a detector trained on one pair (rows) and tested on another (columns); on the "
        "diagonal out of fold. Thresholds come from the training pair. Where two pairs share "
        "photographs, the test pair is scored fold by fold by detectors that were trained "
        "without the photographs of the fold."
    )
    return "\n\n".join(["## Across generators", introduction, *text])


def curve_section(summary, out):
    """Write AUC against training size."""
    rows, lines = [], []
    for pair in summary.bench.headline:
        for method in CURVE_METHODS:
            result = summary.learning_curve(pair, method)
            for size, folds in zip(result.train_sizes, result.scores, strict=True):
                folds = folds.ravel()
                rows += [[pair, method, size, fold, v] for fold, v in enumerate(folds.tolist())]
                lines.append([pair, method, size, f"{folds.mean():.3f} ± {folds.std():.3f}"])
    write_csv(out / "learning_curves.csv", ("pair", "method", "n_train", "fold", "auc"), rows)
    text = "Mean and standard deviation over the folds; thresholds from the same few pictures.\n\n"
    text += format_table(["pair", "method", "training pictures", "AUC"], lines)
    return f"## Learning curves\n\n{text}\n\n![Learning curves](learning_curves.png)"


def ablation_section(summary, out):
    """Write what the paper leaves unsaid, varied one at a time."""
    columns = [(pair, block) for pair in summary.bench.headline for block in BLOCKS]
    default = {column: summary.auc(column[0], BLOCKS[column[1]]) for column in columns}
    rows, lines = [], [["default", *(spell(*interval(draws)) for draws in default.values())]]
    rows += [[p, "default", b, *interval(default[p, b]), 0.0, 0.0, 0.0] for p, b in columns]
    for name in summary.bench.readings:
        lines.append([name])
        for pair, block in columns:
            draws = summary.reading(pair, name, block)
            value, change = interval(draws), interval(draws - default[pair, block])
            rows.append([pair, name, block, *value, *change])
            lines[-1].append(f"{spell(*value)}, {_points(change)}")
    header = ("pair", "reading", "granularity", "auc", "low", "high")
    write_csv(out / "ablation.csv", (*header, "change", "change_low", "change_high"), rows)
    text = (
        "AUC with a SVC, and the change in points against the default with its paired interval. "
        "The default is `neuron='unit', rectify=False, threshold='mean', output='count'`, "
        "faces aligned. Fractions are counts divided by a constant, which standardizing takes "
        "out again."
    )
    body = format_table(["reading", *(f"{p}, per {b}" for p, b in columns)], lines)
    return f"## What the paper leaves unsaid\n\n{text}\n\n{body}"


def recommendation(summary):
    """Choose on two pairs, say what it wins on the others."""
    others, chosen_on = [p for p in summary.pairs if p not in CHOSEN_ON], " and ".join(CHOSEN_ON)
    if not others or not set(CHOSEN_ON) <= set(summary.pairs):
        return f"## Recommendation\n\nNone: it is chosen on {chosen_on}, and tested on others."
    text = [
        "## Recommendation",
        "Granularity, classifier and augmentation are chosen by the mean AUC on "
        f"{chosen_on} alone; the win over the paper's ({LAYER_FSC}) is measured on "
        "the pairs that it was not chosen on. In points of AUC.",
    ]
    for attacked, what in ((False, "unattacked"), (True, "mean under the four attacks")):
        best = summary.recommend(attacked)
        rows = [[pair, _points(summary.win(best, [pair], attacked))] for pair in others]
        rows.append(["mean", _points(summary.win(best, others, attacked))])
        ranks = [
            [m, *(f"{summary.mean(p, m, attacked)[0]:.3f}" for p in (CHOSEN_ON, others))]
            for m in summary.candidates
            if not attacked or m in summary.attacked_methods
        ]
        ranks.sort(key=lambda row: row[1], reverse=True)
        text += [f"By AUC {what}: **{best}**.", format_table(["pair", "win"], rows)]
        text += [format_table(["candidate", chosen_on, "the other pairs"], ranks)]
    return "\n\n".join(text)


def figure_list(figures):
    """Name the files beside the report."""
    names = ", ".join(f"`{name}`" for name in figures)
    tables = "`table2.csv`, `differences.csv`, `figure4.csv`, `matrix.csv`, `learning_curves.csv`, "
    return f"## Files\n\n{tables}`ablation.csv`; {names}."
