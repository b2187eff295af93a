"""
Which layers see the difference
===============================

The paper counts, layer by layer, how many neurons are more active than the layer's mean over
the training faces. Early layers look at texture, late ones at identity. Here is where real and
synthesised faces part.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from skfakespotter import load_coverage_sample

sample = load_coverage_sample(pair="stylegan")
fraction = sample.data / sample.n_neurons  # of the layer's neurons
depth = np.arange(1, len(sample.layer_names) + 1)

# %%
# Coverage of real and fake faces
# -------------------------------
# Lines are medians, bands hold the middle half of the faces.

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for label, name, color in ((0, "real (FFHQ)", "#0072B2"), (1, "fake (StyleGAN)", "#D55E00")):
    low, middle, high = np.percentile(fraction[sample.target == label], (25, 50, 75), axis=0)
    axes.plot(depth, middle, color=color, label=name)
    axes.fill_between(depth, low, high, color=color, alpha=0.2, linewidth=0)
axes.set(xlabel="layer, from input to output", ylabel="share of active neurons")
axes.legend()

# %%
# What each layer is worth alone
# ------------------------------
# The AUC of one layer's count, whichever way it points: 0.5 says nothing. A classifier joins
# them all, and is better than the best of them.

alone = np.array([roc_auc_score(sample.target, column) for column in sample.data.T])
alone = np.maximum(alone, 1 - alone)
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.bar(depth, alone - 0.5, bottom=0.5, color="0.5")
axes.set(xlabel="layer, from input to output", ylabel="AUC of its count alone")
best = int(alone.argmax())
print(f"best alone: layer {best + 1} ({sample.layer_names[best]}), AUC {alone[best]:.3f}")
