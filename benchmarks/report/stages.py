"""Stages: every measurement of the report, each saved when it is done."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from pairs import list_pictures
from sklearn.base import clone
from work import Work

from skfakespotter import (
    CoverageCache,
    FaceAligner,
    cross_generator,
    detection_learning_curve,
    load_backbone,
    paper_attacks,
    robustness_cross_val,
    within_pair,
)
from skfakespotter.backbones import monitored_layers
from skfakespotter.images import load_image
from skfakespotter.leakage import join_duplicates
from skfakespotter.perturbations import check_attacks

from .detectors import (
    BLOCKS,
    IN_CURVES,
    IN_MATRIX,
    METHODS,
    RIVALS,
    SLOW,
    make_detector,
    split_stateless,
)

CACHE_BYTES = 30 * 10**9
CHUNK = 48  # pictures of one parallel task
SLACK = 5  # pictures by which the folds of a learning curve may differ
HEADLINE = ("stylegan", "faceswap")  # of one source, and large
CURVE_SIZES = (25, 50, 100, 200, 400, 800)
ABLATION = {  # other readings of the paper: parameters of the transformer
    "neuron='channel'": {"neuron": "channel"},
    "rectify=True": {"rectify": True},
    "neuron='channel', rectify=True": {"neuron": "channel", "rectify": True},
    "plain center crop": {},
    "output='fraction'": {"output": "fraction"},
    "threshold=0.0": {"threshold": 0.0},
}


class FaceSet(NamedTuple):
    """Pictures of one pair that show a face."""

    paths: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    left_out: np.ndarray  # real and fake pictures without a face
    n_joined: int  # near-duplicates that stood in different groups


@dataclass
class Bench:
    """All that the stages share."""

    data: Path  # one subfolder per pair
    work: Work
    pairs: list
    backbone: str = "dlib"
    aligner: FaceAligner | None = None  # None takes the pictures for faces
    limit: int | None = None  # pictures of a pair
    n_folds: int = 5
    n_attacked: int = 400
    n_bootstraps: int = 1000  # behind every interval; half as many under attack
    n_jobs: int = 2
    rivals: dict = field(default_factory=dict)  # a user's own detectors of pictures, by name
    attacks: dict = field(default_factory=dict)  # a user's own: lists of transformers, by name

    @cached_property
    def cache(self):
        """What the network said of each face, kept between runs."""
        return CoverageCache(self.work.folder / "coverage", max_bytes=CACHE_BYTES)

    @cached_property
    def readings(self):
        """Other readings of the paper: what it leaves unsaid, as parameters, by name."""
        names, readings = list(monitored_layers(load_backbone(self.backbone).module)), {**ABLATION}
        for third in np.array_split(np.arange(len(names)), 3):
            layers = [names[i] for i in third]
            readings[f"layers {third[0] + 1} to {third[-1] + 1} alone"] = {"layers": layers}
        return readings

    @cached_property
    def methods(self):
        """All methods, in the order of the tables."""
        return [*METHODS, *RIVALS, *self.rivals]

    @cached_property
    def attacked(self):
        """Those of Figure 4; their clean scores come from there too."""
        return [name for name, method in METHODS.items() if method.attacked] + [*self.rivals]

    @property
    def grids(self):
        """The paper's attacks, two chains, and the user's own."""
        return {**paper_attacks(combined=True), **self.attacks}

    @property
    def headline(self):
        """The pairs that learning curves and ablations are measured on."""
        return [pair for pair in HEADLINE if pair in self.pairs] or self.pairs[:2]

    def set(self, pair):
        """Pictures, labels and groups of a pair."""
        return self.work.load(f"sets/{pair}")

    def n_train(self, pair):
        """Pictures that a fold leaves for training."""
        return round(len(self.set(pair).y) * (1 - 1 / self.n_folds))

    def detector(self, method, pair, **options):
        """Make the unfitted detector of a method, or a copy of the user's own."""
        if method in self.rivals:
            return clone(self.rivals[method])
        options = {"cache": self.cache, "n_train": self.n_train(pair), **options}
        return make_detector(method, self.backbone, **options)

    def task(self, pair, method, **options):
        """Return a detector, and the X that it is trained on: pictures, faces or features."""
        features, rest = split_stateless(self.detector(method, pair, **options))
        X = self.set(pair).paths.tolist()
        if method in METHODS and self.aligner is not None:
            X = self.work.once(f"faces/{pair}", lambda: self.aligner.transform(X))
        if features is None:
            return rest, X
        name = f"features/{pair}/{METHODS[method].features if method in METHODS else method}"
        return rest, self.work.once(name, lambda: self.describe(features, X))

    def describe(self, features, X):
        """Describe pictures by a transformer that learns nothing, in parallel."""
        starts = range(0, len(X), CHUNK)
        parts = Parallel(self.n_jobs)(
            delayed(features.transform)(X[start : start + CHUNK]) for start in starts
        )
        return np.concatenate(parts)

    def protocol(self, pair):
        """Return labels, groups, folds and processes, as every protocol takes them."""
        faces = self.set(pair)
        return {"y": faces.y, "groups": faces.groups, "cv": self.n_folds, "n_jobs": self.n_jobs}


def find_faces(bench, pair):
    """List the pictures of a pair, leave out those without a face, and join near-duplicates."""
    paths, y, groups = list_pictures(bench.data, pair, bench.limit)
    found = np.ones(len(y), bool)
    if bench.aligner is not None:
        records = bench.aligner.locate(paths.tolist())
        found = np.array([record.status == "found" for record in records])
    groups, n_joined = join_duplicates(paths[found].tolist(), groups[found])
    left_out = np.bincount(y[~found], minlength=2)
    return FaceSet(paths[found], y[found], groups, left_out, n_joined)


def score(bench, pair, method, **options):
    """Score every picture of a pair by the detector that did not see its group."""
    detector, X = bench.task(pair, method, **options)
    return within_pair(detector, X, **bench.protocol(pair))


def attack(bench, pair):
    """Score pictures as they are, and some of them attacked, by detectors that did not see them.

    A picture whose face an attack has hidden is taken by its center.
    """
    aligner = bench.aligner and clone(bench.aligner).set_params(on_missing="center", n_jobs=None)
    detectors = {m: bench.detector(m, pair, align=aligner or False) for m in bench.attacked}
    return robustness_cross_val(
        detectors,
        load_pictures(bench.set(pair).paths),
        attacks=bench.grids,
        n_attacked=bench.n_attacked,
        n_bootstraps=bench.n_bootstraps // 2,
        **bench.protocol(pair),
    )


def count_missing(bench, pair):
    """Count the attacked pictures in which the strongest level of each attack hides the face."""
    if bench.aligner is None:
        return dict.fromkeys(bench.grids, 0)
    rows = next(iter(bench.work.load(f"attacks/{pair}").values())).attacked
    pictures, missing = load_pictures(bench.set(pair).paths[rows]), {}
    for name, levels in check_attacks(bench.grids).items():
        records = bench.aligner.locate(levels[-1][1].transform(pictures))
        missing[name] = sum(record.status != "found" for record in records)
    return missing


def cross_test(bench, method):
    """Train on each pair and test on every other."""
    sets = {}
    for pair in bench.pairs:
        detector, X = bench.task(pair, method)
        sets[pair] = X, bench.set(pair).y, bench.set(pair).groups
    options = {"cv": bench.n_folds, "n_bootstraps": bench.n_bootstraps, "n_jobs": bench.n_jobs}
    return cross_generator(detector, sets, **options)


def learn(bench, pair, method):
    """Measure AUC against training size, thresholds from the same few pictures."""
    detector, X = bench.task(pair, method)
    most = bench.n_train(pair) - SLACK
    sizes = [*(size for size in CURVE_SIZES if size < most), most]
    return detection_learning_curve(detector, X, train_sizes=sizes, **bench.protocol(pair))


def ablate(bench, pair, name, block):
    """Score a pair by another reading of the paper."""
    if name != "plain center crop":
        return score(bench, pair, BLOCKS[block], **bench.readings[name])
    detector = bench.detector(BLOCKS[block], pair)
    return within_pair(detector, bench.set(pair).paths.tolist(), **bench.protocol(pair))


def load_pictures(paths):
    """Decode pictures of one size, once, into an array; leave others as paths."""
    pictures = [load_image(path) for path in paths]
    same = len({picture.shape for picture in pictures}) == 1
    return np.stack(pictures) if same else paths.tolist()


def list_stages(bench):
    """List all stages for ``run_stages``, the most important first, with their cost in seconds."""
    stages = []
    size = {pair: len(list_pictures(bench.data, pair, bench.limit)[1]) for pair in bench.pairs}

    def for_pairs(name, seconds, function, *arguments, pairs=bench.pairs):
        for pair in pairs:
            compute = partial(function, bench, pair, *arguments)
            stages.append((name.format(pair), seconds * size[pair], compute))

    def once(name, seconds, function, *arguments):
        compute = partial(function, bench, *arguments)
        stages.append((name, seconds * sum(size.values()), compute))

    for_pairs("sets/{}", 0.018, find_faces)
    for method in bench.methods:
        if method not in (*bench.attacked, *SLOW):
            for_pairs(f"scores/{{}}/{method}", 0.006, score, method)
    for_pairs("attacks/{}", 0.1, attack)
    for_pairs("missing/{}", 0.01, count_missing)
    if len(bench.pairs) > 1:
        for method in IN_MATRIX.values():
            once(f"matrix/{method}", 0.02, cross_test, method)
    for method in IN_CURVES:
        for_pairs(f"curves/{{}}/{method}", 0.02, learn, method, pairs=bench.headline)
    for name in bench.readings:
        for block in BLOCKS:
            stage = f"ablation/{{}}/{name}/{block}"
            for_pairs(stage, 0.01, ablate, name, block, pairs=bench.headline)
    for method in SLOW:
        for_pairs(f"scores/{{}}/{method}", 0.06, score, method)
    return stages
