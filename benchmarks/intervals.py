"""Simulate how often a bootstrap interval of the AUC holds the true value, by number of groups.

    python benchmarks/intervals.py [--sets N] [--out FOLDER]

Scores are normal, with means that give an AUC of 0.9; every group is one item, so the figures also
hold for larger groups whose items are copies of each other. It needs no data.
"""

import numpy as np
from options import make_parser
from scipy.stats import norm
from table import save_table

from skfakespotter.evaluation import resample

TRUTH = 0.9  # AUC
GROUPS = (3, 5, 10, 20, 50)  # of each class


def main() -> None:
    """Simulate and save."""
    parser = make_parser(__doc__)
    parser.add_argument("--sets", type=int, default=400)
    options = parser.parse_args()
    rows = []
    for n in GROUPS:
        held = np.mean([holds(n, np.random.default_rng(seed)) for seed in range(options.sets)])
        rows.append((n, f"{100 * held:.0f} %"))
        print(*rows[-1], flush=True)
    save_table(
        options.out,
        "intervals",
        "How often an interval holds the truth",
        "python benchmarks/intervals.py",
        ("groups of each class", "95 % intervals that hold the true AUC"),
        rows,
        [f"{options.sets} simulated sets with a true AUC of {TRUTH}, 1,000 resamples each."],
    )


def holds(n, rng):
    """Draw a set of n real and n fake items; tell whether its interval holds the truth."""
    fake = np.repeat([False, True], n)
    score = rng.normal(size=2 * n) + fake * np.sqrt(2) * norm.ppf(TRUTH)
    above = (score[fake, None] > score[~fake]).astype(float)
    weights = np.concatenate([rows for rows, _ in resample(fake, np.arange(2 * n), 1000, 0)])
    real, fakes = weights[:, ~fake], weights[:, fake]
    values = ((fakes @ above) * real).sum(1) / (fakes.sum(1) * real.sum(1))
    low, high = np.percentile(values, (2.5, 97.5))
    return low <= TRUTH <= high


if __name__ == "__main__":
    main()
