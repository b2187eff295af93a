"""Draw the picture on the front page from the table of measured coverage.

    python docs/front.py

It writes docs/_static/front.svg: coverage of real and fake faces layer by layer, and the scores
of held-out faces by a detector that was trained on other photographs.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import load_coverage_sample

KINDS = ((0, "real (FFHQ)", "#0072B2"), (1, "fake (StyleGAN)", "#D55E00"))


def main():
    """Draw both panels."""
    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "front", "axes.spines.top": False})
    plt.rcParams.update({"axes.spines.right": False})
    train = load_coverage_sample(pair="stylegan", split="train")
    test = load_coverage_sample(pair="stylegan", split="test")
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
    draw_profile(axes[0], test)
    draw_scores(axes[1], train, test)
    target = Path(__file__).parent / "_static" / "front.svg"
    figure.savefig(target, metadata={"Date": None})
    print(target.name)


def draw_profile(axes, sample):
    """Show which share of each layer's neurons is active: median, and the middle half."""
    fraction = 100 * sample.data / sample.n_neurons
    depth = np.arange(1, fraction.shape[1] + 1)
    for label, name, color in KINDS:
        low, middle, high = np.percentile(fraction[sample.target == label], (25, 50, 75), axis=0)
        axes.plot(depth, middle, color=color, label=name)
        axes.fill_between(depth, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set(
        xlabel="layer, from input to output", ylabel="active neurons (%)", xlim=(1, len(depth))
    )
    axes.set_title("What the layers of a face network say", fontsize=10)
    axes.legend(frameon=False)


def draw_scores(axes, train, test):
    """Show the scores of faces that the detector has not seen."""
    detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    scores = detector.fit(train.data, train.target).predict_proba(test.data)[:, 1]
    bins = np.linspace(0, 1, 21)
    for label, name, color in KINDS:
        axes.hist(scores[test.target == label], bins, color=color, alpha=0.5, label=name)
    axes.set(xlabel="P(fake)", ylabel="held-out faces", xlim=(0, 1))
    axes.set_title("What a classifier makes of it", fontsize=10)


if __name__ == "__main__":
    main()
