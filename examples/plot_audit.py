"""
Do the files give the label away?
=================================

A detector learns whatever tells the classes apart. When real pictures come from one place and
fakes from another, they differ in size, encoding and metadata. A detector that learns those
differences has learned nothing about faces. ``audit`` tests how well each such fact predicts the
label, before you train anything.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from skfakespotter import audit, make_pictures, reencode_images

# %%
# A data set with a flaw
# ----------------------
# No picture here is a fake. All come from the same simulated camera, and half of them are labeled
# fake. The labeled half is saved at another JPEG quality, as happens when the classes come from two
# sites. Whatever tells the classes apart is the flaw.

X, kind = make_pictures(160, size=96, random_state=0)
X = X[kind == 0]
y = np.arange(len(X)) % 2
folder = Path(tempfile.mkdtemp())
paths = []
for number, (picture, label) in enumerate(zip(X, y, strict=True)):
    path = folder / f"{number:03d}.jpg"
    Image.fromarray(picture).save(path, quality=75 if label else 92)
    paths.append(path)
flawed = audit(paths, y)
print(flawed)

# %%
# Re-encode all files in one way
# ------------------------------
# ``reencode_images`` levels size, resampler and encoding. The facts about files no longer predict
# the label, but the pixels still show the earlier compression. Collecting both classes in the same
# way is better.

levelled = audit(reencode_images(paths, size=80, folder=folder / "levelled"), y)
print(levelled)

# %%
# How well each fact predicts the label
# -------------------------------------

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
reports = {"as collected": flawed, "re-encoded": levelled}
for (name, report), marker in zip(reports.items(), "os", strict=True):
    found = [finding for finding in report.findings if np.isfinite(finding.auc)]
    facts = [finding.name.replace("_", " ") for finding in found]
    axes.plot([finding.auc for finding in found], facts, marker, label=name)
axes.axvline(0.5, color="0.7")
axes.set(xlabel="AUC of the fact alone (0.5 is guessing)", xlim=(0.4, 1.02))
axes.legend()
