"""
A clip: faces followed, scored, and one verdict
===============================================

A short clip is made from one photograph: two people side by side, the right one with the
smooth skin of a generator that works at half size, then a cut to a shot in which both are
real. A detector fitted on pictures scores it, and the score along the clip is drawn. The
detector has seen a single person and serves to show the steps, nothing else.
"""

import tempfile
from pathlib import Path

import av
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from skimage.data import astronaut  # NASA, public domain
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skfakespotter import VideoScorer, make_fakespotter
from skfakespotter.video import ClipScoreDisplay, contact_sheet

SIDE = 200  # pixels

# %%
# A detector of pictures and a clip to judge
# ------------------------------------------


def photograph(shift=0, light=1.0):
    """Frame the same face a little to the side, darker or brighter."""
    picture = astronaut()[shift : SIDE + shift, 100 - shift : 100 - shift + SIDE]
    return np.clip(picture * light, 0, 255).astype(np.uint8)


def generated(picture):
    """Halve a picture and enlarge it again, which removes the finest detail."""
    small = Image.fromarray(picture).resize((SIDE // 2, SIDE // 2))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def fit_detector():
    """Fit on photographs of the face and their smoothed copies."""
    real = [photograph(shift, light) for shift in range(0, 12, 2) for light in (0.8, 0.9, 1.0)]
    X = [*real, *map(generated, real)]
    y = np.repeat([0, 1], len(real))
    return make_fakespotter(classifier=LogisticRegression(C=0.1)).fit(X, y)


def make_clip(path):
    """Encode two shots of a second each, 12 frames a second."""
    frames = []
    for i in range(12):
        right = generated(photograph(i))[:, ::-1]
        frames.append(np.hstack([photograph(i), right]))
    for i in range(12):
        frames.append(np.hstack([photograph(i, 0.8)[:, ::-1], photograph(11 - i, 0.8)]))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


clip = Path(tempfile.mkdtemp(), "two_people.mp4")
make_clip(clip)

# %%
# From pictures to clips
# ----------------------
# ``FrozenEstimator`` says: use the detector as it is. Every second frame is searched; the faces
# of one person make a track, and a cut ends all tracks. The clip's score is that of its most
# fake track, for one manipulated person is enough.

scorer = VideoScorer(FrozenEstimator(fit_detector()), every=2, aggregate="median")
result = scorer.score_clips([clip])[0]
print(f"{result.status}: P(fake) {result.score:.3f}, {len(result.frames)} frames searched")
for track in result.tracks:
    first, last = track.times[[0, -1]]
    print(f"  track {track.id}, {first:.1f} to {last:.1f} s: {track.score:.3f}")

# %%
# The score along the clip
# ------------------------

ClipScoreDisplay.from_clip(result)

# %%
# The most suspicious frames
# --------------------------
# Nothing writes a picture but this, and only to the file that you name.

sheet = clip.with_name("sheet.png")
contact_sheet(result, sheet, n=8)
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
axes.imshow(Image.open(sheet))
axes.axis("off")
