"""Summary: figures with intervals from the results that the stages kept."""

from functools import cache, cached_property

import numpy as np
from pairs import describe_pair
from sklearn.metrics import roc_auc_score

from skfakespotter import detection_report, paper_attacks
from skfakespotter.evaluation import FIGURES, number_groups, resample, weighted_figures

PERCENTILES = (2.5, 97.5)
CLEAN = ("clean", None)


def interval(draws):
    """Return the value and its 95 % interval from draws of which the first is the value."""
    return float(draws[0]), *np.percentile(draws[1:], PERCENTILES).tolist()


class Summary:
    """All figures of a bench with finished stages; draws are the value, then its resamples."""

    def __init__(self, bench):
        self.bench, self.work, self.pairs = bench, bench.work, list(bench.pairs)

    @cached_property
    def kinds(self):
        """Pairs of each kind of fake."""
        kinds = {}
        for pair in self.pairs:
            kinds.setdefault(describe_pair(pair).kind, []).append(pair)
        return kinds

    @cache  # noqa: B019 - one summary a process
    def curves(self, pair):
        """Robustness curves of a pair, by method."""
        return self.work.load(f"attacks/{pair}")

    @cache  # noqa: B019
    def scores(self, pair, method):
        """Out-of-fold scores, the threshold of the decision, and the fold of each picture."""
        if method in self.bench.attacked:
            scores = self.curves(pair)[method].scores[CLEAN]
            probable = scores.min() >= 0 and scores.max() <= 1
            return scores, 0.5 if probable else 0.0
        result = self.work.load(f"scores/{pair}/{method}")
        return result.scores, result.threshold

    @cache  # noqa: B019
    def report(self, pair, method):
        """Return the eleven figures with intervals."""
        faces, (scores, threshold) = self.bench.set(pair), self.scores(pair, method)
        options = {"groups": faces.groups, "n_bootstraps": self.bench.n_bootstraps}
        return detection_report(faces.y, scores, threshold=threshold, **options)

    def fold_auc(self, pair, method):
        """Return the mean AUC within each fold."""
        y, (scores, _) = self.bench.set(pair).y, self.scores(pair, method)
        return np.mean([roc_auc_score(y[test], scores[test]) for test in self.folds(pair)])

    @cache  # noqa: B019
    def folds(self, pair):
        """Pictures tested in each fold, which are the same for every method."""
        alone = next(m for m in self.bench.methods if m not in self.bench.attacked)
        folds = self.work.load(f"scores/{pair}/{alone}").folds
        return [np.flatnonzero(folds == fold) for fold in np.unique(folds)]

    @cache  # noqa: B019
    def weights(self, pair):
        """How often each picture counts: once, then in each resample by group."""
        faces = self.bench.set(pair)
        fake, group = faces.y == 1, number_groups(faces.groups, len(faces.y))
        drawn = [weights for weights, _ in resample(fake, group, self.bench.n_bootstraps)]
        return np.concatenate([np.ones((1, len(fake))), *drawn])

    def draw_auc(self, pair, scores):
        """Return draws of the AUC of scores, with the same resamples for all of a pair."""
        figures = weighted_figures(self.bench.set(pair).y == 1, scores, 0.0, self.weights(pair))
        return figures[:, FIGURES.index("AUC")]

    @cache  # noqa: B019
    def auc(self, pair, method):
        """Return draws of the AUC of a method."""
        return self.draw_auc(pair, self.scores(pair, method)[0])

    def mean_auc(self, pairs, method):
        """Return draws of the mean AUC over pairs, each resampled by itself."""
        return np.mean([self.auc(pair, method) for pair in pairs], axis=0)

    @cache  # noqa: B019
    def attacked(self, pair, method):
        """Return draws of the AUC under each attack, (settings, draws), and unattacked."""
        curve = self.curves(pair)[method]
        values = np.array([curve.clean_score, *curve.columns["score"]])
        draws = np.column_stack([values, curve.bootstraps])
        return draws[1:], draws[0]

    @cached_property
    def settings(self):
        """Attack and intensity of each row of :meth:`attacked`."""
        columns = self.curves(self.pairs[0])[self.bench.attacked[0]].columns
        return list(zip(columns["attack"], columns["intensity"], strict=True))

    @cached_property
    def single(self):
        """Which settings belong to the paper's four attacks."""
        return np.array([name in paper_attacks() for name, _ in self.settings])

    def loss(self, pairs, method):
        """Return draws of the average AUC loss in points, four attacks by five intensities."""
        clean = np.mean([self.attacked(pair, method)[1] for pair in pairs], axis=0)
        return 100 * (clean - self.attacked_auc(pairs, method))

    def attacked_auc(self, pairs, method):
        """Return draws of the average AUC under the four attacks, mean over pairs."""
        return np.mean([self.attacked(p, method)[0][self.single].mean(0) for p in pairs], axis=0)
