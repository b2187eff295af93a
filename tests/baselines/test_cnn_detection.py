"""CNNDetection: its network against torch's functions on the same weights, files, labels."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn import functional

from skfakespotter import CNNDetection
from skfakespotter.backbones import WeightsError
from skfakespotter.baselines._resnet import ResNet


@pytest.fixture(scope="module")
def network():
    """A ResNet-50 whose normalizations keep the values in range."""
    torch.manual_seed(0)
    network = ResNet(50, 1)
    for name, tensor in network.state_dict().items():
        if "running_mean" in name:
            tensor.uniform_(-0.1, 0.1)
        elif "running_var" in name:
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("bn3.weight"):
            tensor.uniform_(0.1, 0.3)
    return network.eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    """In the authors' form: the network beside the state of its training."""
    path = tmp_path_factory.mktemp("weights") / "blur_jpg_prob0.5.pth"
    torch.save({"model": network.state_dict(), "total_steps": 7, "optimizer": {"state": {}}}, path)
    return path


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((64, 64), (50, 83))]


def reference(state, image):
    """Wang et al.'s preprocessing and torchvision's ResNet-50, written with functions."""
    mean, scale = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch.from_numpy(((image / 255 - mean) / scale).transpose(2, 0, 1)[None]).float()

    def layer(x, conv, norm, stride=1, padding=0):
        x = functional.conv2d(x, state[f"{conv}.weight"], None, stride, padding)
        parts = (state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *parts)

    x = functional.max_pool2d(layer(x, "conv1", "bn1", 2, 3).relu(), 3, 2, 1)
    for stage, n_blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(n_blocks):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = layer(x, f"{at}.conv1", f"{at}.bn1").relu()
            y = layer(y, f"{at}.conv2", f"{at}.bn2", stride, 1).relu()
            y = layer(y, f"{at}.conv3", f"{at}.bn3")
            if block == 0:
                x = layer(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
            x = (x + y).relu()
    return float(functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]))


def test_probabilities_are_those_of_the_published_recipe(network, weights, pictures):
    detector = CNNDetection(weights, device="cpu").fit()
    with torch.no_grad():
        expected = [reference(network.state_dict(), picture) for picture in pictures]
    assert len(set(expected)) == 2
    np.testing.assert_allclose(detector.decision_function(pictures), expected, rtol=1e-3)
    np.testing.assert_allclose(detector.predict_proba(pictures)[:, 1], expit(expected), rtol=1e-3)


def test_labels_of_words_turn_the_columns(weights, pictures):
    numbers = CNNDetection(weights, device="cpu").fit()
    words = CNNDetection(weights, device="cpu").fit(pictures, ["real", "fake"])
    assert words.classes_.tolist() == ["fake", "real"]
    np.testing.assert_allclose(
        words.predict_proba(pictures), numbers.predict_proba(pictures)[:, ::-1]
    )
    called = np.where(numbers.predict(pictures) == 1, "fake", "real")
    assert words.predict(pictures).tolist() == called.tolist()


@pytest.mark.parametrize("classes", [[0, 1], ["real", "fake"]])
def test_half_is_called_fake(weights, pictures, classes):
    detector = CNNDetection(weights, device="cpu").fit(pictures, classes)
    detector.network_.fc.weight.zero_()
    detector.network_.fc.bias.zero_()
    assert detector.predict(pictures[:1]).tolist() == [classes[1]]
    detector.network_.fc.bias.fill_(-1e-3)
    assert detector.predict(pictures[:1]).tolist() == [classes[0]]


def test_refuses(network, weights, tmp_path):
    with pytest.raises(WeightsError, match=r"missing\.pth"):
        CNNDetection(tmp_path / "missing.pth").fit()
    state = dict(network.state_dict())
    del state["layer4.2.conv3.weight"]
    torch.save({"model": state}, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"layer4\.2\.conv3\.weight"):
        CNNDetection(tmp_path / "less.pth").fit()
    with pytest.raises(ValueError, match="expected 0 and 1, or 'real' and 'fake'"):
        CNNDetection(weights).fit(None, ["a", "b"])
    with pytest.raises(ValueError, match="not fitted"):
        CNNDetection(weights).predict([np.zeros((32, 32, 3), np.uint8)])
