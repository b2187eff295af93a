"""Upsampling: photographs reduced and enlarged as a generator's last layers do."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures, RandomState
from skfakespotter.images import ImageError, check_images
from skfakespotter.perturbations._transformers import (
    Perturb,
    Perturbation,
    draw_seed,
    own_generator,
    to_uint8,
)

_KINDS = ("transposed", "nearest", "bilinear")
_RIDGE = 1e-4  # of the mean square of the inputs: repeated pixels make them nearly dependent
_PATCH = 64  # side of what each picture adds to the learning of kernels


class UpsamplingSimulator(Perturbation):
    """Reduce a photograph and enlarge it again as a generator's last layers do.

    The upsampling of a generator leaves its own traces in the spectrum, whatever it was
    trained for; AutoGAN [1]_ trains a network with such layers to reproduce photographs. Here
    the layers are linear and their kernels are learned by least squares: a picture averaged
    to half its size is brought back to the original, ``n_stages`` times over, by

    - "transposed": a transposed convolution of stride 2, whose four phases each see 3 x 3
      pixels of all channels;
    - "nearest": repeated pixels, then a 3 x 3 convolution;
    - "bilinear": bilinear interpolation, then a 3 x 3 convolution.

    Parameters
    ----------
    kind : {"transposed", "nearest", "bilinear"}, default="transposed"
        How pictures are enlarged.
    n_stages : int, default=1
        How often they are halved and doubled.
    jitter : float, default=0.1
        Every picture gets kernels of its own: each weight changes by a normal number of this
        share of the kernel's root mean square, gray staying gray. The variation imitates unknown
        generators.
    random_state : int, RandomState instance or None, default=None
        Draws patches and changes. With an int, a picture's change depends on this number and
        on its pixels alone.

    Attributes
    ----------
    kernels_ : list of ndarray
        For each stage, from full size down, weights of shape (27, 12) for "transposed" (the
        phases of a 2 x 2 block, channels last), else (27, 3): rows are the 3 x 3 places and
        in each the channels.

    References
    ----------
    .. [1] X. Zhang, S. Karaman, S.-F. Chang, "Detecting and Simulating Artifacts in GAN Fake
       Images", WIFS 2019, arXiv:1907.06515.

    Examples
    --------
    >>> from skfakespotter import UpsamplingSimulator, make_pictures
    >>> X, y = make_pictures(20, size=64, random_state=0)
    >>> simulator = UpsamplingSimulator(random_state=0).fit(X[y == 0])
    >>> simulator.transform(X[y == 0][:2]).shape, simulator.kernels_[0].shape
    ((2, 64, 64, 3), (27, 12))
    """

    intensity = "n_stages"
    _parameter_constraints: ClassVar = {
        "kind": [StrOptions(set(_KINDS))],
        "n_stages": [Interval(Integral, 1, 4, closed="both")],
        "jitter": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kind: str = "transposed",
        *,
        n_stages: int = 1,
        jitter: float = 0.1,
        random_state: RandomState = None,
    ) -> None:
        self.kind = kind
        self.n_stages = n_stages
        self.jitter = jitter
        self.random_state = random_state

    def fit(self, X: Pictures, y: Any = None) -> UpsamplingSimulator:
        """Learn the kernels from photographs.

        Parameters
        ----------
        X : sequence of pictures
            Real photographs; of each, a patch of 64 x 64 pixels is looked at.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self
            The simulator.

        Raises
        ------
        ImageError
            At the first picture that cannot be used.
        """
        self._check_params()
        X = check_images(X)
        rng = check_random_state(self.random_state)
        n_outputs = 12 if self.kind == "transposed" else 3
        grams = np.zeros((self.n_stages, 27, 27))
        products = np.zeros((self.n_stages, 27, n_outputs))
        multiple = 2**self.n_stages
        for image in iter_images(X, partial(_check_sides, multiple=multiple)):
            patch = _cut_patch(image, rng, multiple).astype(np.float64)
            for stage in range(self.n_stages):
                small = halve(patch)
                inputs, outputs = self._inputs(small), _outputs(patch, self.kind)
                grams[stage] += inputs.T @ inputs
                products[stage] += inputs.T @ outputs
                patch = small
        self.kernels_ = [_solve(*moments) for moments in zip(grams, products, strict=True)]
        return self

    def transform(self, X: Pictures) -> list[NDArray] | NDArray:
        """Make a fake out of every picture.

        Parameters
        ----------
        X : sequence of pictures, ndarray of shape (n, h, w, 3) or Tensor of shape (n, 3, h, w)
            Photographs.

        Returns
        -------
        list of ndarray of shape (h, w, 3), or ndarray of shape (n, h, w, 3), uint8
            RGB, of the sizes that came.

        Raises
        ------
        ImageError
            At the first picture that cannot be used.
        """
        check_is_fitted(self)
        return super().transform(X)

    def _make(self) -> Perturb:
        seed = draw_seed(self.random_state)

        def perturb(image: NDArray) -> NDArray:
            rng, multiple = own_generator(seed, image), 2**self.n_stages
            height, width = image.shape[:2]
            borders = ((0, -height % multiple), (0, -width % multiple), (0, 0))
            small = np.pad(image, borders, mode="edge").astype(np.float64)
            for _ in range(self.n_stages):
                small = halve(small)
            for kernel in reversed(self.kernels_):
                small = self._enlarge(small, _shake(kernel, self.jitter, rng))
            return to_uint8(small[:height, :width])

        return perturb

    def _inputs(self, small: NDArray) -> NDArray:
        """Return what the weights are applied to, a row for each place they are applied at."""
        if self.kind == "transposed":
            return windows(small)
        doubled = small.repeat(2, axis=0).repeat(2, axis=1)
        return windows(doubled if self.kind == "nearest" else _smooth_doubled(small))

    def _enlarge(self, small: NDArray, kernel: NDArray) -> NDArray:
        height, width = small.shape[:2]
        outputs = self._inputs(small) @ kernel
        if self.kind != "transposed":
            return outputs.reshape(2 * height, 2 * width, 3)
        phases = outputs.reshape(height, width, 2, 2, 3)
        return phases.transpose(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, 3)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "kernels_")


def halve(pixels: NDArray) -> NDArray:
    """Average blocks of 2 x 2 pixels.

    Parameters
    ----------
    pixels : ndarray of shape (2 h, 2 w, 3)
        Values.

    Returns
    -------
    ndarray of shape (h, w, 3)
        Means.
    """
    height, width = pixels.shape[:2]
    return pixels.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))


def windows(pixels: NDArray) -> NDArray:
    """List the 3 x 3 neighborhoods of all pixels, edges repeated.

    Parameters
    ----------
    pixels : ndarray of shape (h, w, 3)
        Values.

    Returns
    -------
    ndarray of shape (h * w, 27)
        Places row by row, the channels of each together.
    """
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return views.transpose(0, 1, 3, 4, 2).reshape(-1, 27)


def _outputs(full: NDArray, kind: str) -> NDArray:
    """List the pixels that weights must give: blocks of 2 x 2 for "transposed", else one each."""
    if kind != "transposed":
        return full.reshape(-1, 3)
    height, width = full.shape[0] // 2, full.shape[1] // 2
    blocks = full.reshape(height, 2, width, 2, 3).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(height * width, 12)


def _smooth_doubled(small: NDArray) -> NDArray:
    """Double the size by bilinear interpolation: 3/4 of the nearest pixel, 1/4 of the next."""
    for axis in (0, 1):
        border = [(1, 1) if side == axis else (0, 0) for side in range(3)]
        padded = np.pad(small, border, mode="edge")
        before, here, after = (
            np.take(padded, range(start, start + small.shape[axis]), axis) for start in range(3)
        )
        pairs = np.stack([0.75 * here + 0.25 * before, 0.75 * here + 0.25 * after], axis + 1)
        shape = list(small.shape)
        shape[axis] *= 2
        small = pairs.reshape(shape)
    return small


def _solve(gram: NDArray, product: NDArray) -> NDArray:
    ridge = _RIDGE * np.trace(gram) / len(gram)
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), product)


def _shake(kernel: NDArray, jitter: float, rng: np.random.Generator) -> NDArray:
    """Change the weights at random so that those of each output keep their sum."""
    change = jitter * np.sqrt(np.mean(kernel**2)) * rng.standard_normal(kernel.shape)
    return kernel + change - change.mean(axis=0)


def _check_sides(image: NDArray, multiple: int) -> NDArray:
    if min(image.shape[:2]) < multiple:
        shown = f"{image.shape[1]}x{image.shape[0]}"
        raise ImageError(f"is {shown} pixels; expected sides of at least {multiple}")
    return image


def _cut_patch(image: NDArray, rng: np.random.RandomState, multiple: int) -> NDArray:
    sides = [min(_PATCH, side) // multiple * multiple for side in image.shape[:2]]
    top, left = (
        rng.randint(side - kept + 1) for side, kept in zip(image.shape, sides, strict=False)
    )
    return image[top : top + sides[0], left : left + sides[1]]
