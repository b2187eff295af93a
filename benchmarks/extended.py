"""The extended table: methods by pairs by attacks, every method on the same pictures and folds.

    python benchmarks/extended.py --data FOLDER [--work FOLDER] [--out FOLDER] [--pairs NAME ...]
        [--networks NAME ...] [--detector NAME] [--limit 200] [--attacked 40]
        [--levels 3] [--epochs 6]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Every method is trained and
scored inside the same two folds of ``--limit`` pictures, by photograph where a pair holds edits of
it; ``--attacked`` of them are attacked, by the paper's attacks and by those of today, at the levels
of ``--levels``, from 1 to 5. Large networks start from nothing, on the pairs of ``--networks``.
Results of finished stages lie in the work folder: an interrupted run continues. ``--cnn-detection``
takes the published weights of that detector, which then joins the table.
"""

from functools import partial
from pathlib import Path

import numpy as np
from options import RESULTS, make_parser
from pairs import PAIRS, list_pictures
from sklearn.svm import SVC
from table import format_table, spell, write_csv, write_page
from work import Work, run_stages

from skfakespotter import (
    CNNDetection,
    FaceAligner,
    compare,
    make_baseline,
    make_fakespotter,
    paper_attacks,
    robustness_cross_val,
    sharing_attacks,
)
from skfakespotter.images import load_image

COVERAGE = "coverage per channel"
RIVALS = ("embedding", "mean-activations", "cheap-cues", "spectrum-linear")
RIVALS += ("cooccurrence", "saturation")
NETWORKS = ("autogan", "cnn-scratch", "cooccurrence-cnn")
HEADLINE = ("stylegan", "stargan_brown_hair", "faceswap")  # of one source, and large
N_FOLDS = 2
N_BOOTSTRAPS = 500
COLUMNS = ("pair", "method", "attack", "intensity", "auc", "low", "high", "drop")


def make_aligner(options):
    """Make what finds the faces; one that an attack hides is taken for the center."""
    aligner = FaceAligner(on_missing="center")
    return aligner if options.detector is None else aligner.set_params(detector=options.detector)


def make_methods(pair, options):
    """Make the unfitted detectors of a pair, by name, in groups that are fitted together."""
    aligner = make_aligner(options)
    coverage = make_fakespotter(
        granularity="channel", align=aligner, classifier=SVC(C=10), random_state=0
    )
    rivals = {name: make_baseline(name, random_state=0) for name in RIVALS}
    for rival in rivals.values():
        if "align" in rival.named_steps:
            rival.set_params(align=aligner)
    groups = [{COVERAGE: coverage, **rivals}]
    for name in NETWORKS if pair in options.networks else ():
        groups.append({name: make_network(name, options)})
    if options.cnn_detection is not None:
        groups.append({"cnn-detection": CNNDetection(options.cnn_detection)})
    return {"+".join(group) if len(group) == 1 else "rivals": group for group in groups}


def make_network(name, options):
    """Make a large network that learns in the time there is."""
    network = make_baseline(name, random_state=0)
    network.set_params(classifier__batch_size=16, classifier__precision=options.precision)
    if name == "cnn-scratch":  # the sides of the smallest pictures, instead of 256 and 224
        network.set_params(features__size=128, classifier__crop=112)
    return network.set_params(classifier__max_epochs=options.epochs)


def make_attacks(options):
    """Return the attacks of the table, at the levels asked for."""
    attacks = {**paper_attacks(), **sharing_attacks()}
    return {name: [own[i - 1] for i in options.levels] for name, own in attacks.items()}


def measure(options, pair, group):
    """Score a group of methods on a pair, clean and attacked, out of fold."""
    paths, y, groups = list_pictures(options.data, pair, options.limit)
    return robustness_cross_val(
        make_methods(pair, options)[group],
        [load_image(path) for path in paths],
        y,
        groups=groups,
        cv=N_FOLDS,
        attacks=make_attacks(options),
        n_attacked=options.attacked,
        n_bootstraps=N_BOOTSTRAPS,
    )


def collect(work, options):
    """Return the curves of each pair by method, as far as they are there."""
    curves = {}
    for pair in options.pairs:
        curves[pair] = {}
        for group in make_methods(pair, options):
            if work.has(name := f"{pair}/{group}"):
                curves[pair] |= work.load(name)
    return {pair: found for pair, found in curves.items() if found}


def compare_clean(curves, options):
    """Compare all methods of each pair on its clean pictures, with corrected paired tests."""
    results = {}
    for pair, found in curves.items():
        paths, y, groups = list_pictures(options.data, pair, options.limit)
        names = [Path(path).relative_to(options.data).as_posix() for path in paths]
        scores = {name: curve.scores["clean", None] for name, curve in found.items()}
        results[pair] = compare(scores, names, y, groups=groups, n_bootstraps=N_BOOTSTRAPS)
    return results


def list_rows(curves, results):
    """List the long table: one row a pair, method, attack and intensity."""
    rows = []
    for pair, found in curves.items():
        for name, curve in found.items():
            clean = results[pair].reports[name]["AUC"]
            rows.append([pair, name, "clean", "", *clean, 0.0])
            table = curve.columns
            for i, attack in enumerate(table["attack"]):
                ends = (table[key][i] for key in ("score", "score_low", "score_high", "drop"))
                rows.append([pair, name, attack, table["intensity"][i], *ends])
    return rows


def list_losses(curves, results):
    """List where a rival is ahead of coverage, the largest lead first, with paired intervals."""
    losses = []
    for pair, found in curves.items():
        if COVERAGE not in found:
            continue
        for row in results[pair].differences:
            if COVERAGE in (row.a, row.b):
                sign = 1 if row.b == COVERAGE else -1
                low, high = sorted((sign * row.low, sign * row.high))
                rival = row.a if sign == 1 else row.b
                losses.append([pair, rival, "clean", "", sign * row.difference, low, high])
        own = found[COVERAGE]
        for name, curve in found.items():
            leads = curve.bootstraps[1:] - own.bootstraps[1:]  # of the same resamples
            ends = np.percentile(leads, [2.5, 97.5], axis=1).T
            lead = np.subtract(curve.columns["score"], own.columns["score"])
            for i, attack in enumerate(curve.columns["attack"] if name != COVERAGE else ()):
                level = curve.columns["intensity"][i]
                losses.append([pair, name, attack, level, lead[i], *ends[i]])
    return sorted((row for row in losses if row[4] > 0), key=lambda row: -row[4])


def write(work, options):
    """Write tables and predictions of what is there."""
    curves = collect(work, options)
    results = compare_clean(curves, options)
    rows, losses = list_rows(curves, results), list_losses(curves, results)
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "extended.csv", COLUMNS, rows)
    header = ("pair", "rival", "attack", "intensity", "lead", "low", "high")
    write_csv(options.out / "losses.csv", header, losses)
    for pair, result in results.items():
        result.to_csv(options.out / f"predictions_{pair}.csv")
    cells = {tuple(row[:4]): row[4:7] for row in rows}
    methods = list(dict.fromkeys(row[1] for row in rows))
    clean = [
        [name, *(show(cells.get((pair, name, "clean", ""))) for pair in curves)] for name in methods
    ]
    attacks = list(make_attacks(options))
    attacked = [
        [name, same_clean(curves, name), *(mean_of(rows, name, attack) for attack in attacks)]
        for name in methods
    ]
    shown = [[*row[:4], spell(*row[4:7], sign="+")] for row in losses[:15]]
    write_page(
        options.out / "README.md",
        "Methods by pairs by attacks",
        command(options),
        f"{options.limit} pictures of each pair, half of them real; every method is trained on "
        "one half and scored on the other, and the other way round, by photograph. "
        f"{options.attacked} pictures of each pair are attacked. Faces found by "
        f"{make_aligner(options).detector!r}; else the center is taken. "
        + describe_networks(options),
        "## Where coverage loses",
        f"Of {count_cells(curves, options)} comparisons with a rival (clean, or one level of an "
        f"attack) coverage per channel is behind in {len(losses)}, in "
        f"{sum(row[5] > 0 for row in losses)} of them beyond the 95 % interval of that comparison "
        "alone; the largest leads of rivals:",
        format_table(["pair", "rival", "attack", "level", "lead in AUC [95 %]"], shown),
        "## Clean pictures",
        format_table(["AUC [95 %]", *curves], clean),
        "## Under attack",
        f"Mean AUC of the same {options.attacked} pictures, at level "
        f"{' and '.join(map(str, options.levels))} of five, over the pairs on which a method was "
        "measured.",
        format_table(["method", "as they are", *attacks], attacked),
    )


def describe_networks(options):
    """Say what the large networks were given."""
    if not options.networks:
        return "The large networks were left out."
    return (
        f"Large networks start from nothing on {', '.join(options.networks)}: {options.epochs} "
        f"epochs in batches of 16 ({options.precision}). What they show is what they learn from "
        f"{options.limit // N_FOLDS} pictures."
    )


def command(options):
    """Return what makes the table anew, wherever defaults have moved since."""
    lists = {"pairs": options.pairs, "networks": options.networks, "levels": options.levels}
    words = [f"--{name} {' '.join(map(str, values))}".strip() for name, values in lists.items()]
    words += [f"--detector {make_aligner(options).detector}", f"--limit {options.limit}"]
    words += [f"--attacked {options.attacked}", f"--epochs {options.epochs}"]
    return f"python benchmarks/extended.py --data FOLDER {' '.join(words)}"


def count_cells(curves, options):
    """Count the comparisons of coverage with a rival."""
    n_cells = 1 + len(options.levels) * len(make_attacks(options))
    return sum((len(found) - 1) * n_cells for found in curves.values() if COVERAGE in found)


def same_clean(curves, method):
    """Average the AUC of a method on the pictures to be attacked, over pairs."""
    found = [own[method].clean_score for own in curves.values() if method in own]
    return f"{np.mean(found):.3f}"


def mean_of(rows, method, attack):
    """Average the AUC of a method under an attack over levels and pairs."""
    return f"{np.mean([row[4] for row in rows if tuple(row[1:3]) == (method, attack)]):.3f}"


def show(figure):
    """Show a figure with its interval."""
    return "" if figure is None else spell(*figure)


def parse(arguments):
    """Read the command line."""
    parser = make_parser(__doc__, data="one subfolder per pair", out=RESULTS / "extended")
    parser.add_argument("--work", type=Path, default=Path("extended_work"))
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--networks", nargs="*", default=list(HEADLINE), help="pairs they train on")
    parser.add_argument("--detector", help="what finds the faces; the package's default")
    parser.add_argument("--limit", type=int, default=200, help="pictures of a pair")
    parser.add_argument("--attacked", type=int, default=40, help="pictures attacked, of a pair")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=[3], help="of five, weak to strong"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of the large networks")
    parser.add_argument("--precision", default="bfloat16", help="of the large networks")
    parser.add_argument("--cnn-detection", type=Path, help="weights of the published detector")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure what is not there yet, then write."""
    options = parse(arguments)
    work = Work(options.work)
    names = ("limit", "attacked", "levels", "epochs", "precision")
    known = {name: getattr(options, name) for name in names}
    work.claim(data=str(options.data.resolve()), detector=make_aligner(options).detector, **known)
    stages = [
        (f"{pair}/{group}", options.limit, partial(measure, options, pair, group))
        for pair in options.pairs
        for group in make_methods(pair, options)
    ]
    # what costs little first, so that the table is there early
    run_stages(work, sorted(stages, key=lambda stage: "/rivals" not in stage[0]))
    write(work, options)


if __name__ == "__main__":
    main()
