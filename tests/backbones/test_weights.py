import gzip
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from weight_files import python2_pickle, write_keras

from skfakespotter.backbones import WeightsError
from skfakespotter.backbones._weights import (
    check_weights,
    find_weights,
    read_weights,
    user_folder,
)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    shapes = {"conv1.weight": (8, 3, 5, 5), "bn1.bias": (8,), "fc.weight": (300, 8), "s": ()}
    return {k: rng.standard_normal(s, dtype=np.float32) for k, s in shapes.items()}


def assert_same(weights, arrays):
    assert list(weights) == list(arrays)
    for name, array in arrays.items():
        assert weights[name].dtype == torch.float32
        np.testing.assert_array_equal(weights[name].numpy(), array)


class TestPickle:
    def test_python_2_layout(self, tmp_path, arrays):
        data = python2_pickle(arrays)
        # the bytes above are what they claim to be: Python's own reader agrees
        own = pickle.loads(data, encoding="latin1")
        assert all(np.array_equal(own[name], arrays[name]) for name in arrays)
        path = tmp_path / "net.pkl"
        path.write_bytes(data)
        assert_same(read_weights(path), arrays)

    @pytest.mark.parametrize("protocol", range(5))
    def test_python_3_layouts(self, tmp_path, arrays, protocol):
        path = tmp_path / "net.pkl"
        path.write_bytes(pickle.dumps(arrays, protocol))
        assert_same(read_weights(path), arrays)

    @pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_byte_and_axis_order(self, tmp_path, kind, order):
        array = np.asarray(np.arange(12).reshape(3, 4), dtype=kind, order=order)
        path = tmp_path / "net.pkl"
        path.write_bytes(pickle.dumps({"w": array}, 2))
        assert_same(read_weights(path), {"w": np.arange(12, dtype=np.float32).reshape(3, 4)})

    @pytest.mark.parametrize("protocol", [0, 2, 4])
    @pytest.mark.parametrize("nested", [False, True])
    def test_code_is_not_run(self, tmp_path, arrays, protocol, nested):
        marker = tmp_path / "marker"
        bomb = Bomb(marker)
        data = pickle.dumps({**arrays, "bomb": bomb} if nested else bomb, protocol)
        pickle.loads(data)
        assert marker.exists(), "the bomb is a dud, so that the test would show nothing"
        marker.unlink()
        path = tmp_path / "net.pkl"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"net\.pkl.*system'?: refused, nothing was run"):
            read_weights(path)
        assert not marker.exists()

    @pytest.mark.parametrize(
        "attack",
        [
            b"(S'touch MARKER'\nios\nsystem\n.",  # INST
            b"(cos\nsystem\nS'touch MARKER'\no.",  # OBJ
            b"cos\nsystem\n(S'touch MARKER'\ntR.",  # GLOBAL, REDUCE
            b'\x80\x02cbuiltins\neval\n(S\'open("MARKER", "w")\'\nt\x81.',  # NEWOBJ
            b"S'numpy dtype'\n(S'f4'\ntR.",  # the name of a call as data is no call
            b"cnumpy\nndarray\n(K\x01tR.",
            b"cnumpy\nload\n(S'MARKER'\ntR.",
            b"\x80\x02\x82\x01.",  # EXT1
            b"Pid\n.",  # PERSID
            b"\x80\x02}(U\x01xcnumpy\ndtype\nu}b.",  # BUILD on what is no array
        ],
    )
    def test_handmade_attacks(self, tmp_path, attack):
        marker = tmp_path / "marker"
        path = tmp_path / "net.pkl"
        path.write_bytes(attack.replace(b"MARKER", str(marker).encode()))
        with pytest.raises(WeightsError, match=r"net\.pkl"):
            read_weights(path)
        assert not marker.exists()

    @pytest.mark.parametrize(
        "content",
        [
            3,
            [1.0],
            {},
            {"w": 1},
            {"w": [1]},
            {1: np.ones(1)},
            {"w": {"v": 1}},
            {"w": np.zeros(1, "O")},
        ],
    )
    def test_other_content(self, tmp_path, content):
        path = tmp_path / "net.pkl"
        path.write_bytes(pickle.dumps(content, 2))
        with pytest.raises(WeightsError, match=r"net\.pkl"):
            read_weights(path)

    @pytest.mark.parametrize("kind", ["U3", "c8", "M8[s]", "?"])
    def test_other_types_of_array(self, tmp_path, kind):
        path = tmp_path / "net.pkl"
        path.write_bytes(pickle.dumps({"w": np.zeros(2, kind)}, 2))
        with pytest.raises(WeightsError, match="expected f4, f8 or i8"):
            read_weights(path)

    def test_truncated_anywhere(self, tmp_path, arrays):
        data = python2_pickle(arrays)
        path = tmp_path / "net.pkl"
        for length in range(0, len(data), 97):
            path.write_bytes(data[:length])
            with pytest.raises(WeightsError, match=r"net\.pkl"):
                read_weights(path)

    def test_fuzzed(self, tmp_path, monkeypatch):
        """Whatever the bytes: weights or a WeightsError, and no system call for a program."""
        calls = []
        for name in ("system", "popen", "execv", "posix_spawn"):
            monkeypatch.setattr(os, name, lambda *a: calls.append(a))
        rng = np.random.default_rng(0)
        seeds = [python2_pickle({"conv.weight": np.ones((2, 3), "f4"), "b": np.ones(5, "f4")})]
        seeds += [pickle.dumps({"w": np.ones((2, 3), "f4")}, protocol) for protocol in range(5)]
        path, read = tmp_path / "net.pkl", 0
        for _ in range(2000):
            data = bytearray(seeds[rng.integers(len(seeds))])
            for position in rng.integers(len(data), size=rng.integers(1, 6)):
                data[position] = rng.integers(256)
            if rng.random() < 0.2:
                del data[rng.integers(len(data)) :]
            path.write_bytes(data)
            try:
                weights = read_weights(path)
            except WeightsError:
                continue
            read += 1
            assert all(isinstance(k, str) for k in weights)
            assert all(isinstance(t, torch.Tensor) for t in weights.values())
        assert 0 < read < 2000  # both happen, or the fuzzing proves nothing
        assert calls == []


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


class TestTorch:
    @pytest.mark.parametrize("new", [True, False])
    @pytest.mark.parametrize("wrapped", [True, False])
    def test_state_dicts(self, tmp_path, arrays, new, wrapped):
        state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        path = tmp_path / "net.pkl"  # the suffix does not count
        content = {"state_dict": state, "epoch": 3} if wrapped else state
        torch.save(content, path, _use_new_zipfile_serialization=new)
        assert_same(read_weights(path), arrays)

    @pytest.mark.parametrize("new", [True, False])
    def test_code_is_not_run(self, tmp_path, new):
        marker, path = tmp_path / "marker", tmp_path / "net.pth"
        torch.save({"w": Bomb(marker)}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(WeightsError, match=r"net\.pth"):
            read_weights(path)
        assert not marker.exists()

    @pytest.mark.parametrize("new", [True, False])
    def test_truncated(self, tmp_path, arrays, new):
        path = tmp_path / "net.pth"
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        torch.save(state, path, _use_new_zipfile_serialization=new)
        data = path.read_bytes()
        for part in (0.1, 0.5, 0.9):
            path.write_bytes(data[: int(part * len(data))])
            with pytest.raises(WeightsError, match=r"net\.pth.*truncated"):
                read_weights(path)

    @pytest.mark.parametrize("content", [[torch.ones(1)], {"w": 3}, torch.ones(2)])
    def test_no_state_dict(self, tmp_path, content):
        torch.save(content, tmp_path / "net.pth")
        with pytest.raises(WeightsError, match="expected a state dict"):
            read_weights(tmp_path / "net.pth")

    def test_half_precision_is_widened(self, tmp_path):
        torch.save({"w": torch.ones(2).half(), "n": torch.tensor(3)}, tmp_path / "net.pth")
        weights = read_weights(tmp_path / "net.pth")
        assert weights["w"].dtype == torch.float32
        assert weights["n"].dtype == torch.int64


class TestOptionalFormats:
    def test_safetensors(self, tmp_path, arrays):
        safetensors = pytest.importorskip("safetensors.torch")
        path = tmp_path / "net.safetensors"
        safetensors.save_file({k: torch.from_numpy(a) for k, a in arrays.items()}, path)
        weights = read_weights(path)
        assert_same({name: weights[name] for name in arrays}, arrays)
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(WeightsError, match=r"net\.safetensors.*truncated"):
            read_weights(path)

    @pytest.mark.parametrize("whole_model", [False, True])
    def test_keras(self, tmp_path, whole_model):
        h5py = pytest.importorskip("h5py")
        path = tmp_path / "net.h5"
        rng = np.random.default_rng(0)
        kernel = rng.standard_normal((5, 4, 3, 2), dtype=np.float32)  # h, w, in, out
        dense = rng.standard_normal((3, 2), dtype=np.float32)  # in, out
        layers = {
            "input_1": {},
            "conv1/7x7_s2": {"kernel": kernel},
            "conv1/7x7_s2/bn": {
                kind: np.full(2, i, "f4")
                for i, kind in enumerate(("gamma", "beta", "moving_mean", "moving_variance"))
            },
            "classifier": {"kernel": dense, "bias": np.ones(2, "f4")},
        }
        write_keras(h5py, path, layers, whole_model)
        weights = read_weights(path)
        assert weights["conv1/7x7_s2.weight"].shape == (2, 3, 5, 4)
        assert weights["conv1/7x7_s2.weight"][1, 2, 3, 0] == kernel[3, 0, 2, 1]
        assert weights["classifier.weight"][1, 2] == dense[2, 1]
        kinds = ("weight", "bias", "running_mean", "running_var")
        assert [weights[f"conv1/7x7_s2/bn.{kind}"][0].item() for kind in kinds] == [0, 1, 2, 3]
        assert len(weights) == 7
        path.write_bytes(path.read_bytes()[:600])
        with pytest.raises(WeightsError, match=r"net\.h5.*truncated"):
            read_weights(path)

    def test_keras_layer_of_another_kind(self, tmp_path):
        h5py = pytest.importorskip("h5py")
        layers = {"lstm": {"recurrent_kernel": np.ones((2, 2), "f4")}}
        write_keras(h5py, tmp_path / "net.h5", layers, False)
        with pytest.raises(WeightsError, match="lstm/recurrent_kernel:0': is a 'recurrent_kernel'"):
            read_weights(tmp_path / "net.h5")

    @pytest.mark.parametrize(
        ("name", "head", "package", "hint"),
        [
            ("net.h5", b"\x89HDF\r\n\x1a\n", "h5py", r"skfakespotter\[h5\]"),
            ("net.safetensors", b"\0" * 9, "safetensors.torch", r"skfakespotter\[safetensors\]"),
        ],
    )
    def test_missing_package(self, tmp_path, monkeypatch, name, head, package, hint):
        monkeypatch.setitem(sys.modules, package, None)
        (tmp_path / name).write_bytes(head)
        with pytest.raises(ImportError, match=hint):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "is an HTML page"),
        (b"\n\n  <html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a Git LFS pointer"),
        (gzip.compress(b"weights", mtime=0), "is a compressed archive"),
        (b"", "truncated, or not weights"),
        (b"not weights at all", "truncated, or not weights"),
        (bytes(range(256)) * 4, "truncated, or not weights"),
        (b"PK\x03\x04 no zip", "truncated, or not weights"),
    ],
)
def test_files_of_another_kind(tmp_path, content, reason):
    path = tmp_path / "resnet50_ft_weight.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"resnet50_ft_weight\.pkl': .*{reason}"):
        read_weights(path)


def test_no_file(tmp_path):
    for path in (tmp_path / "missing.pkl", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_weights(path)


class TestCheck:
    SHAPES = {"a.weight": (2, 3), "a.bias": (2,)}  # noqa: RUF012

    def weights(self, **changes):
        weights = {name: torch.zeros(shape) for name, shape in self.SHAPES.items()}
        return {**weights, **{name.replace("_", "."): t for name, t in changes.items()}}

    def test_accepts(self):
        check_weights("net.pkl", self.weights(), self.SHAPES)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"a_bias": torch.zeros(3)}, r"'net.pkl', layer 'a.bias': has the shape \(3,\)"),
            ({"a_bias": torch.zeros(2, dtype=int)}, "'a.bias': has the shape .* torch.int64"),
            ({"b_bias": torch.zeros(2)}, "'b.bias': unexpected: the file is of another network"),
        ],
    )
    def test_refuses(self, changes, message):
        with pytest.raises(WeightsError, match=message):
            check_weights("net.pkl", self.weights(**changes), self.SHAPES)

    def test_missing(self):
        weights = self.weights()
        del weights["a.weight"]
        with pytest.raises(WeightsError, match=r"'a\.weight': missing; expected .*\(2, 3\)"):
            check_weights("net.pkl", weights, self.SHAPES)


class TestFind:
    NAMES = ("best.pkl", "good.pkl")

    @pytest.fixture(autouse=True)
    def places(self, tmp_path, monkeypatch):
        self.user = tmp_path / "config" / "skfakespotter" / "weights"
        self.listed = tmp_path / "listed"
        for folder in (self.user, self.listed):
            folder.mkdir(parents=True)
        for variable in ("XDG_CONFIG_HOME", "APPDATA"):
            monkeypatch.setenv(variable, str(tmp_path / "config"))
        monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", "")

    def test_user_folder(self):
        (self.user / "good.pkl").touch()
        assert user_folder() == self.user
        assert find_weights(self.NAMES, "x") == self.user / "good.pkl"
        (self.user / "best.pkl").touch()
        assert find_weights(self.NAMES, "x") == self.user / "best.pkl"

    def test_environment_comes_first(self, tmp_path, monkeypatch):
        (self.user / "best.pkl").touch()
        (self.listed / "good.pkl").touch()
        listed = os.pathsep.join([str(tmp_path / "nowhere"), str(self.listed)])
        monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", listed)
        assert find_weights(self.NAMES, "x") == self.listed / "good.pkl"
        assert find_weights(["best.pkl"], "x") == self.user / "best.pkl"

    def test_environment_lists_a_file(self, monkeypatch):
        (self.listed / "good.pkl").touch()
        monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(self.listed / "good.pkl"))
        assert find_weights(self.NAMES, "x") == self.listed / "good.pkl"

    def test_folder_given(self):
        (self.user / "best.pkl").touch()
        (self.listed / "good.pkl").touch()
        assert find_weights(self.NAMES, "x", self.listed) == self.listed / "good.pkl"

    def test_none(self, monkeypatch):
        monkeypatch.setenv("SKFAKESPOTTER_WEIGHTS", str(self.listed))
        with pytest.raises(FileNotFoundError) as caught:
            find_weights(self.NAMES, "https://example.org/weights")
        for part in (*self.NAMES, str(self.listed), str(self.user), "https://example.org/weights"):
            assert part in str(caught.value)
        assert "weights='random'" in str(caught.value)
