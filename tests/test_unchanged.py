"""Thresholds, counts and scores of the package before its core was rebuilt, from a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    load_backbone,
    make_fakespotter,
    make_pictures,
)

BEFORE = json.loads((Path(__file__).parent / "data" / "before_rebuild.json").read_text())
MOVED = 4  # neurons a picture and layer that may change sides by rounding


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(12, random_state=0)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("toy_image", None),
        ("dlib", None),
        ("vggface2_resnet50", "random"),
    ],
)
def test_thresholds_and_counts(pictures, name, weights):
    before = BEFORE[name]
    X = pictures[0][: len(before["counts"])]
    backbone = load_backbone(name, weights=weights)
    layer = NeuronCoverageTransformer(backbone).fit(X)
    np.testing.assert_allclose(layer.thresholds_, before["thresholds"], rtol=1e-4, atol=1e-6)
    assert layer.n_neurons_.tolist() == before["neurons"]
    assert layer.n_channels_.tolist() == before["channels"]
    counts = layer.transform(X)
    assert np.abs(counts - before["counts"]).max() <= MOVED
    channel = NeuronCoverageTransformer(backbone, granularity="channel").fit_transform(X)
    np.testing.assert_allclose(channel.sum(1), before["channel_sums"], atol=MOVED * counts.shape[1])
    # which channel counted what: the place of each count weighs it
    moments = channel.astype(float) @ np.arange(channel.shape[1])
    np.testing.assert_allclose(moments, before["channel_moments"], rtol=1e-5)


def test_options(pictures):
    before = BEFORE["toy_image_options"]
    coverage = NeuronCoverageTransformer(
        "toy_image", neuron="channel", rectify=True, output="fraction"
    ).fit(pictures[0])
    np.testing.assert_allclose(coverage.thresholds_, before["thresholds"], rtol=1e-5)
    np.testing.assert_allclose(coverage.transform(pictures[0]), before["fractions"], atol=1e-6)


def test_scores(pictures):
    X, y = pictures
    paper = make_fakespotter("toy_image", align=False, random_state=0).fit(X, y)
    np.testing.assert_allclose(paper.predict_proba(X)[:, 1], BEFORE["scores"]["paper"], atol=2e-4)
    logistic = make_fakespotter(
        "toy_image", align=False, granularity="channel", classifier=LogisticRegression()
    ).fit(X, y)
    np.testing.assert_allclose(
        logistic.decision_function(X), BEFORE["scores"]["logistic"], atol=2e-4
    )


def test_aligned_face():
    astronaut = pytest.importorskip("skimage.data").astronaut()
    face = FaceAligner("dlib").transform([astronaut])
    before = BEFORE["astronaut"]
    assert face.mean() == pytest.approx(before["mean"], abs=0.01)
    counts = NeuronCoverageTransformer("dlib", threshold=0.0).fit(face).transform(face)[0]
    assert np.abs(counts - before["counts"]).max() <= MOVED
