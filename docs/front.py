"""Draw the picture on the front page from committed numbers.

    python docs/front.py

It writes docs/_static/front.svg: where in the face detectors see three kinds of edits, on average
over many edited faces (benchmarks/results/evidence_maps.npz, made by benchmarks/evidence_maps.py),
and the coverage of real and fake faces layer by layer (the table that ships). The face is drawn.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Arc, Ellipse

from skfakespotter import CoverageProfileDisplay, load_coverage_sample
from skfakespotter.faces import dlib_centers

ROOT = Path(__file__).parents[1]
MAPS = ROOT / "benchmarks" / "results" / "evidence_maps.npz"
EDITS = {
    "stgan_eyeglasses": "glasses added",
    "stgan_mouth_open": "mouth opened",
    "stargan_brown_hair": "hair colored",
}
SIDE = 150  # pixels of the crop that the face is drawn in
LINE = {"color": "0.25", "linewidth": 1.1}


def main(target=ROOT / "docs" / "_static" / "front.svg"):
    """Draw the maps and the profile."""
    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "front"})
    figure = plt.figure(figsize=(9, 2.6), layout="constrained")
    faces, profile = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    draw_maps(faces)
    sample = load_coverage_sample(pair="stylegan", split="test")
    display = CoverageProfileDisplay.from_counts(
        sample.data,
        sample.target,
        n_neurons=sample.n_neurons,
        ax=profile.subplots(),
        real_name="real (FFHQ)",
        fake_name="fake (StyleGAN)",
    )
    display.ax_.set_title("Coverage of each layer", fontsize=10)
    figure.savefig(target, metadata={"Date": None})
    print(target.name)


def draw_maps(figure):
    """Draw a face for each kind of edit, colored where the detector sees it."""
    figure.suptitle("Where detectors see an edit, on average", fontsize=10)
    with np.load(MAPS) as maps:
        for axes, (pair, name) in zip(figure.subplots(1, 3), EDITS.items(), strict=True):
            limit = np.abs(maps[pair]).max()
            drawn = axes.imshow(
                maps[pair],
                cmap="PuOr_r",
                vmin=-limit,
                vmax=limit,
                extent=(-0.5, SIDE - 0.5, SIDE - 0.5, -0.5),
                interpolation="bilinear",
            )
            draw_face(axes)
            axes.set_title(name, fontsize=9)
            axes.set(xticks=[], yticks=[], xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5))
    bar = figure.colorbar(drawn, ax=figure.axes, location="bottom", shrink=0.5, aspect=40)
    bar.set_ticks([-limit, 0, limit], labels=["looks real", "0", "looks fake"])


def draw_face(axes):
    """Draw eyes, brows, nose and mouth where the aligner puts them."""
    left, right, nose, *mouth = dlib_centers(SIDE, 0.25)
    middle, down = (left + right) / 2, np.array([0, 1])
    axes.add_patch(Ellipse(middle + 22 * down, 122, 158, fill=False, **LINE))
    for eye in (left, right):
        axes.add_patch(Ellipse(eye, 24, 11, fill=False, **LINE))
        axes.add_patch(Ellipse(eye, 7, 8, color=LINE["color"]))
        axes.add_patch(Arc(eye - 10 * down, 32, 14, theta1=200, theta2=340, **LINE))
    axes.plot(
        [middle[0] - 3, nose[0] - 8, nose[0] + 7], [middle[1] + 5, nose[1], nose[1] + 2], **LINE
    )
    center, width = np.mean(mouth, axis=0), mouth[1][0] - mouth[0][0]
    for height in (8, 22):
        axes.add_patch(Arc(center, width, height, theta1=0, theta2=180, **LINE))


if __name__ == "__main__":
    main()
