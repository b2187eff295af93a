"""
A first detector, and what it is worth
======================================

A table of coverage that was measured on real and GAN-made faces comes with the package, so
that a detector can be trained here without a picture. It is split by photograph into a part to
train on and a part to judge.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import detection_report, load_coverage_sample

train = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")
print(f"{len(train.data)} faces to train on, {len(test.data)} to judge")
print(f"{train.data.shape[1]} numbers a face, one for each layer of the network")

# %%
# Train
# -----
# The counts of layers differ by orders of magnitude, so they are scaled first. Any classifier
# of scikit-learn may follow.

detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
detector.fit(train.data, train.target)

# %%
# Judge
# -----
# Fake is 1, the positive class, and a larger score means more fake. Every figure has an
# interval: with a few hundred faces an AUC is known to a few hundredths at best.

scores = detector.predict_proba(test.data)[:, 1]
print(detection_report(test.target, scores, groups=test.groups))

# %%
# The ROC curve shows every threshold at once: how many fakes are found, at the price of how
# many real faces called fake.

display = RocCurveDisplay.from_predictions(
    test.target, scores, name="StyleGAN against FFHQ", plot_chance_level=True
)
display.ax_.set(xlabel="real faces called fake", ylabel="fakes found", aspect="equal")
