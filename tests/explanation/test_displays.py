"""Displays by layer: the profile of coverage, and what a classifier loses without a layer."""

import matplotlib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skfakespotter import (
    CoverageProfileDisplay,
    LayerImportanceDisplay,
    NeuronCoverageTransformer,
    load_coverage_sample,
    make_pictures,
)

matplotlib.use("Agg")

pytestmark = pytest.mark.usefixtures("close_figures")


def test_profile_by_hand():
    counts = [[1, 10], [2, 20], [3, 30], [2, 40], [4, 40], [6, 40]]
    display = CoverageProfileDisplay.from_counts(
        counts, ["real"] * 3 + ["fake"] * 3, n_neurons=[10, 100]
    )
    np.testing.assert_allclose(display.real, [[15, 15], [20, 20], [25, 25]])
    np.testing.assert_allclose(display.fake, [[30, 40], [40, 40], [50, 40]])
    assert [line.get_ydata().tolist() for line in display.lines_] == [[20, 20], [40, 40]]


def test_profile_of_channels_is_that_of_their_layers():
    sample = load_coverage_sample("channel", pair="stylegan")
    by_channel = CoverageProfileDisplay.from_counts(
        sample.data, sample.target, n_neurons=sample.n_neurons, n_channels=sample.n_channels
    )
    starts = np.cumsum(sample.n_channels) - sample.n_channels
    by_layer = CoverageProfileDisplay.from_counts(
        np.add.reduceat(sample.data, starts, axis=1), sample.target, n_neurons=sample.n_neurons
    )
    np.testing.assert_allclose(by_channel.fake, by_layer.fake)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("output", ["count", "fraction"])
def test_profile_of_a_pipeline(granularity, output):
    X, y = make_pictures(12, size=32, random_state=0)
    coverage = NeuronCoverageTransformer("toy_image", granularity=granularity, output=output)
    pipeline = make_pipeline(coverage, LogisticRegression(max_iter=5000)).fit(X, y)
    display = CoverageProfileDisplay.from_estimator(pipeline, X, y, show_names=True)
    expected = NeuronCoverageTransformer("toy_image", output="fraction").fit_transform(X)
    np.testing.assert_allclose(
        display.fake[1], 100 * np.median(expected[y == 1], axis=0), rtol=1e-5
    )
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks == list(coverage.fit(X).layer_names_)


def test_profile_says_what_is_missing():
    with pytest.raises(ValueError, match="pass n_channels for counts per channel"):
        CoverageProfileDisplay.from_counts(np.ones((2, 5)), [0, 1], n_neurons=[4, 4])
    with pytest.raises(ValueError, match=r"expected \(n_samples, 4\), one column per channel"):
        CoverageProfileDisplay.from_counts(
            np.ones((2, 5)), [0, 1], n_neurons=[4, 4], n_channels=[2, 2]
        )
    with pytest.raises(TypeError, match="without a NeuronCoverageTransformer"):
        CoverageProfileDisplay.from_estimator(LogisticRegression(), [[0]], [0, 1])
    with pytest.raises(ValueError, match="quartiles by layer"):
        CoverageProfileDisplay([1, 2], [1, 2])


def test_importance_finds_the_layer_that_tells():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = rng.normal(size=(80, 4))
    X[:, 2] += 3 * y
    layers = ["conv1[0]", "conv1[1]", "conv2[0]", "conv2[1]"]
    display = LayerImportanceDisplay.from_predictor(
        LogisticRegression().fit(X, y), X, y, layers=layers, n_repeats=5, random_state=0
    )
    assert display.layer_names == ["conv1", "conv2"]
    assert display.importances.shape == (2, 5)
    without, loss = display.importances.mean(1)
    assert abs(without) < 0.05
    assert 0.3 < loss < 0.65  # shuffled, the AUC is about one half
    heights = [bar.get_height() for bar in display.bars_]
    assert heights == pytest.approx([without, loss])


def test_importance_of_a_pipeline_is_that_of_its_tail():
    X, y = make_pictures(16, size=32, random_state=0)
    coverage = NeuronCoverageTransformer("toy_image", granularity="channel")
    pipeline = make_pipeline(coverage, LogisticRegression(max_iter=5000)).fit(X, y)
    whole = LayerImportanceDisplay.from_estimator(pipeline, X, y, n_repeats=2, random_state=0)
    tail = LayerImportanceDisplay.from_predictor(
        pipeline[1:],
        pipeline[:1].transform(X),
        y,
        layers=pipeline[0].get_feature_names_out(),
        n_repeats=2,
        random_state=0,
    )
    assert whole.layer_names == list(pipeline[0].layer_names_)
    np.testing.assert_array_equal(whole.importances, tail.importances)
    with pytest.raises(TypeError, match="has no classifier"):
        LayerImportanceDisplay.from_estimator(pipeline[0], X, y)


def test_importance_checks_its_parameters():
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(ValueError, match="layers has 2 names"):
        LayerImportanceDisplay.from_predictor(model, [[0], [1]], [0, 1], layers=["a", "b"])
    with pytest.raises(ValueError, match=r"The 'n_repeats' parameter .* Got 0"):
        LayerImportanceDisplay.from_predictor(model, [[0], [1]], [0, 1], layers=["a"], n_repeats=0)
    with pytest.raises(ValueError, match="one row per layer"):
        LayerImportanceDisplay([[0.1]], ["a", "b"])
