"""Stability: how much attacks change a detector's verdict on one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter._labels import positive_label
from skfakespotter._params import checked
from skfakespotter._typing import Picture
from skfakespotter.evaluation._plot import RobustnessDisplay
from skfakespotter.evaluation._results import Result
from skfakespotter.evaluation._scoring import fake_response, soft_method
from skfakespotter.images import ImageError
from skfakespotter.perturbations import check_attacks, paper_attacks, sharing_attacks


@dataclass(frozen=True, eq=False, repr=False)
class StabilityResult(Result):
    """Scores of one picture as it came and attacked; what :func:`stability` returns.

    Parameters
    ----------
    score : float
        Score of the picture as it came; larger means more fake.
    threshold : float
        Scores at or above it are called fake.
    attacks : list of (str, intensity)
        What was done to the picture.
    scores : ndarray of shape (n_attacks,)
        Scores of the attacked picture, NaN where it could not be scored.
    notes : list of str
        Why an attacked picture could not be scored; else empty.
    """

    score: float
    threshold: float
    attacks: list[tuple[str, Any]]
    scores: NDArray
    notes: list[str]

    @property
    def called_fake(self) -> bool:
        """Whether the picture as it came is called fake."""
        return self.score >= self.threshold

    @property
    def changes(self) -> list[tuple[str, Any]]:
        """Attacks that reverse the verdict."""
        other = (self.scores >= self.threshold) != self.called_fake
        other &= ~np.isnan(self.scores)
        return [attack for attack, changed in zip(self.attacks, other, strict=True) if changed]

    @property
    def share_kept(self) -> float:
        """Share of the scored attacks that keep the verdict."""
        n_scored = int(np.sum(~np.isnan(self.scores)))
        return 1 - len(self.changes) / n_scored if n_scored else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest score, the picture as it came included."""
        scores = np.append(self.scores, self.score)
        return float(np.nanmin(scores)), float(np.nanmax(scores))

    def plot(self, ax: Any = None, *, name: str | None = None) -> RobustnessDisplay:
        """Draw one panel for each attack, the score against its intensity.

        Parameters
        ----------
        ax : array of matplotlib Axes, default=None
            ``display.axes_`` of an earlier drawing, to compare. None makes a figure.
        name : str, default=None
            Legend entry.

        Returns
        -------
        RobustnessDisplay
            The drawing.
        """
        display = RobustnessDisplay(
            attack=[attack for attack, _ in self.attacks],
            intensity=[intensity for _, intensity in self.attacks],
            score=self.scores,
            clean_score=self.score,
            estimator_name=name,
            scoring="score of fakeness",
        )
        return display.plot(ax)

    def _columns(self) -> dict[str, list]:
        return {
            "attack": [attack for attack, _ in self.attacks],
            "intensity": [intensity for _, intensity in self.attacks],
            "score": self.scores.tolist(),
            "note": list(self.notes),
        }

    def _summary(self) -> dict[str, str]:
        low, high = self.interval
        return {
            "score": f"{self.score:.3f}",
            "interval": f"({low:.3f}, {high:.3f})",
            "share_kept": f"{self.share_kept:.3f}",
        }


@checked(
    threshold=[Real, None],
    attacks=[Mapping, None],
    random_state=[Interval(Integral, 0, None, closed="left")],
)
def stability(
    detector: Any,
    picture: Picture,
    *,
    attacks: Mapping[str, list] | None = None,
    threshold: float | None = None,
    pos_label: Any = None,
    random_state: int = 0,
) -> StabilityResult:
    """Score one picture and its attacked copies.

    Do not trust a verdict that compression at quality 70 reverses, whatever its score.

    Parameters
    ----------
    detector : fitted classifier
        Takes pictures; two classes. Scores are from ``predict_proba``, or else
        ``decision_function``.
    picture : path, PIL image or ndarray
        One picture.
    attacks : dict or None, default=None
        As in :func:`skfakespotter.robustness_curve`. None: :func:`paper_attacks` and
        :func:`sharing_attacks`, without H.264 where PyAV is not installed.
    threshold : float, default=None
        Scores at or above it are called fake. None: 0.5 for probabilities, else 0.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    random_state : int, default=0
        Seed of noise and crops.

    Returns
    -------
    StabilityResult
        ``score``, ``interval``, ``share_kept``, ``changes``, ``to_frame()`` with the columns
        attack, intensity, score, note, ``to_csv(path)`` and ``plot()``.

    Raises
    ------
    ImageError
        When the picture itself cannot be scored. An attacked one that cannot (its face is
        not found any more) has NaN for a score and the reason for a note.
    TypeError
        For a detector without scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skfakespotter import GaussianBlur, stability
    >>> X = np.random.default_rng(0).normal(128, 2, (40, 20, 20, 3)).round().astype(np.uint8)
    >>> X[20:, ::2] += 20  # fakes have stripes
    >>> spread = FunctionTransformer(lambda X: np.std(X, axis=(1, 2)))
    >>> model = make_pipeline(spread, LogisticRegression()).fit(X, np.repeat([0, 1], 20))
    >>> blurs = {"blur": [GaussianBlur(0.2), GaussianBlur(2.0, kernel_size=9)]}
    >>> result = stability(model, X[30], attacks=blurs)
    >>> result.called_fake, result.changes
    (True, [('blur', 2.0)])
    """
    positive = positive_label(detector.classes_, pos_label)
    method, default = soft_method(detector)
    grids = check_attacks(_all_attacks() if attacks is None else attacks, random_state)
    levels = [(name, *level) for name, own in grids.items() for level in own]
    (score,) = fake_response(detector, method, [picture], positive)
    attacked = [attack.transform([picture])[0] for _, _, attack in levels]
    try:
        scores, notes = fake_response(detector, method, attacked, positive), [""] * len(attacked)
    except ImageError:  # of one of them: ask one by one
        asked = [_ask(detector, method, one, positive) for one in attacked]
        scores, notes = np.array([s for s, _ in asked]), [note for _, note in asked]
    return StabilityResult(
        score=float(score),
        threshold=default if threshold is None else float(threshold),
        attacks=[(name, intensity) for name, intensity, _ in levels],
        scores=np.asarray(scores, dtype=np.float64),
        notes=notes,
    )


def _ask(detector: Any, method: str, picture: NDArray, positive: Any) -> tuple[float, str]:
    try:
        return float(fake_response(detector, method, [picture], positive)[0]), ""
    except ImageError as error:
        return float("nan"), error.reason


def _all_attacks() -> dict[str, list]:
    attacks = {**paper_attacks(), **sharing_attacks()}
    if find_spec("av") is None:
        del attacks["h264"]
    return attacks
