"""VideoScorer: a detector of fake face pictures becomes a detector of fake clips."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skfakespotter._typing import Labels
from skfakespotter.evaluation import positive_label
from skfakespotter.faces import load_dlib
from skfakespotter.video._compression import CRF
from skfakespotter.video._detector import last_step, take_apart
from skfakespotter.video._frames import SAMPLING
from skfakespotter.video._judging import AGGREGATES, Judge
from skfakespotter.video._reading import Clip, Reading, check_clips, faces_folder, read_clips
from skfakespotter.video._results import ClipScore
from skfakespotter.video._smoothing import SMOOTHING
from skfakespotter.video._tracks import Track
from skfakespotter.video._training import fit_options, gather_items
from skfakespotter.video._unscored import refuse_unscored
from skfakespotter.video._windows import Windows


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
        transform. That decodes each clip twice. For the template "dlib" the landmarks are
        dlib's (extra ``dlib``), whatever finds the faces. None crops each frame as a picture.
    aggregate : {"mean", "median", "max", "top-k", "log-odds"}, default="mean"
        From the scores of a track's faces or windows to the track's score. ``"top-k"`` is the
        mean of the ``top_k`` highest; ``"log-odds"`` averages log odds, so that faces that are
        sure count for more.
    top_k : int, default=5
        For ``aggregate="top-k"``.
    min_faces : int, default=3
        Tracks of fewer faces are often false detections, so they decide on a clip only if it has
        no longer track. Windows of fewer faces are not scored.
    min_width : float, default=40
        Tracks whose faces are narrower, in pixels, decide on a clip only if it has no wider one:
        such faces, of people in the background, are blurs when they are enlarged for a network.
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
        **SAMPLING,
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "smoothing": SMOOTHING,
        "aggregate": [StrOptions(set(AGGREGATES))],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "min_faces": [Interval(Integral, 1, None, closed="left")],
        "min_width": [Interval(Real, 0, None, closed="left")],
        "compressions": ["array-like", None],
        "on_missing": [StrOptions({"raise", "nan"})],
        "pos_label": "no_validation",
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
        min_width: float = 40,
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
        self.min_width = min_width
        self.compressions = compressions
        self.on_missing = on_missing
        self.pos_label = pos_label
        self.cache = cache
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self, X: Iterable, y: Labels, sample_weight: Any = None, groups: Any = None
    ) -> VideoScorer:
        """Train the detector on the faces, or windows of faces, of each clip's main person.

        The label of a clip says nothing of other persons in it, who may be real in a clip that
        is called fake. The main person is the one whose face fills most of the clip.

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
        aligner, detector = take_apart(self.estimator)
        if isinstance(detector, FrozenEstimator):
            check_is_fitted(detector)
        else:
            with faces_folder(self.cache) as folder:
                crfs = (None, *(() if self.compressions is None else self.compressions))
                copies = (self._read(X, self._reading(aligner, crf), folder) for crf in crfs)
                items, of = gather_items(copies, self._windows(), len(X), self.on_missing)
                positive_label(y[of], self.pos_label)
                options = fit_options(detector, of, sample_weight, groups)
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
            options = self.aggregate, self.top_k, self.min_width
            judge = Judge(detector, positive, self._windows(), *options)
            return [judge.judge(clip) for clip in clips]

    def follow_clips(self, X: Iterable) -> list[list[Track]]:
        """Return the faces that ``fit`` and ``score_clips`` look at, from the cache if they can.

        Parameters
        ----------
        X : sequence of str or PathLike
            Clips.

        Returns
        -------
        list of lists of Track
            One list per clip, empty where none is followed or the clip cannot be read;
            ``Track.records`` describes the faces. Without a ``cache`` the crops are in memory.
        """
        self._check_options()
        aligner, _ = take_apart(self.estimator)
        with faces_folder(self.cache) as folder:
            clips = self._read(check_clips(X), self._reading(aligner), folder)
            followed = [list(clip.tracks) for clip in clips]
            if self.cache is None:  # the crops' files are about to go
                for track in (track for tracks in followed for track in tracks):
                    track.crops = [np.array(crop) for crop in track.crops]
        return followed

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
            refuse_unscored(enumerate(clips), len(clips))
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
        refuse_unscored(enumerate(clips), len(clips))
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
        last, _ = last_step(take_apart(self.estimator)[1])
        return getattr(last, "takes_weights", has_fit_parameter(last, "sample_weight"))

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
        return take_apart(self.estimator)

    def _check_options(self):
        self._validate_params()
        if isinstance(self.smoothing, Integral) and self.smoothing % 2 == 0:
            raise ValueError(
                f"smoothing is {self.smoothing}: expected an odd number of faces to average over."
            )
        for crf in () if self.compressions is None else self.compressions:
            if not CRF.is_satisfied_by(crf):
                raise ValueError(f"compressions holds {crf!r}: expected {CRF}.")

    def _reading(self, aligner, crf=None):
        cropping = replace(aligner.cropping, on_missing="raise")
        if self.smoothing is not None and cropping.template == "dlib":
            load_dlib()  # whose landmarks guide the crops; early, and outside the workers
        return Reading(cropping, self.every, self.burst, self.max_frames, self.smoothing, crf)

    def _read(self, paths: list[str], reading: Reading, folder: Path) -> Iterator[Clip]:
        """Decode and search clips; warn of the broken ones, and say which have nothing to score."""
        cut = self._windows().cut
        for clip in read_clips(paths, reading, folder, self.n_jobs, self.verbose):
            if clip.problem:
                warnings.warn(clip.problem, UserWarning, stacklevel=4)
            if clip.status == "scored" and not any(map(cut, clip.tracks)):
                reason = f"no face was followed over {self.min_faces} frames in a row"
                clip = replace(clip, status="no face", reason=reason)
            yield clip

    def _windows(self):
        return Windows(self.window, self.min_faces, self.every, self.burst)
