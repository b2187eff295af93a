"""Networks from outside: MobileFaceNet through the public extension points alone."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    list_backbones,
    load_backbone,
    register_backbone,
)
from skfakespotter.backbones import WeightsError
from skfakespotter.images import fit_to

SPEC = "recipes.mobilefacenet:mobilefacenet"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "examples")


@pytest.fixture(scope="module")
def weights(shared_dir):
    path = shared_dir / "weights" / "mobilefacenet_casia.ckpt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="module")
def photos(faces_dir):
    """Forty photographs of different people, and the same with glasses drawn in by a GAN."""
    folder = faces_dir / "stgan_eyeglasses"
    names = sorted(path.name for path in (folder / "real").glob("*.jpg"))[:40]
    return [[folder / kind / name for name in names] for kind in ("real", "fake")]


def similarities(backbone, photos, template):
    """Cosine of every photo with every edited one; the same person on the diagonal."""
    descriptors = []
    for pictures in photos:
        faces = FaceAligner(template=template, on_missing="center").transform(pictures)
        pixels = np.stack([fit_to(face, backbone.input_size) for face in faces])
        with torch.inference_mode():
            found = backbone.module(backbone.preprocess(torch.tensor(pixels).permute(0, 3, 1, 2)))
        descriptors.append(torch.nn.functional.normalize(found))
    return (descriptors[0] @ descriptors[1].T).numpy()


def separation(cosines):
    """Same person's mean above the others' mean, in standard deviations of the others."""
    same = np.eye(len(cosines), dtype=bool)
    return (cosines[same].mean() - cosines[~same].mean()) / cosines[~same].std()


def test_untrained_network_needs_no_file():
    backbone = load_backbone(SPEC, weights="random")
    assert backbone.input_size == (112, 96)
    assert backbone.template == "sphereface"
    assert backbone is load_backbone(SPEC, weights="random")
    x = torch.zeros(2, 3, 112, 96)
    assert backbone.module(x).shape == (2, 128)
    assert "50 conv and fc layers" in repr(backbone)


def test_folding_changes_nothing_but_the_last_digits(monkeypatch):
    from recipes.mobilefacenet import MobileFaceNet, fold

    torch.manual_seed(0)
    network = MobileFaceNet()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    x = torch.randn(2, 3, 112, 96)
    with torch.inference_mode():
        before = network.eval()(x)
        after = fold(network)(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    assert (before - after).abs().max() < 1e-4 * before.abs().max()


def test_wrong_files_are_refused(tmp_path):
    empty, other, code = (tmp_path / name for name in ("empty.ckpt", "other.ckpt", "code.ckpt"))
    empty.write_bytes(b"")
    torch.save({"net_state_dict": {"conv1.conv.weight": torch.zeros(1)}}, other)
    code.write_bytes(pickle.dumps(print, protocol=2))
    for path in (empty, other, code, tmp_path / "none.ckpt"):
        with pytest.raises(WeightsError, match=rf"{path.name}.*MobileFaceNet"):
            load_backbone(SPEC, weights=path)


def test_without_a_file_the_message_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"mobilefacenet_casia\.ckpt"):
        load_backbone(SPEC)


def test_published_weights_match_to_the_last_key(weights):
    from recipes.mobilefacenet import MobileFaceNet

    state = torch.load(weights, map_location="cpu", weights_only=True)["net_state_dict"]
    assert state.keys() == MobileFaceNet().state_dict().keys()
    trained = load_backbone(SPEC, weights=weights)
    assert trained.fingerprint != load_backbone(SPEC, weights="random").fingerprint


def test_it_recognizes_people(weights, photos):
    """Measured on these 40: AUC 0.9996, mean cosine 0.80 (same) and 0.00 (others)."""
    backbone = load_backbone(SPEC, weights=weights)
    cosines = similarities(backbone, photos, "sphereface")
    same = np.eye(len(cosines), dtype=bool)
    assert roc_auc_score(same.ravel(), cosines.ravel()) > 0.99
    assert cosines[same].mean() > 0.7
    assert abs(cosines[~same].mean()) < 0.1
    random = load_backbone(SPEC, weights="random")
    assert separation(similarities(random, photos, "sphereface")) < separation(cosines) / 2


def test_wrong_alignment_makes_it_worse(weights, photos):
    """Measured: 7.3 standard deviations on its own template, 5.9 on VGGFace2's."""
    backbone = load_backbone(SPEC, weights=weights)
    own = separation(similarities(backbone, photos, backbone.template))
    for template in ("dlib", "vggface2"):
        assert separation(similarities(backbone, photos, template)) < own - 1


def test_it_works_by_registered_name(weights, photos):
    from recipes.mobilefacenet import mobilefacenet

    name = "mobilefacenet_test"
    register_backbone(name, lambda weights_=None: mobilefacenet(weights), overwrite=True)
    assert name in list_backbones()
    faces = FaceAligner(template="sphereface", on_missing="center").transform(photos[0][:4])
    by_name = clone(NeuronCoverageTransformer(name, granularity="channel"))
    coverage = by_name.fit_transform(faces)
    assert coverage.shape == (4, by_name.n_channels_.sum())
    assert len(by_name.layer_names_) == 50
    assert len(pickle.dumps(by_name)) < 10_000
    loaded = load_backbone(SPEC, weights=weights)
    by_spec = NeuronCoverageTransformer(loaded, granularity="channel").fit_transform(faces)
    np.testing.assert_array_equal(coverage, by_spec)
    assert len(pickle.dumps(loaded)) < 1000
