"""make_fakespotter: from pictures to the probability of being fake."""

from __future__ import annotations

from typing import Any, Literal

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter.backbones import load_backbone
from skfakespotter.classifier import FakeSpotterClassifier
from skfakespotter.experts import ExpertStack
from skfakespotter.faces import FaceAligner
from skfakespotter.perturbations import AugmentedClassifier
from skfakespotter.transformer import NeuronCoverageTransformer

PRESETS = ("paper", "recommended")
C = 0.01  # of the linear model: thousands of counts, few of which alone say anything


def make_fakespotter(
    backbone: Any = "dlib",
    *,
    preset: Literal["paper", "recommended"] = "paper",
    granularity: Literal["layer", "channel"] | None = None,
    align: bool | FaceAligner = True,
    classifier: Any = None,
    device: Any = "auto",
    cache: Any = None,
    random_state: Any = None,
    kinds: str | None = None,
) -> Pipeline:
    """Build the detector: align faces, count neurons, scale, classify.

    It is a plain scikit-learn Pipeline; any step can be set, searched over or replaced.

    ``preset="paper"`` is the method as published: steps ``align``, ``coverage`` (counts per
    layer), ``scale`` and ``classifier``, the five-layer :class:`FakeSpotterClassifier`.

    ``preset="recommended"`` is what the evaluation found best: counts per channel, a linear
    model whose decision can be explained exactly (:func:`skfakespotter.explain`), training on
    the pictures and on perturbed copies of them, and calibrated probabilities. Its steps are
    ``align`` and ``classifier``, an :class:`AugmentedClassifier` around ``coverage``,
    ``scale`` and ``classifier``: the copies are made of the pictures, before faces are found.
    Written out::

        Pipeline([
            ("align", FaceAligner(lazy=True)),
            ("classifier", AugmentedClassifier(Pipeline([
                ("coverage", NeuronCoverageTransformer(granularity="channel")),
                ("scale", StandardScaler()),
                ("classifier", ExpertStack([("linear", LogisticRegression(C=0.01))])),
            ]))),
        ])

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network to watch; see :func:`skfakespotter.load_backbone`.
    preset : {"paper", "recommended"}, default="paper"
        See above.
    granularity : {"layer", "channel"}, default=None
        One count per layer (the paper) or per channel (more accurate by far). None takes the
        preset's: "layer", or "channel" for "recommended".
    align : bool or FaceAligner, default=True
        Find the face in every picture and align it as the backbone was trained to see it;
        False when the pictures are aligned faces already. An aligner is used as it is.
    classifier : estimator, default=None
        The last step; None takes the preset's.
    device : str, default="auto"
        Where the network, and the paper's classifier, run.
    cache : None, bool, "memory", path or CoverageCache, default=None
        Remembers what the network said about each face, so that a search over classifiers
        costs one pass; see :class:`NeuronCoverageTransformer`.
    random_state : int, RandomState instance or None, default=None
        For the paper's classifier, or for copies and folds.
    kinds : str, default=None
        Of "recommended": which fakes it is trained on, in words; said with every score. See
        :class:`ExpertStack`.

    Returns
    -------
    Pipeline
        Unfitted. ``fit(X, y)`` takes pictures and labels; with labels 0 (real) and 1 (fake)
        the second column of ``predict_proba`` is the probability of fake. With
        "recommended", ``fit(X, y, classifier__groups=groups)`` keeps edited versions of one
        photograph together when the probabilities are calibrated.

    Raises
    ------
    ValueError
        For an unknown preset.

    Examples
    --------
    >>> from skfakespotter import make_fakespotter, make_pictures
    >>> X, y = make_pictures(40, random_state=0)
    >>> detector = make_fakespotter("toy_image", align=False, random_state=0).fit(X, y)
    >>> detector.predict_proba(X).shape
    (40, 2)
    """
    if preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}: expected one of {PRESETS}.")
    aligner = align or "passthrough"
    if align is True:
        # lazy: faces are found while the network computes, and memory holds a few batches
        aligner = FaceAligner(template=load_backbone(backbone).template or "dlib", lazy=True)
    recommended = preset == "recommended"
    coverage = NeuronCoverageTransformer(
        backbone,
        granularity=granularity or ("channel" if recommended else "layer"),
        device=device,
        cache=cache,
    )
    features = [("coverage", coverage), ("scale", StandardScaler())]
    if not recommended:
        if classifier is None:
            classifier = FakeSpotterClassifier(device=device, random_state=random_state)
        return Pipeline([("align", aligner), *features, ("classifier", classifier)])
    if classifier is None:
        linear = LogisticRegression(C=C, max_iter=1000)
        classifier = ExpertStack([("linear", linear)], random_state=random_state, kinds=kinds)
    learner = Pipeline([*features, ("classifier", classifier)])
    augmented = AugmentedClassifier(learner, random_state=random_state)
    return Pipeline([("align", aligner), ("classifier", augmented)])
