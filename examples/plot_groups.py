"""
A photograph and its edit stay together
=======================================

Edited faces come with their originals. Where a photograph is trained on and its edit tested, a
classifier may recognise the photograph instead of the edit. ``groups`` says what belongs together;
splitters of scikit-learn and the protocols of this package keep it on one side.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import load_coverage_sample

sample = load_coverage_sample(pair="stargan_brown_hair")
n_groups = len(np.unique(sample.groups))
print(f"{len(sample.data)} pictures of {n_groups} photographs: most stand there with an edit")

# %%
# A classifier that looks for the nearest picture
# -----------------------------------------------
# The nearest picture to an edit is often its own original, which has the other label. With the
# pairs torn apart the nearest neighbour is led astray; other data, such as several frames of one
# clip, flatter it in the same way.

detector = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
folds = {
    "photographs torn apart": (StratifiedKFold(5, shuffle=True, random_state=0), None),
    "photographs kept together": (
        StratifiedGroupKFold(5, shuffle=True, random_state=0),
        sample.groups,
    ),
}
scores = {
    name: cross_val_score(
        detector, sample.data, sample.target, groups=groups, cv=cv, scoring="roc_auc"
    )
    for name, (cv, groups) in folds.items()
}
for name, values in scores.items():
    print(f"{name}: AUC {values.mean():.3f}, folds from {values.min():.3f} to {values.max():.3f}")

# %%
# The two disagree by more than their folds scatter: only the second says what the detector does
# on photographs it has never seen.

figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
for place, values in enumerate(scores.values()):
    axes.plot(values, np.full(len(values), place), "o", color="#0072B2", alpha=0.5)
    axes.plot(values.mean(), place, "|", color="black", markersize=24)
axes.set_yticks(range(len(scores)), list(scores))
axes.set(xlabel="AUC of each fold; bars are means", ylim=(-0.6, 1.6))
