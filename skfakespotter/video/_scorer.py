"""VideoScorer: a detector of fake face pictures becomes a detector of fake clips."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from skfakespotter.evaluation import fake_response, positive_label
from skfakespotter.faces._aligner import FaceAligner
from skfakespotter.video._clips import check_clips, describe_unscored, read_clips, refuse_unscored
from skfakespotter.video._frames import check_sampling
from skfakespotter.video._results import ClipScore, TrackScore

AGGREGATES = ("mean", "median", "max", "top-k")


class VideoScorer(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Judge clips with a detector of fake face pictures.

    Frames are sampled, faces found in them and followed through the clip, and the detector
    scores each aligned face. A track's score is an aggregate of its faces' scores, a clip's
    the score of its most fake track: one manipulated person makes a manipulated clip. A clip
    in which no face is found, or that cannot be read, gets no score.

    Parameters
    ----------
    estimator : classifier
        Detector of two classes with ``predict_proba``. A Pipeline that begins with a
        :class:`~skfakespotter.FaceAligner` is taken apart: that aligner crops the faces
        of the frames, and the other steps get the crops. Anything else gets the crops of
        ``FaceAligner()``, an array (n, 150, 150, 3). A detector that was trained on
        pictures stays as it is inside :class:`sklearn.frozen.FrozenEstimator`, and then
        scores clips without ``fit``; any other is trained anew by ``fit``.
    every : int or float, default=10
        Sampling of the frames: an int is a number of frames, a float is seconds.
    max_frames : int, default=None
        Sampled frames per clip at most, from its beginning.
    aggregate : {"mean", "median", "max", "top-k"}, default="mean"
        From the scores of a track's faces to the track's score. ``"top-k"`` is the mean of
        the ``top_k`` highest.
    top_k : int, default=5
        For ``aggregate="top-k"``.
    min_faces : int, default=3
        Tracks of fewer faces do not decide on a clip, for many are false finds; only where
        a clip has no longer track do they count.
    on_missing : {"raise", "nan"}, default="raise"
        What ``predict_proba`` does with clips without a score: raise an error that names
        them, or give rows of NaN.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    n_jobs : int, default=None
        Clips that are decoded and searched side by side, through joblib. The detector runs
        in the calling process.
    verbose : int, default=0
        Above 0, show a progress bar with the time left.

    Attributes
    ----------
    estimator_ : classifier
        The fitted detector of aligned faces.
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
    clip_report : Figures over clips and over frames.
    skfakespotter.video.ClipScoreDisplay : Draws the scores along a clip.

    Notes
    -----
    Memory holds the crops of one clip (67 kB a face at 150 pixels), with ``n_jobs``
    those of several clips, and in ``fit`` those of all clips.

    Clips cut from one recording, or an original and its fakes, belong on one side of a
    split: pass ``groups`` to the splitter, one label a clip.

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

    def __init__(
        self,
        estimator,
        *,
        every=10,
        max_frames=None,
        aggregate="mean",
        top_k=5,
        min_faces=3,
        on_missing="raise",
        pos_label=None,
        n_jobs=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.every = every
        self.max_frames = max_frames
        self.aggregate = aggregate
        self.top_k = top_k
        self.min_faces = min_faces
        self.on_missing = on_missing
        self.pos_label = pos_label
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X, y):
        """Train the detector on every face of the clips, with the clip's label.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips. They are not opened where the detector is frozen.
        y : array-like of shape (n_clips,)
            Their labels, of two classes.

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
        X, y = check_clips(X), column_or_1d(y)
        check_consistent_length(X, y)
        positive_label(y, self.pos_label)
        aligner, detector = _take_apart(self.estimator)
        if isinstance(detector, FrozenEstimator):
            check_is_fitted(detector)
        else:
            detector = clone(detector).fit(*self._training_faces(X, y, aligner))
        self.aligner_, self.estimator_ = aligner, detector
        return self

    def score_clips(self, X):
        """Score clips and keep all that the verdicts rest on; never fails because of one clip.

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
        return [self._score(clip, detector, positive) for clip in self._read(X, aligner)]

    def predict_proba(self, X):
        """Give the probability of each class.

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
            refuse_unscored(clips)
        fake = np.array([np.nan if clip.score is None else clip.score for clip in clips])
        columns = np.column_stack([1 - fake, fake])
        classes = self.classes_.tolist()
        return (
            columns if positive_label(classes, self.pos_label) == classes[1] else columns[:, ::-1]
        )

    def predict(self, X):
        """Give the label: fake where P(fake) is at least 0.5.

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
        refuse_unscored(clips)
        classes = self.classes_
        fake = positive_label(classes, self.pos_label)
        real = classes[classes != fake][0]
        return np.array([fake if clip.score >= 0.5 else real for clip in clips], classes.dtype)

    @property
    def classes_(self):
        """Labels as given, shape (2,)."""
        try:
            return self._fitted()[1].classes_
        except NotFittedError as error:
            raise AttributeError(str(error)) from error

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_") or isinstance(self.estimator, FrozenEstimator)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        return tags

    def _fitted(self):
        """Give aligner and detector; a frozen detector needs no ``fit``."""
        check_is_fitted(
            self,
            msg="This %(name)s is not fitted: call fit on clips, or pass a detector that was "
            "fitted on pictures as FrozenEstimator(detector).",
        )
        if hasattr(self, "estimator_"):
            return self.aligner_, self.estimator_
        return _take_apart(self.estimator)

    def _check_options(self):
        check_sampling(self.every, self.max_frames)
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate is {self.aggregate!r}: expected one of {AGGREGATES}.")
        if self.on_missing not in ("raise", "nan"):
            raise ValueError(f"on_missing is {self.on_missing!r}: expected 'raise' or 'nan'.")
        for name in ("top_k", "min_faces"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} is {value!r}: expected an int of at least 1.")

    def _read(self, X, aligner):
        """Decode and search clips; warn of the broken ones."""
        options = (self.every, self.max_frames, self.n_jobs, self.verbose)
        for clip in read_clips(check_clips(X), aligner, *options):
            if clip.problem:
                warnings.warn(clip.problem, UserWarning, stacklevel=3)
            yield clip

    def _training_faces(self, X, y, aligner):
        """Give the chips of all clips, each with its clip's label."""
        clips = list(self._read(X, aligner))
        if self.on_missing == "raise":
            refuse_unscored(clips)
        elif unscored := describe_unscored(clips):
            warnings.warn(f"left out of training: {unscored}", UserWarning, stacklevel=3)
        labels = np.repeat(y, [len(clip.chips) for clip in clips])
        positive_label(labels, self.pos_label)
        return np.array([chip for clip in clips for chip in clip.chips]), labels

    def _score(self, clip, detector, positive):
        if clip.status != "scored":
            return ClipScore(clip.path, clip.status, None, clip.reason, clip.frames, clip.times)
        scores = fake_response(detector, "predict_proba", np.stack(clip.chips), positive)
        ends = np.cumsum([len(track) for track in clip.tracks])
        tracks = []
        for track, part in zip(clip.tracks, np.split(scores, ends[:-1]), strict=True):
            columns = (np.array(column) for column in (track.frames, track.times, track.boxes))
            tracks.append(TrackScore(track.id, *columns, part, self._combine(part)))
        longest = max(len(track.scores) for track in tracks)
        enough = min(self.min_faces, longest)
        verdict = max(track.score for track in tracks if len(track.scores) >= enough)
        return ClipScore(
            clip.path, "scored", verdict, clip.reason, clip.frames, clip.times, tuple(tracks)
        )

    def _combine(self, scores):
        if self.aggregate == "top-k":
            return float(np.sort(scores)[-self.top_k :].mean())
        return float(getattr(np, self.aggregate)(scores))


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
