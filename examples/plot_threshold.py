"""
Choose a threshold for a rate of false alarms
=============================================

A threshold turns a score into a decision. Every threshold calls some real faces fake, so choose
it for a rate of false alarms that you can live with. Choose it on faces that you neither train
on nor report on.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import (
    ScoreDistributionDisplay,
    choose_threshold,
    detection_report,
    load_coverage_sample,
)

# %%
# Three parts
# -----------
# One to train, one to choose the threshold, one to report.

sample = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")
splitter = GroupShuffleSplit(1, test_size=0.4, random_state=0)
fit, validate = next(splitter.split(sample.data, groups=sample.groups))
detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
detector.fit(sample.data[fit], sample.target[fit])

validation_scores = detector.predict_proba(sample.data[validate])[:, 1]
threshold = choose_threshold(sample.target[validate], validation_scores, max_fpr=0.05)
print(f"threshold for at most 5 % false alarms: {threshold:.3f}")

# %%
# What it does on the faces kept for the report
# ---------------------------------------------
# The threshold is itself an estimate, so the rate agrees within its interval, not to the digit.

scores = detector.predict_proba(test.data)[:, 1]
report = detection_report(test.target, scores, threshold=threshold, groups=test.groups)
for name in ("FPR", "recall", "precision"):
    value, low, high = report[name]
    print(f"{name:9} {value:.3f} [{low:.3f}, {high:.3f}]")

ScoreDistributionDisplay.from_predictions(test.target, scores, threshold=threshold)

# %%
# A threshold belongs to the photographs it was chosen on. Other cameras and sites shift the
# scores of real faces, so choose it on photographs like yours.
