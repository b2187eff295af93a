"""Queries: an attacker who sees the scores of a detector and nothing else."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter._labels import positive_label
from skfakespotter._typing import RandomState
from skfakespotter.evaluation._attack_base import Attacker
from skfakespotter.evaluation._bound import PerceptualBound
from skfakespotter.evaluation._scoring import fake_response, soft_method
from skfakespotter.perturbations import draw_seed, own_generator

# shares of all queries after which squares have half the area; the publication's
_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


class QueryAttack(Attacker):
    """Change every picture by a few levels, guided by the scores of a detector alone.

    Square Attack [1]_ starts with vertical stripes of plus or minus ``epsilon`` levels. It then
    tries squares of plus or minus ``epsilon`` at random places, which shrink as queries are used
    up, and keeps those that move the score towards the other class. It needs no gradient, so it
    works on any detector, also on one with an aligner.

    Parameters
    ----------
    detector : fitted classifier
        Takes pictures; two classes. It is asked for decision values or probabilities.
    epsilon : float, default=8
        Largest change of a pixel, in levels of 255; whole pictures change by whole levels.
    n_queries : int, default=200
        Scores asked for a picture. Thousands are usual.
    share : float, default=0.3
        Area of the first squares as a share of the picture. The publication takes 0.05 for ten
        thousand queries; with few, larger squares lead further.
    target : {"away", "real", "fake"}, default="away"
        Class that the detector should assign: the opposite of its verdict, or one class for all
        pictures.
    bound : PerceptualBound, default=None
        Limit on how different the attacked face may look.
    batch_size : int, default=32
        Pictures asked about at a time.
    random_state : int, RandomState instance or None, default=0
        With an int, what is drawn for a picture depends on this number and on its pixels alone.

    See Also
    --------
    AdversarialAttack : Uses the gradient of this detector or of another one.

    References
    ----------
    .. [1] M. Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial
       attack via random search", ECCV 2020, arXiv:1912.00049.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter import QueryAttack
    >>> X = np.random.default_rng(0).normal(128, 2, (40, 20, 20, 3)).round().astype(np.uint8)
    >>> X[20:, ::2] += 4  # fakes have stripes
    >>> y = np.repeat([0, 1], 20)
    >>> spread = FunctionTransformer(lambda X: np.std(X, axis=(1, 2)))
    >>> detector = make_pipeline(spread, LogisticRegression()).fit(X, y)
    >>> attacked = QueryAttack(detector, 8, n_queries=50).transform(X)
    >>> detector.score(X, y), detector.score(attacked[:20], y[:20])
    (1.0, 0.0)
    """

    _parameter_constraints: ClassVar = {
        **Attacker._parameter_constraints,
        "n_queries": [Interval(Integral, 1, None, closed="left")],
        "share": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        detector: Any,
        epsilon: float = 8,
        *,
        n_queries: int = 200,
        share: float = 0.3,
        target: str = "away",
        bound: PerceptualBound | None = None,
        batch_size: int = 32,
        random_state: RandomState = 0,
    ) -> None:
        self.detector = detector
        self.epsilon = epsilon
        self.n_queries = n_queries
        self.share = share
        self.target = target
        self.bound = bound
        self.batch_size = batch_size
        self.random_state = random_state

    def _prepare(self) -> None:
        self._seed = draw_seed(self.random_state)
        self._method, self._threshold = soft_method(self.detector)
        self._positive = positive_label(self.detector.classes_, None)

    def _attack(self, images: NDArray) -> NDArray:
        draws = [own_generator(self._seed, image) for image in images]
        scores = self._ask(images)
        towards = self._directions(scores)
        height, width = images.shape[1:3]
        change, best = np.zeros(images.shape, np.float32), scores * towards
        stripes = [rng.choice([-1, 1], (1, width, 3)) for rng in draws]
        tried = np.broadcast_to(np.stack(stripes), images.shape)
        for query in range(1, self.n_queries):
            reached = self._ask(self._apply(images, tried)) * towards
            better = reached > best
            best[better], change[better] = reached[better], tried[better]
            side = self._side(query, height, width)
            tried = change.copy()
            for own, rng in zip(tried, draws, strict=True):
                top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
                own[top : top + side, left : left + side] = rng.choice([-1, 1], 3)
        return self._apply(images, change)

    def _apply(self, images: NDArray, signs: NDArray) -> NDArray:
        # whole levels, so that rounding does not lead beyond epsilon
        changed = images + np.floor(self.epsilon) * signs
        return np.clip(changed, 0, 255).astype(np.uint8)

    def _side(self, query: int, height: int, width: int) -> int:
        """Return the side of the squares tried after a number of queries."""
        n_halved = sum(query > at * self.n_queries for at in _HALVED_AT)
        side = round(np.sqrt(self.share * 0.5**n_halved * height * width))
        return int(min(max(side, 1), height, width))

    def _ask(self, pictures: NDArray) -> NDArray:
        """Return scores that are positive for fake."""
        asked = fake_response(self.detector, self._method, pictures, self._positive)
        return np.asarray(asked, dtype=np.float64) - self._threshold
