"""A model that was fitted on aligned faces scores nothing else."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from skfakespotter import FaceAligner, ImageError, NeuronCoverageTransformer, merge_transformers
from skfakespotter.backbones import Backbone
from skfakespotter.faces import Cropping, LazyFace, check_crops, crops_of

SIZE = (32, 32)


@pytest.fixture
def backbone():
    from torch import nn

    return Backbone("tiny", nn.Conv2d(3, 4, 3), input_size=SIZE, template="dlib", scale=255.0)


def pictures(n, height=32, width=32):
    shape = (n, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def jpeg(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG")
    return buffer.getvalue()


def test_what_a_model_was_fitted_on(tmp_path):
    face = LazyFace("a.jpg", Cropping(padding=0.3, on_missing="nan"))
    assert crops_of([face, face], SIZE) == Cropping(padding=0.3)
    assert crops_of([face, LazyFace("b.jpg", Cropping())], SIZE) is None
    assert crops_of(pictures(3), SIZE) == SIZE
    assert crops_of(pictures(3), None) is None
    assert crops_of(pictures(3, 40, 40), SIZE) is None
    assert crops_of([jpeg(p) for p in pictures(2)], SIZE) == SIZE
    assert crops_of([jpeg(pictures(1)[0]), jpeg(pictures(1, 64, 48)[0])], SIZE) is None


def test_photographs_in_place_of_crops_are_refused(backbone, tmp_path):
    coverage = NeuronCoverageTransformer(backbone, device="cpu").fit(pictures(4))
    assert coverage.crops_ == SIZE
    photograph = pictures(1, 60, 90)[0]
    path = tmp_path / "landscape.png"
    Image.fromarray(photograph).save(path)
    chip = pictures(1)[0]
    for bad in (path, photograph, Image.fromarray(photograph), jpeg(photograph)):
        with pytest.raises(ImageError, match=r"X\[1\].*is 90x60 pixels; expected a face cropped"):
            coverage.transform([chip, bad])
    with pytest.raises(ImageError, match="expected a face cropped to 32x32"):
        coverage.transform(pictures(2, 90, 90))
    # perturbed copies of crops may come a little larger or smaller
    assert coverage.transform([chip, pictures(1, 28, 30)[0]]).shape == (2, 1)
    assert coverage.transform([jpeg(chip)]).shape == (1, 1)


def test_another_face_detector_or_crop_is_refused():
    fitted = Cropping(detector="dlib")
    check_crops([LazyFace("a.jpg", replace(fitted, on_missing="nan"))], fitted)
    for other in (replace(fitted, detector="centerface"), replace(fitted, padding=0.5)):
        with pytest.raises(ValueError, match=r"X\[0\] is cropped by Cropping.*fitted on Cropping"):
            check_crops([LazyFace("a.jpg", other)], fitted)
    check_crops(pictures(2, 150, 150), fitted)  # crops that were made beforehand
    with pytest.raises(ImageError, match="expected a face cropped to 150x150"):
        check_crops([Image.fromarray(pictures(1, 149, 150)[0])], fitted)


def test_shards_of_other_crops_are_not_merged(backbone):
    one = NeuronCoverageTransformer(backbone, device="cpu").fit(pictures(4))
    two = NeuronCoverageTransformer(backbone, device="cpu").fit(pictures(4, 40, 40))
    with pytest.raises(ValueError, match=r"differs from .* in crops"):
        merge_transformers([one, two])


def test_a_saved_search_without_its_aligner_refuses_a_photograph():
    astronaut = pytest.importorskip("skimage.data").astronaut()
    chips = np.concatenate([FaceAligner().transform([astronaut])] * 4)
    coverage = NeuronCoverageTransformer("dlib", device="cpu").fit(chips)
    with pytest.raises(ImageError, match=r"X\[0\]: is 512x512 pixels; .* put a FaceAligner before"):
        coverage.transform([astronaut])
