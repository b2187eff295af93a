"""Coverage over time, by hand."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skfakespotter import NeuronCoverageTransformer, make_pictures
from skfakespotter.video import CoverageOverTime


def corners(X):
    """Two numbers a picture, as a stand-in for counts."""
    return np.array([picture[0, :2, 0] for picture in X], float)


def track(*rows):
    """Pictures whose first two pixels are the numbers given."""
    pictures = np.zeros((len(rows), 16, 16, 3), np.uint8)
    pictures[:, 0, :2] = np.array(rows)[:, :, None]
    return pictures


COUNTS = FunctionTransformer(corners, feature_names_out=lambda self, names: ["a", "b"])


class TestCoverageOverTime:
    @pytest.mark.parametrize(
        ("statistic", "expected"),
        [
            # of 1, 2, 4, 7, 3: first differences 1, 2, 3, -4, second differences 1, 1, -7
            ("mean", 3.4),
            ("spread", np.sqrt((2.4**2 + 1.4**2 + 0.6**2 + 3.6**2 + 0.4**2) / 5)),
            ("flicker", 2.5),
            ("jitter", 3),
            ("roughness", (3 + 1) / (2.5 + 1)),
        ],
    )
    def test_statistics_by_hand(self, statistic, expected):
        one = track(*[(n, 5) for n in [1, 2, 4, 7, 3]])
        constant = {"mean": 5, "roughness": 1}.get(statistic, 0)
        got = CoverageOverTime(COUNTS, statistics=statistic).fit_transform([one])
        assert got[0] == pytest.approx([expected, constant], rel=1e-6)

    def test_joins_statistics_in_their_order(self):
        X = [track((1, 10), (3, 10)), track((5, 0), (5, 7), (5, 0))]
        over_time = CoverageOverTime(COUNTS, statistics=("flicker", "mean"))
        assert over_time.fit_transform(X).tolist() == pytest.approx(
            np.array([[2, 0, 2, 10], [0, 7, 5, 7 / 3]]), rel=1e-6
        )
        names = over_time.get_feature_names_out().tolist()
        assert names == ["flicker a", "flicker b", "mean a", "mean b"]
        assert over_time.n_faces_needed_ == 2

    def test_tracks_stay_apart(self):
        """The last face of a track and the first of the next are no neighbors."""
        X = [track((0, 0), (0, 0)), track((9, 9), (9, 9))]
        assert not CoverageOverTime(COUNTS, statistics="flicker").fit_transform(X).any()

    def test_is_the_coverage_of_the_faces(self):
        X, _ = make_pictures(9, random_state=0)
        coverage = NeuronCoverageTransformer("toy_image", granularity="channel", device="cpu")
        counts = clone(coverage).fit(X).transform(X)
        over_time = CoverageOverTime(coverage).fit([X[:4], list(X[4:])])
        assert not hasattr(coverage, "thresholds_")  # a clone was fitted
        got = over_time.transform([X[:4], X[4:]])
        flicker = np.abs(np.diff(counts[4:], axis=0)).mean(axis=0)
        assert got[1] == pytest.approx(np.r_[counts[4:].mean(axis=0), flicker], rel=1e-5)
        both = CoverageOverTime(coverage).fit_transform([X[:4], X[4:]])
        assert np.allclose(got, both, atol=1)
        assert over_time.get_feature_names_out().shape == (got.shape[1],)

    def test_a_frozen_coverage_keeps_its_thresholds(self):
        X, _ = make_pictures(8, random_state=0)
        fitted = NeuronCoverageTransformer("toy_image", device="cpu").fit(X[:2])
        over_time = CoverageOverTime(FrozenEstimator(fitted), statistics="mean")
        got = over_time.fit_transform([X[2:5], X[5:]])
        assert np.array_equal(over_time.coverage_.thresholds_, fitted.thresholds_)
        assert got[0] == pytest.approx(fitted.transform(X[2:5]).mean(axis=0), rel=1e-5)

    def test_default_counts_channels_of_dlib(self):
        assert CoverageOverTime()._clone().granularity == "channel"

    def test_in_a_pipeline(self):
        rng = np.random.default_rng(0)
        steady = [track(*[(100, 100)] * 6) for _ in range(10)]
        restless = [track(*rng.integers(50, 150, (6, 2))) for _ in range(10)]
        y = np.repeat([0, 1], 10)
        model = make_pipeline(
            CoverageOverTime(COUNTS, statistics="flicker"), StandardScaler(), LogisticRegression()
        )
        assert model.fit(steady + restless, y).score(steady + restless, y) == 1.0

    @pytest.mark.parametrize(
        ("statistics", "error"),
        [
            ("sum", r"statistics is 'sum': expected from \['mean', .*and not \['sum'\]"),
            (("mean", "sum"), r"and not \['sum'\]"),
            ((), r"statistics is \(\): expected from .*, at least one\."),
            (3, "The 'statistics' parameter of CoverageOverTime must be"),
        ],
    )
    def test_refuses_other_statistics(self, statistics, error):
        with pytest.raises(ValueError, match=error):
            CoverageOverTime(COUNTS, statistics=statistics).fit([track((1, 1), (2, 2))])

    def test_refuses_short_tracks_and_no_tracks(self):
        over_time = CoverageOverTime(COUNTS, statistics=("mean", "jitter"))
        with pytest.raises(ValueError, match=r"X\[1\] has 2 faces: expected at least 3 for"):
            over_time.fit([track((1, 1), (2, 2), (3, 3)), track((1, 1), (2, 2))])
        for X in ("a.mp4", [], 3):
            with pytest.raises(TypeError, match="expected a sequence of tracks"):
                over_time.fit(X)
        with pytest.raises(ValueError, match="'coverage' parameter of CoverageOverTime must be"):
            CoverageOverTime("dlib").fit([track((1, 1), (2, 2))])
