"""Groups: near-duplicate pictures are put into one group, so that no split parts them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Pictures
from skfakespotter.baselines import luminance
from skfakespotter.images import check_images
from skfakespotter.leakage._duplicates import MAX_DISTANCE, nearest_hashes, perceptual_hash


def join_duplicates(X: Pictures, groups: ArrayLike | None = None) -> tuple[NDArray, int]:
    """Put near-duplicates of different groups into one group.

    Parameters
    ----------
    X : sequence of n pictures
        See :func:`skfakespotter.images.check_images`.
    groups : array-like of shape (n,), default=None
        Groups, such as the photograph behind an edited copy. None: every picture is its own.

    Returns
    -------
    groups : ndarray of shape (n,)
        Every picture stands in one group with its nearest near-duplicate. The smaller of two
        joined names stays.
    n_joined : int
        Pictures whose near-duplicate stood in another group.

    See Also
    --------
    audit : Reports near-duplicates; its documentation says what they are.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.leakage import join_duplicates
    >>> X = list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    >>> join_duplicates([*X, X[1]], ["a", "b", "c", "d"])
    (array(['a', 'b', 'c', 'b'], dtype='<U1'), 2)
    """
    pictures = check_images(X)
    check_consistent_length(pictures, groups)
    groups = np.arange(len(pictures)) if groups is None else column_or_1d(groups)
    hashes = np.array(list(iter_images(pictures, lambda image: perceptual_hash(luminance(image)))))
    nearest, distance = nearest_hashes(hashes, lambda i: groups[i, None] != groups)
    joined, copies = groups.copy(), np.flatnonzero(distance <= MAX_DISTANCE)
    for i in copies:
        one, other = joined[i], joined[nearest[i]]
        joined[(joined == one) | (joined == other)] = min(one, other)
    return joined, len(copies)
