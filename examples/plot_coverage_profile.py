"""
Which layers see the difference
===============================

The paper counts, layer by layer, how many neurons are more active than the layer's mean over
the training faces. Early layers respond to texture, late ones to identity. This example shows
where real and synthesized faces part, and which layers a classifier then relies on.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import CoverageProfileDisplay, LayerImportanceDisplay, load_coverage_sample

train = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")

# %%
# Coverage of real and fake faces
# -------------------------------
# Lines are medians. Bands hold the middle half of the faces.

CoverageProfileDisplay.from_counts(
    test.data,
    test.target,
    n_neurons=test.n_neurons,
    real_name="real (FFHQ)",
    fake_name="fake (StyleGAN)",
)

# %%
# What the classifier relies on
# -----------------------------
# Shuffle the counts of one layer among the faces and see how much AUC the classifier loses. A
# layer that loses nothing is not useless: another layer may see the same.

classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
classifier.fit(train.data, train.target)
LayerImportanceDisplay.from_predictor(
    classifier, test.data, test.target, layers=test.layer_names, random_state=0
)

# %%
# One layer alone
# ---------------
# The best single layer does worse than all layers together.

alone = [roc_auc_score(test.target, column) for column in test.data.T]
strongest = max(range(len(alone)), key=lambda layer: abs(alone[layer] - 0.5))
auc = max(alone[strongest], 1 - alone[strongest])
print(f"best single layer: {test.layer_names[strongest]}, AUC {auc:.3f}")
scores = classifier.predict_proba(test.data)[:, 1]
print(f"all {len(alone)} layers: AUC {roc_auc_score(test.target, scores):.3f}")
