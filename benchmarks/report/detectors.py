"""Detectors: the methods of the tables, each a Pipeline made by the package."""

from functools import partial
from typing import NamedTuple

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from skfakespotter import (
    AugmentedClassifier,
    GaussianBlur,
    GaussianNoise,
    JPEGCompression,
    Resize,
    load_backbone,
    make_baseline,
    make_fakespotter,
)

LAYER_FSC = "coverage per layer + FakeSpotterClassifier"
LAYER_SVC = "coverage per layer + SVC"
CHANNEL_FSC = "coverage per channel + FakeSpotterClassifier"
CHANNEL_SVC = "coverage per channel + SVC"
CHANNEL_LR = "coverage per channel + LogisticRegression"
AUGMENTED_SVC = "coverage per channel + SVC, trained with perturbed copies"
AUGMENTED_LR = "coverage per channel + LogisticRegression, trained with perturbed copies"
EMBEDDING_SVC = "embedding + SVC"
MEANS_SVC = "mean activations + SVC"
MEANS_LR = "mean activations + LogisticRegression"
RANDOM_SVC = "random weights, coverage per channel + SVC"

FEW = 1000  # training pictures up to which the wide net is trained in full
SHORT_EPOCHS = 15  # beyond: 40 epochs of thousands of columns cost minutes a fold
CLASSIFIERS = {
    "FakeSpotterClassifier": None,  # make_fakespotter's own
    # gamma = 1 / n_features, by one matrix product: ten times faster than libsvm's own kernel
    "SVC": SVC(C=10, kernel=rbf_kernel),
    "LogisticRegression": LogisticRegression(C=0.02, max_iter=2000),
    "RandomForest": RandomForestClassifier(200, random_state=0),
}


class Method(NamedTuple):
    """A row of the tables: what describes a face, and what decides."""

    features: str  # a granularity, or the name of a baseline
    classifier: str
    augmented: bool = False  # trained with perturbed copies
    attacked: bool = False  # also measured under attack


METHODS = {
    LAYER_FSC: Method("layer", "FakeSpotterClassifier", attacked=True),
    LAYER_SVC: Method("layer", "SVC", attacked=True),
    "coverage per layer + LogisticRegression": Method("layer", "LogisticRegression"),
    "coverage per layer + RandomForest": Method("layer", "RandomForest"),
    CHANNEL_SVC: Method("channel", "SVC", attacked=True),
    CHANNEL_LR: Method("channel", "LogisticRegression", attacked=True),
    "coverage per channel + RandomForest": Method("channel", "RandomForest"),
    CHANNEL_FSC: Method("channel", "FakeSpotterClassifier"),
    AUGMENTED_SVC: Method("channel", "SVC", augmented=True, attacked=True),
    AUGMENTED_LR: Method("channel", "LogisticRegression", augmented=True, attacked=True),
    EMBEDDING_SVC: Method("embedding", "SVC", attacked=True),
    MEANS_SVC: Method("mean-activations", "SVC", attacked=True),
    MEANS_LR: Method("mean-activations", "LogisticRegression", attacked=True),
    "global threshold 0, per channel + SVC": Method("global-threshold", "SVC"),
    RANDOM_SVC: Method("random-weights", "SVC"),
}
RIVALS = ("cheap-cues", "spectrum-linear", "cooccurrence", "saturation", "spectrum-cnn")
SLOW = (CHANNEL_FSC, RANDOM_SVC, "spectrum-cnn")
BLOCKS = {"layer": LAYER_SVC, "channel": CHANNEL_SVC}  # that other readings are measured by
IN_MATRIX = {"channel": CHANNEL_SVC, "embedding": EMBEDDING_SVC}
IN_CURVES = (LAYER_SVC, CHANNEL_SVC, EMBEDDING_SVC)
IN_FULL = (LAYER_FSC, CHANNEL_SVC, EMBEDDING_SVC, MEANS_SVC, "cheap-cues")  # all eleven figures
COMPARED_UNDER_ATTACK = (  # whether the first is better than the second
    (CHANNEL_SVC, EMBEDDING_SVC),
    (CHANNEL_SVC, MEANS_SVC),
    (CHANNEL_LR, MEANS_LR),
    (CHANNEL_SVC, LAYER_FSC),
    (AUGMENTED_SVC, CHANNEL_SVC),
    (AUGMENTED_LR, CHANNEL_LR),
)
COMPARED = (
    *COMPARED_UNDER_ATTACK[:4],
    *(
        (CHANNEL_SVC, simple)
        for simple in (RANDOM_SVC, "cheap-cues", "spectrum-cnn", "cooccurrence")
    ),
)
SHORT = {  # names in drawings
    LAYER_FSC: "the paper's",
    CHANNEL_SVC: "per channel",
    AUGMENTED_SVC: "per channel, perturbed copies",
    EMBEDDING_SVC: "embedding",
    MEANS_SVC: "mean activations",
    "cheap-cues": "cheap cues",
}
# Between the levels of paper_attacks, so that no tested perturbation was trained on.
HELD_OUT = {
    "jpeg": (JPEGCompression, (80, 60, 40, 20)),
    "blur": (GaussianBlur, (0.6, 0.9, 1.5, 3.0)),
    "resize": (Resize, (0.82, 0.67, 0.55, 0.42)),
    "noise": (partial(GaussianNoise, random_state=1), (0.0007, 0.0015, 0.003, 0.007)),
}
HELD_OUT_LEVELS = {name: [make(at) for at in levels] for name, (make, levels) in HELD_OUT.items()}


def make_detector(method, backbone="dlib", *, align=False, cache=None, n_train=0, **coverage):
    """Make the unfitted detector of a method, a classifier of pictures.

    ``align`` is False when faces come that are aligned already, ``n_train`` the number of training
    pictures, ``coverage`` other parameters of the NeuronCoverageTransformer.
    """
    if method in RIVALS:
        return make_baseline(method, random_state=0)
    features, classifier, augmented, _ = METHODS[method]
    classifier = CLASSIFIERS[classifier]
    if features in ("layer", "channel"):
        detector = make_fakespotter(
            backbone,
            granularity=features,
            align=align,
            classifier=classifier,
            device="cpu",
            cache=cache,
            random_state=0,
        ).set_params(**{f"coverage__{name}": value for name, value in coverage.items()})
        if method == CHANNEL_FSC and n_train > FEW:
            detector.set_params(classifier__max_epochs=SHORT_EPOCHS)
        if not augmented:
            return detector
        return AugmentedClassifier(detector, attacks=HELD_OUT_LEVELS, random_state=0)
    if features == "random-weights":
        backbone = load_backbone(backbone, weights="random")
    detector = make_baseline(features, random_state=0).set_params(
        align=align or "passthrough",
        classifier=classifier,
        features__backbone=backbone,
        features__device="cpu",
    )
    if "cache" in detector["features"].get_params():
        detector.set_params(features__cache=cache)
    return detector


def split_stateless(detector):
    """Split a Pipeline into the step that describes pictures and the rest, if it learns nothing.

    So its features are computed once for all folds; otherwise the first part is None.
    """
    if "features" not in getattr(detector, "named_steps", {}):
        return None, detector
    features, place = detector["features"], list(detector.named_steps).index("features")
    if features.__sklearn_tags__().requires_fit:
        return None, detector
    return features, detector[place + 1 :]
