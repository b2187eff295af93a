"""Auditing: find what predicts the label besides the face.

Every fact becomes one figure: the AUC with which it alone predicts the label.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval

from skfakespotter._params import checked
from skfakespotter._prefetch import iter_images
from skfakespotter._typing import Labels, Pictures, RandomState
from skfakespotter.baselines import (
    CUE_NAMES,
    cheap_cue_baseline,
    luminance,
    picture_cues,
    with_file_size,
)
from skfakespotter.evaluation import number_groups, positive_label
from skfakespotter.images import check_images, is_path
from skfakespotter.leakage._duplicates import MAX_DISTANCE, nearest_hashes, perceptual_hash
from skfakespotter.leakage._fileinfo import file_facts
from skfakespotter.leakage._findings import SEVERITIES, AuditReport, Finding, Judge, cut_tenths

FILE_FACTS = ("format", "mode", "quantization", "subsampling", "metadata", "exif")
DUPLICATE_SHARE = 0.01  # of the pictures; fewer copies cannot move an AUC by more than 0.01


@checked(
    leak_auc=[Interval(Real, 0.5, 1, closed="both")],
    cue_auc=[Interval(Real, 0.5, 1, closed="both")],
    random_state=["random_state"],
)
def audit(
    X: Pictures,
    y: Labels,
    groups: ArrayLike | None = None,
    *,
    splits: ArrayLike | None = None,
    faces: Callable | Sequence[Any] | None = None,
    pos_label: Any = None,
    leak_auc: float = 0.6,
    cue_auc: float = 0.9,
    random_state: RandomState = 0,
) -> AuditReport:
    """Find facts besides the face that predict the label.

    Each fact alone predicts the label, and its AUC is the finding. Facts about files
    (format, mode, quantization tables, chroma subsampling, metadata, EXIF) and geometry
    (width and height, face scale) are unrelated to synthesis. They are a leak at ``leak_auc`` or
    more, and a warning below it if chance does not explain them. Facts about
    content (bytes per pixel, 8 x 8 block grid, cheap cues) are partly traces that a detector may
    use, and two sound sets may differ in them. They are a warning at ``leak_auc`` or more, and a
    leak only at ``cue_auc`` or more.

    Parameters
    ----------
    X : sequence of n pictures
        See :func:`skfakespotter.images.check_images`. Pass paths: the files of pictures in memory
        cannot be checked, and the report says so.
    y : array-like of shape (n,)
        Labels, two classes.
    groups : array-like of shape (n,), default=None
        What belongs together: the photo behind an edited copy (file stem), the person, the
        video. A group may hold both classes. None: every picture is its own group.
    splits : array-like of shape (n,), default=None
        The side of each picture ("train", "test", or a fold's number). The audit checks for
        copies and groups on more than one side.
    faces : callable or sequence of length n, default=None
        For face scale: per picture a box (left, top, right, bottom) in pixels, an object with
        such a ``box``, or None without a face; or what returns these for ``X``, such as
        ``FaceAligner().locate``.
    pos_label : label, default=None
        The label of fakes. None: 1 where the labels are {0, 1}, else ``"fake"``.
    leak_auc : float, default=0.6
        In [0.5, 1]; the AUC from which a fact counts.
    cue_auc : float, default=0.9
        In [0.5, 1]; the AUC from which a fact about content is a leak. Two sets of real
        pictures reach 0.97 on cheap cues; seven pairs of one encoding 0.65 to 0.88.
    random_state : int, RandomState instance or None, default=0
        Deals the pictures into folds.

    Returns
    -------
    AuditReport
        ``leaks`` (bool), ``findings`` (worst first), and a verdict as its ``str``.

    Raises
    ------
    ImageError
        At the first picture that cannot be read or has a side shorter than 16 pixels.
    ValueError
        When lengths differ, ``y`` has not two classes, or there are too few groups of a class
        (about eight) for any AUC to mean something.

    Notes
    -----
    The AUC is the mean over five folds, stratified, no group on both sides, of a logistic
    regression on the fact, one-hot encoded; numbers are cut into tenths first, so that any
    relation counts, not only a rising one. Facts that an AUC under 0.5 + 3.09 sd can explain
    are not reported, sd = sqrt((a + b + 1) / (12 a b)) being that of the Mann-Whitney statistic
    for shuffled labels, a and b the groups of each class.

    Two pictures are near-duplicates when their perceptual hashes (signs of the 16 x 16 lowest
    frequencies of the cosine transform) differ in at most 32 of 256 bits. A cropped or strongly
    edited copy goes unnoticed. Copies of one group are expected. Copies in different groups but
    both classes, or on two sides of a split, are a leak when they concern one picture
    in a hundred, else a warning. Their AUC is that of copying the label of the copies: below 0.5
    where these carry the other one.

    The block grid shows that a picture was once an unscaled JPEG. Other traces of earlier
    processing (a resampler, a JPEG before a reduction) may go unseen, so "no leak found" does not
    mean "no leak".

    Examples
    --------
    >>> import numpy as np
    >>> from skfakespotter.leakage import audit
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.integers(0, 256, (32 + 8 * (i % 2), 32, 3), np.uint8) for i in range(40)]
    >>> report = audit(X, [i % 2 for i in range(40)])
    >>> report.leaks, report["size"].auc, report["format"].severity
    (True, 1.0, 'not checked')
    """
    X, labels = check_images(X), column_or_1d(y)
    check_consistent_length(X, labels, groups, splits)
    fake = labels == positive_label(labels, pos_label)
    group = number_groups(groups, len(fake))
    split = None if splits is None else number_groups(splits, len(fake))
    names = [_name(picture, index) for index, picture in enumerate(X)]
    bounds = {"leak_auc": leak_auc, "cue_auc": cue_auc}
    judge = Judge(names, fake, group, **bounds, random_state=random_state)
    cues, grid, hashes = map(np.array, zip(*iter_images(X, _describe), strict=True))
    cues = with_file_size(cues, X, file_size=all(map(is_path, X)))
    findings = [
        *_file_findings(judge, X, cues),
        _size_finding(judge, cues[:, 1:3]),
        judge.numbers("block_grid", grid, "log of the step at 8 x 8 borders over that elsewhere"),
        _cue_finding(judge, cues),
        _face_finding(judge, X, faces, cues[:, 1:3]),
        *_copy_findings(judge, hashes, split),
        _group_finding(judge, split, groups is None),
    ]
    findings.sort(key=lambda f: (SEVERITIES.index(f.severity), -abs(f.auc - 0.5)))
    return AuditReport(
        findings,
        n_real=int(np.sum(~fake)),
        n_fake=int(np.sum(fake)),
        n_groups=int(group.max()) + 1,
        chance_auc=judge.chance_auc,
    )


def _file_findings(judge: Judge, X: Any, cues: NDArray) -> list[Finding]:
    paths = [picture for picture in X if is_path(picture)]
    if len(paths) < len(X):
        why = f"{len(X) - len(paths)} of {len(X)} pictures are in memory; pass paths"
        return [Finding(n, "not checked", np.nan, why) for n in (*FILE_FACTS, "bytes_per_pixel")]
    facts = [file_facts(path) for path in paths]
    findings = [judge.words(name, [fact[name] for fact in facts]) for name in FILE_FACTS]
    return [*findings, judge.numbers("bytes_per_pixel", cues[:, 0], "bytes of the file per pixel")]


def _size_finding(judge: Judge, sizes: NDArray) -> Finding:
    words = [f"{width:.0f}x{height:.0f}" for width, height in sizes]
    return judge.words("size", words, columns=[cut_tenths(side) for side in sizes.T])


def _cue_finding(judge: Judge, cues: NDArray) -> Finding:
    auc = judge.auc(cheap_cue_baseline()[1:], cues)
    alone = np.array([roc_auc_score(judge.fake, cue) for cue in cues.T])
    alone = np.maximum(alone, 1 - alone)
    best = ", ".join(f"{CUE_NAMES[i]} {alone[i]:.2f}" for i in np.argsort(-alone)[:3])
    text = f"every result stands beside it; of {len(CUE_NAMES)} cues the strongest: {best}"
    return Finding("cheap_cues", judge.severity(auc, True), auc, text)


def _face_finding(judge: Judge, X: Any, faces: Any, sizes: NDArray) -> Finding:
    if faces is None:
        return Finding("face_scale", "not checked", np.nan, "pass faces")
    faces = faces(X) if callable(faces) else faces
    check_consistent_length(faces, X)
    boxes = [getattr(face, "box", face) for face in faces]
    area = [np.nan if b is None else (b[2] - b[0]) * (b[3] - b[1]) for b in boxes]
    scale = np.sqrt(np.array(area, dtype=float) / sizes.prod(axis=1))
    missing = np.isnan(scale)
    what = "side of the face over side of the picture"
    if missing.any():
        what += f" ({missing[~judge.fake].sum()} real, {missing[judge.fake].sum()} fake without)"
    return judge.numbers("face_scale", scale, what, content=False)


def _copy_findings(judge: Judge, hashes: NDArray, split: NDArray | None) -> Iterator[Finding]:
    fake, group = judge.fake, judge.group

    def finding(
        name: str, allowed: Callable[[NDArray], NDArray], text: str, worst: str = "leak"
    ) -> Finding:
        nearest, distance = nearest_hashes(hashes, lambda i: allowed(i) & (group[i, None] != group))
        copied = np.flatnonzero(distance <= MAX_DISTANCE)
        auc = _copying_auc(fake, copied, fake[nearest[copied]])
        severity = worst if len(copied) >= DUPLICATE_SHARE * len(fake) else "warning"
        pairs = {tuple(sorted((i, nearest[i]))) for i in copied[np.argsort(distance[copied])][:6]}
        examples = tuple(f"{judge.names[i]} = {judge.names[j]}" for i, j in sorted(pairs)[:3])
        text = f"{len(copied)} of {len(fake)} pictures have a near-duplicate {text}"
        return Finding(name, severity if len(copied) else "ok", auc, text, examples)

    yield finding(
        "copies_across_classes",
        lambda i: fake[i, None] != fake,
        "of the other class in another group (an edited copy? pass groups)",
    )
    if split is None:
        yield Finding("copies_across_splits", "not checked", np.nan, "pass splits")
        yield finding(
            "copies_within_class",
            lambda i: fake[i, None] == fake,
            "of their class in another group (a random split parts them: give them one group)",
            worst="warning",
        )
    else:
        yield finding(
            "copies_across_splits", lambda i: split[i, None] != split, "on another side of a split"
        )


def _group_finding(judge: Judge, split: NDArray | None, no_groups: bool) -> Finding:
    name, fake, group = "groups_across_splits", judge.fake.astype(int), judge.group
    if split is None or no_groups:
        return Finding(name, "not checked", np.nan, "pass groups and splits")
    part = group * (split.max() + 1) + split
    others, fakes = (
        np.bincount(group, weights)[group] - np.bincount(part, weights)[part]
        for weights in (None, fake)
    )
    parted = np.flatnonzero(others)
    auc = _copying_auc(fake, parted, fakes[parted] / others[parted])
    text = f"{len(np.unique(group[parted]))} groups stand on more than one side of a split"
    severity = "leak" if len(parted) else "ok"
    return Finding(name, severity, auc, text, tuple(judge.names[i] for i in parted[:6]))


def _describe(image: NDArray) -> tuple[NDArray, float, NDArray]:
    gray = luminance(image)
    return picture_cues(image), _block_grid(gray), perceptual_hash(gray)


def _block_grid(gray: NDArray) -> float:
    """Log of the mean step across 8 x 8 block borders over that elsewhere; 0: no grid."""
    steps = [np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    border = [step[7::8].mean() for step in steps]
    inside = [np.delete(step, np.s_[7::8]).mean() for step in steps]
    return np.log((np.mean(border) + 1e-3) / (np.mean(inside) + 1e-3))


def _copying_auc(fake: NDArray, known: NDArray, labels: NDArray) -> float:
    """AUC of who knows the labels of some pictures' copies, and guesses on the others."""
    score = np.full(len(fake), np.mean(fake))
    score[known] = labels
    return float(roc_auc_score(fake, score))


def _name(picture: Any, index: int) -> str:
    if not is_path(picture):
        return f"X[{index}]"
    return "/".join(os.path.normpath(picture).split(os.sep)[-2:])
