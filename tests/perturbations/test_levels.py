"""Grids of attacks: order, chains, labels and seeds."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.pipeline import make_pipeline

from skfakespotter.perturbations._attacks import ATTACKS, check_attacks, paper_attacks
from skfakespotter.perturbations._transformers import GaussianBlur, GaussianNoise, JPEGCompression


@pytest.fixture
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (40, 33, 3)).astype(np.uint8)
    return ndimage.gaussian_filter(noise, (1, 1, 0))


def test_paper_attacks_go_from_weak_to_strong(picture):
    grids = paper_attacks()
    assert list(grids) == ["jpeg", "blur", "resize", "noise"]
    for name, levels in grids.items():
        assert [intensity for intensity, _ in levels] == list(ATTACKS[name][1])
        changes = [np.abs(picture - 1.0 * t.transform([picture])[0]).mean() for _, t in levels]
        assert len(levels) == 5
        assert (np.diff(changes) > 0).all(), name


def test_chains_are_pipelines_of_the_parts(picture):
    chains = paper_attacks(combined=True)
    assert list(chains)[4:] == ["jpeg50+blur", "resize0.5+jpeg"]
    intensity, chain = chains["jpeg50+blur"][3]
    assert intensity == 2.0
    by_hand = GaussianBlur(2.0).transform(JPEGCompression(50).transform([picture]))
    np.testing.assert_array_equal(chain.transform([picture]), by_hand)


def test_check_attacks_labels_and_seeds():
    unseeded = GaussianNoise(0.01)
    chain = make_pipeline(JPEGCompression(50), GaussianNoise())
    own = {"a": [unseeded, ("many", chain), chain, GaussianNoise(0.02, random_state=9)]}
    levels = check_attacks(own, 5)["a"]
    assert [intensity for intensity, _ in levels] == [0.01, "many", 3, 0.02]
    assert levels[0][1].random_state == levels[1][1][-1].random_state == 5
    assert levels[3][1].random_state == 9
    assert unseeded.random_state is chain[-1].random_state is None


@pytest.mark.parametrize(
    ("attacks", "error", "message"),
    [
        ([GaussianBlur()], TypeError, "expected None or a dict"),
        ({}, TypeError, "expected None or a dict"),
        ({"a": GaussianBlur()}, TypeError, r"attacks\['a'\] is GaussianBlur\(\): expected a list"),
        ({"a": []}, TypeError, r"attacks\['a'\] is \[\]"),
        ({"a": ["blur"]}, TypeError, r"attacks\['a'\] holds 'blur'"),
        ({"a": [GaussianBlur(), GaussianBlur(kernel_size=5)]}, ValueError, "intensity 1.0 twice"),
    ],
)
def test_check_attacks_refuses(attacks, error, message):
    with pytest.raises(error, match=message):
        check_attacks(attacks)
