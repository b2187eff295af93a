import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skfakespotter import FakeSpotterClassifier, load_coverage_sample
from skfakespotter.classifier._training import MultilayerPerceptron, TensorBatches


@pytest.fixture(scope="module")
def moons():
    X, y = make_moons(120, noise=0.15, random_state=0)
    return StandardScaler().fit_transform(X).astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(moons):
    return FakeSpotterClassifier(max_epochs=60, random_state=0, device="cpu").fit(*moons)


def small(**params):
    params = {"max_epochs": 3, "device": "cpu", "random_state": 0, **params}
    return FakeSpotterClassifier((8, 8, 8, 8), **params)


def test_network_has_the_papers_five_fully_connected_layers(fitted):
    layers = [m for m in fitted.net_.module_.modules() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [
        (2, 512),
        (512, 256),
        (256, 128),
        (128, 64),
        (64, 2),
    ]


def test_optimizer_has_the_papers_settings(fitted):
    group = fitted.net_.optimizer_.param_groups[0]
    assert isinstance(fitted.net_.optimizer_, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1e-4, 0.9, 1e-6)


def test_learns_a_curved_boundary(fitted, moons):
    X, y = moons
    assert roc_auc_score(y, fitted.predict_proba(X)[:, 1]) > 0.9


def test_one_sgd_step_equals_the_hand_computed_one():
    """With weights W and logits XW, the gradient of the mean cross-entropy is X'(p - y)/n."""
    X = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
    clf = FakeSpotterClassifier((), max_epochs=1, batch_size=2, lr=0.5, weight_decay=0)
    clf.set_params(random_state=0, device="cpu").fit(X, [0, 1])
    torch.manual_seed(np.random.RandomState(0).randint(2**31))
    start = MultilayerPerceptron((2, 2))[0].weight.detach().numpy()
    p = np.exp(X @ start.T)
    p /= p.sum(1, keepdims=True)
    expected = start - 0.5 * (p - np.eye(2)).T @ X / 2
    np.testing.assert_allclose(clf.net_.module_[0].weight.detach(), expected, rtol=1e-5)


def test_string_labels_keep_their_order_and_come_back(moons):
    X, y = moons
    names = np.array(["real", "fake"])[y]
    clf = small().fit(X, names)
    assert clf.classes_.tolist() == ["fake", "real"]
    assert set(clf.predict(X)) <= {"fake", "real"}
    assert (clf.predict(X) == clf.classes_[clf.predict_proba(X).argmax(1)]).all()


def test_three_classes():
    X, y = make_blobs(90, centers=3, random_state=0)
    clf = small(max_epochs=30, lr=1e-2).fit(StandardScaler().fit_transform(X), y)
    assert clf.predict_proba(X).shape == (90, 3)
    assert clf.score(StandardScaler().fit_transform(X), y) > 0.9


def test_random_state_reproduces_and_another_differs(moons):
    first, again, other = (small(random_state=s).fit(*moons) for s in (1, 1, 2))
    X = moons[0]
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert not np.allclose(first.predict_proba(X), other.predict_proba(X))


def test_global_generators_are_left_as_found(moons):
    torch.manual_seed(5)
    np.random.seed(5)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    small().fit(*moons).predict_proba(moons[0])
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_score_does_not_depend_on_the_rest_of_the_batch(fitted, moons):
    X = moons[0]
    alone = np.concatenate([fitted.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, fitted.predict_proba(X), rtol=0, atol=1e-12)


def test_verbose_prints_one_line_per_epoch(moons, capsys):
    small(max_epochs=4, verbose=1).fit(*moons)
    table = capsys.readouterr().out
    assert "train_loss" in table
    assert len([line for line in table.splitlines() if line.strip()[:1].isdigit()]) == 4


def test_silent_by_default(moons, capsys):
    small().fit(*moons)
    assert capsys.readouterr() == ("", "")


def test_history_holds_a_falling_loss(fitted):
    losses = fitted.history_[:, "train_loss"]
    assert len(losses) == 60
    assert losses[-1] < 0.5 * losses[0]


def test_early_stopping_stops_early_and_keeps_the_best(moons):
    clf = small(max_epochs=200, lr=0.05, early_stopping=True, n_iter_no_change=3).fit(*moons)
    losses = clf.history_[:, "valid_loss"]
    assert len(losses) < 200
    assert np.argmin(losses) == len(losses) - 4


@pytest.mark.parametrize("n", [4, 8, 20])
def test_early_stopping_on_tiny_sets_holds_back_one_of_each_class(moons, n):
    X, y = moons
    rows = np.r_[np.flatnonzero(y == 0)[: n // 2], np.flatnonzero(y == 1)[: n // 2]]
    clf = small(early_stopping=True, max_epochs=2).fit(X[rows], y[rows])
    assert clf.net_.history_[0, "valid_batch_count"] == 1
    assert "valid_acc" in clf.net_.history_[0]


def test_early_stopping_without_a_sample_to_hold_back_says_so(moons):
    X, y = moons
    rows = np.r_[np.flatnonzero(y == 0)[:9], np.flatnonzero(y == 1)[:1]]
    with pytest.warns(UserWarning, match="early_stopping is left out: class 1 has a single sample"):
        clf = small(early_stopping=True, max_epochs=7).fit(X[rows], y[rows])
    assert len(clf.history_) == 7


# --- what is drawn, in which order, from which generator ------------------------------


def trained_by_hand(X, y, weights, params):
    """The training written out: shuffled batches, momentum, decay, weighted cross-entropy."""
    generator = torch.Generator().manual_seed(np.random.RandomState(0).randint(2**31))
    network = MultilayerPerceptron((X.shape[1], *params["hidden_layer_sizes"], 2), generator)
    X, y, weights = torch.tensor(X), torch.tensor(y), torch.tensor(weights, dtype=torch.float32)
    velocity = [torch.zeros_like(p) for p in network.parameters()]
    for _ in range(params["max_epochs"]):
        order = torch.randperm(len(X), generator=generator)
        for index in order.split(params["batch_size"]):
            loss = torch.nn.functional.cross_entropy(network(X[index]), y[index], reduction="none")
            gradients = torch.autograd.grad((loss * weights[index]).mean(), network.parameters())
            for p, v, g in zip(network.parameters(), velocity, gradients, strict=True):
                v.mul_(0.9).add_(g + 1e-6 * p.detach())
                p.data -= params["lr"] * v
    return network(X).softmax(1).detach().numpy()


@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_what_it_is_written_out(moons, weighted):
    """Every draw counts: an order that is not shuffled, or shuffled once, gives other scores."""
    X, y = moons
    params = {"hidden_layer_sizes": (8, 8), "max_epochs": 3, "batch_size": 7, "lr": 0.05}
    given = np.where(y == 1, 3.0, 1.0) if weighted else np.ones(len(y))
    weight = given if weighted else None
    clf = FakeSpotterClassifier(**params, random_state=0, device="cpu")
    found = clf.fit(X, y, sample_weight=weight).predict_proba(X)
    expected = trained_by_hand(X, y, given / given.mean(), params)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_threads_do_not_disturb_each_other(moons):
    """Eight fits in four threads, against the same fits one after another."""
    from concurrent.futures import ThreadPoolExecutor

    X, y = moons

    def scores(seed):
        return small(random_state=seed, lr=0.05).fit(X, y).predict_proba(X)

    threads = torch.get_num_threads()
    alone = [scores(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(scores, range(8)))
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "float64", "meta"])
def test_modes_and_defaults_of_the_caller_do_not_matter(moons, mode):
    X, y = moons
    expected = small().fit(X, y).predict_proba(X)
    try:
        if mode == "float64":
            torch.set_default_dtype(torch.float64)
        if mode == "meta":  # stands for a GPU that is the default
            torch.set_default_device("meta")
        with getattr(torch, mode, torch.enable_grad)() if "_" in mode else torch.enable_grad():
            found = small().fit(X, y).predict_proba(X)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, expected)


# --- weights --------------------------------------------------------------------------


def test_balanced_classes_weigh_the_same_in_sum(moons):
    """20 of one class and 60 of the other: weights of 2 and 2/3."""
    X, y = moons
    rows = np.r_[np.flatnonzero(y == 0)[:20], np.flatnonzero(y == 1)]
    X, y = X[rows], y[rows]
    by_class = small(class_weight="balanced", lr=0.05).fit(X, y).predict_proba(X)
    weights = np.where(y == 0, 2, 2 / 3)
    np.testing.assert_allclose(
        small(lr=0.05).fit(X, y, sample_weight=weights).predict_proba(X), by_class, atol=1e-6
    )
    named = small(class_weight={0: 6, 1: 2}, lr=0.05).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(named, by_class, atol=1e-6)
    plain = small(lr=0.05).fit(X, y).predict_proba(X)
    assert by_class[:, 0].mean() > plain[:, 0].mean() + 0.05


def test_a_sample_without_weight_is_not_learnt(moons):
    X, y = moons
    flipped = np.where(np.arange(len(y)) < 40, 1 - y, y)
    weights = (np.arange(len(y)) >= 40).astype(float)
    kept = small(lr=0.05).fit(X, y, sample_weight=weights).predict_proba(X)
    np.testing.assert_array_equal(
        small(lr=0.05).fit(X, flipped, sample_weight=weights).predict_proba(X), kept
    )


def test_weights_with_early_stopping(moons):
    X, y = moons
    clf = small(early_stopping=True, lr=0.05).fit(X, y, sample_weight=np.linspace(0, 1, len(y)))
    assert np.isfinite(clf.history_[:, "valid_loss"]).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(120), "at least one non-zero number"),
        (-np.ones(120), "Negative values"),
        (np.ones(119), "sample_weight.shape == "),
        (np.full(120, np.nan), "contains NaN"),
    ],
)
def test_bad_weights(moons, weights, message):
    with pytest.raises(ValueError, match=message):
        small().fit(*moons, sample_weight=weights)


def test_weights_through_a_pipeline(moons):
    X, y = moons
    weights = np.where(y == 1, 5.0, 1.0)
    pipeline = make_pipeline(StandardScaler(), small(lr=0.05))
    pipeline.fit(X, y, fakespotterclassifier__sample_weight=weights)
    plain = make_pipeline(StandardScaler(), small(lr=0.05)).fit(X, y)
    assert pipeline.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.05


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("momentum", 1.5),
        ("max_epochs", 0),
        ("batch_size", 2.5),
        ("class_weight", "even"),
        ("validation_fraction", 1.0),
        ("early_stopping", "yes"),
        ("hidden_layer_sizes", 3),
        ("hidden_layer_sizes", (8, 0)),
    ],
)
def test_bad_parameters_are_named(moons, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of FakeSpotterClassifier must"):
        small().set_params(**{name: value}).fit(*moons)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # torch on pandas
def test_a_raw_net_of_skorch_after_pandas_output(moons):
    """skorch turns a table into one tensor per column; the network takes them as they come."""
    pytest.importorskip("pandas")
    from skorch import NeuralNetClassifier

    X, y = moons
    net = NeuralNetClassifier(
        MultilayerPerceptron, module__widths=(2, 8, 2), criterion=torch.nn.CrossEntropyLoss
    ).set_params(max_epochs=2, verbose=0, train_split=None)
    torch.manual_seed(0)
    pipeline = make_pipeline(StandardScaler(), net).set_output(transform="pandas")
    scores = pipeline.fit(X, y).predict_proba(X)
    torch.manual_seed(0)
    plain = make_pipeline(StandardScaler(), net).set_output(transform="default")
    np.testing.assert_allclose(scores, plain.fit(X, y).predict_proba(X), atol=1e-6)


def test_diverging_training_is_an_error(moons):
    X, y = moons
    with pytest.raises(ValueError, match=r"training diverged.*StandardScaler"):
        small(lr=1e3, max_epochs=10).fit(1e6 * X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((4, 2)), [1, 1, 1, 1], "only one class, 1"),
        (np.ones((4, 2)), ["real"] * 4, "only one class, 'real'"),
        (np.array([[np.nan, 1], [1, 2]]), [0, 1], "contains NaN"),
        (np.array([[np.inf, 1], [1, 2]]), [0, 1], "infinity"),
        (np.ones((2, 2)), [0.1, 0.7], "Unknown label type"),
        (np.ones((3, 2)), [0, 1], "inconsistent numbers of samples"),
    ],
)
def test_bad_training_data(X, y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(X, y)


def test_nan_features_are_never_scored(fitted):
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.predict_proba([[np.nan, 0.0]])


def test_unknown_device_is_named(moons):
    with pytest.raises(ValueError, match="device is 'gpu'"):
        small(device="gpu").fit(*moons)


def test_pickle_and_clone(fitted, moons):
    X = moons[0]
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    assert not hasattr(clone(fitted), "net_")


def test_file_holds_no_optimizer_state(fitted):
    n_weights = sum(p.numel() for p in fitted.net_.module_.parameters())
    assert len(pickle.dumps(fitted)) < 4 * n_weights * 1.2


def test_batches_cover_the_data_once():
    class Data:
        X, y = np.arange(10, dtype=np.float32)[:, None], np.arange(10)

    batches = list(TensorBatches(Data, 4, shuffle=True))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert len(TensorBatches(Data, 4)) == 3
    assert sorted(torch.cat([y for _, y in batches]).tolist()) == list(range(10))
    assert all((x[:, 0] == y).all() for x, y in batches)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["stgan_eyeglasses", "pggan"])
def test_as_good_as_an_svc_on_measured_coverage(pair):
    """The issue of the paper's tiny learning rate: it must really learn."""
    sample = load_coverage_sample(pair=pair)
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=0)

    def auc(classifier, method):
        pipeline = make_pipeline(StandardScaler(), classifier)
        scores = cross_val_predict(
            pipeline, sample.data, sample.target, groups=sample.groups, cv=folds, method=method
        )
        return roc_auc_score(sample.target, scores if scores.ndim == 1 else scores[:, 1])

    ours = auc(FakeSpotterClassifier(random_state=0, device="cpu"), "predict_proba")
    assert ours > auc(SVC(C=10), "decision_function") - 0.02
