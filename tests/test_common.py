"""scikit-learn's own checks, on every estimator of the package."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfakespotter import FakeSpotterClassifier, NeuronCoverageTransformer

# An estimator of pictures can only be checked by scikit-learn's numbers in a mode that
# takes numbers: hence the toy network on vectors.
ESTIMATORS = [
    NeuronCoverageTransformer("toy_vector", device="cpu"),
    NeuronCoverageTransformer("toy_vector", granularity="channel", output="fraction"),
    FakeSpotterClassifier(random_state=0, device="cpu"),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["NeuronCoverageTransformer", "FaceAligner"])
def test_picture_estimators_declare_what_they_take(name):
    import skfakespotter

    tags = getattr(skfakespotter, name)().__sklearn_tags__()
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string
