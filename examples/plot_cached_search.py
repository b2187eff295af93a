"""
A search over classifiers at the price of one pass
==================================================

Twenty candidates in five folds are a hundred fits, and every one of them wants coverage
vectors at the thresholds of its own fold. With ``cache`` every picture still crosses the
network once: the sums and the outputs near the thresholds are kept, and counts at any
fold's threshold follow exactly.

On generated pictures and a toy network; with ``--data FOLDER``, which holds ``real/`` and
``fake/``, on dlib's network and your aligned faces.

    python examples/plot_cached_search.py [--data FOLDER] [--out FOLDER] [--cache FOLDER]
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skfakespotter import FaceAligner, load_folders, make_fakespotter, make_pictures
from skfakespotter.cache import open_cache

CANDIDATES = {"classifier__C": np.logspace(-4, 4, 20).tolist()}


def main():
    """Search without a store, with an empty one and with a full one; draw the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default="report")
    parser.add_argument("--cache", default="memory")
    options = parser.parse_args()
    backbone, X, y = load(options.data)
    seconds = {}
    for name, cache in (("off", None), ("cold", options.cache), ("warm", options.cache)):
        model = make_fakespotter(
            backbone, align=False, classifier=LogisticRegression(max_iter=1000), cache=cache
        )
        start = time.perf_counter()
        search = GridSearchCV(model, CANDIDATES, cv=5).fit(X, y)
        seconds[name] = time.perf_counter() - start
        print(f"store {name:4}: {seconds[name]:6.1f} s, best accuracy {search.best_score_:.3f}")
    for entry in open_cache(options.cache).info():
        print(f"kept: {entry['pictures']} pictures, {entry['bytes'] / 1e6:.1f} MB")
    plot(seconds, options.out)


def load(folder):
    """Give the network's name, faces and labels."""
    if folder is None:
        return "toy_image", *make_pictures(40, random_state=0)
    pictures = load_folders(folder)
    return "dlib", FaceAligner(on_missing="center").transform(pictures.data), pictures.target


def plot(seconds, folder):
    """Draw a bar for each search."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(5, 2.5), layout="constrained")
    axes.barh(list(seconds), list(seconds.values()))
    axes.invert_yaxis()
    axes.set(xlabel="seconds for 20 candidates in 5 folds", ylabel="store")
    figure.savefig(folder / "cached_search.png", dpi=150)


if __name__ == "__main__":
    main()
