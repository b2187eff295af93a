"""VideoScorer: a detector of fake face pictures becomes a detector of fake clips."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skfakespotter._typing import Labels
from skfakespotter.evaluation import fake_response, positive_label
from skfakespotter.faces import FaceAligner
from skfakespotter.video._compression import check_crf
from skfakespotter.video._frames import check_sampling
from skfakespotter.video._reading import (
    Clip,
    Reading,
    check_clips,
    faces_folder,
    in_a_row,
    read_clips,
)
from skfakespotter.video._results import ClipScore, TrackScore
from skfakespotter.video._steadying import check_smoothing
from skfakespotter.video._tracks import Track

AGGREGATES = ("mean", "median", "max", "top-k")
PIECE = 1024  # faces that the detector gets at a time, so that memory does not grow with a clip


class VideoScorer(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Judge clips with a detector of fake face pictures, or of fake tracks.

    It samples frames, finds faces and follows them through the clip. The detector scores each
    aligned face, or with ``window`` each run of consecutive faces of one person. A track's score
    aggregates these, and a clip's score is that of its most fake track, because one manipulated
    person is enough. A clip without a face, or one that cannot be read, gets no score.

    Parameters
    ----------
    estimator : classifier
        Detector of two classes with ``predict_proba``. A Pipeline that begins with a
        :class:`~skfakespotter.FaceAligner` is split: that aligner crops the faces of the frames,
        and the other steps get the crops. Any other detector gets the crops of ``FaceAligner()``:
        a list of arrays (150, 150, 3). Wrap a detector that was trained on pictures in
        :class:`sklearn.frozen.FrozenEstimator` to score clips without ``fit``; ``fit`` trains any
        other detector again.
    every : int or float, default=10
        Sampling of the frames: an int is a number of frames, a float is seconds.
    burst : int, default=1
        Frames in a row that are taken each time; see :func:`iter_frames`.
    max_frames : int, default=None
        Sampled frames per clip at most, from its beginning.
    window : int, default=None
        None: the detector takes faces. An int: it takes tracks, lists of at most so many
        consecutive faces of one person, as :class:`CoverageOverTime` does; a longer track is
        cut into windows of nearly equal length.
    smoothing : int, "track" or None, default=None
        How to keep crops from jumping with the landmarks. An odd int averages the landmarks
        over so many consecutive faces, "track" over all, so that a track is cut out by one
        transform. That decodes each clip twice. None crops each frame as a picture.
    aggregate : {"mean", "median", "max", "top-k"}, default="mean"
        From the scores of a track's faces or windows to the track's score. ``"top-k"`` is the
        mean of the ``top_k`` highest.
    top_k : int, default=5
        For ``aggregate="top-k"``.
    min_faces : int, default=3
        Tracks of fewer faces are often false detections, so they decide on a clip only if it has
        no longer track. Windows of fewer faces are not scored.
    compressions : sequence of int, default=None
        H.264 rate factors: ``fit`` also trains on each clip as it looks after it was encoded
        again at each of these, unless no face is found in it then; see
        :func:`compress_frames`.
    on_missing : {"raise", "nan"}, default="raise"
        What ``predict_proba`` does with clips without a score: raise an error that names
        them, or return rows of NaN.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    cache : path, default=None
        Folder that keeps the faces of clips, so that a second call on the same clips decodes
        nothing. It holds pictures of people. None keeps them for the length of a call, in
        the system's folder for temporary files.
    n_jobs : int, default=None
        Processes that decode and search clips, through joblib. The detector runs in the calling
        process.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Attributes
    ----------
    estimator_ : classifier
        The fitted detector of aligned faces or of tracks.
    aligner_ : FaceAligner
        Crops the faces.
    classes_ : ndarray of shape (2,)
        Labels as given.

    Raises
    ------
    ImportError
        When an extra, ``video`` or ``faces``, is not installed.

    See Also
    --------
    make_clipspotter : Coverage over time, from clips to verdicts.
    clip_report : Figures over clips and over frames.
    load_clips : Lists the clips of a data set.
    skfakespotter.video.ClipScoreDisplay : Draws the scores along a clip.

    Notes
    -----
    Memory does not grow with clips: crops (67 kB a face at 150 pixels) go to a file and are
    mapped into memory. What the detector makes of them in ``fit`` does grow: 15 kB a face for
    the coverage of each of dlib's channels.

    Clips cut from one recording, or an original and its fakes, belong on one side of a split:
    pass ``groups`` to the splitter, one value per clip.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skfakespotter import make_fakespotter, make_pictures
    >>> from skfakespotter.video import VideoScorer
    >>> detector = make_fakespotter("toy_image", align=False, random_state=0)
    >>> scorer = VideoScorer(FrozenEstimator(detector.fit(*make_pictures(40, random_state=0))))
    >>> scorer.score_clips(["no/such/clip.mp4"])[0].status
    'unreadable'
    """

    _parameter_constraints: ClassVar = {
        "estimator": [HasMethods(["fit"])],
        "every": [Integral, Real],
        "burst": [Integral],
        "max_frames": [Integral, None],
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "smoothing": [Integral, StrOptions({"track"}), None],
        "aggregate": [StrOptions(set(AGGREGATES))],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "min_faces": [Interval(Integral, 1, None, closed="left")],
        "compressions": ["array-like", None],
        "on_missing": [StrOptions({"raise", "nan"})],
        "cache": [str, Path, None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        every: int | float = 10,
        burst: int = 1,
        max_frames: int | None = None,
        window: int | None = None,
        smoothing: int | str | None = None,
        aggregate: str = "mean",
        top_k: int = 5,
        min_faces: int = 3,
        compressions: Sequence[int] | None = None,
        on_missing: str = "raise",
        pos_label: Any = None,
        cache: str | Path | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.every = every
        self.burst = burst
        self.max_frames = max_frames
        self.window = window
        self.smoothing = smoothing
        self.aggregate = aggregate
        self.top_k = top_k
        self.min_faces = min_faces
        self.compressions = compressions
        self.on_missing = on_missing
        self.pos_label = pos_label
        self.cache = cache
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self, X: Iterable, y: Labels, sample_weight: Any = None, groups: Any = None
    ) -> VideoScorer:
        """Train the detector on every face, or window of faces, with the clip's label.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips. They are not opened where the detector is frozen.
        y : array-like of shape (n_clips,)
            Their labels, of two classes.
        sample_weight : array-like of shape (n_clips,), default=None
            Weight of each clip, shared by its faces or windows; see :func:`balanced_weights`.
            The detector, or a Pipeline's last step, must take ``sample_weight``.
        groups : array-like of shape (n_clips,), default=None
            Which clips belong together, for a detector whose ``fit`` takes ``groups``, such
            as :class:`~skfakespotter.ExpertStack`. None: each clip is a group of its faces.

        Returns
        -------
        self : VideoScorer
            Fitted.

        Raises
        ------
        ValueError
            When clips cannot be read or show no face, all of them named;
            with ``on_missing="nan"`` they are left out with a warning.
        """
        self._check_options()
        X, y = check_clips(X), np.asarray(column_or_1d(y))
        check_consistent_length(X, y, sample_weight, groups)
        positive_label(y, self.pos_label)
        aligner, detector = _take_apart(self.estimator)
        if isinstance(detector, FrozenEstimator):
            check_is_fitted(detector)
        else:
            with faces_folder(self.cache) as folder:
                items, of = self._training_items(X, y, aligner, folder)
                options = _weights(detector, sample_weight, of)
                last, prefix = _last_step(detector)
                if has_fit_parameter(last, "groups"):
                    options[f"{prefix}groups"] = of if groups is None else column_or_1d(groups)[of]
                detector = clone(detector).fit(items, y[of], **options)
                del items  # which map files that are about to go
        self.aligner_, self.estimator_ = aligner, detector
        return self

    def score_clips(self, X: Iterable) -> list[ClipScore]:
        """Score clips and keep the evidence; one bad clip does not raise an error.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips.

        Returns
        -------
        list of ClipScore
            One per clip, in order. A clip that is broken or truncated is scored on the frames
            that decode, with its ``reason`` set and a warning.
        """
        self._check_options()
        aligner, detector = self._fitted()
        positive = positive_label(detector.classes_, self.pos_label)
        with faces_folder(self.cache) as folder:
            clips = self._read(check_clips(X), self._reading(aligner), folder)
            return [self._score(clip, detector, positive) for clip in clips]

    def predict_proba(self, X: Iterable) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips.

        Returns
        -------
        ndarray of shape (n_clips, 2)
            Columns in the order of ``classes_``; rows of NaN for clips without a
            score, with ``on_missing="nan"``.

        Raises
        ------
        ValueError
            With ``on_missing="raise"``, when clips have no score; all are named.
        """
        clips = self.score_clips(X)
        if self.on_missing == "raise":
            _refuse_unscored(clips)
        fake = np.array([np.nan if clip.score is None else clip.score for clip in clips])
        columns = np.column_stack([1 - fake, fake])
        classes = self.classes_.tolist()
        return (
            columns if positive_label(classes, self.pos_label) == classes[1] else columns[:, ::-1]
        )

    def predict(self, X: Iterable) -> NDArray[Any]:
        """Predict the label: fake where P(fake) is at least 0.5.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips.

        Returns
        -------
        ndarray of shape (n_clips,)
            Labels as given to ``fit``.

        Raises
        ------
        ValueError
            When clips have no score, whatever ``on_missing`` says; all are named.
        """
        clips = self.score_clips(X)
        _refuse_unscored(clips)
        classes = self.classes_
        fake = positive_label(classes, self.pos_label)
        real = classes[classes != fake][0]
        scores = np.array([clip.score for clip in clips], float)
        return np.where(scores >= 0.5, fake, real).astype(classes.dtype)

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels as given, shape (2,)."""
        try:
            return self._fitted()[1].classes_
        except NotFittedError as error:
            raise AttributeError(str(error)) from error

    @property
    def takes_weights(self) -> bool:
        """Whether ``fit`` can pass ``sample_weight`` on to the detector."""
        last, _ = _last_step(_take_apart(self.estimator)[1])
        return has_fit_parameter(last, "sample_weight")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_") or isinstance(self.estimator, FrozenEstimator)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        return tags

    def _fitted(self):
        """Return aligner and detector; a frozen detector needs no ``fit``."""
        check_is_fitted(
            self,
            msg="This %(name)s is not fitted: call fit on clips, or pass a detector that was "
            "fitted on pictures as FrozenEstimator(detector).",
        )
        if hasattr(self, "estimator_"):
            return self.aligner_, self.estimator_
        return _take_apart(self.estimator)

    def _check_options(self):
        self._validate_params()
        check_sampling(self.every, self.max_frames, self.burst)
        check_smoothing(self.smoothing)
        for crf in () if self.compressions is None else self.compressions:
            check_crf(crf, "compressions")

    def _reading(self, aligner, crf=None):
        cropping = replace(aligner.cropping, on_missing="raise")
        return Reading(cropping, self.every, self.burst, self.max_frames, self.smoothing, crf)

    def _read(self, paths: list[str], reading: Reading, folder: Path) -> Iterator[Clip]:
        """Decode and search clips; warn of the broken ones, and say which have nothing to score."""
        for clip in read_clips(paths, reading, folder, self.n_jobs, self.verbose):
            if clip.problem:
                warnings.warn(clip.problem, UserWarning, stacklevel=4)
            if clip.status == "scored" and not any(map(self._parts, clip.tracks)):
                reason = f"no face is followed for {self.min_faces} frames in a row"
                clip = replace(clip, status="no face", reason=reason)
            yield clip

    def _parts(self, track: Track) -> list[slice]:
        """Cut a track into what the detector takes: single faces, or windows of them."""
        if self.window is None:
            return [slice(i, i + 1) for i in range(len(track))]
        parts = []
        for run in in_a_row(track.frames, self.every, self.burst):
            length = run.stop - run.start
            edges = np.linspace(run.start, run.stop, -(-length // self.window) + 1).astype(int)
            parts += [slice(a, b) for a, b in pairwise(edges.tolist())]
        return [part for part in parts if part.stop - part.start >= self.min_faces]

    def _items(self, track: Track) -> list:
        parts = self._parts(track)
        if self.window is None:
            return [track.chips[part.start] for part in parts]
        return [track.chips[part] for part in parts]

    def _training_items(self, X, y, aligner, folder):
        """List what the detector is trained on, and the clip that each comes from."""
        items, of, unscored = [], [], []
        for crf in (None, *(() if self.compressions is None else self.compressions)):
            clips = self._read(X, self._reading(aligner, crf), folder)
            for index, clip in enumerate(clips):
                if clip.status != "scored":
                    if crf is None:  # a copy may well be beyond recognition
                        unscored.append((index, clip))
                    continue
                own = [item for track in clip.tracks for item in self._items(track)]
                items += own
                of += [index] * len(own)
        if unscored and self.on_missing == "raise":
            _refuse_unscored(unscored, len(X))
        elif unscored:
            named = _describe_unscored(unscored, len(X))
            warnings.warn(f"left out of training: {named}", UserWarning, stacklevel=3)
        positive_label(y[of], self.pos_label)
        return items, np.array(of)

    def _score(self, clip, detector, positive):
        if clip.status != "scored":
            return ClipScore(clip.path, clip.status, None, clip.reason, clip.frames, clip.times)
        parts = [(track, part) for track in clip.tracks for part in self._parts(track)]
        items = [item for track in clip.tracks for item in self._items(track)]
        piece = PIECE // (self.window or 1) or 1
        scores = np.concatenate(
            [
                fake_response(detector, "predict_proba", items[start : start + piece], positive)
                for start in range(0, len(items), piece)
            ]
        )
        own: dict[int, list] = {track.id: [] for track in clip.tracks}
        of_faces = {track.id: np.full(len(track), np.nan) for track in clip.tracks}
        for (track, part), score in zip(parts, scores, strict=True):
            own[track.id].append(score)
            of_faces[track.id][part] = score
        tracks = []
        for track in clip.tracks:
            columns = (np.array(column) for column in (track.frames, track.times, track.boxes))
            total = self._combine(np.array(own[track.id])) if own[track.id] else np.nan
            tracks.append(TrackScore(track.id, *columns, of_faces[track.id], total))
        decisive = self._decisive(tracks)
        return ClipScore(
            clip.path,
            "scored",
            decisive.score,
            clip.reason,
            clip.frames,
            clip.times,
            tuple(tracks),
            decisive.id,
        )

    def _decisive(self, tracks):
        """Find the most fake track among those of enough faces, or else among all."""
        scored = [track for track in tracks if not np.isnan(track.score)]
        enough = min(self.min_faces, max(len(track.scores) for track in scored))
        return max(
            (track for track in scored if len(track.scores) >= enough),
            key=lambda track: track.score,
        )

    def _combine(self, scores):
        if self.aggregate == "top-k":
            return float(np.sort(scores)[-self.top_k :].mean())
        return float(getattr(np, self.aggregate)(scores))


def balanced_weights(target: Labels, method: Any = None) -> NDArray[np.float64]:
    """Weigh clips so that real and fake count the same, and so does each method among the fakes.

    Parameters
    ----------
    target : array-like of shape (n_clips,)
        Labels, of two classes.
    method : array-like of shape (n_clips,), default=None
        What made each clip, such as ``load_clips(...).method``; None: classes alone count.

    Returns
    -------
    ndarray of shape (n_clips,)
        Weights of mean 1, for ``VideoScorer.fit(..., sample_weight=)``.

    Examples
    --------
    >>> from skfakespotter.video import balanced_weights
    >>> balanced_weights([0, 0, 1, 1, 1], ["real", "real", "A", "A", "B"])
    array([1.25 , 1.25 , 0.625, 0.625, 1.25 ])
    """
    target = np.asarray(column_or_1d(target))
    method = target if method is None else np.asarray(column_or_1d(method))
    check_consistent_length(target, method)
    weights = np.zeros(len(target))
    classes = np.unique(target)
    for label in classes:
        methods, inverse, counts = np.unique(
            method[target == label], return_inverse=True, return_counts=True
        )
        share = len(target) / (len(classes) * len(methods))
        weights[target == label] = share / counts[inverse]
    return weights


def _weights(detector, sample_weight, of):
    """Share each clip's weight among what comes from it, as the keyword that the detector takes."""
    if sample_weight is None:
        return {}
    shared = np.asarray(sample_weight, float)[of] / np.bincount(of)[of]
    return {f"{_last_step(detector)[1]}sample_weight": shared / shared.mean()}


def _last_step(detector):
    """Return what learns from labels, and the prefix of its keywords in ``fit``."""
    if isinstance(detector, Pipeline):
        return detector.steps[-1][1], f"{detector.steps[-1][0]}__"
    return detector, ""


def _refuse_unscored(clips, n_clips=None):
    """Raise ValueError that names the clips without a score, if there are any."""
    if unscored := _describe_unscored(clips, n_clips):
        raise ValueError(
            f"{unscored}. Drop these clips (score_clips tells which and why), "
            "or pass on_missing='nan'."
        )


def _describe_unscored(clips, n_clips=None):
    """Name the clips without a score and say why; an empty string when there is none."""
    numbered = enumerate(clips) if n_clips is None else clips
    named = [
        f"X[{index}] ({clip.path!r}): {clip.reason}"
        for index, clip in numbered
        if clip.status != "scored"
    ]
    total = len(clips) if n_clips is None else n_clips
    return f"{len(named)} of {total} clips have no score: " + "; ".join(named) if named else ""


def _take_apart(estimator):
    """Split a detector into the aligner it begins with and the rest, which takes aligned faces."""
    frozen = isinstance(estimator, FrozenEstimator)
    inner = estimator.estimator if frozen else estimator
    if not hasattr(inner, "predict_proba"):
        raise TypeError(
            f"estimator {type(inner).__name__} has no predict_proba: wrap its classifier in "
            "CalibratedClassifierCV."
        )
    if isinstance(inner, Pipeline) and isinstance(inner.steps[0][1], FaceAligner):
        return inner.steps[0][1], FrozenEstimator(inner[1:]) if frozen else inner[1:]
    return FaceAligner(), estimator
