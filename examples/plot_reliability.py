"""
Does 80 % mean 80 %?
====================

A probability is reliable when, of the faces that got 0.8, eight in ten are fake. Ranking and
reliability are different virtues: a support vector machine ranks well and has no probabilities
until they are calibrated.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import FakeSpotterClassifier, detection_report, load_coverage_sample

train = load_coverage_sample(pair="stylegan", split="train")
test = load_coverage_sample(pair="stylegan", split="test")

# %%
# Three classifiers
# -----------------
# ECE is the mean distance between the probability and the share of fakes that had it. It is
# above zero even for a perfect score, because shares are counted on few faces: compare it
# between classifiers.

classifiers = {
    "FakeSpotterClassifier": FakeSpotterClassifier(random_state=0),
    "LogisticRegression": LogisticRegression(max_iter=2000),
    "SVC, calibrated": CalibratedClassifierCV(SVC(C=10), ensemble=False),
}
figure, axes = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
for name, classifier in classifiers.items():
    detector = make_pipeline(StandardScaler(), classifier).fit(train.data, train.target)
    scores = detector.predict_proba(test.data)[:, 1]
    report = detection_report(test.target, scores, groups=test.groups)
    print(f"{name:22} AUC {report['AUC'].value:.3f}  ECE {report['ECE'].value:.3f}")
    CalibrationDisplay.from_predictions(
        test.target, scores, n_bins=8, strategy="quantile", name=name, ax=axes
    )
axes.set(xlabel="probability of fake", ylabel="share of fakes", aspect="equal")
