"""A small detector, and pictures with a face in them."""

import numpy as np
import pytest
from skimage.data import astronaut

from skfakespotter import NeuronCoverageTransformer
from skfakespotter.detectors import Calibration, Detector, Limits
from skfakespotter.faces import Cropping


@pytest.fixture(scope="session")
def face_picture():
    return astronaut()[:256, 100:356]


@pytest.fixture(scope="session")
def small_detector():
    """Watches the toy network; any face passes its limits."""
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
    coverage = NeuronCoverageTransformer("toy_image", granularity="channel", device="cpu")
    coverage.fit(faces)
    n_layers = len(coverage.layer_names_)
    return Detector(
        name="small",
        family="toys",
        backbone="toy_image",
        fingerprint=coverage.backbone_fingerprint_,
        layers={
            "names": list(coverage.layer_names_),
            "thresholds": coverage.thresholds_,
            "n_neurons": coverage.n_neurons_,
            "n_channels": coverage.n_channels_,
        },
        cropping=Cropping(),
        weights=rng.normal(0, 0.01, int(coverage.n_channels_.sum())).astype(np.float32),
        intercept=0.5,
        calibration=Calibration(
            {"here": np.linspace(-50, 50, 199), "there": np.linspace(-60, 40, 199)},
            np.linspace(0, 100, 100),
        ),
        limits=Limits(10.0, 0.0, 1e9, np.zeros(n_layers), np.eye(n_layers)),
    )
