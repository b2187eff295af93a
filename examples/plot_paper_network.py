"""
The paper's network, end to end
===============================

FakeSpotter watches the ResNet-50 that was trained on VGGFace2: 54 layers, 10.6 million
neurons. Its weights are not part of this package. Download one of the published files,
such as ``resnet50_ft_weight.pkl``, and

- pass it: ``load_backbone("vggface2_resnet50", weights="resnet50_ft_weight.pkl")``,
- or put it into ``~/.config/skfakespotter/weights``,
- or list its folder in the environment variable ``SKFAKESPOTTER_WEIGHTS``.

The package reads these files without executing anything in them. Without a file this example
takes the untrained network with seeded weights.

The pictures are generated and show no faces. The figures check that everything runs; they say
nothing about accuracy on fakes.
"""

# %%
# The network
# -----------
# ``load_backbone`` looks for the weights in the places above. The name alone,
# ``backbone="vggface2_resnet50"``, does the same inside every estimator, so that a grid
# search may choose between networks by name.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skfakespotter import (
    CoverageProfileDisplay,
    detection_report,
    load_backbone,
    make_fakespotter,
    make_pictures,
)

try:
    backbone = load_backbone("vggface2_resnet50")
except FileNotFoundError as error:
    print(f"{error}\n\nTaking the untrained network instead.\n")
    backbone = load_backbone("vggface2_resnet50", weights="random")
print(backbone)

# %%
# From pictures to a verdict
# --------------------------
# The pictures have 256 pixels; the network takes the central 224, as its published protocol says.
# ``align=False`` because there are no faces to align: leave it out for photographs. With the
# paper's 10,000 training pictures leave ``classifier`` out too. The default is the paper's
# five-layer network, which cannot learn from 12 pictures.

X, y = make_pictures(32, size=256, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=20, stratify=y, random_state=0)

detector = make_fakespotter(backbone, align=False, classifier=LogisticRegression(C=0.1))
detector.set_params(
    coverage__output="fraction",
    coverage__batch_size=16,
    coverage__cache="memory",  # the test pictures are asked for twice
)
detector.fit(X_train, y_train)
print(detection_report(y_test, detector.predict_proba(X_test)[:, 1]))

# %%
# What the layers see
# -------------------
# The thresholds are the layers' mean outputs over the training pictures (equation 1); the
# features are the fractions of neurons above them (equation 2 over the size of the layer).

coverage = detector.named_steps["coverage"]
layers, neurons = coverage.layer_names_, coverage.n_neurons_
print(f"{len(layers)} layers, {neurons.sum():,} neurons, of which")
for stage in ("conv1", "layer1", "layer2", "layer3", "layer4", "fc"):
    here = [n for name, n in zip(layers, neurons, strict=True) if name.startswith(stage)]
    print(f"  {stage:7} {len(here):3} layers {sum(here):10,} neurons")

CoverageProfileDisplay.from_estimator(detector, X_test, y_test)
