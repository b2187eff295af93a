"""
Train on one generator, test on another
=======================================

A detector knows the fakes it was trained on. ``cross_generator`` trains on every set and tests on
every other. Papers usually report the diagonal. The other cells show what happens when a new
generator appears.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import cross_generator, leave_one_generator_out, load_coverage_sample

# %%
# One set for each generator
# --------------------------
# Two sets share a photograph when they share the name of its group, so each name starts with the
# source. Both editing generators worked on the same photographs of CelebA.

sample = load_coverage_sample()
source = np.where(np.char.startswith(sample.pair, "st") & (sample.kind != "entire synthesis"),
                  "celeba", sample.pair)  # fmt: skip
names = {
    "stylegan": "StyleGAN",
    "pggan": "PGGAN",
    "stargan_brown_hair": "StarGAN, hair",
    "stgan_eyeglasses": "STGAN, glasses",
    "faceswap": "face swaps",
}
sets = {}
for pair, name in names.items():
    rows = sample.pair == pair
    groups = np.char.add(np.char.add(source[rows], "/"), sample.groups[rows])
    sets[name] = (sample.data[rows], sample.target[rows], groups)

detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
result = cross_generator(detector, sets, n_bootstraps=0)
off_diagonal = result.matrix[~np.eye(len(sets), dtype=bool)]
print(f"same generator: AUC {np.diag(result.matrix).mean():.2f} on average")
print(f"another one:    AUC {off_diagonal.mean():.2f} on average")
result.plot()

# %%
# Train on all generators but one
# -------------------------------
# More kinds of fakes in training help a little with the generator left out. They do not replace it.

left_out = leave_one_generator_out(detector, sets, n_bootstraps=200)
left_out.plot()
