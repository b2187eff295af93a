"""Stacks of experts: learned weights, folds that keep groups together, calibration."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skfakespotter import ExpertStack


def column(i):
    return FunctionTransformer(lambda X: X[:, [i]])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    return np.column_stack([y + rng.normal(0, 0.5, 200), rng.normal(size=(200, 1))]), y


def two_experts():
    return [
        ("knows", make_pipeline(column(0), StandardScaler(), LogisticRegression())),
        ("guesses", make_pipeline(column(1), SVC())),
    ]


def test_an_expert_that_knows_nothing_gets_no_say(data):
    stack = ExpertStack(two_experts()).fit(*data)
    assert stack.weights_["knows"] > 2
    assert abs(stack.weights_["guesses"]) < 0.2 * stack.weights_["knows"]


def test_the_decision_is_the_weighted_sum(data):
    stack = ExpertStack(two_experts()).fit(*data)
    X = data[0][:5]
    said = np.column_stack([expert.decision_function(X) for _, expert in stack.experts_])
    expected = said @ stack.coef_ + stack.intercept_
    np.testing.assert_allclose(stack.decision_function(X), expected)
    np.testing.assert_allclose(stack.predict_proba(X)[:, 1], 1 / (1 + np.exp(-expected)))
    np.testing.assert_array_equal(stack.predict(X), (expected > 0).astype(int))


def test_one_expert_is_calibrated_on_what_it_has_not_seen():
    """A tree that learned noise by heart must not be sure of anything."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)), rng.integers(2, size=300)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    assert tree.score(X, y) == 1.0
    stack = ExpertStack([("tree", DecisionTreeClassifier(random_state=0))]).fit(X, y)
    assert np.abs(stack.predict_proba(X) - 0.5).max() < 0.15


def test_groups_are_kept_together():
    """Copies of an item are recognized when they stand on both sides, and not when grouped."""
    rng = np.random.default_rng(0)
    X, y = np.tile(rng.normal(size=(100, 2)), (3, 1)), np.tile(rng.integers(2, size=100), 3)
    expert = [("tree", DecisionTreeClassifier(random_state=0))]
    groups = np.tile(np.arange(100), 3)
    apart, together = ExpertStack(expert).fit(X, y), ExpertStack(expert).fit(X, y, groups)
    assert apart.weights_["tree"] > 2
    assert abs(together.weights_["tree"]) < 0.6


def test_labels_and_parameters(data):
    X, y = data
    stack = ExpertStack(two_experts()).fit(X, np.array(["real", "fake"])[y])
    assert stack.classes_.tolist() == ["fake", "real"]
    assert set(stack.predict(X)) == {"fake", "real"}
    stack.set_params(guesses__svc__C=3.0)
    assert stack.get_params()["guesses__svc__C"] == 3.0
    copied = clone(stack)
    assert not hasattr(copied, "coef_")
    assert copied.get_params()["guesses__svc__C"] == 3.0


def test_what_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match=r"experts is \[\]: expected"):
        ExpertStack([]).fit(X, y)
    with pytest.raises(ValueError, match="of different names"):
        ExpertStack([("a", SVC()), ("a", SVC())]).fit(X, y)
    with pytest.raises(ValueError, match="y holds 3 classes"):
        ExpertStack([("a", SVC())]).fit(X, np.arange(200) % 3)
    with pytest.raises(ValueError, match="The 'cv' parameter of ExpertStack"):
        ExpertStack([("a", SVC())], cv=1).fit(X, y)


def test_weights_of_one_change_nothing_and_balanced_ones_move_the_odds(data):
    X, y = data[0], (np.arange(200) % 4 == 0).astype(int)  # one in four, and nothing to learn
    experts = [("linear", make_pipeline(column(1), LogisticRegression()))]
    plain = ExpertStack(experts).fit(X, y)
    ones = ExpertStack(experts).fit(X, y, sample_weight=np.ones(200))
    np.testing.assert_allclose(ones.predict_proba(X), plain.predict_proba(X))
    assert plain.predict_proba(X)[:, 1].mean() == pytest.approx(0.25, abs=0.01)
    balanced = ExpertStack(experts).fit(X, y, sample_weight=np.where(y, 2.0, 2 / 3))
    assert balanced.predict_proba(X)[:, 1].mean() == pytest.approx(0.5, abs=0.02)


def test_items_without_weight_teach_nothing(data):
    X, y = data
    wrong = np.arange(200) < 60
    lied = np.where(wrong, 1 - y, y)
    experts = [("linear", make_pipeline(column(0), LogisticRegression()))]
    stack = ExpertStack(experts).fit(X, lied, sample_weight=(~wrong).astype(float))
    alone = LogisticRegression().fit(X[~wrong][:, [0]], y[~wrong])
    (_, expert), *_ = stack.experts_
    np.testing.assert_allclose(expert[-1].coef_, alone.coef_, rtol=1e-3)


def test_weights_are_refused_where_a_classifier_takes_none(data):
    experts = [("near", KNeighborsClassifier())]
    assert not ExpertStack(experts).takes_weights
    assert ExpertStack(two_experts()).takes_weights
    with pytest.raises(ValueError, match="KNeighborsClassifier of expert 'near' takes none"):
        ExpertStack(experts).fit(*data, sample_weight=np.ones(200))


def test_units_are_judged_as_a_whole():
    """Noise that differs from item to item averages out within a unit, and lasting noise stays."""
    rng, units = np.random.default_rng(0), np.repeat(np.arange(60), 10)
    y = units % 2
    lasting = y + rng.normal(0, 0.7, 60)[units]
    fleeting = y + rng.normal(0, 1.4, 600)
    experts = [("lasting", make_pipeline(column(0), LogisticRegression()))]
    experts += [("fleeting", make_pipeline(column(1), LogisticRegression()))]
    X = np.column_stack([lasting, fleeting])
    apart = ExpertStack(experts).fit(X, y, units).weights_
    together = ExpertStack(experts).fit(X, y, units, units=units).weights_
    assert apart["lasting"] > apart["fleeting"]
    assert together["fleeting"] > together["lasting"]
    with pytest.raises(ValueError, match="item 10 has another label than the first of its unit, 0"):
        ExpertStack(experts).fit(X, y, units=units // 2)
