"""Detectors: the methods of the tables, each a Pipeline made by the package."""

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
# method: (features, classifier); features are a granularity or the name of a baseline
METHODS = {
    LAYER_FSC: ("layer", "FakeSpotterClassifier"),
    LAYER_SVC: ("layer", "SVC"),
    "coverage per layer + LogisticRegression": ("layer", "LogisticRegression"),
    "coverage per layer + RandomForest": ("layer", "RandomForest"),
    CHANNEL_SVC: ("channel", "SVC"),
    CHANNEL_LR: ("channel", "LogisticRegression"),
    "coverage per channel + RandomForest": ("channel", "RandomForest"),
    CHANNEL_FSC: ("channel", "FakeSpotterClassifier"),
    AUGMENTED_SVC: ("augmented", "SVC"),
    AUGMENTED_LR: ("augmented", "LogisticRegression"),
    EMBEDDING_SVC: ("embedding", "SVC"),
    MEANS_SVC: ("mean-activations", "SVC"),
    MEANS_LR: ("mean-activations", "LogisticRegression"),
    "global threshold 0, per channel + SVC": ("global-threshold", "SVC"),
    RANDOM_SVC: ("random-weights", "SVC"),
}
RIVALS = ("cheap-cues", "spectrum-linear", "cooccurrence", "saturation", "spectrum-cnn")
ATTACKED = (
    LAYER_FSC,
    LAYER_SVC,
    CHANNEL_SVC,
    CHANNEL_LR,
    AUGMENTED_SVC,
    AUGMENTED_LR,
    EMBEDDING_SVC,
    MEANS_SVC,
    MEANS_LR,
)
# Between the levels of paper_attacks, so that no tested perturbation was trained on.
HELD_OUT_LEVELS = {
    "jpeg": [JPEGCompression(q) for q in (80, 60, 40, 20)],
    "blur": [GaussianBlur(s) for s in (0.6, 0.9, 1.5, 3.0)],
    "resize": [Resize(s) for s in (0.82, 0.67, 0.55, 0.42)],
    "noise": [GaussianNoise(v, random_state=1) for v in (0.0007, 0.0015, 0.003, 0.007)],
}


def is_attacked(method, bench):
    """Say whether a method is scored under attack, and its clean scores come from there."""
    return method in ATTACKED or method in bench.rivals


def is_candidate(method):
    """Say whether a method may be recommended: coverage, by whatever classifier."""
    return METHODS.get(method, ("",))[0] in ("layer", "channel", "augmented")


def make_detector(method, backbone="dlib", *, align=False, cache=None, n_train=0, **coverage):
    """Make the unfitted detector of a method.

    Parameters
    ----------
    method : str
        One of ``METHODS`` or ``RIVALS``.
    backbone : str, default="dlib"
        The network.
    align : FaceAligner or False, default=False
        False when faces come that are aligned already.
    cache : CoverageCache, default=None
        Of the coverage.
    n_train : int, default=0
        Training pictures; of more than 1,000 the paper's net is trained for 15 epochs on
        coverage per channel.
    **coverage
        Other parameters of the NeuronCoverageTransformer.

    Returns
    -------
    estimator
        A classifier of pictures.
    """
    if method in RIVALS:
        return make_baseline(method, random_state=0)
    features, classifier = METHODS[method]
    if features in ("layer", "channel", "augmented"):
        detector = make_fakespotter(
            backbone,
            granularity="layer" if features == "layer" else "channel",
            align=align,
            classifier=CLASSIFIERS[classifier],
            device="cpu",
            cache=cache,
            random_state=0,
        ).set_params(**{f"coverage__{name}": value for name, value in coverage.items()})
        if method == CHANNEL_FSC and n_train > FEW:
            detector.set_params(classifier__max_epochs=SHORT_EPOCHS)
        if features != "augmented":
            return detector
        return AugmentedClassifier(detector, attacks=HELD_OUT_LEVELS, random_state=0)
    network = (
        load_backbone(backbone, weights="random") if features == "random-weights" else backbone
    )
    detector = make_baseline(features, random_state=0).set_params(
        align=align or "passthrough",
        classifier=CLASSIFIERS[classifier],
        features__backbone=network,
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
