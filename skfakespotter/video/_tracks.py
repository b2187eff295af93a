"""Tracks: the faces of one clip, each followed from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import pairwise_distances

from skfakespotter.faces import Face, FaceAligner, FaceRecord, find_all
from skfakespotter.video._frames import Frame

FRAME_SIDE = 320  # pixels; a face of 40 pixels in a frame of 1,280 is still found
AT_ONCE = 8  # frames whose faces are searched together
CUT = 10.0  # gray levels; within a shot of a talking person the largest measured was 2
GRID = 64  # rows and columns of pixels that a frame's colors are taken from
# Correlation of a face and what is about it with the same place in the frame before. Ten frames
# apart in 29 recordings of FaceForensics++, 97 % of one person's are above 0.5, and 5 % of two
# persons' (boxes enlarged by a half on each side, 16 x 16 gray values).
ALIKE, MARGIN, LOOK = 0.5, 0.5, 16


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
    faces : list of Face
        Where it is in each: box, landmarks, the face detector's confidence.
    crops : list of ndarray of shape (h, w, 3), uint8
        The aligned face in each, RGB.
    """

    id: int
    frames: list = field(default_factory=list)
    times: list = field(default_factory=list)
    faces: list = field(default_factory=list, repr=False)
    crops: list = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def boxes(self) -> list[tuple]:
        """Left, top, right, bottom in pixels of each frame."""
        return [face.box for face in self.faces]

    @property
    def width(self) -> float:
        """Median width of the face in pixels."""
        return float(np.median([face.width for face in self.faces]))

    @property
    def prominence(self) -> float:
        """How much of the clip the face is: area times confidence, summed over its frames."""
        return sum(face.width * face.height * face.score for face in self.faces)

    def records(self, path: str | None = None) -> list[FaceRecord]:
        """Describe the faces as :meth:`skfakespotter.FaceAligner.locate` does.

        Parameters
        ----------
        path : str, default=None
            The clip.

        Returns
        -------
        list of FaceRecord
            One per frame that shows the face; ``index`` is the frame's.
        """
        return [
            FaceRecord(frame, path, "found", (face,))
            for frame, face in zip(self.frames, self.faces, strict=True)
        ]


def follow_faces(
    frames: Iterable[Frame],
    aligner: FaceAligner | None = None,
    *,
    max_gap: int = 2,
    min_overlap: float = 0.2,
    cut: float = CUT,
) -> list[Track]:
    """Find the faces of every frame and join those of one person to a track.

    Faces of consecutive frames are paired so that the sum of their overlaps (intersection
    over union) is largest. A face that is not found is remembered where it was last seen.
    Where the frame's colors change suddenly there may be a cut, and the face in the same
    place another person's: a track then goes on only if the face and what is about it look
    as before. So a flash, a logo or a picture in the picture that changes ends no track of a
    person beside it. Eight frames are held at a time; of them only the crops (67 kB each at 150
    pixels) are kept.

    Parameters
    ----------
    frames : iterable of Frame
        The clip, from :func:`iter_frames`; rarely sampled frames are harder to join.
    aligner : FaceAligner, default=None
        How to crop the faces; None takes ``FaceAligner()``.
    max_gap : int, default=2
        Frames in a row, of those passed, in which a face may be missed before its track ends.
    min_overlap : float, default=0.2
        Smallest overlap, from 0 to 1, that joins two boxes.
    cut : float, default=10.0
        Change of colors, in gray levels from 0 to 255, above which there may be a cut:
        Wasserstein's distance between the values of two frames, mean over the channels.

    Returns
    -------
    list of Track
        In order of appearance; empty when no frame shows a face.

    Raises
    ------
    ImportError
        When the extra of the face detector is not installed.

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
    keep = lambda frame, face: aligner.cropping.crop_found(frame.image, face)  # noqa: E731
    options: dict[str, Any] = {"max_gap": max_gap, "min_overlap": min_overlap, "cut": cut}
    return follow(frames, keep, detector=aligner.cropping.detector, **options)


def follow(
    frames: Iterable[Frame],
    keep: Callable[[Frame, Face], Any],
    *,
    detector: str,
    max_gap: int = 2,
    min_overlap: float = 0.2,
    cut: float = CUT,
) -> list[Track]:
    """Follow faces as :func:`follow_faces` does, and keep of each what ``keep`` returns.

    Parameters
    ----------
    frames, max_gap, min_overlap, cut
        As for :func:`follow_faces`.
    keep : callable
        From a frame and a face to what ``Track.crops`` gets.
    detector
        See :func:`skfakespotter.faces.find_faces`.

    Returns
    -------
    list of Track
        In order of appearance.
    """
    tracks: list[Track] = []
    active: list[_Follower] = []
    colors = None
    for order, (frame, found) in enumerate(_search(frames, detector)):
        before, colors = colors, _colors(frame.image)
        jump = before is not None and np.abs(colors - before).mean() > cut
        for follower in active:
            follower.doubtful |= bool(jump)
        active = [one for one in active if order - one.order <= max_gap + 1]
        found.sort(key=lambda face: face.box)  # left to right
        looks = [_look(frame.image, face.box) for face in found]
        paired = _pair(active, found, looks, min_overlap)
        for place, (face, look) in enumerate(zip(found, looks, strict=True)):
            if place not in paired:
                tracks.append(Track(len(tracks)))
                paired[place] = _Follower(tracks[-1])
                active.append(paired[place])
            paired[place].extend(order, frame, face, look, keep(frame, face))
    return tracks


def _search(frames: Iterable[Frame], detector: str) -> Iterator[tuple[Frame, list[Face]]]:
    """Find the faces of frames, a few at a time, which cores or a GPU search side by side."""
    frames = iter(frames)
    while batch := list(islice(frames, AT_ONCE)):
        images = [frame.image for frame in batch]
        found = find_all(images, detector, every=True, side=FRAME_SIDE)
        yield from zip(batch, found, strict=True)


@dataclass(eq=False)
class _Follower:
    """A track that may go on: when and how it was last seen, and whether a cut came since."""

    track: Track
    order: int = 0
    look: NDArray | None = None
    doubtful: bool = False

    def extend(self, order, frame, face, look, crop):
        self.track.frames.append(frame.index)
        self.track.times.append(frame.time)
        self.track.faces.append(face)
        self.track.crops.append(crop)
        self.order, self.look, self.doubtful = order, look, False


def _pair(
    active: list[_Follower], found: list[Face], looks: list[Any], min_overlap: float
) -> dict[int, _Follower]:
    """Assign faces to tracks: dict from place in ``found`` to follower."""
    if not active or not found:
        return {}
    last, boxes = [one.track.boxes[-1] for one in active], [face.box for face in found]
    overlap = pairwise_distances(last, boxes, metric=_overlap)
    overlap[overlap < min_overlap] = 0
    for row, one in enumerate(active):
        if one.doubtful:
            overlap[row, [float(one.look @ look) < ALIKE for look in looks]] = 0
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = zip(rows, columns, strict=True)
    return {int(column): active[row] for row, column in pairs if overlap[row, column] > 0}


def _overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _look(image, box):
    """Return what a face and its surroundings look like: gray values of mean 0 and norm 1.

    The scalar product of two is their correlation, which a change of brightness leaves alone.
    """
    left, top, right, bottom = box
    wide, high = MARGIN * (right - left), MARGIN * (bottom - top)
    area = (round(left - wide), round(top - high), round(right + wide), round(bottom + high))
    cut_out = Image.fromarray(image).crop(area).convert("L")
    values = np.asarray(cut_out.resize((LOOK, LOOK), Image.Resampling.BOX), float).ravel()
    values -= values.mean()
    return values / max(np.linalg.norm(values), 1e-12)


def _colors(image):
    """Sorted values of each channel on a grid of pixels, shape (GRID * GRID, 3).

    The mean absolute difference of two sorted samples is their Wasserstein distance.
    """
    rows, columns = (np.linspace(0, side - 1, GRID).astype(int) for side in image.shape[:2])
    return np.sort(image[np.ix_(rows, columns)].reshape(-1, 3).astype(np.float64), axis=0)
