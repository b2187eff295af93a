"""
How many faces are enough
=========================

A learning curve shows whether it pays to collect more faces: it plots the AUC against the number
of training faces. The test folds stay the same size, and a photograph stays on one side.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import detection_learning_curve, load_coverage_sample

sample = load_coverage_sample(pair="stylegan")
detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
result = detection_learning_curve(
    detector,
    sample.data,
    sample.target,
    groups=sample.groups,
    train_sizes=[20, 40, 80, 160, 320, 640, 1280],
    n_repeats=3,
)
for size, scores in zip(result.train_sizes, result.scores, strict=True):
    print(f"{size:5} faces: AUC {scores.mean():.3f} ± {scores.std():.3f}")

# %%
# Each step of the logarithmic axis doubles the number of faces. If the curve still rises at its
# end, more faces of this kind will help.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
result.plot(ax=axes)
