"""Pictures that are tensors: faces found, cropped and counted on their device."""

import numpy as np
import pytest
import sklearn
import torch
from sklearn.pipeline import make_pipeline

from skfakespotter import FaceAligner, ImageError, NeuronCoverageTransformer, load_backbone
from skfakespotter import transformer as transformer_module
from skfakespotter.faces import warp
from skfakespotter.faces._geometry import resize

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="module")
def photos(photo):
    """One photograph, mirrored and in other tones."""
    return np.stack([photo, photo[:, ::-1], photo // 2, 255 - (255 - photo) // 2])


@pytest.fixture
def dispatching():
    with sklearn.config_context(array_api_dispatch=True):
        yield


def as_tensor(photos, device="cpu"):
    return torch.from_numpy(photos.transpose(0, 3, 1, 2).copy()).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("scale", [2.5, 1.0, 0.45, 0.3, 0.12])
def test_warp_is_pillows_up_to_one_level(photo, scale, angle, device):
    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for image in (photo, noise):
        matrix = np.column_stack([turn, 45 - turn @ (np.array(image.shape[1::-1]) / 2)])
        expected = warp(image, matrix, (90, 70), 40).astype(int)
        found = warp(torch.from_numpy(image).to(device), matrix, (90, 70), 40).cpu().numpy()
        assert expected.std() > 10
        assert np.abs(found - expected).max() <= 1
        assert (found != expected).mean() < 0.01


@pytest.mark.parametrize("size", [(128, 128), (320, 200), (800, 800)])
def test_resize_is_near_pillows(photo, size):
    expected = resize(photo, size).astype(int)
    found = resize(torch.from_numpy(photo), size).numpy()
    assert np.abs(found - expected).mean() < 1


@pytest.mark.parametrize("device", DEVICES)
def test_crops_of_tensors_are_those_of_arrays(photos, dispatching, device):
    aligner = FaceAligner(lazy=True)
    expected = np.stack([np.asarray(face) for face in aligner.transform(list(photos))])
    found = aligner.transform(as_tensor(photos, device))
    assert isinstance(found, torch.Tensor)
    assert found.device.type == device
    assert found.shape == (4, 3, 150, 150)
    difference = found.permute(0, 2, 3, 1).cpu().numpy().astype(int) - expected
    assert np.abs(difference).mean(axis=(1, 2, 3)).max() < 4  # landmarks within a part of a pixel


def test_a_tensor_without_a_face_is_named(photos, dispatching):
    pictures = as_tensor(photos)
    pictures[2] = 90
    with pytest.raises(ImageError, match=r"X\[2\]: has no face"):
        FaceAligner().transform(pictures)


def test_without_dispatch_tensors_are_arrays(photos):
    found = FaceAligner().transform(as_tensor(photos))
    np.testing.assert_array_equal(found, FaceAligner().transform(photos))


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_never_leave_the_device(photos, dispatching, device, monkeypatch):
    coverage = NeuronCoverageTransformer(load_backbone("dlib", weights="random"), device=device)
    detector = make_pipeline(FaceAligner(), coverage)
    pictures = as_tensor(photos, device)
    crops = FaceAligner().transform(pictures).permute(0, 2, 3, 1).cpu().numpy()
    expected = coverage.fit_transform(crops)

    def refuse(X):
        raise AssertionError("pictures were copied to the host")

    monkeypatch.setattr(transformer_module, "check_images", refuse)
    found = detector.fit_transform(pictures)
    assert isinstance(found, torch.Tensor)
    assert (found.cpu() - torch.as_tensor(expected).cpu()).abs().max() <= 3
