"""make_fakespotter: from pictures to the probability of being fake."""

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter.backbones import load_backbone
from skfakespotter.classifier import FakeSpotterClassifier
from skfakespotter.faces._aligner import FaceAligner
from skfakespotter.transformer import NeuronCoverageTransformer


def make_fakespotter(
    backbone="dlib",
    *,
    granularity="layer",
    align=True,
    classifier=None,
    device="auto",
    cache=None,
    random_state=None,
):
    """Build the detector: align faces, count neurons, scale, classify.

    It is a plain scikit-learn Pipeline with the steps ``align``, ``coverage``, ``scale``
    and ``classifier``; any of them can be set, searched over or replaced.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network to watch; see :func:`skfakespotter.load_backbone`.
    granularity : {"layer", "channel"}, default="layer"
        One count per layer (the paper) or per channel (more accurate by far).
    align : bool or FaceAligner, default=True
        Find the face in every picture and align it as the backbone was trained to see it;
        False when the pictures are aligned faces already. An aligner is used as it is.
    classifier : estimator, default=None
        The last step; None takes the paper's :class:`FakeSpotterClassifier`.
    device : str, default="auto"
        Where the network, and the paper's classifier, run.
    cache : None, bool, "memory", path or CoverageCache, default=None
        Remembers what the network said about each face, so that a search over classifiers
        costs one pass; see :class:`NeuronCoverageTransformer`.
    random_state : int, RandomState instance or None, default=None
        For the paper's classifier.

    Returns
    -------
    Pipeline
        Unfitted. ``fit(X, y)`` takes pictures and labels; with labels 0 (real) and 1 (fake)
        the second column of ``predict_proba`` is the probability of fake.

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
        aligner = FaceAligner(template=load_backbone(backbone).template or "dlib", lazy=True)
    if classifier is None:
        classifier = FakeSpotterClassifier(device=device, random_state=random_state)
    coverage = NeuronCoverageTransformer(
        backbone, granularity=granularity, device=device, cache=cache
    )
    return Pipeline(
        [
            ("align", aligner),
            ("coverage", coverage),
            ("scale", StandardScaler()),
            ("classifier", classifier),
        ]
    )
