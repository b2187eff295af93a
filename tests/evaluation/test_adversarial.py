"""AdversarialAttack: the smooth count against the true one, gradients against differences."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfakespotter import (
    AdversarialAttack,
    FaceAligner,
    FakeSpotterClassifier,
    GaussianNoise,
    NeuronCoverageTransformer,
    make_fakespotter,
    robustness_curve,
)
from skfakespotter.evaluation._smooth import SmoothDetector


@pytest.fixture(scope="module")
def data():
    """Noise of the network's own size; fakes have faint stripes."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(128, 25, (160, 32, 32, 3)), np.arange(160) % 2
    X[y == 1, :, ::2] += 10
    X = X.clip(0, 255).round().astype(np.uint8)
    return X[:120], y[:120], X[120:], y[120:]


def fit(X, y, backbone="toy_image", classifier=None, **options):
    coverage = NeuronCoverageTransformer(backbone, device="cpu", **options)
    last = LogisticRegression() if classifier is None else classifier
    return make_pipeline(coverage, StandardScaler(), last).fit(X, y)


@pytest.fixture(scope="module")
def detector(data):
    return fit(*data[:2], granularity="channel")


def tensor(X):
    return torch.from_numpy(X.transpose(0, 3, 1, 2).astype(np.float32))


def with_norm():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 4, 3, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
    )
    network[1].momentum = None  # statistics of one batch
    network(torch.rand(8, 3, 32, 32))  # what a network of one's own is given: 0 to 1
    return network.eval()


class Tokens(nn.Module):
    """Layers that return tuples, and one whose tokens come before the pictures."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.attention, self.block = nn.MultiheadAttention(8, 2), Pair()

    def forward(self, x):
        x = self.patches(x).flatten(2).permute(2, 0, 1)
        x, _ = self.attention(x, x, x)
        x, _ = self.block(x.transpose(0, 1))
        return x[:, 0]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 6)

    def forward(self, x):
        return self.linear(x).relu_(), None


def with_tokens():
    torch.manual_seed(0)
    return Tokens().eval()


@pytest.mark.parametrize("with_std", [True, False])
@pytest.mark.parametrize("with_mean", [True, False])
def test_scaling_is_that_of_the_pipeline(data, with_mean, with_std):
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std)
    coverage = NeuronCoverageTransformer("toy_image", device="cpu", granularity="channel")
    # its intercept makes up for the means, which logistic regression avoids
    model = make_pipeline(coverage, scaler, RidgeClassifier()).fit(*data[:2])
    decisions, _ = SmoothDetector(model).decide(tensor(data[2]), 1e6)
    np.testing.assert_allclose(decisions, model.decision_function(data[2]), atol=0.05)


def test_modules_that_return_tuples_can_be_attacked(data):
    model = fit(*data[:2], with_tokens(), layers=["patches", "attention", "block"])
    attacked = AdversarialAttack(model, 8).transform(data[2])
    assert model.score(attacked, data[3]) < model.score(*data[2:])


@pytest.mark.parametrize(
    "options",
    [
        {"granularity": "layer"},
        {"granularity": "channel"},
        {"granularity": "channel", "output": "fraction"},
        {"granularity": "layer", "output": "fraction", "neuron": "channel"},
        {"granularity": "channel", "rectify": True, "threshold": 0.1},
        {"granularity": "channel", "threshold": "channel-mean", "tokens": "patches"},
        {"granularity": "layer", "threshold": "channel-mean", "tokens": "class"},
    ],
)
@pytest.mark.parametrize(
    "backbone", ["toy_image", with_norm(), with_tokens()], ids=["toy", "norm", "tokens"]
)
def test_steep_sigmoids_are_the_counts(data, backbone, options):
    model = fit(*data[:2], backbone, **options)
    smooth = SmoothDetector(model)
    smooth = smooth.parts.features(smooth.counts(tensor(data[2]), 1e6)).numpy()
    counts = model[0].transform(data[2])
    # a neuron at the threshold may count half, or change sides by the order of a sum
    step = 1 / model[0].n_neurons_.min() if options.get("output") == "fraction" else 1
    assert np.abs(smooth - counts).max() <= 1.01 * step
    assert np.mean(np.abs(smooth - counts) > 1e-4 * step) < 0.05
    assert counts.std(axis=0).max() > 0


def test_decision_is_that_of_the_pipeline(data, detector):
    decisions, _ = SmoothDetector(detector).decide(tensor(data[2]), 1e6)
    np.testing.assert_allclose(decisions, detector.decision_function(data[2]), atol=0.05)
    named = fit(data[0], np.where(data[1] == 1, "fake", "real"), granularity="channel")
    assert named.classes_[0] == "fake"
    decisions, _ = SmoothDetector(named).decide(tensor(data[2]), 1e6)
    np.testing.assert_allclose(decisions, -named.decision_function(data[2]), atol=0.05)


def test_gradient_is_the_slope_of_the_smooth_decision(data, detector):
    smooth, pixels = SmoothDetector(detector), tensor(data[2][:3])
    _, gradients = smooth.decide(pixels, 2.0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = torch.from_numpy(rng.normal(size=pixels.shape).astype(np.float32))
        up, _ = smooth.decide(pixels + 0.05 * direction, 2.0)
        down, _ = smooth.decide(pixels - 0.05 * direction, 2.0)
        expected = (gradients * direction).sum(dim=(1, 2, 3))
        # the scale of the sigmoids moves with the pictures, which the gradient leaves out
        np.testing.assert_allclose((up - down) / 0.1, expected, rtol=0.15, atol=0.02)


@pytest.mark.parametrize("epsilon", [1, 4])
def test_changes_stay_within_epsilon(data, detector, epsilon):
    attacked = AdversarialAttack(detector, epsilon).transform(data[2])
    change = np.abs(attacked.astype(int) - data[2])
    assert attacked.dtype == np.uint8
    assert change.max() == epsilon
    assert (change == epsilon).mean() > 0.5
    same = AdversarialAttack(detector, 0).transform(list(data[2]))
    assert all(map(np.array_equal, same, data[2]))


def test_attack_beats_noise_of_the_same_size_and_grows(data, detector):
    X, y = data[2:]
    levels = {"adversarial": [AdversarialAttack(detector, e) for e in (0.5, 2, 8)]}
    levels["noise"] = [GaussianNoise((8 / 255) ** 2, random_state=0)]
    curve = robustness_curve(detector, X, y, attacks=levels)
    weak, middle, strong, noise = curve.columns["score"]
    assert curve.columns["intensity"][:3] == [0.5, 2, 8]
    assert curve.clean_score > 0.9
    assert strong < 0.5
    assert strong <= middle <= weak
    assert noise > strong + 0.2


@pytest.mark.parametrize("target", ["real", "fake"])
def test_target_is_one_class_for_all(data, detector, target):
    before = detector.decision_function(data[2])
    attack = AdversarialAttack(detector, 8, target=target)
    after = detector.decision_function(attack.transform(data[2]))
    sign = 1 if target == "fake" else -1
    assert np.mean(sign * (after - before) > 0) > 0.9
    assert np.mean((after > 0) == (target == "fake")) > 0.9


def test_the_papers_classifier_can_be_attacked(data):
    classifier = FakeSpotterClassifier(
        (32, 16, 8, 4), lr=1e-2, max_epochs=60, device="cpu", random_state=0
    )
    model = fit(*data[:2], classifier=classifier, granularity="channel")
    X, y = data[2:]
    attacked = AdversarialAttack(model, 8).transform(X)
    assert model.score(attacked, y) < model.score(X, y) - 0.2


def test_pipelines_of_ours_are_unwrapped(data):
    recommended = make_fakespotter("toy_image", preset="recommended", align=False, random_state=0)
    recommended.fit(*data[:2])
    X, y = data[2:]
    attacked = AdversarialAttack(recommended, 8).transform(X)
    assert recommended.score(attacked, y) < recommended.score(X, y)


def test_detector_is_neither_cloned_nor_changed(data, detector):
    attack = AdversarialAttack(detector, 2)
    again = clone(attack)
    assert again is not attack
    assert again.detector is detector
    before = detector.decision_function(data[2])
    again.transform(data[2])
    np.testing.assert_array_equal(detector.decision_function(data[2]), before)


def test_attack_moves_to_another_detector_in_part(data):
    """Black box: the detector that is attacked saw other training pictures."""
    X = data[2]
    one = fit(data[0][:60], data[1][:60], granularity="channel")
    other = fit(data[0][60:], data[1][60:], granularity="channel")
    attacked = AdversarialAttack(one, 8).transform(X)
    moved = other.decision_function(attacked) - other.decision_function(X)
    pushed = np.where(one.decision_function(X) < 0, 1, -1)
    assert np.mean(moved * pushed > 0) > 0.7


def test_refuses(data, detector):
    aligned = make_pipeline(FaceAligner(), *detector)
    with pytest.raises(TypeError, match="has a FaceAligner: align the faces beforehand"):
        AdversarialAttack(aligned).transform(data[2])
    forest = fit(*data[:2], classifier=RandomForestClassifier(10, random_state=0))
    with pytest.raises(TypeError, match=r"RandomForest.* Attack other detectors by transfer"):
        AdversarialAttack(forest).transform(data[2])
    with pytest.raises(ValueError, match="X holds pictures of several sizes"):
        AdversarialAttack(detector).transform([data[2][0], data[2][0][:20]])
    with pytest.raises(ValueError, match="'target' parameter of AdversarialAttack must be"):
        AdversarialAttack(detector, target="other").transform(data[2])
