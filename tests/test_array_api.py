"""Vectors stay on the device, as tensors, under scikit-learn's array_api_dispatch."""

import numpy as np
import pytest
import sklearn
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfakespotter import FakeSpotterClassifier, NeuronCoverageTransformer, make_pictures

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
CLASSIFIERS = [
    LogisticRegression(C=0.1),
    LinearDiscriminantAnalysis(),
    FakeSpotterClassifier(random_state=0, max_epochs=5, device="cpu"),
]


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(60, random_state=0)


@pytest.fixture
def dispatching():
    with sklearn.config_context(array_api_dispatch=True):
        yield


def coverage(**options):
    return NeuronCoverageTransformer("toy_image", granularity="channel", **options)


def detector(classifier, device="cpu"):
    return make_pipeline(coverage(device=device), StandardScaler(), classifier)


def no_numpy(monkeypatch):
    """Make every copy of a vector to the host an error."""

    def refuse(self, *args):
        raise AssertionError("a tensor was copied to numpy")

    monkeypatch.setattr(torch.Tensor, "numpy", refuse)
    monkeypatch.setattr(torch.Tensor, "__array__", refuse)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "options", [{}, {"output": "fraction"}, {"cache": "memory"}, {"n_jobs": 2}]
)
def test_transform_gives_a_tensor_on_the_device(pictures, options, device):
    X, _ = pictures
    fitted = coverage(batch_size=16, device=device, **options).fit(X)
    expected = fitted.transform(X)
    assert isinstance(expected, np.ndarray)
    with sklearn.config_context(array_api_dispatch=True):
        found = fitted.transform(X)
    assert isinstance(found, torch.Tensor)
    assert found.device.type == device
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


def test_transform_copies_nothing_to_numpy(pictures, dispatching, monkeypatch):
    X, _ = pictures
    fitted = coverage(device="cpu").fit(X)
    expected = fitted.transform(X).tolist()
    no_numpy(monkeypatch)
    assert fitted.transform(X).tolist() == expected


def test_numbers_give_what_they_are(dispatching):
    X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    fitted = NeuronCoverageTransformer("toy_vector").fit(X)
    assert isinstance(fitted.transform(X), np.ndarray)
    found = fitted.transform(torch.from_numpy(X))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.cpu().numpy(), fitted.transform(X))


@pytest.mark.parametrize("options", [{"cache": "memory"}, {"n_jobs": 2, "batch_size": 16}])
def test_tensors_of_numbers_in_a_store_and_in_tasks(dispatching, options):
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    expected = NeuronCoverageTransformer("toy_vector").fit_transform(x)
    found = NeuronCoverageTransformer("toy_vector", **options).fit_transform(x)
    assert isinstance(found, torch.Tensor)
    assert (found - expected).abs().sum() <= 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda c: type(c).__name__)
def test_pipeline_goes_on_with_tensors(pictures, classifier, device):
    X, y = pictures
    expected = detector(classifier).fit(X, y).predict_proba(X)
    with sklearn.config_context(array_api_dispatch=True):
        labels = torch.from_numpy(y).to(device)
        fitted = detector(classifier, device).fit(X, labels)
        proba, predicted = fitted.predict_proba(X), fitted.predict(X)
    assert isinstance(proba, torch.Tensor)
    assert isinstance(predicted, torch.Tensor)
    assert proba.device.type == predicted.device.type == device
    np.testing.assert_allclose(proba.cpu().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda c: type(c).__name__)
def test_cross_validation_and_search(pictures, classifier):
    X, y = pictures
    expected = cross_val_score(detector(classifier), X, y, scoring="accuracy")
    with sklearn.config_context(array_api_dispatch=True):
        labels = torch.from_numpy(y)
        found = cross_val_score(detector(classifier), X, labels, scoring="accuracy")
        np.testing.assert_allclose(found, expected, atol=1e-6)
        grid = {"neuroncoveragetransformer__granularity": ["layer", "channel"]}
        search = GridSearchCV(detector(classifier), grid, cv=3, scoring="accuracy").fit(X, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


class TestClassifier:
    """The paper's classifier by itself."""

    @pytest.fixture
    def data(self):
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1], 30)
        return (rng.normal(size=(60, 5)) + y[:, None]).astype(np.float32), y

    def fit(self, X, y):
        return FakeSpotterClassifier(random_state=0, max_epochs=5, device="cpu").fit(X, y)

    def test_labels_come_back_as_they_came(self, data, dispatching):
        X, y = data
        x = torch.from_numpy(X)
        words = np.array(["real", "fake"])[y]
        assert self.fit(x, words).predict(x).dtype == words.dtype
        assert isinstance(self.fit(x, y).predict(x), np.ndarray)
        fitted = self.fit(x, torch.from_numpy(y))
        assert isinstance(fitted.classes_, torch.Tensor)
        assert isinstance(fitted.predict(x), torch.Tensor)

    def test_scores_equal_those_of_numpy(self, data):
        X, y = data
        expected = self.fit(X, y).predict_proba(X)
        with sklearn.config_context(array_api_dispatch=True):
            found = self.fit(torch.from_numpy(X), y).predict_proba(torch.from_numpy(X))
        assert found.dtype == torch.float64
        assert np.array_equal(found.numpy(), expected)

    def test_vectors_are_not_copied_to_numpy(self, data, dispatching, monkeypatch):
        X, y = data
        x = torch.from_numpy(X)
        expected = self.fit(x, y).predict_proba(x).tolist()
        fitted = self.fit(x, y)
        no_numpy(monkeypatch)
        assert fitted.predict_proba(x).tolist() == expected

    def test_nan_is_refused(self, data, dispatching):
        X, y = data
        X[3, 1] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            self.fit(torch.from_numpy(X), y)

    def test_one_class_is_refused(self, data, dispatching):
        with pytest.raises(ValueError, match="only one class, 0"):
            self.fit(torch.from_numpy(data[0]), torch.zeros(60, dtype=torch.int64))

    def test_a_tensor_without_dispatch_is_an_array(self, data):
        X, y = data
        found = self.fit(torch.from_numpy(X), y).predict_proba(torch.from_numpy(X))
        assert isinstance(found, np.ndarray)
