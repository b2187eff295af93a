"""
Why a face got its score
========================

The score of a linear detector is a sum over neurons, and every neuron of a feature map has a place
in the face. ``explain`` adds up these parts by layer and by place. They add up to the score
exactly: there is no gradient and no approximation.
"""

from skimage.data import astronaut  # NASA, public domain

from skfakespotter import ExplanationDisplay, explain

# %%
# Take the score apart
# --------------------
# The detectors that ship are linear. The constant is the score of an average real photograph. Each
# layer adds evidence for fake (positive) or for real (negative).

explanation = explain("stylegan", astronaut())
top = explanation.top_layers(5)
others = sum(explanation.layers.values()) - sum(evidence for _, evidence in top)
parts = [("constant", explanation.constant), *top, ("other layers", others)]
for name, evidence in [*parts, ("score", explanation.score)]:
    print(f"{name:16} {evidence:+.2f}")

# %%
# Where and in which layers
# -------------------------
# Orange places look fake, purple places look real. The photograph is real, and its score is low.
# The map of a single picture is noisy: averages over many fakes show what a detector looks at.

ExplanationDisplay(explanation).plot()
