"""Tracks: the faces of one clip, each followed from frame to frame."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment  # scikit-learn depends on SciPy
from sklearn.metrics import pairwise_distances

from skfakespotter.faces._aligner import FaceAligner
from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import crop_face

CUT = 10.0  # grey levels; within a shot of a talking person the largest measured was 2
GRID = 64  # rows and columns of pixels that a frame's colours are taken from


@dataclass
class Track:
    """One face followed through consecutive frames.

    Attributes
    ----------
    id : int
        Number in the clip, from 0, in order of appearance.
    frames : list of int
        Index of each frame that shows the face.
    times : list of float
        Their times in seconds.
    boxes : list of tuple
        Left, top, right, bottom in pixels of the frame.
    chips : list of ndarray of shape (h, w, 3), uint8
        The aligned face in each, RGB.
    """

    id: int
    frames: list = field(default_factory=list)
    times: list = field(default_factory=list)
    boxes: list = field(default_factory=list)
    chips: list = field(default_factory=list, repr=False)

    def __len__(self):
        return len(self.frames)


def follow_faces(frames, aligner=None, *, max_gap=2, min_overlap=0.2, cut=CUT):
    """Find the faces of every frame and join those of one person to a track.

    Faces of consecutive frames are paired so that the sum of their overlaps (intersection
    over union) is largest. Whose face is not found is remembered where it was last seen.
    A cut, a sudden change of the frame's colours, ends all tracks, for the face in the same
    place need not be the same person. Frames are held one at a time; of them only the chips
    (67 kB each at 150 pixels) are kept.

    Parameters
    ----------
    frames : iterable of Frame
        The clip, from :func:`iter_frames`; rarely sampled frames are harder to join.
    aligner : FaceAligner, default=None
        How to crop the faces; None takes ``FaceAligner()``.
    max_gap : int, default=2
        Given frames in a row in which a face may be missed before its track ends.
    min_overlap : float, default=0.2
        Smallest overlap, from 0 to 1, that joins two boxes.
    cut : float, default=10.0
        Change of colours, in grey levels from 0 to 255, above which there is a cut:
        Wasserstein's distance between the values of two frames, mean over the channels.

    Returns
    -------
    list of Track
        In order of appearance; empty when no frame shows a face.

    Raises
    ------
    ImportError
        When the extra ``faces`` is not installed.

    References
    ----------
    A. Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016 (pairing by overlap,
    here without the motion model).

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from skfakespotter.video import Frame, follow_faces
    >>> frames = [Frame(i, i / 25, astronaut()) for i in range(2)]
    >>> follow_faces(frames)[0].times
    [0.0, 0.04]
    """
    aligner = (FaceAligner() if aligner is None else aligner).fit()  # which checks its options
    tracks, active, colours = [], [], None
    for order, frame in enumerate(frames):
        before, colours = colours, _colours(frame.image)
        if before is not None and np.abs(colours - before).mean() > cut:
            active = []
        active = [(track, seen) for track, seen in active if order - seen <= max_gap + 1]
        found = sorted(find_faces(frame.image), key=lambda face: face.box)  # left to right
        current = _pair([track for track, _ in active], found, min_overlap)
        for place, face in enumerate(found):
            if place not in current:
                tracks.append(Track(len(tracks)))
                current[place] = tracks[-1]
            _extend(current[place], frame, face, aligner)
        seen_now = [(track, order) for track in current.values()]
        ids = {track.id for track, _ in seen_now}
        active = seen_now + [entry for entry in active if entry[0].id not in ids]
    return tracks


def _extend(track, frame, face, aligner):
    track.frames.append(frame.index)
    track.times.append(frame.time)
    track.boxes.append(face.box)
    crop = {"template": aligner.template, "size": aligner.size, "padding": aligner.padding}
    track.chips.append(crop_face(frame.image, face, **crop))


def _pair(tracks, found, min_overlap):
    """Assign faces to tracks: dict from place in ``found`` to track."""
    if not tracks or not found:
        return {}
    overlap = pairwise_distances(
        [track.boxes[-1] for track in tracks], [face.box for face in found], metric=_overlap
    )
    overlap[overlap < min_overlap] = 0
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = zip(rows, columns, strict=True)
    return {int(column): tracks[row] for row, column in pairs if overlap[row, column] > 0}


def _overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _colours(image):
    """Sorted values of each channel on a grid of pixels, shape (GRID * GRID, 3).

    The mean absolute difference of two sorted samples is their Wasserstein distance.
    """
    rows, columns = (np.linspace(0, side - 1, GRID).astype(int) for side in image.shape[:2])
    return np.sort(image[np.ix_(rows, columns)].reshape(-1, 3).astype(np.float64), axis=0)
