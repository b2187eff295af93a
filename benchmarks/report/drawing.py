"""Drawing: the report's figures, through the displays of the package and of scikit-learn."""

import numpy as np
from sklearn.metrics import PrecisionRecallDisplay

from skfakespotter._style import STYLES, make_axes
from skfakespotter.evaluation import RobustnessDisplay, ScoreMatrixDisplay, TrainingSizeDisplay

from .detectors import (
    AUGMENTED_SVC,
    CHANNEL_SVC,
    EMBEDDING_SVC,
    LAYER_FSC,
    MEANS_SVC,
)

SHORT = {
    LAYER_FSC: "the paper's: per layer + FakeSpotterClassifier",
    CHANNEL_SVC: "coverage per channel + SVC",
    EMBEDDING_SVC: "embedding + SVC",
    "cheap-cues": "cheap cues",
}
FIGURE_4 = {
    LAYER_FSC: SHORT[LAYER_FSC],
    CHANNEL_SVC: SHORT[CHANNEL_SVC],
    AUGMENTED_SVC: "the same, trained with perturbed copies",
    EMBEDDING_SVC: SHORT[EMBEDDING_SVC],
    MEANS_SVC: "mean activations + SVC",
}


def draw_all(summary, out):
    """Draw every figure into a folder; give the names of the files."""
    import matplotlib

    matplotlib.use("Agg")
    files = {"figure3.png": draw_precision_recall(summary)}
    for kind in summary.kinds:
        files[f"figure4_{kind.replace(' ', '_')}.png"] = draw_attacks(summary, kind)
    if len(summary.pairs) > 1:
        for method, name in ((CHANNEL_SVC, "channel"), (EMBEDDING_SVC, "embedding")):
            files[f"matrix_{name}.png"] = draw_matrix(summary, method)
    files["learning_curves.png"] = draw_curves(summary)
    for name, figure in files.items():
        save(figure, out / name)
    return list(files)


def save(figure, path):
    """Write a figure and forget it."""
    from matplotlib import pyplot

    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def panels(n, n_columns=4, size=3.3):
    """Make a grid of at least n axes and give n of them."""
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    shape = {"n_rows": n_rows, "n_columns": n_columns, "squeeze": False}
    axes = make_axes((size * n_columns, size * n_rows + 0.4), **shape).ravel()
    for spare in axes[n:]:
        spare.remove()
    return axes[:n]


def draw_precision_recall(summary):
    """Figure 3: precision against recall, a panel a pair."""
    axes = panels(len(summary.pairs))
    for ax, pair in zip(axes, summary.pairs, strict=True):
        y = summary.bench.sets[pair].y
        for (method, name), (colour, _) in zip(SHORT.items(), STYLES, strict=False):
            scores, _ = summary.scores(pair, method)
            curve = {"color": colour, "linewidth": 1.3}
            display = PrecisionRecallDisplay.from_predictions(
                y, scores, ax=ax, name=name, curve_kwargs=curve
            )
            display.line_.set_label(name)
        ax.axhline(y.mean(), color="0.5", linestyle=":", linewidth=1, label="guessing")
        ax.set(title=pair, xlabel="recall", ylabel="precision", aspect="auto")
        ax.set_ylim(min(0.45, y.mean() - 0.05), 1.02)
        ax.grid(alpha=0.3)
        ax.get_legend().remove()
    handles, names = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(
        handles, names, loc="outside upper center", ncols=min(3, len(axes)), frameon=False
    )
    return axes[0].figure


def draw_attacks(summary, kind):
    """Figure 4: AUC against the intensity of each attack, mean over the pairs of a kind.

    Intervals stand in ``figure4.csv``: the bands of five detectors would hide each other.
    """
    axes = None
    for method, name in FIGURE_4.items():
        values = np.mean([summary.attacked(p)[method] for p in summary.kinds[kind]], axis=0)
        display = RobustnessDisplay(
            attack=[attack for attack, _ in summary.settings],
            intensity=[intensity for _, intensity in summary.settings],
            score=values[1:, 0],
            clean_score=values[0, 0],
            scoring="roc_auc",
        )
        axes = display.plot(axes, name=name).axes_
    return axes[0].figure


def draw_matrix(summary, method):
    """Draw AUC by training pair (rows) and test pair (columns)."""
    cells = summary.cross(method)
    matrix = [[cells[a, b][0] for b in summary.pairs] for a in summary.pairs]
    return ScoreMatrixDisplay(matrix, summary.pairs).plot().figure_


def draw_curves(summary):
    """Draw AUC against the number of training pictures, a panel a pair."""
    pairs = [pair for pair in summary.pairs if summary.work.has(f"curves/{pair}")]
    axes = panels(len(pairs), size=4.4)
    for ax, pair in zip(axes, pairs, strict=True):
        kept = summary.work.load(f"curves/{pair}")
        for method, auc, (colour, marker) in zip(
            kept["methods"], kept["auc"], STYLES, strict=False
        ):
            display = TrainingSizeDisplay(kept["sizes"], auc)
            display.plot(ax, name=str(method), color=colour, marker=marker)
        ax.set_title(pair)
        ax.legend(loc="lower right", fontsize="small")
    return axes[0].figure
