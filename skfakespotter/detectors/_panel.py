"""Panel: detectors that look at the same faces, with one pass for all that share a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfakespotter._typing import Device
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._faces import CroppedFace
from skfakespotter.detectors._fitting import layer_shares
from skfakespotter.detectors._measuring import count_faces
from skfakespotter.detectors._store import list_detectors, load_detector
from skfakespotter.detectors._verdicts import CANNOT_SAY, RESEMBLES, judge
from skfakespotter.evaluation import positive_label
from skfakespotter.faces import Cropping, FaceAligner

TOLERANCE = 0.8  # of the least that a pipeline's sample of faces has: others may have less
SUSPICIOUS = 5  # times the promised rate: below it, light changes may turn a verdict


@dataclass(frozen=True)
class Judgment:
    """What one detector says of one face; see :class:`ScoreRow`."""

    detector: str
    score: float
    p: float | None
    verdict: str
    reason: str


class Specialists:
    """Detectors of one network, thresholds and cropping: one forward pass serves all.

    Parameters
    ----------
    detectors : sequence of Detector
        The detectors.
    device : str
        Where the network computes.
    """

    def __init__(self, detectors: Sequence[Detector], device: Device) -> None:
        self.detectors = detectors
        self.names = [detector.name for detector in detectors]
        self.cropping = detectors[0].cropping
        self._coverage = detectors[0].coverage_on(device)

    def judge(self, faces: Sequence[CroppedFace], fpr: float) -> list[list[Judgment]]:
        """Judge faces.

        Parameters
        ----------
        faces : sequence of CroppedFace
            The faces.
        fpr : float
            Promised false-positive rate on the worst source.

        Returns
        -------
        list of list of Judgment
            Of each face, one per detector.
        """
        counts = count_faces(self._coverage, np.stack([face.crop for face in faces]))
        scores = np.column_stack([detector.decide(counts) for detector in self.detectors])
        shares = layer_shares(counts, self.detectors[0].layers)
        light = self._light_scores(faces, scores, fpr)
        return [
            [
                self._judgment(detector, face, scores[i, k], shares[i], light[i][:, k], fpr)
                for k, detector in enumerate(self.detectors)
            ]
            for i, face in enumerate(faces)
        ]

    def _judgment(self, detector, face, score, shares, light, fpr):
        complaint = detector.limits.complaint(face.width, face.sharpness, shares)
        p, verdict, reason = judge(
            detector.family,
            detector.calibration,
            float(score),
            fpr=fpr,
            complaint=complaint,
            light_scores=light.tolist(),
        )
        return Judgment(detector.name, float(score), p, verdict, reason)

    def _light_scores(self, faces, scores, fpr):
        """Score lightly changed copies of the faces whose verdict might flip: (n copies, n)."""
        p = np.column_stack([d.p_value(scores[:, k]) for k, d in enumerate(self.detectors)])
        suspicious = np.flatnonzero((p <= SUSPICIOUS * fpr).any(1))
        light = [np.empty((0, len(self.detectors)))] * len(faces)
        if len(suspicious):
            crops = [face for i in suspicious for face in faces[i].light_crops()]
            counts = count_faces(self._coverage, np.stack(crops))
            found = np.column_stack([detector.decide(counts) for detector in self.detectors])
            for i, part in zip(suspicious, np.split(found, len(suspicious)), strict=True):
                light[i] = part
        return light


class FittedPipeline:
    """A fitted pipeline of pictures or of aligned faces, which nobody has calibrated.

    Parameters
    ----------
    name : str
        What to call it.
    pipeline : classifier
        With ``predict_proba``; labels 0 (real) and 1 (fake), or "real" and "fake".
    """

    def __init__(self, name: str, pipeline: Any) -> None:
        check_is_fitted(pipeline)
        if not hasattr(pipeline, "predict_proba"):
            raise TypeError(
                f"detector {name!r} has no predict_proba: expected a Detector, a name of one, or "
                "a fitted classifier of pictures with probabilities."
            )
        self.names, self.cropping, self._rest = [name], Cropping(), pipeline
        if isinstance(pipeline, Pipeline) and isinstance(pipeline.steps[0][1], FaceAligner):
            self.cropping, self._rest = pipeline.steps[0][1].cropping, pipeline[1:]
        self._fake = list(pipeline.classes_).index(positive_label(pipeline.classes_))
        self._knows = _knowledge(pipeline, self._fake)
        self._limits = getattr(pipeline, "face_limits_", {})

    def judge(self, faces: Sequence[CroppedFace], fpr: float) -> list[list[Judgment]]:
        """Judge faces.

        Parameters
        ----------
        faces : sequence of CroppedFace
            The faces.
        fpr : float
            Not used: nothing can be promised without calibration.

        Returns
        -------
        list of list of Judgment
            Of each face, one.
        """
        fake = self._rest.predict_proba(np.stack([face.crop for face in faces]))[:, self._fake]
        return [[self._judgment(face, float(p))] for face, p in zip(faces, fake, strict=True)]

    def _judgment(self, face, fake):
        if complaint := self._complaint(face):
            return Judgment(self.names[0], fake, None, CANNOT_SAY, f"{complaint}; {self._knows}")
        known = "the fakes it was trained on"
        verdict = f"{RESEMBLES if fake >= 0.5 else 'no trace of'} {known}"
        reason = f"{self._knows}; nobody has measured how many photographs score so high"
        return Judgment(self.names[0], fake, None, f"{verdict} (P = {fake:.3f})", reason)

    def _complaint(self, face):
        """Describe in what a face is less than every face that the pipeline was fitted on."""
        found = {"width": face.width, "sharpness": face.found.sharpness}
        for name, least in self._limits.items():
            if found[name] < TOLERANCE * least:
                return (
                    f"the {name} of the face is {found[name]:.0f}; the faces it was fitted on have "
                    f"at least {least:.0f}"
                )
        return None


def _knowledge(pipeline: Any, fake: int) -> str:
    """Describe what a pipeline was fitted on, as far as its attributes tell."""
    counts = getattr(pipeline, "class_counts_", None)
    if counts is None:
        return "trained on pictures that it does not name"
    kinds = f"fakes of {pipeline.kinds}" if pipeline.kinds else "fakes that it does not name"
    return f"trained on {counts[fake]:,} {kinds} and {counts[1 - fake]:,} photographs only"


def make_panel(
    detectors: Any = None, device: Device = "auto"
) -> list[Specialists | FittedPipeline]:
    """Load detectors, and group those that share the passes through their network.

    Parameters
    ----------
    detectors : None, str, PathLike, Detector, classifier, or a sequence or dict of these
        None: all that ship. A name or file is loaded. A dict names its values.
    device : str, default="auto"
        Where networks compute.

    Returns
    -------
    list of Specialists or FittedPipeline
        Groups, in the order of their first detectors.

    Raises
    ------
    TypeError, ValueError
        For anything else, none at all, or two of one name.
    """
    groups: dict[Any, list[Any]] = {}
    names: list[str] = []
    for name, detector in _named(detectors):
        names.append(name)
        key = _shared(detector) if isinstance(detector, Detector) else len(names)
        groups.setdefault(key, []).append((name, detector))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"detectors are {names}: expected one or more, of different names.")
    return [
        Specialists([detector for _, detector in members], device)
        if isinstance(members[0][1], Detector)
        else FittedPipeline(*members[0])
        for members in groups.values()
    ]


def _named(detectors: Any) -> Iterable[tuple[str, Any]]:
    if detectors is None:
        detectors = list_detectors()
    if isinstance(detectors, dict):
        yield from detectors.items()
        return
    if not isinstance(detectors, (list, tuple)):
        detectors = [detectors]
    for place, detector in enumerate(detectors):
        if not hasattr(detector, "predict"):
            detector = load_detector(detector)
        default = "detector" if len(detectors) == 1 else f"detector {place}"
        yield getattr(detector, "name", default), detector


def _shared(detector: Detector) -> Any:
    thresholds = np.asarray(detector.layers["thresholds"], np.float64)
    return detector.fingerprint, detector.cropping, thresholds.tobytes()
