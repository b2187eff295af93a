"""
Do the files give the label away?
=================================

A detector learns whatever tells the classes apart. Real pictures from one place and fakes from
another differ in size, encoding and metadata, and a detector that learns those has learnt
nothing of faces. ``audit`` asks each such fact for the label before any network is trained.
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
# No picture here is a fake: all come from the same simulated camera, and half of them are called
# fakes. Those are saved at another JPEG quality, as happens when the classes come from two
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
# Written again, all in one way
# -----------------------------
# ``reencode_images`` levels size, resampler and encoding. The file facts fall silent, but pixels
# remember the earlier compression: it is better to collect both classes in the same way.

levelled = audit(reencode_images(paths, size=80, folder=folder / "levelled"), y)
print(levelled)

# %%
# Every fact alone
# ----------------

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
reports = {"as collected": flawed, "written again": levelled}
for (name, report), marker in zip(reports.items(), "os", strict=True):
    found = {finding.name: finding.auc for finding in report.findings if np.isfinite(finding.auc)}
    axes.plot(list(found.values()), list(found), marker, label=name)
axes.axvline(0.5, color="0.7")
axes.set(xlabel="AUC of the fact alone; 0.5 is guessing", xlim=(0.4, 1.02))
axes.legend()
