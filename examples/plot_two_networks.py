"""
Two networks, side by side
==========================

Any face-recognition network can be watched, so two of them can. scikit-learn's
``FeatureUnion`` puts their coverage vectors side by side; each network gets the faces
aligned as it was trained to see them, and with ``cache`` every picture crosses each network
once, however many detectors are compared.

dlib's network comes with the package's extra ``faces``. MobileFaceNet is a recipe beside
this file, ``recipes/mobilefacenet.py``: a network of your own is added in the same way. Its
weights are searched for in ``~/.config/skfakespotter/weights`` and in the folders of the
environment variable ``SKFAKESPOTTER_WEIGHTS``; without them the untrained network with seeded
weights takes its place.

The pictures here are generated, and are not faces: read the figures as a check that the machinery
works. The comment on pictures of your own says what to change.
"""

# %%
# The networks
# ------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import NeuronCoverageTransformer, load_backbone, make_pictures

RECIPE = "recipes.mobilefacenet:mobilefacenet"  # a module beside this file, and its factory
try:
    second = load_backbone(RECIPE)
except FileNotFoundError as error:
    print(f"{error}\n\nTaking the untrained network instead.\n")
    second = load_backbone(RECIPE, weights="random")
backbones = {"dlib": load_backbone("dlib"), "mobile": second}
for backbone in backbones.values():
    print(backbone, "wants the alignment", backbone.template)

# %%
# The pictures
# ------------
# A Pipeline cannot drop rows, so pictures without a face are left out before it. An edited
# photograph and its original share a file name: together they are one group, and never
# stand on both sides of a split.

X, y = make_pictures(60, size=112, random_state=0)
groups = np.arange(len(y))

# %%
# Of your own photographs::
#
#     folder = load_folders("pictures")
#     found = [r.index for r in FaceAligner().locate(folder.data) if r.status == "found"]
#     X = [folder.data[i] for i in found]
#     y, groups = folder.target[found], folder.groups[found]

# %%
# Each network with its own alignment
# -----------------------------------
# ``FaceAligner(template=...)`` and the transformer of one network make one branch of the
# union. Generated pictures show no face to align: of photographs, put
# ``FaceAligner(template=backbone.template)`` in place of "passthrough".


def branch(backbone):
    """Align faces for a network and watch it."""
    coverage = NeuronCoverageTransformer(backbone, granularity="channel", cache="memory")
    return make_pipeline("passthrough", coverage)


branches = {name: branch(backbone) for name, backbone in backbones.items()}
detector = Pipeline(
    [
        ("networks", FeatureUnion(list(branches.items()))),
        ("scale", StandardScaler()),
        ("classifier", LogisticRegression(C=0.01, max_iter=1000)),
    ]
)

# %%
# Alone and together
# ------------------
# Which networks to watch is a parameter like any other: ``"drop"`` leaves one out. One search
# compares them in the same folds. Every channel has the same weight here; where the network
# with fewer channels should have as much say, see ``transformer_weights`` of ``FeatureUnion``.

choices = [
    {"networks__mobile": ["drop"]},
    {"networks__dlib": ["drop"]},
    {"networks__dlib": [branches["dlib"]]},
]
folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
search = GridSearchCV(detector, choices, cv=folds, scoring="roc_auc").fit(X, y, groups=groups)
labels = ["dlib alone", "MobileFaceNet alone", "both"]
results = search.cv_results_
means, deviations = results["mean_test_score"], results["std_test_score"]
for label, mean, deviation in zip(labels, means, deviations, strict=True):
    print(f"{label:20} AUC {mean:.3f} ± {deviation:.3f}")
print(f"chosen: {labels[search.best_index_]}")

# %%
# Where in the networks the difference lies
# -----------------------------------------
# The names of the features say network, layer and channel. Over both networks the weights
# of the classifier show which layers it listens to.

detector.fit(X, y)
names = detector[:-1].get_feature_names_out()
print(f"{len(names):,} features, from {names[0]} to {names[-1]}")
weight = np.abs(detector["classifier"].coef_[0])
layers = np.array([name.rpartition("[")[0] for name in names])

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", width_ratios=(1, 2, 2))
axes[0].barh(labels[::-1], means[::-1], xerr=deviations[::-1])
axes[0].set_xlim(0.5, 1)
axes[0].set_xlabel("AUC (mean and deviation of five folds)")
for panel, name in zip(axes[1:], backbones, strict=True):
    of_network = [x for x in dict.fromkeys(layers.tolist()) if x.startswith(f"{name}__")]
    panel.plot([weight[layers == layer].mean() for layer in of_network], marker=".")
    panel.set_xlabel(f"layers of {backbones[name].name}, from input to output")
axes[1].set_ylabel("mean weight of a channel (absolute)")
axes[2].sharey(axes[1])
