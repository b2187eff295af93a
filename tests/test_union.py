"""More than one network: FeatureUnion of transformers; and inputs that are no pictures."""

from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfakespotter import FaceAligner, NeuronCoverageTransformer, make_pictures
from skfakespotter.backbones import Backbone
from skfakespotter.cache import CoverageCache, open_cache
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.images import load_image

Coverage = partial(NeuronCoverageTransformer, device="cpu", output="fraction")


def wide_backbone(weights=None):
    """A second toy network, of another input size and other layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(nn.Conv2d(3, 5, 5, stride=4), nn.ReLU(), nn.Conv2d(5, 7, 3))
    return Backbone("wide", module.eval(), input_size=(28, 24), mean=127.5, scale=128.0)


SECOND = f"{__name__}:wide_backbone"


def toy_union(second=SECOND, **options):
    networks = [("one", Coverage("toy_image", **options)), ("two", Coverage(second, **options))]
    return FeatureUnion(networks)


def detector(union):
    return make_pipeline(union, StandardScaler(), LogisticRegression())


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(80, size=32, random_state=5)


@pytest.fixture
def passed(monkeypatch):
    """Pictures that crossed each network, by the names of its layers."""
    counts = {}
    collect = NeuronMonitor._collect

    def counted(self, x, statistic, **options):
        names = ",".join(self.layer_names)
        counts[names] = counts.get(names, 0) + len(x)
        return collect(self, x, statistic, **options)

    monkeypatch.setattr(NeuronMonitor, "_collect", counted)
    return counts


@pytest.mark.parametrize(("granularity", "widths"), [("layer", (3, 2)), ("channel", (18, 12))])
def test_union_is_the_networks_side_by_side(pictures, granularity, widths):
    X, _ = pictures
    union = toy_union(granularity=granularity).fit(X[:50])
    found = union.transform(X)
    assert found.shape == (80, sum(widths))
    for (_, alone), part in zip(
        union.transformer_list, np.split(found, widths[:1], axis=1), strict=True
    ):
        expected = clone(alone).fit(X[:50]).transform(X)
        np.testing.assert_array_equal(part, expected)
        assert (expected.std(0) > 0).any()


def test_names_and_pandas_output(pictures):
    pandas = pytest.importorskip("pandas")
    X, _ = pictures
    union = toy_union().fit(X)
    names = ["one__0", "one__2", "one__6", "two__0", "two__2"]
    assert union.get_feature_names_out().tolist() == names
    plain = union.transform(X)
    frame = union.set_output(transform="pandas").transform(X)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == names
    np.testing.assert_array_equal(frame.to_numpy(), plain)


def test_clone_and_joblib(pictures, tmp_path):
    X, y = pictures
    model = detector(toy_union()).fit(X, y)
    copy = clone(model)
    assert not hasattr(copy[0].transformer_list[0][1], "thresholds_")
    joblib.dump(model, tmp_path / "union.joblib")
    assert (tmp_path / "union.joblib").stat().st_size < 20_000  # names, not weights
    again = joblib.load(tmp_path / "union.joblib")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("second", [SECOND, wide_backbone(), nn.Sequential(nn.Conv2d(3, 4, 3))])
def test_second_network_by_name_as_backbone_and_as_module(pictures, second):
    X, y = pictures
    folds = StratifiedKFold(3)
    scores = cross_val_score(detector(toy_union(second)), X, y, cv=folds, scoring="roc_auc")
    for score, (train, test) in zip(scores, folds.split(X, y), strict=True):
        networks = [Coverage(network).fit(X[train]) for network in ("toy_image", second)]
        seen, new = (
            np.hstack([network.transform(X[part]) for network in networks])
            for part in (train, test)
        )
        alone = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, y[train])
        assert score == roc_auc_score(y[test], alone.predict_proba(new)[:, 1])


def test_branches_in_threads_share_a_network(pictures):
    """Two of the branches hook the same loaded network at the same time; counts must not mix."""
    X, _ = pictures
    union = toy_union(batch_size=4)
    fine = Coverage("toy_image", granularity="channel", layers=["0", "2"], batch_size=4)
    union.transformer_list.append(("fine", fine))
    expected = union.fit(X[:50]).transform(X)
    with joblib.parallel_config("threading"):
        for _ in range(3):
            together = clone(union).set_params(n_jobs=3).fit(X[:50])
            np.testing.assert_array_equal(together.transform(X), expected)


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_search_passes_every_picture_once_per_network(pictures, passed, tmp_path, place):
    X, y = pictures
    open_cache("memory").clear()
    cache = "memory" if place == "memory" else tmp_path
    candidates = {"logisticregression__C": [0.01, 1, 100]}
    search = GridSearchCV(detector(toy_union(cache=cache)), candidates, cv=5, scoring="roc_auc")
    search.fit(X, y)
    assert set(passed) == {"0,2,6", "0,2"}
    for n_passed in passed.values():  # a few pass twice, to place the windows
        assert len(X) <= n_passed <= 1.1 * len(X)
    passed.clear()
    uncached = clone(search).set_params(
        estimator__featureunion__one__cache=None, estimator__featureunion__two__cache=None
    )
    uncached.fit(X, y)
    assert min(passed.values()) > 16 * len(X)  # 5 folds x 3 candidates, and the refit
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], uncached.cv_results_["mean_test_score"], atol=0.02
    )


def test_search_over_which_networks_to_watch(pictures, passed):
    """Either network alone and both, from one pass of each; the refit keeps the best."""
    X, y = pictures
    store = CoverageCache()
    union = toy_union(cache=store)
    (_, one), (_, two) = union.transformer_list
    choices = [
        {"featureunion__two": ["drop"], "featureunion__one": [one]},
        {"featureunion__one": ["drop"], "featureunion__two": [two]},
        {"featureunion__one": [one], "featureunion__two": [two]},
    ]
    search = GridSearchCV(detector(union), choices, cv=4, scoring="roc_auc").fit(X, y)
    assert [entry["pictures"] for entry in store.info()] == [80, 80]
    assert max(passed.values()) <= 1.1 * len(X)
    n_features = [
        clone(detector(union)).set_params(**chosen).fit(X, y)[-1].n_features_in_
        for chosen in search.cv_results_["params"]
    ]
    assert n_features == [3, 2, 5]
    assert search.best_estimator_[-1].n_features_in_ == n_features[search.best_index_]


def test_weights_of_the_networks(pictures):
    X, _ = pictures
    union = toy_union().fit(X)
    plain = union.transform(X)
    weighted = union.set_params(transformer_weights={"two": 10}).transform(X)
    np.testing.assert_allclose(weighted, plain * [1, 1, 1, 10, 10], rtol=1e-6)


def test_each_network_with_its_own_alignment(faces_dir, passed):
    """Two templates from one list of files; a picture goes to dlib's network as dlib's chip."""
    folder = faces_dir / "stylegan"
    files = [sorted((folder / kind).glob("*.jpg"))[:5] for kind in ("real", "fake")]
    paths, y = [str(path) for kind in files for path in kind], np.repeat([0, 1], 5)
    chips = FaceAligner().transform(paths)
    narrow = FaceAligner(template="sphereface").transform(paths)
    assert (chips.shape[1:3], narrow.shape[1:3]) == ((150, 150), (112, 96))
    store = CoverageCache()
    networks = [
        ("dlib", make_pipeline(FaceAligner(), Coverage("dlib", cache=store))),
        ("two", make_pipeline(FaceAligner(template="sphereface"), Coverage(SECOND, cache=store))),
    ]
    model = detector(FeatureUnion(networks)).fit(paths, y)
    assert list(passed.values()) == [14, 14]  # the ten, and four of them that place the windows
    passed.clear()
    for name, faces in (("dlib", chips), ("two", narrow)):
        inner = model[0].named_transformers[name][-1]
        np.testing.assert_array_equal(inner.transform(faces), model[0][name].transform(paths))
    assert {name.split("__")[0] for name in model[:1].get_feature_names_out()} == {"dlib", "two"}
    assert passed == {}  # the chips that came as arrays were known already
    assert model.predict_proba(paths).shape == (10, 2)
    images = [load_image(path) for path in paths]
    np.testing.assert_array_equal(model.predict_proba(images), model.predict_proba(paths))


# ---- tensors that are no pictures ------------------------------------------------------


def sounds(n=60, t=2000):
    """White noise against noise that a filter made smooth: float arrays (n, 1, t)."""
    X = np.random.default_rng(0).normal(size=(n, 1, t))
    y = np.arange(n) % 2
    X[y == 1, :, 1:] = (X[y == 1, :, 1:] + 0.7 * X[y == 1, :, :-1]) / np.sqrt(1 + 0.7**2)
    return X, y


def listener(strides=(2, 2)):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv1d(1, 4, 5, strides[0]), nn.ReLU(), nn.Conv1d(4, 6, 3, strides[1])
        )


def test_counts_of_sounds_by_hand():
    layer = nn.Conv1d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    X = np.array([[[1.0, 2, 3, 4]], [[0.0, 0, 0, 9]]])
    coverage = NeuronCoverageTransformer(nn.Sequential(layer), granularity="channel")
    assert coverage.fit(X).thresholds_.tolist() == [0]
    assert coverage.transform(X).tolist() == [[4, 0], [1, 0]]  # nothing is scaled or rounded
    assert coverage.transform(-X).tolist() == [[0, 4], [0, 1]]
    assert coverage.get_feature_names_out().tolist() == ["0[0]", "0[1]"]


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_a_network_that_listens(passed, granularity):
    X, y = sounds()
    coverage = Coverage(listener(), granularity=granularity, cache=CoverageCache())
    assert cross_val_score(detector(coverage), X, y, cv=4, scoring="roc_auc").mean() > 0.9
    assert passed["0,2"] <= 1.1 * len(X)
    plain = clone(coverage).set_params(cache=None)
    np.testing.assert_allclose(plain.fit(X).transform(X), coverage.fit(X).transform(X), atol=0.01)


def test_two_networks_that_listen(passed):
    X, y = sounds()
    store = CoverageCache()
    ears = [("fine", Coverage(listener(), cache=store))]
    ears += [("coarse", Coverage(listener((4, 4)), cache=store))]
    model = detector(FeatureUnion(ears))
    assert cross_val_score(model, X, y, cv=4, scoring="roc_auc").mean() > 0.9
    assert len(store.info()) == 2  # alike in layers' names, not in weights or strides
    assert passed["0,2"] <= 2.2 * len(X)


def test_sounds_of_another_kind_are_refused():
    X, _ = sounds()
    coverage = Coverage(listener()).fit(X)
    X[3, 0, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        coverage.transform(X)
