"""QueryAttack and PerceptualBound: queries counted, places by hand, similarity by scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity as of_skimage
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skfakespotter import (
    AdversarialAttack,
    GaussianNoise,
    QueryAttack,
    make_fakespotter,
)
from skfakespotter.baselines import FaceEmbedding
from skfakespotter.evaluation import PerceptualBound, structural_similarity


class Brightness(ClassifierMixin, BaseEstimator):
    """Calls what is bright on average a fake, and notes what it was asked."""

    classes_ = np.array([0, 1])

    def __init__(self):
        self.asked = []

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        self.asked.append(np.stack(X))
        return np.stack(X).mean(axis=(1, 2, 3)) - 128

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)


@pytest.fixture(scope="module")
def data():
    """Noise of the network's own size; fakes have faint stripes."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(128, 25, (120, 32, 32, 3)), np.arange(120) % 2
    X[y == 1, :, ::2] += 10
    X = X.clip(0, 255).round().astype(np.uint8)
    return X[:90], y[:90], X[90:], y[90:]


@pytest.fixture(scope="module")
def detector(data):
    linear = LogisticRegression(max_iter=1000)
    options = {"granularity": "channel", "classifier": linear, "align": False}
    return make_fakespotter("toy_image", **options).fit(*data[:2])


def test_a_known_detector_is_asked_as_often_as_said_and_climbs():
    X = np.full((3, 20, 20, 3), 100, np.uint8)
    X[2] = 160
    detector = Brightness()
    attacked = QueryAttack(detector, 8.9, n_queries=200).transform(X)
    assert [len(batch) for batch in detector.asked] == [3] * 200
    change = attacked.astype(int) - X
    assert set(np.unique(change)) <= {-8, 0, 8}  # 0 nowhere, unless no query was better
    moved = change.mean(axis=(1, 2, 3))
    assert (moved[:2] > 1.5).all()  # what is dark is made brighter
    assert moved[2] < -1.5
    means = [batch[0].mean() for batch in detector.asked]
    assert attacked[0].mean() == max(means)  # the best of what was tried


def test_squares_shrink_as_published():
    attack = QueryAttack(Brightness(), n_queries=10_000, share=0.1)
    sides = {query: attack._side(query, 100, 100) for query in (1, 11, 51, 201, 4001, 8001)}
    # areas 1,000 halved 0, 1, 2, 3, 7 and 9 times
    assert sides == {1: 32, 11: 22, 51: 16, 201: 11, 4001: 3, 8001: 1}


def test_first_query_is_of_vertical_stripes():
    X = np.full((1, 16, 16, 3), 100, np.uint8)
    detector = Brightness()
    QueryAttack(detector, 4, n_queries=2).transform(X)
    stripes = detector.asked[1][0]
    assert (stripes == stripes[:1]).all()
    assert set(np.unique(stripes)) == {96, 104}


def test_what_is_drawn_depends_on_the_picture_alone(data, detector):
    X = data[2][:3]
    attack = QueryAttack(detector, 8, n_queries=6, batch_size=2)
    together = attack.transform(X)
    np.testing.assert_array_equal(attack.transform(X[::-1])[::-1], together)
    other = clone(attack).set_params(random_state=1).transform(X)
    assert (other != together).any()


def test_queries_beat_chance_and_take_any_detector(data, detector):
    X = data[2][:12]
    before = detector.decision_function(X)
    noise = GaussianNoise((16 / 255) ** 2, random_state=0)
    queries = QueryAttack(detector, 16, n_queries=40)
    pushed, shaken = (
        np.where(before < 0, 1, -1) * (detector.decision_function(attack.transform(X)) - before)
        for attack in (queries, noise)
    )
    assert (pushed >= 0).all()
    assert pushed.mean() > 2 * shaken.mean()
    forest = make_pipeline(detector[1], RandomForestClassifier(20, random_state=0))
    names = np.where(data[1] == 1, "fake", "real")
    forest.fit(data[0], names)
    fooled = QueryAttack(forest, 16, n_queries=20, target="real").transform(X)
    fake = list(forest.classes_).index("fake")
    before, after = (forest.predict_proba(some)[:, fake].mean() for some in (X, fooled))
    assert after < before - 0.1


def test_similarity_is_that_of_scikit_image(data):
    rng = np.random.default_rng(1)
    one = data[2][0]
    for spread in (2, 20):
        other = (one + rng.normal(0, spread, one.shape)).clip(0, 255).astype(np.uint8)
        expected = of_skimage(
            one,
            other,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        assert structural_similarity(one, other) == pytest.approx(expected, abs=1e-6)


def test_bound_keeps_as_much_of_the_change_as_it_may(data):
    faces = data[2][:4]
    signs = np.random.default_rng(0).choice([-1, 1], faces.shape)
    attacked = (faces + 40 * signs).clip(0, 255).astype(np.uint8)
    limited = PerceptualBound(0.9).limit(faces, attacked)
    similar = [structural_similarity(*pair) for pair in zip(faces, limited, strict=True)]
    assert min(similar) >= 0.9
    assert max(similar) < 0.93  # more of the change would not have kept it
    np.testing.assert_array_equal(PerceptualBound(-1.0).limit(faces, attacked), attacked)
    np.testing.assert_array_equal(PerceptualBound(1.0).limit(faces, attacked), faces)


def test_bound_keeps_the_person(data):
    faces, identity = data[2][:4], FaceEmbedding("toy_image", device="cpu")
    persons = identity.transform(faces)
    attacked = np.clip(faces.astype(int) + 60, 0, 255).astype(np.uint8)
    far = np.linalg.norm(identity.transform(attacked) - persons, axis=1)
    allowed = float(far.min() / 3)
    limited = PerceptualBound(identity=identity, max_distance=allowed).limit(faces, attacked)
    near = np.linalg.norm(identity.transform(limited) - persons, axis=1)
    assert (near <= allowed).all()
    assert (limited != faces).any(axis=(1, 2, 3)).all()


def test_bound_limits_both_attacks(data, detector):
    X, bound = data[2][:3], PerceptualBound(0.99)
    for attack in (AdversarialAttack(detector, 8), QueryAttack(detector, 8, n_queries=6)):
        free = [structural_similarity(*p) for p in zip(X, attack.transform(X), strict=True)]
        attack = clone(attack).set_params(bound=bound)
        kept = [structural_similarity(*p) for p in zip(X, attack.transform(X), strict=True)]
        assert min(free) < 0.99 <= min(kept)


def test_refuses(data, detector):
    with pytest.raises(ValueError, match=r"min_similarity is 1.5: expected at most 1"):
        PerceptualBound(1.5)
    with pytest.raises(ValueError, match="max_distance is 0: expected a number above 0"):
        PerceptualBound(max_distance=0)
    with pytest.raises(ValueError, match="'bound' parameter of QueryAttack must be"):
        QueryAttack(detector, bound=0.9).transform(data[2])
    with pytest.raises(ValueError, match="X holds pictures of several sizes"):
        QueryAttack(detector).transform([data[2][0], data[2][0][:20]])
