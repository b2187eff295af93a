"""Stages: every measurement of the report, each saved when it is done."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score

from skfakespotter import GaussianBlur, GaussianNoise, JPEGCompression, Resize, paper_attacks
from skfakespotter.baselines import cheap_cue_baseline, make_baseline
from skfakespotter.evaluation._folds import make_folds, shuffle_stratified

from .detectors import (
    ATTACKED,
    CHANNEL_SVC,
    EMBEDDING_SVC,
    LAYER_SVC,
    METHODS,
    RIVALS,
    fit_folds,
    out_of_fold,
    score_with,
)
from .network import Watch, equation_one, observe, per_layer
from .pictures import CHUNK, Cropping, cut_chunk, cut_faces, join_copies, list_pictures
from .work import Work

N_FOLDS = 5
HEADLINE = ("stylegan", "faceswap")  # of one source, and large
MATRIX_METHODS = (CHANNEL_SVC, EMBEDDING_SVC)
CURVE_METHODS = (LAYER_SVC, CHANNEL_SVC, EMBEDDING_SVC)
CURVE_SIZES = (25, 50, 100, 200, 400, 800)
# Between the levels of paper_attacks, so that no tested perturbation was trained on.
HELD_OUT_LEVELS = {
    "jpeg": [JPEGCompression(q) for q in (80, 60, 40, 20)],
    "blur": [GaussianBlur(s) for s in (0.6, 0.9, 1.5, 3.0)],
    "resize": [Resize(s) for s in (0.82, 0.67, 0.55, 0.42)],
    "noise": [GaussianNoise(v, random_state=1) for v in (0.0007, 0.0015, 0.003, 0.007)],
}
ABLATION = {  # name: (watched, aligned)
    "neuron='channel'": ({"neuron": "channel"}, True),
    "rectify=True": ({"rectify": True}, True),
    "neuron='channel', rectify=True": ({"neuron": "channel", "rectify": True}, True),
    "plain centre crop": ({}, False),
}


@dataclass
class Bench:
    """All that the stages share."""

    data: object
    work: Work
    pairs: list
    cropping: Cropping
    watch: Watch
    limit: int | None = None
    n_attacked: int = 300
    n_jobs: int = 2
    _models: tuple = field(default=(None, None), repr=False)

    @cached_property
    def sets(self):
        """The faces of every pair, once they are cut."""
        return {pair: FaceSet(self, pair) for pair in self.pairs}


class FaceSet:
    """Faces of one pair with their labels, groups and folds, and their features."""

    def __init__(self, bench, pair):
        self.bench, self.pair = bench, pair
        columns = bench.work.load(f"faces/{pair}")
        self.y, self.groups = columns["y"], columns["groups"]
        self.paths, self.left_out = columns["paths"], columns["left_out"]
        self.n_joined = int(columns["n_joined"])
        self.folds = make_folds(self.y, self.groups, N_FOLDS)
        self.fold_of = np.empty(len(self.y), dtype=int)
        for number, (_, test) in enumerate(self.folds):
            self.fold_of[test] = number

    @property
    def chips(self):
        """Aligned faces."""
        return self.bench.work.big(f"chips/{self.pair}")

    @cached_property
    def facts(self):
        """Sums, thresholds of every fold (the last row: of all pictures), and the layout."""
        return self.bench.work.load(f"sums/{self.pair}")

    @property
    def fold_thresholds(self):
        """Thresholds of each picture: those of the fold in which it is held out, (n, L)."""
        return self.facts["thresholds"][self.fold_of]

    def features(self, block):
        """Give a function from a fold's number to features; -1: thresholds of all pictures."""
        big, pair = self.bench.work.big, self.pair
        if block in ("embedding", "means"):
            means = big(f"means/{pair}")
            n_last = self.facts["n_channels"][-1]
            return lambda fold: means[:, -n_last:] if block == "embedding" else means
        if block == "global":
            return lambda fold: big(f"counts/{pair}")[-1]
        if block == "layer":
            return lambda fold: per_layer(self._counts("counts", fold), self.facts["n_channels"])
        names = {"channel": "counts", "augmented": "augmented", "random": "random"}
        return lambda fold: self._counts(names[block], fold)

    def _counts(self, name, fold):
        # rows: the folds' thresholds, then those of all pictures, then the global threshold
        return self.bench.work.big(f"{name}/{self.pair}")[N_FOLDS if fold == -1 else fold]


def cut_pair(bench, pair):
    """Align the faces of a pair once; leave out pictures without a face, and count them."""
    paths, y, groups = list_pictures(bench.data, pair, bench.limit)
    chips, found, hashes = cut_faces(paths, bench.cropping, n_jobs=bench.n_jobs)
    groups, n_joined = join_copies(groups[found], hashes[found])
    bench.work.save_big(f"chips/{pair}", chips[found])
    bench.work.save(
        f"faces/{pair}",
        paths=paths[found],
        y=y[found],
        groups=groups,
        n_joined=n_joined,
        left_out=np.bincount(y[~found], minlength=2),
    )


def sum_pair(bench, pair):
    """Keep sums and means of every face, thresholds of every fold (equation 1)."""
    faces = FaceSet(bench, pair)
    seen = observe(bench.watch, faces.chips, n_jobs=bench.n_jobs)
    bench.work.save_big(f"means/{pair}", seen["means"])
    thresholds = _fold_thresholds(seen, faces.folds)
    layout = {key: seen[key] for key in ("sums", "n_neurons", "n_channels")}
    bench.work.save(f"sums/{pair}", thresholds=thresholds, **layout)


def count_pair(bench, pair):
    """Count every face at the thresholds of every fold, at those of all pictures, and at 0."""
    faces = FaceSet(bench, pair)
    thresholds = faces.facts["thresholds"]
    sets = np.vstack([thresholds, np.zeros_like(thresholds[:1])])
    counts = observe(bench.watch, faces.chips, sets, bench.n_jobs)["counts"]
    bench.work.save_big(f"counts/{pair}", counts)
    bench.work.save(f"counted/{pair}", n_sets=len(sets))


def count_random(bench, pair):
    """Count with the same architecture with random weights."""
    faces, watch = FaceSet(bench, pair), bench.watch._replace(weights="random")
    _count_anew(bench, f"random/{pair}", watch, faces.chips, faces.folds)


def _count_anew(bench, name, watch, chips, folds):
    """Find the thresholds of another watch and count at them."""
    thresholds = _fold_thresholds(observe(watch, chips, n_jobs=bench.n_jobs), folds)
    seen = observe(watch, chips, thresholds[:-1], bench.n_jobs)
    bench.work.save_big(name, seen["counts"])
    bench.work.save(name, n_channels=seen["n_channels"])


def count_augmented(bench, pair):
    """Count faces and one perturbed copy each, thresholds from both."""
    faces, rng = FaceSet(bench, pair), np.random.default_rng(0)
    attacks = [attack for levels in HELD_OUT_LEVELS.values() for attack in levels]
    drawn = rng.integers(len(attacks), size=len(faces.y))
    copies, found = np.empty_like(faces.chips), np.empty(len(faces.y), bool)
    jobs = [rows for k in range(len(attacks)) for rows in _pieces(np.flatnonzero(drawn == k))]
    parts = Parallel(bench.n_jobs)(
        delayed(cut_chunk)(faces.paths[rows], bench.cropping, attacks[drawn[rows[0]]])
        for rows in jobs
    )
    for rows, (chips, seen, _) in zip(jobs, parts, strict=True):
        copies[rows], found[rows] = chips, seen
    n, n_neurons = len(faces.y), faces.facts["n_neurons"]
    sums = [faces.facts["sums"], observe(bench.watch, copies, n_jobs=bench.n_jobs)["sums"]]
    sums = np.concatenate(sums)
    trains = [np.concatenate([train, n + train]) for train, _ in faces.folds]
    thresholds = np.array([equation_one(sums[train], n_neurons) for train in trains])
    both = [
        observe(bench.watch, chips, thresholds, bench.n_jobs)["counts"]
        for chips in (faces.chips, copies)
    ]
    bench.work.save_big(f"augmented/{pair}", np.concatenate(both, axis=1))
    bench.work.save(f"augmented/{pair}", thresholds=thresholds, n_missing=(~found).sum())


def _pieces(rows):
    return np.split(rows, range(CHUNK, len(rows), CHUNK)) if len(rows) else []


def _fold_thresholds(seen, folds):
    """Thresholds of each fold's training pictures, then of all pictures: (folds + 1, L)."""
    trains = [*(train for train, _ in folds), slice(None)]
    return np.array([equation_one(seen["sums"][t], seen["n_neurons"]) for t in trains])


def score_method(bench, pair, method):
    """Out-of-fold scores of one method."""
    faces, (block, classifier) = bench.sets[pair], METHODS[method]
    features = faces.features(block)
    scores, threshold = out_of_fold(classifier, features, faces.y, faces.folds, bench.n_jobs)
    bench.work.save(f"scores/{pair}/{method}", scores=scores, threshold=threshold)


def score_rival(bench, pair, name):
    """Out-of-fold scores of a detector that takes pictures, not faces."""
    faces = bench.sets[pair]
    rival = cheap_cue_baseline() if name == "cheap-cues" else make_baseline(name, random_state=0)
    rows = np.array_split(np.arange(len(faces.y)), 4 * bench.n_jobs)
    parts = Parallel(bench.n_jobs)(
        delayed(rival[0].transform)(faces.paths[r].tolist()) for r in rows
    )
    X = np.concatenate(parts)  # the first step is stateless
    scores, threshold = out_of_fold(rival[1:], lambda _: X, faces.y, faces.folds, bench.n_jobs)
    bench.work.save(f"scores/{pair}/{name}", scores=scores, threshold=threshold)


def attacked_rows(bench, pair):
    """Choose the pictures that are attacked: half real, half fake, the same for every attack."""
    y, half = bench.sets[pair].y, bench.n_attacked // 2
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(y == label))[:half] for label in (0, 1)]
    return np.sort(np.concatenate(chosen))


def attack_pair(bench, pair, attack):
    """Scores of attacked pictures, each by the detectors that did not see it."""
    faces, rows = bench.sets[pair], attacked_rows(bench, pair)
    augmented = bench.work.load(f"augmented/{pair}")["thresholds"][faces.fold_of[rows]]
    thresholds = np.stack([faces.fold_thresholds[rows], augmented])
    levels = paper_attacks(combined=True)[attack]
    jobs = [(k, piece) for k in range(len(levels)) for piece in _pieces(np.arange(len(rows)))]
    parts = Parallel(bench.n_jobs)(
        delayed(_attack_chunk)(
            bench.watch, bench.cropping, faces.paths[rows[p]], levels[k][1], thresholds[:, p]
        )
        for k, p in jobs
    )
    scores = np.empty((len(ATTACKED), len(levels), len(rows)))
    missing = np.zeros(len(levels), int)
    models = _attacked_models(bench, pair)
    for (level, piece), (blocks, found) in zip(jobs, parts, strict=True):
        missing[level] += (~found).sum()
        for fold in np.unique(faces.fold_of[rows[piece]]):
            here = faces.fold_of[rows[piece]] == fold
            for number, method in enumerate(ATTACKED):
                X = blocks[METHODS[method][0]][here]
                scores[number, level, piece[here]] = score_with(models[method][fold], X)
    bench.work.save(
        f"attacks/{pair}/{attack}",
        scores=scores,
        missing=missing,
        rows=rows,
        intensities=[intensity for intensity, _ in levels],
        methods=ATTACKED,
    )


def _attack_chunk(watch, cropping, paths, attack, thresholds):
    """Perturb, align again and count; features of every block, and where a face was found."""
    chips, found, _ = cut_chunk(paths, cropping, attack)
    seen = observe(watch, chips, thresholds, n_jobs=1)
    plain, augmented = seen["counts"]
    n_channels = seen["n_channels"]
    blocks = {
        "channel": plain,
        "augmented": augmented,
        "layer": per_layer(plain, n_channels),
        "means": seen["means"],
        "embedding": seen["means"][:, -n_channels[-1] :],
    }
    return blocks, found


def _attacked_models(bench, pair):
    """Fit the detectors of every fold; kept until the next pair comes."""
    if bench._models[0] != pair:
        faces, models = bench.sets[pair], {}
        for method in ATTACKED:
            block, classifier = METHODS[method]
            features = faces.features(block)
            models[method] = fit_folds(classifier, features, faces.y, faces.folds, bench.n_jobs)
        bench._models = pair, models
    return bench._models[1]


def cross_test(bench, pair):
    """Scores on a pair of detectors trained on each other pair, none of its photographs."""
    test = bench.sets[pair]
    others = [name for name in bench.pairs if name != pair]
    plans = [_plan(bench.sets[name], test.groups) for name in others]
    thresholds = np.stack(
        [bench.sets[o].facts["thresholds"][p] for o, p in zip(others, plans, strict=True)]
    )
    counts = observe(bench.watch, test.chips, thresholds, bench.n_jobs)["counts"]
    means = test.features("embedding")(0)
    scores = np.empty((len(MATRIX_METHODS), len(others), len(test.y)))
    for j, (name, plan) in enumerate(zip(others, plans, strict=True)):
        for i, method in enumerate(MATRIX_METHODS):
            X = counts[j] if METHODS[method][0] == "channel" else means
            for fold in np.unique(plan):
                here = plan == fold
                model = _whole_model(bench, name, method, fold)
                scores[i, j, here] = score_with(model, X[here])
    bench.work.save(f"matrix/{pair}", scores=scores, others=others, methods=MATRIX_METHODS)


def _plan(train, groups):
    """Say which detector may score each picture: N_FOLDS is the one of all pictures.

    Where photographs are shared, a picture goes to the fold that holds its photograph out.
    """
    fold_of = dict(zip(train.groups.tolist(), train.fold_of.tolist(), strict=True))
    if not any(group in fold_of for group in groups.tolist()):
        return np.full(len(groups), N_FOLDS)
    return np.array([fold_of.get(group, 0) for group in groups.tolist()])


def _whole_model(bench, pair, method, fold):
    faces, (block, classifier) = bench.sets[pair], METHODS[method]
    folds = [*faces.folds, (np.arange(len(faces.y)), None)]
    X = faces.features(block)(fold)
    return fit_folds(classifier, lambda _: X, faces.y, [folds[fold]], n_jobs=1)[0]


def learning_curve(bench, pair):
    """AUC against training size, thresholds from the same few pictures."""
    faces, y = bench.sets[pair], bench.sets[pair].y
    sizes = [n for n in CURVE_SIZES if n < min(len(train) for train, _ in faces.folds)]
    cells = [
        (shuffle_stratified(y, train, fold)[:size], test)
        for size in sizes
        for fold, (train, test) in enumerate(faces.folds)
    ]
    sums, n_neurons = faces.facts["sums"], faces.facts["n_neurons"]
    thresholds = np.array([equation_one(sums[train], n_neurons) for train, _ in cells])
    if cells:
        counts = observe(bench.watch, faces.chips, thresholds, bench.n_jobs)["counts"]
    blocks = {
        "channel": lambda k: counts[k],
        "layer": lambda k: per_layer(counts[k], faces.facts["n_channels"]),
        "embedding": faces.features("embedding"),
    }
    shape = (len(sizes), len(faces.folds))
    auc = np.empty((len(CURVE_METHODS), len(sizes) + 1, len(faces.folds)))
    for i, method in enumerate(CURVE_METHODS):
        block, classifier = METHODS[method]
        models = fit_folds(classifier, blocks[block], y, cells, bench.n_jobs)
        for k, (model, (_, test)) in enumerate(zip(models, cells, strict=True)):
            scores = score_with(model, blocks[block](k)[test])
            auc[i][np.unravel_index(k, shape)] = roc_auc_score(y[test], scores)
        whole = bench.work.load(f"scores/{pair}/{method}")["scores"]
        auc[i, -1] = [roc_auc_score(y[test], whole[test]) for _, test in faces.folds]
    sizes = [*sizes, round(np.mean([len(train) for train, _ in faces.folds]))]
    bench.work.save(f"curves/{pair}", auc=auc, sizes=sizes, methods=CURVE_METHODS)


def ablate(bench, pair, name):
    """Out-of-fold scores of another reading of the paper, per layer and per channel."""
    faces, (options, aligned) = bench.sets[pair], ABLATION[name]
    chips = faces.chips
    if not aligned:
        plain = bench.cropping._replace(align=False)
        chips = cut_faces(faces.paths, plain, n_jobs=bench.n_jobs)[0]
    _count_anew(
        bench, f"ablated/{pair}/{name}", bench.watch._replace(**options), chips, faces.folds
    )
    counts, n_channels = bench.work.big(f"ablated/{pair}/{name}"), faces.facts["n_channels"]
    blocks = {"layer": lambda k: per_layer(counts[k], n_channels), "channel": lambda k: counts[k]}
    _save_ablation(bench, pair, name, blocks)


def ablate_counted(bench, pair):
    """Out-of-fold scores of other uses of the counts that are there already."""
    faces, n_channels = bench.sets[pair], bench.sets[pair].facts["n_channels"]
    layer, channel = faces.features("layer"), faces.features("channel")
    constant = faces.features("global")
    n_neurons = faces.facts["n_neurons"]
    per_channel = np.repeat(n_neurons / n_channels, n_channels)
    fractions = {
        "layer": lambda k: layer(k) / n_neurons,
        "channel": lambda k: channel(k) / per_channel,
    }
    zero = {"layer": lambda k: per_layer(constant(k), n_channels), "channel": constant}
    _save_ablation(bench, pair, "output='fraction'", fractions)
    _save_ablation(bench, pair, "threshold=0.0", zero)
    number = np.repeat(np.arange(len(n_channels)), n_channels)
    thirds = np.array_split(np.arange(len(n_channels)), 3)
    for third in thirds:
        few = slice(third[0], third[-1] + 1)
        columns = np.flatnonzero((number >= third[0]) & (number <= third[-1]))
        blocks = {
            "layer": lambda k, few=few: layer(k)[:, few],
            "channel": lambda k, columns=columns: channel(k)[:, columns],
        }
        _save_ablation(bench, pair, f"layers {third[0] + 1} to {third[-1] + 1} alone", blocks)
    bench.work.save(f"ablation_done/{pair}", done=True)


def _save_ablation(bench, pair, name, blocks):
    faces, scores = bench.sets[pair], {}
    for block, features in blocks.items():
        scores[block], _ = out_of_fold("SVC", features, faces.y, faces.folds, bench.n_jobs)
    bench.work.save(f"ablation/{pair}/{name}", **scores)


def list_stages(bench):
    """List all stages, the most important first, with their expected cost in seconds.

    Returns
    -------
    list of (str, float, callable)
        For :func:`~report.work.run_stages`.
    """
    stages = []
    size = {pair: len(list_pictures(bench.data, pair, bench.limit).y) for pair in bench.pairs}

    def add(name, seconds, function, *arguments):
        stages.append((name, seconds, lambda: function(bench, *arguments)))

    def for_pairs(name, seconds, function, pairs=None, *arguments):
        for pair in bench.pairs if pairs is None else pairs:
            add(name.format(pair), seconds * size[pair], function, pair, *arguments)

    headline = [pair for pair in HEADLINE if pair in bench.pairs] or bench.pairs[:2]
    slow = ("coverage per channel + FakeSpotterClassifier",)
    for_pairs("faces/{}", 0.012, cut_pair)
    for_pairs("sums/{}", 0.004, sum_pair)
    for_pairs("counted/{}", 0.007, count_pair)
    for method, (block, _) in METHODS.items():
        if block not in ("augmented", "random") and method not in slow:
            for_pairs(f"scores/{{}}/{method}", 0.005, score_method, None, method)
    for_pairs("scores/{}/cheap-cues", 0.003, score_rival, None, "cheap-cues")
    for_pairs("augmented/{}", 0.022, count_augmented)
    for method, (block, _) in METHODS.items():
        if block == "augmented":
            for_pairs(f"scores/{{}}/{method}", 0.006, score_method, None, method)
    for pair in bench.pairs:
        for attack in paper_attacks(combined=True):
            seconds = 5 * 0.014 * min(bench.n_attacked, size[pair])
            add(f"attacks/{pair}/{attack}", seconds, attack_pair, pair, attack)
    if len(bench.pairs) > 1:
        for_pairs("matrix/{}", 0.012, cross_test)
    for_pairs("curves/{}", 0.025, learning_curve, headline)
    for name in ABLATION:
        for_pairs(f"ablation/{{}}/{name}", 0.014, ablate, headline, name)
    for_pairs("ablation_done/{}", 0.01, ablate_counted, headline)
    for_pairs("random/{}", 0.011, count_random)
    for method, (block, _) in METHODS.items():
        if block == "random":
            for_pairs(f"scores/{{}}/{method}", 0.005, score_method, None, method)
    for name in RIVALS[1:-1]:
        for_pairs(f"scores/{{}}/{name}", 0.006, score_rival, None, name)
    for method in slow:
        for_pairs(f"scores/{{}}/{method}", 0.06, score_method, None, method)
    for_pairs("scores/{}/spectrum-cnn", 0.05, score_rival, None, "spectrum-cnn")
    return stages
