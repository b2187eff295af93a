"""Adversarial: an attacker who knows the detector, or one like it."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from skfakespotter.evaluation._attack_base import Attacker
from skfakespotter.evaluation._bound import PerceptualBound
from skfakespotter.evaluation._smooth import SmoothDetector
from skfakespotter.perturbations import to_uint8

STEEP = 1e6  # a slope with which the smooth count is the true one


class AdversarialAttack(Attacker):
    """Change every picture by a few levels so that a detector assigns it the other class.

    Projected gradient descent [1]_ on the detector's decision, within ``epsilon`` levels of
    every pixel and channel. A count has no gradient: it is replaced by a sum of sigmoids of
    the distance to the threshold, in standard deviations of the layer, whose slope rises from
    the first of ``slopes`` to the second over the steps; so the attack starts on a smooth surface
    and ends near the true count.

    The pictures are aligned faces, and the detector is one without an aligner: the attacker
    changes what the network sees.

    Use it in :func:`robustness_curve` like any attack. Built on the detector under test it is a
    white-box attack. Built on another one (another network, other training pictures) it is a
    black-box attack by transfer.

    Parameters
    ----------
    detector : fitted Pipeline
        :class:`NeuronCoverageTransformer`, ``StandardScaler`` or none, and a linear classifier,
        an SVC or :class:`FakeSpotterClassifier`. It is left as it is, by ``clone`` too.
    epsilon : float, default=4
        Largest change of a pixel, in levels of 255.
    n_steps : int, default=10
        Steps, each of 2.5 * epsilon / n_steps levels.
    target : {"away", "real", "fake"}, default="away"
        Class that the detector should assign: the opposite of its verdict, or one class for all
        pictures.
    slopes : (float, float), default=(1, 10)
        Slopes of the sigmoids in the first and in the last step.
    bound : PerceptualBound, default=None
        Limit on how different the attacked face may look.
    batch_size : int, default=16
        Pictures attacked at a time.

    See Also
    --------
    QueryAttack : Needs the scores of the detector alone.
    skfakespotter.paper_attacks : Attacks that do not know the detector.

    Notes
    -----
    A failed attack proves nothing, because a stronger one may exist [2]_. A successful one shows
    what an attacker who has the detector can do.

    References
    ----------
    .. [1] A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks",
       ICLR 2018, arXiv:1706.06083.
    .. [2] A. Athalye, N. Carlini, D. Wagner, "Obfuscated Gradients Give a False Sense of
       Security", ICML 2018, arXiv:1802.00420.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skfakespotter import AdversarialAttack, make_fakespotter
    >>> rng, y = np.random.default_rng(0), np.arange(80) % 2
    >>> X = rng.integers(60, 190, (80, 32, 32, 3)).astype(np.uint8)
    >>> X[y == 1, :, ::2] += 20  # fakes have stripes
    >>> detector = make_fakespotter(
    ...     "toy_image", align=False, granularity="channel", classifier=LogisticRegression()
    ... ).fit(X[:60], y[:60])
    >>> attacked = AdversarialAttack(detector, epsilon=8).transform(X[60:])
    >>> int(np.abs(attacked.astype(int) - X[60:]).max())
    8
    >>> detector.score(X[60:], y[60:]) > 0.9 > 0.5 > detector.score(attacked, y[60:])
    True
    """

    _parameter_constraints: ClassVar = {
        **Attacker._parameter_constraints,
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "slopes": [tuple, list],
    }

    def __init__(
        self,
        detector: Any,
        epsilon: float = 4,
        *,
        n_steps: int = 10,
        target: str = "away",
        slopes: tuple[float, float] = (1.0, 10.0),
        bound: PerceptualBound | None = None,
        batch_size: int = 16,
    ) -> None:
        self.detector = detector
        self.epsilon = epsilon
        self.n_steps = n_steps
        self.target = target
        self.slopes = slopes
        self.bound = bound
        self.batch_size = batch_size

    def _prepare(self) -> None:
        self._smooth = SmoothDetector(self.detector)

    def _attack(self, images: NDArray) -> NDArray:
        clean = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
        verdicts, _ = self._smooth.decide(clean, STEEP)  # of the true counts
        towards = torch.from_numpy(self._directions(verdicts.numpy())).float()
        towards, changed = towards.reshape(-1, 1, 1, 1), clean
        for slope in np.geomspace(*self.slopes, self.n_steps):
            _, gradients = self._smooth.decide(changed, float(slope))
            changed = changed + 2.5 * self.epsilon / self.n_steps * towards * gradients.sign()
            changed = torch.clamp(changed, clean - self.epsilon, clean + self.epsilon).clamp(0, 255)
        return to_uint8(changed.permute(0, 2, 3, 1).numpy())
