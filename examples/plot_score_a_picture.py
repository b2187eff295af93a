"""
From a photograph to a probability
==================================

A classifier that was trained on the table of measured coverage joins the transformer that the
table was measured with: together with the aligner they score a photograph.
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
# ``locate`` says of each picture where its face is. A picture without one is named here; it
# never gets a made-up score.

photograph = astronaut()
aligner = FaceAligner()
record = aligner.locate([photograph])[0]
print(record.status, record.box)
face = aligner.transform([photograph])[0]

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
axes[0].imshow(photograph)
left, top, right, bottom = record.box
axes[0].add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color="white"))
axes[0].set_title("photograph, with the face that was found")
axes[1].imshow(face)
axes[1].set_title("upright crop, as the network was trained to see it")
for panel in axes:
    panel.axis("off")

# %%
# Score it
# --------
# ``sample.transformer()`` holds the thresholds of the table, so nothing is fitted on the
# photograph. The detector knows StyleGAN and FFHQ, and a score says how much a face
# resembles the ones or the others.

sample = load_coverage_sample(pair="stylegan")
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
classifier.fit(sample.data, sample.target)
detector = make_pipeline(aligner, sample.transformer(), *[step for _, step in classifier.steps])
print(f"probability of fake: {detector.predict_proba([photograph])[0, 1]:.3f}")
