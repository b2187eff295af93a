"""
Search over classifiers with one pass through the network
=========================================================

A grid search over ten candidates in five folds makes fifty fits, and every fold has
thresholds of its own. With ``cache`` each picture still passes the network only once: the cache
keeps sums and the outputs near the thresholds, and computes the exact counts for any fold.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skfakespotter import CoverageCache, make_fakespotter, make_pictures

X, y = make_pictures(30, random_state=0)
candidates = {"classifier__C": np.logspace(-4, 4, 10).tolist()}

# %%
# Without a cache, with an empty one, with a full one
# ---------------------------------------------------
# ``cache=True`` uses your cache folder, a path uses that folder, and ``"memory"`` uses this
# process. The results are equal.

cache = CoverageCache()
seconds = {}
for name, where in {"off": None, "empty": cache, "full": cache}.items():
    detector = make_fakespotter(
        "toy_image", align=False, classifier=LogisticRegression(max_iter=1000), cache=where
    )
    start = time.perf_counter()
    search = GridSearchCV(detector, candidates, cv=5).fit(X, y)
    seconds[name] = time.perf_counter() - start
    print(f"cache {name:5}: {seconds[name]:5.1f} s, best accuracy {search.best_score_:.3f}")

# %%
# A pass through the toy network is cheap. The larger the network, the more a cache saves.

figure, axes = plt.subplots(figsize=(5, 2.5), layout="constrained")
axes.barh(list(seconds), list(seconds.values()), color="#0072B2")
axes.invert_yaxis()
axes.set(xlabel="seconds for 10 candidates in 5 folds", ylabel="cache")
