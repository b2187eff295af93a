"""Large rivals: ResNets and Nataraj's network, against torch's functions and by hand."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn import functional

from skfakespotter import (
    CooccurrenceCNNClassifier,
    CooccurrenceMatrices,
    LogSpectrum,
    PixelValues,
    ResNetClassifier,
    make_baseline,
)
from skfakespotter.backbones import WeightsError
from skfakespotter.baselines._cooccurrence_cnn import CooccurrenceCNN
from skfakespotter.baselines._resnet import ResNet
from skfakespotter.baselines._resnet_classifier import Views


@pytest.fixture(scope="module")
def squares():
    """Rows of 3 * 16 * 16 numbers; those of label 1 are brighter."""
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 3 * 16 * 16)) + y[:, None]
    return X.astype(np.float32), y


@pytest.mark.parametrize(("depth", "n_weights"), [(18, 11_689_512), (34, 21_797_672)])
def test_resnets_have_the_weights_of_the_published_ones(depth, n_weights):
    assert sum(p.numel() for p in ResNet(depth, 1000).parameters()) == n_weights


def test_resnet_of_plain_blocks_against_functions():
    torch.manual_seed(0)
    network = ResNet(18, 2).eval()
    for name, tensor in network.state_dict().items():
        if "running_mean" in name:
            tensor.uniform_(-0.1, 0.1)
        elif "running_var" in name:
            tensor.uniform_(0.5, 1.5)
    state, x = network.state_dict(), torch.rand(2, 3, 40, 40)

    def layer(x, conv, norm, stride=1, padding=1):
        x = functional.conv2d(x, state[f"{conv}.weight"], None, stride, padding)
        parts = (state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *parts)

    expected = functional.max_pool2d(layer(x, "conv1", "bn1", 2, 3).relu(), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = layer(
                layer(expected, f"{at}.conv1", f"{at}.bn1", stride).relu(),
                f"{at}.conv2",
                f"{at}.bn2",
            )
            if stride == 2:
                expected = layer(expected, f"{at}.downsample.0", f"{at}.downsample.1", 2, 0)
            expected = (expected + y).relu()
    expected = functional.linear(expected.mean((2, 3)), state["fc.weight"], state["fc.bias"])
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_resnet_learns_and_is_repeatable(squares):
    X, y = squares
    model = ResNetClassifier(18, lr=1e-3, max_epochs=3, batch_size=8, flip=True, random_state=0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = model.fit(X[:24], y[:24]).predict_proba(X[24:])
    assert torch.equal(torch.get_rng_state(), before)
    assert model.score(X[24:], y[24:]) >= 0.9
    np.testing.assert_array_equal(clone(model).fit(X[:24], y[:24]).predict_proba(X[24:]), first)


def test_resnet_in_half_precision_says_nearly_the_same(squares):
    X, y = squares
    options = {"optimizer": "sgd", "lr": 0.01, "max_epochs": 1, "batch_size": 8, "random_state": 0}
    model = ResNetClassifier(18, **options).fit(X[:16], y[:16])
    exact = model.decision_function(X)
    halved = model.set_params(precision="bfloat16").decision_function(X)
    assert 0 < np.abs(halved - exact).max() < 0.1 * np.abs(exact).max()


def test_resnet_starts_from_a_file_of_another_head(squares, tmp_path):
    X, y = squares
    torch.manual_seed(1)
    published = ResNet(18, 1000)
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    options = {"lr": 1e-9, "max_epochs": 1, "batch_size": 20, "random_state": 0}
    model = ResNetClassifier(18, weights=tmp_path / "resnet18.pth", **options).fit(X, y)
    started = model.net_.module_[1]
    torch.testing.assert_close(started.layer4[1].conv2.weight, published.layer4[1].conv2.weight)
    assert started.fc.weight.shape == (2, 512)
    with pytest.raises(WeightsError, match=r"resnet18\.pth.*layer1\.2\.conv1\.weight.*missing"):
        ResNetClassifier(34, weights=tmp_path / "resnet18.pth").fit(X, y)


def test_views_are_drawn_in_training_and_the_center_afterwards():
    torch.manual_seed(0)
    x = torch.arange(6.0).repeat(200, 3, 6, 1)  # each column holds its number
    views = Views(4, flip=True)
    seen = views.train()(x)
    assert seen.shape == (200, 3, 4, 4)
    assert set(seen[:, 0, 0, 0].tolist()) == {0, 1, 2, 3, 4, 5}  # crops, and their mirrors
    mirrored = (seen[:, 0, 0, 0] > seen[:, 0, 0, 3]).float().mean()
    assert 0.4 < mirrored < 0.6
    assert torch.equal(views.eval()(x), x[:, :, 1:5, 1:5])
    assert torch.equal(Views(None, flip=False).train()(x), x)


def test_resnet_refuses_what_is_smaller_than_its_crop(squares):
    X, y = squares
    with pytest.raises(ValueError, match="side at least 32, as LogSpectrum or PixelValues"):
        ResNetClassifier(18, crop=32).fit(X, y)
    with pytest.raises(ValueError, match="'depth' parameter of ResNetClassifier"):
        ResNetClassifier(20).fit(X, y)


def test_autogan_sees_the_center_of_the_picture_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    features, classifier = make_baseline("autogan", random_state=0).named_steps.values()
    center = LogSpectrum(224).transform([picture[16:240, 16:240]])
    np.testing.assert_array_equal(features.transform([picture]), center)
    assert (classifier.depth, classifier.optimizer, classifier.max_epochs) == (34, "sgd", 10)


def test_pixel_values_by_hand():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[2, 5] = (255, 51, 0)
    planes = PixelValues(16).fit_transform([picture]).reshape(3, 16, 16)
    expected = [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(planes[:, 2, 5], expected, rtol=1e-6)
    names = PixelValues(16).get_feature_names_out()
    assert names[256 + 2 * 16 + 5] == "G[2,5]"


def test_nataraj_network_against_functions():
    torch.manual_seed(0)
    network = CooccurrenceCNN(16, (4, 8)).eval()
    x = torch.rand(2, 3, 16, 16) / 256
    convolutions = [m for m in network if isinstance(m, torch.nn.Conv2d)]
    assert [tuple(c.weight.shape[1:]) for c in convolutions] == [
        (3, 3, 3), (4, 5, 5), (4, 3, 3), (8, 5, 5)
    ]  # fmt: skip
    y = x * 256
    for first, second in (convolutions[:2], convolutions[2:]):
        y = functional.conv2d(y, first.weight, first.bias, padding=1).relu()
        y = functional.conv2d(y, second.weight, second.bias, padding=2)
        y = functional.max_pool2d(y, 2)
    y = y.flatten(1)
    dense = [m for m in network if isinstance(m, torch.nn.Linear)]
    for number, layer in enumerate(dense):
        y = functional.linear(y, layer.weight, layer.bias)
        y = y.relu() if number < 2 else y
    torch.testing.assert_close(network(x.flatten(1)), y)
    n_weights = sum(p.numel() for p in CooccurrenceCNN(256).parameters())
    assert n_weights == 256 * 128 * 32**2 + 256 + 256 * 256 + 256 + 2 * 256 + 2 + 631_072


def test_nataraj_network_learns_from_matrices():
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    X = [rng.normal(128, 10 + 30 * label, (32, 32, 3)).clip(0, 255).astype(np.uint8) for label in y]
    shares = CooccurrenceMatrices(16).transform(X)
    model = CooccurrenceCNNClassifier((4, 8), max_epochs=8, batch_size=8, random_state=0)
    assert model.fit(shares[:40], y[:40]).score(shares[40:], y[40:]) >= 0.9
    with pytest.raises(ValueError, match="as CooccurrenceMatrices gives them"):
        model.fit(shares[:, 1:], y)


@pytest.mark.parametrize("name", ["autogan", "cnn-scratch", "cooccurrence-cnn"])
def test_large_baselines_run_on_pictures(name):
    rng, y = np.random.default_rng(0), np.array(["real", "fake"] * 4)
    X = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in y]
    model = make_baseline(name, random_state=0).set_params(classifier__max_epochs=1)
    if name == "cooccurrence-cnn":
        model.set_params(features__levels=16, classifier__widths=(4,))
    else:
        size = 32 if name == "cnn-scratch" else 28
        model.set_params(features__size=size, classifier__depth=18)
    if name == "cnn-scratch":
        model.set_params(classifier__crop=28)
    proba = model.fit(X, y).predict_proba(X)
    assert model.classes_.tolist() == ["fake", "real"]
    np.testing.assert_allclose(proba.sum(axis=1), 1)
