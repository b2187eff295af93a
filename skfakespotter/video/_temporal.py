"""Coverage over time: statistics of the counts along a track of faces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted


def _mean(counts):
    return counts.mean(axis=0)


def _spread(counts):
    return counts.std(axis=0)


def _flicker(counts):
    return np.abs(np.diff(counts, axis=0)).mean(axis=0)


def _jitter(counts):
    return np.abs(np.diff(counts, n=2, axis=0)).mean(axis=0)


def _roughness(counts):
    """Second over first differences: near 1 for a drift, near 2 for a count that jumps about."""
    return (_jitter(counts) + 1) / (_flicker(counts) + 1)


# name: (what it computes from (n_faces, n_features), the faces that it needs)
STATISTICS = {
    "mean": (_mean, 1),
    "spread": (_spread, 2),
    "flicker": (_flicker, 2),
    "jitter": (_jitter, 3),
    "roughness": (_roughness, 3),
}


class CoverageOverTime(TransformerMixin, BaseEstimator):
    r"""Turn tracks, sequences of one person's faces, into coverage over time.

    The neurons of every face are counted by a :class:`~skfakespotter.NeuronCoverageTransformer`,
    whose thresholds are the means over all faces of all training tracks. Of the counts
    :math:`c_t` of consecutive faces :math:`t = 1 \dots n` statistics are kept, each for every
    layer or channel:

    ============= ==================================================================
    "mean"        mean of :math:`c_t`: what a still picture shows, less noisy
    "spread"      standard deviation of :math:`c_t`
    "flicker"     mean of :math:`|c_{t+1} - c_t|`: change from frame to frame
    "jitter"      mean of :math:`|c_{t+2} - 2 c_{t+1} + c_t|`
    "roughness"   (jitter + 1) / (flicker + 1): small when counts drift with a movement
                  of the head, large when they jump about
    ============= ==================================================================

    Parameters
    ----------
    coverage : transformer, default=None
        From pictures to features, usually a NeuronCoverageTransformer; a clone is fitted. One
        that was fitted on other faces keeps its thresholds in a FrozenEstimator: then a face
        is counted once, whatever the folds.
        None: ``NeuronCoverageTransformer(granularity="channel")``.
    statistics : str or sequence of str, default=("mean", "flicker")
        Which of the above, in the order of the output.

    Attributes
    ----------
    coverage_ : transformer
        Fitted on all faces.
    n_faces_needed_ : int
        Faces that a track must have at least.

    See Also
    --------
    VideoScorer : Decodes, follows and judges clips; ``window=`` passes it tracks.
    make_clipspotter : The whole detector of clips.

    Notes
    -----
    Faces are expected in a row: every frame of a clip, or bursts of them. Jumping landmarks make
    the crops flicker too; ``VideoScorer(smoothing=)`` steadies them.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter import NeuronCoverageTransformer, make_pictures
    >>> from skfakespotter.video import CoverageOverTime
    >>> X, _ = make_pictures(8, random_state=0)
    >>> over_time = CoverageOverTime(NeuronCoverageTransformer("toy_image"))
    >>> over_time.fit_transform([X[:4], X[4:]]).shape  # three layers, two statistics
    (2, 6)
    >>> over_time.get_feature_names_out()[:3]
    array(['mean 0', 'mean 2', 'mean 6'], dtype=object)
    """

    _parameter_constraints: ClassVar = {
        "coverage": [HasMethods(["fit", "transform"]), None],
        "statistics": [str, "array-like"],
    }

    def __init__(
        self, coverage: Any = None, *, statistics: str | Sequence[str] = ("mean", "flicker")
    ):
        self.coverage = coverage
        self.statistics = statistics

    def fit(self, X: Sequence[Any], y: Any = None) -> CoverageOverTime:
        """Compute the thresholds over all faces of all tracks.

        Parameters
        ----------
        X : sequence of n_tracks sequences of pictures
            The faces of each track in order of time; arrays (n_faces, h, w, 3) or lists.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        self : CoverageOverTime
            Fitted.
        """
        faces, _ = self._begin(X)
        self.coverage_ = self._clone().fit(faces)
        return self

    def fit_transform(self, X: Sequence[Any], y: Any = None) -> NDArray[np.float32]:
        """Compute the thresholds and the statistics in one forward pass.

        Parameters
        ----------
        X : sequence of n_tracks sequences of pictures
            As for ``fit``.
        y : Ignored
            For the sake of Pipeline.

        Returns
        -------
        ndarray of shape (n_tracks, n_statistics * n_features), float32
            As of ``transform``.
        """
        faces, lengths = self._begin(X)
        self.coverage_ = self._clone()
        if isinstance(self.coverage_, FrozenEstimator):
            return self._summarize(self.coverage_.transform(faces), lengths)
        return self._summarize(self.coverage_.fit_transform(faces), lengths)

    def transform(self, X: Sequence[Any]) -> NDArray[np.float32]:
        """Count the neurons of every face and compute the statistics of each track.

        Parameters
        ----------
        X : sequence of n_tracks sequences of pictures
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_tracks, n_statistics * n_features), float32
            One statistic after the other.

        Raises
        ------
        ValueError
            For a track of fewer faces than a statistic needs.
        """
        check_is_fitted(self, "coverage_")
        faces, lengths = self._begin(X)
        return self._summarize(self.coverage_.transform(faces), lengths)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the features: the statistic, then the layer or channel.

        Parameters
        ----------
        input_features : Ignored
            Pictures have no feature names.

        Returns
        -------
        ndarray of str
            One name per column of ``transform``'s output.
        """
        check_is_fitted(self, "coverage_")
        names = self.coverage_.get_feature_names_out()
        return np.array([f"{s} {name}" for s in self._chosen() for name in names], dtype=object)

    @property
    def n_faces_needed_(self) -> int:
        """Faces that a track must have at least."""
        return max(STATISTICS[name][1] for name in self._chosen())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _chosen(self):
        return [self.statistics] if isinstance(self.statistics, str) else list(self.statistics)

    def _clone(self):
        if self.coverage is None:
            from skfakespotter.transformer import NeuronCoverageTransformer  # which loads torch

            return NeuronCoverageTransformer(granularity="channel")
        return clone(self.coverage)

    def _begin(self, X):
        """Check options and input; return all faces in one list, and the length of each track."""
        self._validate_params()
        chosen = self._chosen()
        if not chosen or (unknown := [name for name in chosen if name not in STATISTICS]):
            raise ValueError(
                f"statistics is {self.statistics!r}: expected from {list(STATISTICS)}, at least "
                f"one{f', and not {unknown}' if chosen else ''}."
            )
        if isinstance(X, (str, bytes)) or not hasattr(X, "__len__") or not len(X):
            raise TypeError(
                f"X is {X!r:.60}: expected a sequence of tracks, each a sequence of pictures."
            )
        lengths = [len(track) for track in X]
        for index, length in enumerate(lengths):
            if length < self.n_faces_needed_:
                raise ValueError(
                    f"X[{index}] has {length} faces: expected at least {self.n_faces_needed_} for "
                    f"statistics={self.statistics!r}."
                )
        return list(chain.from_iterable(X)), lengths

    def _summarize(self, counts, lengths):
        functions = [STATISTICS[name][0] for name in self._chosen()]
        tracks = np.split(np.asarray(counts, np.float32), np.cumsum(lengths)[:-1])
        return np.stack([np.concatenate([f(track) for f in functions]) for track in tracks])
