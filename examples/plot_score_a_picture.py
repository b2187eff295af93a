"""
From a photograph to a probability
==================================

A classifier trained on the table of measured coverage can score a photograph. Join it with the
transformer that measured the table, and with the aligner that finds the face.
"""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from skimage.data import astronaut  # NASA, public domain
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import FaceAligner, load_coverage_sample

# %%
# Find the face
# -------------
# ``locate`` says where the face is in each picture. It also names the pictures without a face,
# which get no score.

photograph = astronaut()
aligner = FaceAligner()
record = aligner.locate([photograph])[0]
print(record.status, record.box)
face = aligner.transform([photograph])[0]

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
axes[0].imshow(photograph)
left, top, right, bottom = record.box
axes[0].add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="white"))
axes[0].set_title("photograph and detected face")
axes[1].imshow(face)
axes[1].set_title("aligned crop, as the network sees it")
for panel in axes:
    panel.axis("off")

# %%
# Score it
# --------
# ``sample.transformer()`` holds the thresholds of the table, so nothing is fitted on the
# photograph. The detector knows StyleGAN and FFHQ: its score says which of the two a face
# resembles more.

sample = load_coverage_sample(pair="stylegan")
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
classifier.fit(sample.data, sample.target)
detector = make_pipeline(aligner, sample.transformer(), *[step for _, step in classifier.steps])
print(f"probability of fake: {detector.predict_proba([photograph])[0, 1]:.3f}")
