"""FakeSpotterPipeline: from pictures to the probability of being fake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import StrOptions

from skfakespotter._params import checked
from skfakespotter._typing import BackboneLike, Cache, Device, RandomState
from skfakespotter.backbones import load_backbone
from skfakespotter.classifier import FakeSpotterClassifier
from skfakespotter.experts import ExpertStack
from skfakespotter.faces import Face, FaceAligner
from skfakespotter.perturbations import AugmentedClassifier
from skfakespotter.transformer import NeuronCoverageTransformer

C = 0.01  # of the linear model: thousands of counts, few of which alone say anything


class FakeSpotterPipeline(Pipeline):
    """Pipeline of pictures that keeps what it was fitted on.

    Otherwise it is a plain :class:`sklearn.pipeline.Pipeline`.
    :func:`skfakespotter.score_pictures` repeats with every score what it was fitted on, such as
    "trained on 800 fakes of StyleGAN and 800 photographs only". It answers "cannot say" for a
    face smaller or more blurred than those it was fitted on.

    Parameters
    ----------
    steps : list of (str, estimator)
        As of a Pipeline; the first is a :class:`FaceAligner` where pictures are photographs.
    kinds : str, default=None
        Which fakes it is trained on, in words: "StyleGAN".
    transform_input : list of str, default=None
        As of a Pipeline.
    memory : str or object with the joblib.Memory interface, default=None
        As of a Pipeline.
    verbose : bool, default=False
        As of a Pipeline.

    Attributes
    ----------
    class_counts_ : list of int
        Pictures of each of ``classes_`` that it was fitted on.
    face_limits_ : dict of str to float
        ``width`` (of the longer side, in pixels) and ``sharpness`` (see
        :class:`skfakespotter.faces.Face`), the smallest of an even sample of 64 pictures at
        most; empty without an aligner.

    See Also
    --------
    make_fakespotter : Builds one.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import FakeSpotterPipeline, NeuronCoverageTransformer, make_pictures
    >>> X, y = make_pictures(40, random_state=0)
    >>> steps = [("coverage", NeuronCoverageTransformer("toy_image")), ("c", LogisticRegression())]
    >>> FakeSpotterPipeline(steps, kinds="toys").fit(X, y).class_counts_
    [20, 20]
    """

    def __init__(
        self,
        steps: list[tuple[str, Any]],
        *,
        kinds: str | None = None,
        transform_input: list[str] | None = None,
        memory: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(steps, transform_input=transform_input, memory=memory, verbose=verbose)
        self.kinds = kinds

    def fit(self, X: Any, y: Any = None, **params: Any) -> FakeSpotterPipeline:
        """Fit all steps and note what they were fitted on.

        Parameters
        ----------
        X : sequence of pictures
            Pictures.
        y : array-like of shape (n,)
            Labels.
        **params
            Of the steps, as ``step__parameter``.

        Returns
        -------
        self : FakeSpotterPipeline
            Fitted.
        """
        super().fit(X, y, **params)
        y = np.asarray(y)
        self.class_counts_ = [int(np.sum(y == label)) for label in getattr(self, "classes_", ())]
        aligner = self.steps[0][1]
        aligns = isinstance(aligner, FaceAligner)
        self.face_limits_ = _smallest(aligner.sample_faces(X)) if aligns else {}
        return self


@checked(
    preset=[StrOptions({"paper", "recommended"})],
    granularity=[StrOptions({"layer", "channel"}), None],
    align=["boolean", FaceAligner],
    random_state=["random_state"],
    kinds=[str, None],
)
def make_fakespotter(
    backbone: BackboneLike = "dlib",
    *,
    preset: Literal["paper", "recommended"] = "paper",
    granularity: Literal["layer", "channel"] | None = None,
    align: bool | FaceAligner = True,
    classifier: Any = None,
    device: Device = "auto",
    cache: Cache = None,
    random_state: RandomState = None,
    kinds: str | None = None,
) -> FakeSpotterPipeline:
    """Build the detector: align faces, count neurons, scale, classify.

    It is a scikit-learn Pipeline; any step can be set, searched over or replaced.

    ``preset="paper"`` is the method as published: steps ``align``, ``coverage`` (counts per
    layer), ``scale`` and ``classifier``, the five-layer :class:`FakeSpotterClassifier`.

    ``preset="recommended"`` is what the evaluation found best: counts per channel, a linear
    model whose decision can be explained exactly (:func:`skfakespotter.explain`), training on
    the pictures and on perturbed copies of them, and calibrated probabilities. Its steps are
    ``align`` and ``classifier``, an :class:`AugmentedClassifier` around ``coverage``,
    ``scale`` and ``classifier``: the copies are made of the pictures, before faces are found.
    Written out::

        FakeSpotterPipeline([
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
        Which of the two forms above to build.
    granularity : {"layer", "channel"}, default=None
        One count per layer (the paper) or per channel (much more accurate). None takes the
        preset's: "layer", or "channel" for "recommended".
    align : bool or FaceAligner, default=True
        Find the face in every picture and align it as the backbone was trained to see it.
        False when the pictures are aligned faces already, or the backbone sees whole
        pictures, as CLIP does: they are resized and cropped to the center as it asks. An
        aligner is used as it is.
    classifier : estimator, default=None
        The last step; None takes the preset's.
    device : str, default="auto"
        Where the network, and the paper's classifier, run.
    cache : None, bool, "memory", path or CoverageCache, default=None
        Where to keep the network's outputs for each face, so that a search over classifiers costs
        one pass; see :class:`NeuronCoverageTransformer`.
    random_state : int, RandomState instance or None, default=None
        For the paper's classifier, or for copies and folds.
    kinds : str, default=None
        Which fakes it is trained on, in words; every score repeats it.

    Returns
    -------
    FakeSpotterPipeline
        Unfitted. ``fit(X, y)`` takes pictures and labels; with labels 0 (real) and 1 (fake)
        the second column of ``predict_proba`` is the probability of fake. With
        "recommended", ``fit(X, y, classifier__groups=groups)`` keeps edited versions of one
        photograph together when the probabilities are calibrated.

    Raises
    ------
    ValueError
        For an unknown preset, or ``align=True`` for a backbone of whole pictures.

    Examples
    --------
    >>> from skfakespotter import make_fakespotter, make_pictures
    >>> X, y = make_pictures(40, random_state=0)
    >>> detector = make_fakespotter("toy_image", align=False, random_state=0).fit(X, y)
    >>> detector.predict_proba(X).shape
    (40, 2)
    """
    aligner = align or "passthrough"
    if align is True:
        # lazy: faces are found while the network computes, and memory holds a few batches
        aligner = FaceAligner(template=load_backbone(backbone).alignment, lazy=True)
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
        steps = [("align", aligner), *features, ("classifier", classifier)]
        return FakeSpotterPipeline(steps, kinds=kinds)
    if classifier is None:
        linear = LogisticRegression(C=C, max_iter=1000)
        classifier = ExpertStack([("linear", linear)], random_state=random_state)
    learner = Pipeline([*features, ("classifier", classifier)])
    augmented = AugmentedClassifier(learner, random_state=random_state)
    return FakeSpotterPipeline([("align", aligner), ("classifier", augmented)], kinds=kinds)


def _smallest(faces: Sequence[Face]) -> dict[str, float]:
    if not faces:
        return {}
    return {
        "width": float(min(max(face.width, face.height) for face in faces)),
        "sharpness": float(min(face.sharpness or 0.0 for face in faces)),
    }
