"""
A first detector, and what it is worth
======================================

The package ships coverage that was measured on real and GAN-made faces, so you can train a
detector here without a single picture. The table is split by photograph: one part to train on,
one part to judge by.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import DetectionCurveDisplay, detection_report, load_coverage_sample

train = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")
print(f"{len(train.data)} faces to train on, {len(test.data)} to judge")
print(f"{train.data.shape[1]} numbers a face, one for each layer of the network")

# %%
# Train
# -----
# Layers differ in size by orders of magnitude, so scale their counts first. Any classifier of
# scikit-learn can follow.

detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
detector.fit(train.data, train.target)

# %%
# Judge
# -----
# Fake is 1, the positive class, and a larger score means more fake. Every figure comes with an
# interval: a few hundred faces determine an AUC to a few hundredths at best.

scores = detector.predict_proba(test.data)[:, 1]
print(detection_report(test.target, scores, groups=test.groups))

# %%
# The ROC curve shows every threshold at once: how many fakes are found, and how many real faces
# are called fake in return. The band is the 95 % interval.

DetectionCurveDisplay.from_predictions(
    test.target, scores, groups=test.groups, name="StyleGAN against FFHQ"
)
