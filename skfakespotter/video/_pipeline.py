"""make_clipspotter: from clips to the probability of being fake, by coverage over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skfakespotter._typing import Device
from skfakespotter.faces import FaceAligner
from skfakespotter.video._scorer import VideoScorer
from skfakespotter.video._temporal import CoverageOverTime

# Of the ridge. Within FaceForensics++, from 4 to 400, no expert's AUC on a method moved over 0.02.
ALPHA = 30.0


def make_clipspotter(
    backbone: Any = "dlib",
    *,
    granularity: Literal["channel", "layer"] = "channel",
    statistics: Sequence[str] = ("mean", "flicker"),
    window: int = 5,
    smoothing: int | str | None = 9,
    every: int | float = 1,
    burst: int = 1,
    max_frames: int | None = 64,
    aggregate: str = "log-odds",
    aligner: FaceAligner | None = None,
    coverage: Any = None,
    classifier: Any = None,
    device: Device = "auto",
    cache: str | Path | None = None,
    random_state: int | None = 0,
    **options: Any,
) -> VideoScorer:
    """Build the detector of clips: follow faces, count neurons, watch them over time, classify.

    Each statistic of the coverage over windows of consecutive faces gets its own expert. Their
    weights are learned clip by clip from folds that keep ``groups`` together. Some methods leave
    traces in single frames, others between frames, and a method may leave only one kind. Pass
    :func:`balanced_weights` to ``fit`` if the classes differ in size.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone, default="dlib"
        The network to watch; see :func:`skfakespotter.load_backbone`.
    granularity : {"channel", "layer"}, default="channel"
        One count per channel, or per layer (the paper).
    statistics : sequence of str, default=("mean", "flicker")
        One expert each; see :class:`CoverageOverTime`.
    window : int, default=5
        Consecutive faces that are judged together.
    smoothing : int, "track" or None, default=9
        How crops are steadied; see :class:`VideoScorer`.
    every, burst, max_frames : default=1, 1 and 64
        Frames looked at; flicker needs frames in a row. The default takes the first 64; for
        long clips take bursts, such as ``every=250, burst=14, max_frames=None``.
    aggregate : str, default="log-odds"
        From windows to a clip, see :class:`VideoScorer`.
    aligner : FaceAligner, default=None
        Finds and crops the faces. None: as the backbone was trained to see them.
    coverage : transformer, default=None
        What counts neurons, such as a fitted transformer in a FrozenEstimator, whose thresholds
        do not change; ``backbone``, ``granularity`` and ``device`` then matter only for the
        aligner. None: the thresholds are fitted on the training clips.
    classifier : classifier, default=None
        Last step of each expert; it must take ``sample_weight`` if ``fit`` gets weights.
        None: ``RidgeClassifier(alpha=30)``.
    device : str or torch.device, default="auto"
        Where the network runs.
    cache : path, default=None
        Folder that keeps the faces of clips and the network's outputs, so that a second
        experiment on the same clips needs neither decoding nor the network.
        It holds pictures of people. None: nothing is kept after a call.
    random_state : int, default=0
        Seed of the experts' folds.
    **options
        Other parameters of :class:`VideoScorer`.

    Returns
    -------
    VideoScorer
        Unfitted. Call ``fit(clips, labels, groups=groups)``; see :func:`load_clips`.

    Examples
    --------
    >>> from skfakespotter.video import make_clipspotter
    >>> scorer = make_clipspotter("toy_image", window=14)
    >>> scorer.window, [name for name, _ in scorer.estimator[-1].experts]
    (14, ['mean', 'flicker'])
    """
    from skfakespotter.backbones import load_backbone
    from skfakespotter.experts import ExpertStack
    from skfakespotter.transformer import NeuronCoverageTransformer

    folder = None if cache is None else Path(os.fspath(cache))
    if coverage is None:
        coverage = NeuronCoverageTransformer(
            backbone,
            granularity=granularity,
            device=device,
            cache=None if folder is None else folder / "coverage",
        )
    if classifier is None:
        classifier = RidgeClassifier(alpha=ALPHA)
    experts = []
    for place, statistic in enumerate(statistics):
        part = FunctionTransformer(_part, kw_args={"place": place, "n_parts": len(statistics)})
        experts.append((statistic, make_pipeline(part, StandardScaler(), clone(classifier))))
    if aligner is None:
        aligner = FaceAligner(template=load_backbone(backbone).alignment)
    detector = Pipeline(
        [
            ("align", aligner),
            ("coverage", CoverageOverTime(coverage, statistics=tuple(statistics))),
            ("experts", ExpertStack(experts, random_state=random_state)),
        ]
    )
    return VideoScorer(
        detector,
        every=every,
        burst=burst,
        max_frames=max_frames,
        aggregate=aggregate,
        window=window,
        smoothing=smoothing,
        cache=None if folder is None else folder / "faces",
        **options,
    )


def _part(X, place, n_parts):
    """Take the columns of one statistic."""
    width = X.shape[1] // n_parts
    return X[:, place * width : (place + 1) * width]
