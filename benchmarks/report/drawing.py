"""Drawing: the report's figures, through the displays of the package and of scikit-learn."""

import matplotlib
import numpy as np
from matplotlib import pyplot
from sklearn.metrics import PrecisionRecallDisplay

from skfakespotter import RobustnessDisplay, TrainingSizeDisplay

from .detectors import (
    AUGMENTED_SVC,
    CHANNEL_SVC,
    EMBEDDING_SVC,
    LAYER_FSC,
    MEANS_SVC,
)
from .stages import CURVE_METHODS, MATRIX_METHODS

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
    """Draw every figure into a folder; return the names of the files."""
    matplotlib.use("Agg")
    files = {"figure3.png": draw_precision_recall(summary)}
    for kind in summary.kinds:
        files[f"figure4_{kind.replace(' ', '_')}.png"] = draw_attacks(summary, kind)
    if len(summary.pairs) > 1:
        for method, name in zip(MATRIX_METHODS, ("channel", "embedding"), strict=True):
            files[f"matrix_{name}.png"] = summary.matrix(method).plot().figure_
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
    axes = make_panels(len(summary.pairs))
    for ax, pair in zip(axes, summary.pairs, strict=True):
        y = summary.faces(pair).y
        for number, (method, name) in enumerate(SHORT.items()):
            curve = {"color": f"C{number}", "linewidth": 1.3}
            scores, _ = summary.scores(pair, method)
            display = PrecisionRecallDisplay.from_predictions(y, scores, ax=ax, curve_kwargs=curve)
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
        for number, (method, marker) in enumerate(zip(CURVE_METHODS, "osD", strict=True)):
            result = summary.learning_curve(pair, method)
            scores = result.scores.reshape(len(result.train_sizes), -1)
            display = TrainingSizeDisplay(result.train_sizes, scores)
            display.plot(ax, name=method, color=f"C{number}", marker=marker)
        ax.set_title(pair)
        ax.legend(loc="lower right", fontsize="small")
    return axes[0].figure
