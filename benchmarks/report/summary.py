"""Summary: figures with intervals from the scores that the stages kept."""

from functools import cache, cached_property

import numpy as np
from pairs import describe_pair
from sklearn.metrics import roc_auc_score

from skfakespotter import detection_report, paper_attacks
from skfakespotter.evaluation._bootstrap import number_groups, resample
from skfakespotter.evaluation._figures import FIGURES, weighted_figures
from skfakespotter.evaluation._results import PERCENTILES

from .detectors import ATTACKED, LAYER_FSC, METHODS, RIVALS

N_BOOTSTRAPS = 1000
N_ATTACK_BOOTSTRAPS = 500
CHOSEN_ON = ("stylegan", "pggan")  # the recommendation is made on these, tested on the others
CANDIDATES = tuple(m for m, (block, _) in METHODS.items() if block in ("layer", "channel")) + tuple(
    m for m, (block, _) in METHODS.items() if block == "augmented"
)


def draw_auc(fake, scores, weights):
    """AUC of the items as they are, then of each resample."""
    weights = np.vstack([np.ones((1, len(fake))), weights])
    return weighted_figures(fake, scores, 0.0, weights)[:, FIGURES.index("AUC")]


def interval(draws):
    """Give the value and its 95 % interval from draws of which the first is the value."""
    return float(draws[0]), *np.percentile(draws[1:], PERCENTILES).tolist()


class Summary:
    """All figures of the report.

    Parameters
    ----------
    bench : Bench
        With finished stages; methods without scores are left out.
    """

    def __init__(self, bench):
        self.bench, self.work, self.pairs = bench, bench.work, list(bench.pairs)

    @cached_property
    def methods(self):
        """Methods that were scored on every pair, in the order of the table."""
        every = [*METHODS, *RIVALS]
        return [m for m in every if all(self.work.has(f"scores/{p}/{m}") for p in self.pairs)]

    @cache  # noqa: B019 - one summary a process
    def scores(self, pair, method):
        """Out-of-fold scores and the threshold of the decision."""
        kept = self.work.load(f"scores/{pair}/{method}")
        return kept["scores"], float(kept["threshold"])

    @cache  # noqa: B019
    def report(self, pair, method):
        """Give the eleven figures with intervals."""
        faces = self.bench.sets[pair]
        scores, threshold = self.scores(pair, method)
        return detection_report(
            faces.y, scores, threshold=threshold, groups=faces.groups, n_bootstraps=N_BOOTSTRAPS
        )

    def fold_auc(self, pair, method):
        """AUC within each fold."""
        faces, (scores, _) = self.bench.sets[pair], self.scores(pair, method)
        return np.array([roc_auc_score(faces.y[t], scores[t]) for _, t in faces.folds])

    @cache  # noqa: B019
    def weights(self, pair):
        """Resamples by group, the same for every method."""
        faces = self.bench.sets[pair]
        group = number_groups(faces.groups, len(faces.y))
        return np.concatenate([w for w, _ in resample(faces.y == 1, group, N_BOOTSTRAPS)])

    @cache  # noqa: B019
    def auc(self, pair, method):
        """AUC, then its resamples."""
        fake = self.bench.sets[pair].y == 1
        return draw_auc(fake, self.scores(pair, method)[0], self.weights(pair))

    def difference(self, pair, method, other):
        """AUC of one method less that of another, with its paired interval."""
        return interval(self.auc(pair, method) - self.auc(pair, other))

    def mean_difference(self, pairs, method, other):
        """Mean of the differences over pairs, with its interval."""
        return interval(np.mean([self.auc(p, method) - self.auc(p, other) for p in pairs], axis=0))

    @cache  # noqa: B019
    def attacked(self, pair):
        """AUC of each method, unattacked and under each attack, with resamples.

        Returns
        -------
        dict of str to ndarray of shape (1 + settings, 1 + resamples)
            By method; settings in the order of :attr:`settings`.
        """
        faces, kept = self.bench.sets[pair], {}
        for attack in paper_attacks(combined=True):
            kept[attack] = self.work.load(f"attacks/{pair}/{attack}")
        rows = kept["jpeg"]["rows"]
        fake, group = faces.y[rows] == 1, number_groups(faces.groups[rows], len(rows))
        weights = np.concatenate([w for w, _ in resample(fake, group, N_ATTACK_BOOTSTRAPS)])
        result = {}
        for number, method in enumerate(ATTACKED):
            settings = [self.scores(pair, method)[0][rows]]
            settings += [scores for a in kept.values() for scores in a["scores"][number]]
            result[method] = np.array([draw_auc(fake, scores, weights) for scores in settings])
        return result

    @cached_property
    def settings(self):
        """Attack and intensity of each row of :meth:`attacked` but the first."""
        grids = paper_attacks(combined=True)
        return [(name, intensity) for name, levels in grids.items() for intensity, _ in levels]

    @cached_property
    def single(self):
        """Which settings belong to the paper's four attacks."""
        return np.array([name in paper_attacks() for name, _ in self.settings])

    def loss(self, pairs, method):
        """Average AUC loss in points, four attacks by five intensities, mean over pairs."""
        return 100 * np.mean([self._losses(p, method) for p in pairs], axis=0)

    def attacked_auc(self, pairs, method):
        """Average AUC under the four attacks, mean over pairs."""
        values = [self.attacked(p)[method][1:][self.single].mean(axis=0) for p in pairs]
        return np.mean(values, axis=0)

    def _losses(self, pair, method):
        values = self.attacked(pair)[method]
        return (values[0] - values[1:][self.single]).mean(axis=0)

    def without_face(self, pair):
        """Pictures in which no face was found under each attack, by level, and how many there are.

        Returns
        -------
        dict of str to list of int, int
            Counts by attack, and pictures attacked.
        """
        kept = {a: self.work.load(f"attacks/{pair}/{a}") for a in paper_attacks(combined=True)}
        return {a: k["missing"].tolist() for a, k in kept.items()}, len(kept["jpeg"]["rows"])

    @cached_property
    def kinds(self):
        """Pairs of each kind of fake."""
        kinds = {}
        for pair in self.pairs:
            kinds.setdefault(describe_pair(pair).kind, []).append(pair)
        return kinds

    def cross(self, method):
        """AUC of detectors of one pair on another, with intervals; the diagonal is out of fold.

        Returns
        -------
        dict of (str, str) to (float, float, float)
            By training and test pair.
        """
        cells = {(p, p): interval(self.auc(p, method)) for p in self.pairs}
        for pair in self.pairs:
            kept, fake = self.work.load(f"matrix/{pair}"), self.bench.sets[pair].y == 1
            number = kept["methods"].tolist().index(method)
            for other, scores in zip(kept["others"].tolist(), kept["scores"][number], strict=True):
                cells[other, pair] = interval(draw_auc(fake, scores, self.weights(pair)))
        return cells

    def ablation(self, pair):
        """AUC of each reading, per layer and per channel, as draws; the default first."""
        faces = self.bench.sets[pair]
        folder = self.work.folder / "ablation" / pair
        default = {
            "layer": self.auc(pair, "coverage per layer + SVC"),
            "channel": self.auc(pair, "coverage per channel + SVC"),
        }
        rows = {"default": default}
        for file in sorted(folder.glob("*.npz"), key=lambda f: f.stat().st_mtime):
            name = file.name.removesuffix(".npz")
            kept = self.work.load(f"ablation/{pair}/{name}")
            rows[name] = {
                block: draw_auc(faces.y == 1, scores, self.weights(pair))
                for block, scores in kept.items()
            }
        return rows

    def recommend(self, attacked=False):
        """Choose the best candidate on ``CHOSEN_ON`` alone, by mean AUC, clean or attacked.

        Returns
        -------
        str
            The method.
        """
        if attacked:
            mean = {m: self.attacked_auc(CHOSEN_ON, m)[0] for m in CANDIDATES if m in ATTACKED}
        else:
            tried = [m for m in CANDIDATES if m in self.methods]
            mean = {m: np.mean([self.auc(p, m)[0] for p in CHOSEN_ON]) for m in tried}
        return max(mean, key=mean.get)

    def win(self, method, pair, attacked=False):
        """By how much a method beats the paper's on a pair, with its interval."""
        if not attacked:
            return interval(self.auc(pair, method) - self.auc(pair, LAYER_FSC))
        pairs = [pair]
        return interval(self.attacked_auc(pairs, method) - self.attacked_auc(pairs, LAYER_FSC))
