"""Drawing: the report's figures, through the displays of the package."""

import matplotlib
import numpy as np
from matplotlib import pyplot

from skfakespotter import DetectionCurveDisplay, RobustnessDisplay, TrainingSizeDisplay

from .detectors import AUGMENTED_SVC, IN_CURVES, IN_MATRIX, MEANS_SVC, SHORT

FIGURE_3 = {m: name for m, name in SHORT.items() if m not in (AUGMENTED_SVC, MEANS_SVC)}
FIGURE_4 = {m: name for m, name in SHORT.items() if m != "cheap-cues"}


def draw_all(summary, out):
    """Draw every figure into a folder; return the names of the files."""
    matplotlib.use("Agg")
    files = {"figure3.png": draw_precision_recall(summary)}
    for kind in summary.kinds:
        files[f"figure4_{kind.replace(' ', '_')}.png"] = draw_attacks(summary, kind)
    if len(summary.pairs) > 1:
        for name, method in IN_MATRIX.items():
            files[f"matrix_{name}.png"] = summary.work.load(f"matrix/{method}").plot().figure_
    files["learning_curves.png"] = draw_curves(summary)
    for name, figure in files.items():
        figure.savefig(out / name, dpi=110, metadata={"Software": None})
        pyplot.close(figure)
    return list(files)


def make_panels(n, n_columns=4, size=3.3):
    """Make a grid of at least n axes and return n of them."""
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    shape = {"figsize": (size * n_columns, size * n_rows + 0.4), "squeeze": False}
    axes = pyplot.subplots(n_rows, n_columns, layout="constrained", **shape)[1].ravel()
    for spare in axes[n:]:
        spare.remove()
    return axes[:n]


def draw_precision_recall(summary):
    """Draw Figure 3: precision against recall, a panel a pair."""
    axes, curve = make_panels(len(summary.pairs), n_columns=3, size=4), {"kind": "precision-recall"}
    for ax, pair in zip(axes, summary.pairs, strict=True):
        for method, name in FIGURE_3.items():
            y, (scores, _) = summary.bench.set(pair).y, summary.scores(pair, method)
            DetectionCurveDisplay.from_predictions(
                y, scores, n_bootstraps=0, name=name, ax=ax, **curve
            )
        ax.set_title(pair)
    return axes[0].figure


def draw_attacks(summary, kind):
    """Draw Figure 4: AUC against the intensity of each attack, mean over the pairs of a kind.

    Intervals stand in ``figure4.csv``: the bands of five detectors would hide each other.
    """
    axes, pairs = None, summary.kinds[kind]
    for method, name in (FIGURE_4 | {rival: rival for rival in summary.bench.rivals}).items():
        display = RobustnessDisplay(
            attack=[attack for attack, _ in summary.settings],
            intensity=[intensity for _, intensity in summary.settings],
            score=np.mean([summary.attacked(pair, method)[0][:, 0] for pair in pairs], axis=0),
            clean_score=np.mean([summary.attacked(pair, method)[1][0] for pair in pairs]),
            scoring="roc_auc",
        )
        axes = display.plot(axes, name=name).axes_
    return axes[0].figure


def draw_curves(summary):
    """Draw AUC against the number of training pictures, a panel a pair."""
    axes = make_panels(len(summary.bench.headline), size=4.4)
    for ax, pair in zip(axes, summary.bench.headline, strict=True):
        for method in IN_CURVES:
            result = summary.work.load(f"curves/{pair}/{method}")
            scores = result.scores.reshape(len(result.train_sizes), -1)
            TrainingSizeDisplay(result.train_sizes, scores).plot(ax, name=method)
        ax.set_title(pair)
    return axes[0].figure
