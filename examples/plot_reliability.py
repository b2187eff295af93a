"""
Does 80 % mean 80 %?
====================

A probability is reliable when eight in ten of the faces that got 0.8 are fake. A classifier can
rank faces well and still give unreliable probabilities. A support vector machine has none at all
until you calibrate it.
"""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import (
    FakeSpotterClassifier,
    ReliabilityDisplay,
    detection_report,
    load_coverage_sample,
)

train = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")

# %%
# Three classifiers
# -----------------
# The expected calibration error (ECE) is the mean distance between a probability and the share of
# fakes among the faces that got it. Even a perfect score has an ECE above zero, because each share
# is counted on few faces. Use it to compare classifiers. Bars are 95 % intervals.

classifiers = {
    "FakeSpotterClassifier": FakeSpotterClassifier(max_epochs=12, random_state=0),
    "LogisticRegression": LogisticRegression(max_iter=2000),
    "SVC, calibrated": CalibratedClassifierCV(SVC(C=10), ensemble=False),
}
axes = None
for name, classifier in classifiers.items():
    detector = make_pipeline(StandardScaler(), classifier).fit(train.data, train.target)
    scores = detector.predict_proba(test.data)[:, 1]
    report = detection_report(test.target, scores, groups=test.groups)
    print(f"{name:22} AUC {report['AUC'].value:.3f}  ECE {report['ECE'].value:.3f}")
    axes = ReliabilityDisplay.from_predictions(
        test.target, scores, n_bins=8, groups=test.groups, name=name, ax=axes
    ).ax_
