"""Attacker: what attacks on a detector have in common, however much they know of it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures
from skfakespotter.evaluation._bound import PerceptualBound
from skfakespotter.images import check_images
from skfakespotter.perturbations import Perturbation


class Attacker(Perturbation):
    """Base of attacks on a fitted detector, which is left as it is, by ``clone`` too.

    A subclass has the parameters ``detector``, ``epsilon``, ``target``, ``bound`` and
    ``batch_size``, and ``_attack(images)`` from faces (n, h, w, 3) to attacked ones, uint8.
    """

    intensity = "epsilon"
    _parameter_constraints: ClassVar = {
        "detector": [HasMethods(["predict"])],
        "epsilon": [Interval(Real, 0, 255, closed="both")],
        "target": [StrOptions({"away", "real", "fake"})],
        "bound": [PerceptualBound, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of the fitted detector are its own.

        Parameters
        ----------
        deep : bool, default=True
            Ignored.

        Returns
        -------
        dict
            Parameters by name.
        """
        return super().get_params(deep=False)

    def __sklearn_clone__(self) -> Attacker:
        return type(self)(**self.get_params())

    def transform(self, X: Pictures) -> list[NDArray] | NDArray:
        """Attack every picture.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            Pictures of one size.

        Returns
        -------
        list of ndarray of shape (h, w, 3), or ndarray of shape (n, h, w, 3), uint8
            RGB, of the size that came.

        Raises
        ------
        ImageError
            At the first picture that cannot be used.
        ValueError
            For pictures of several sizes.
        TypeError
            For a detector of another form.
        """
        self._check_params()
        X = check_images(X)
        images = list(iter_images(X))
        if len({image.shape for image in images}) > 1:
            raise ValueError("X holds pictures of several sizes: expected aligned faces of one.")
        self._prepare()
        attacked: list[NDArray] = []
        for batch in gen_batches(len(images), self.batch_size):
            faces = np.stack(images[batch])
            changed = self._attack(faces)
            attacked += list(changed if self.bound is None else self.bound.limit(faces, changed))
        return np.stack(attacked) if isinstance(X, np.ndarray) else attacked

    def _prepare(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _prepare()")

    def _attack(self, images: NDArray) -> NDArray:
        raise NotImplementedError(f"{type(self).__name__} has no _attack()")

    def _directions(self, decisions: NDArray) -> NDArray:
        """Return 1 where the decision is to rise towards fake, -1 where it is to fall."""
        if self.target == "away":
            return np.where(decisions < 0, 1.0, -1.0)
        return np.full(len(decisions), 1.0 if self.target == "fake" else -1.0)
