"""Weight files made to harm: each ends in a WeightsError, quickly and in little memory."""

import os
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from skfakespotter.backbones import WeightsError
from skfakespotter.backbones._weights import check_weights, read_weights
from skfakespotter.backbones.dlib import read_network
from skfakespotter.backbones.onnx import onnx_backbone

START = b"\x80\x02"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R"
DTYPE += b"(K\x03X\x01\x00\x00\x00<NNNK\x00K\x00K\x00tb"
NAME = b"X\x01\x00\x00\x00a"
LAUGHS = b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))  # 2**60 empty tuples
DEEP = b")" + b"\x85" * 200_000


def described(shape, data=b"C\x04aaaa"):
    """A pickle of one array with the given shape."""
    return START + b"}(" + NAME + ARRAY + b"(K\x01" + shape + DTYPE + b"\x89" + data + b"tbu."


def number(value):
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + data


SHARED = b"".join(
    b"X\x03\x00\x00\x00%03d" % i
    + ARRAY
    + b"(K\x01J"
    + struct.pack("<i", 2**16)
    + b"\x85"
    + (DTYPE + b"q\x02" if i == 0 else b"h\x02")
    + b"\x89"
    + (b"B" + struct.pack("<I", 2**18) + b"a" * 2**18 + b"q\x01" if i == 0 else b"h\x01")
    + b"tb"
    for i in range(500)
)
PICKLES = {
    "a tuple as key": START + b"}" + LAUGHS + b"Ns.",
    "a deep tuple as key": START + b"}" + DEEP + b"Ns.",
    "a tuple as callable": START + LAUGHS + b")R.",
    "a tuple as encoding": START + b"c_codecs\nencode\n" + NAME + LAUGHS + b"\x86R.",
    "a tuple as type": START + b"cnumpy\ndtype\n" + LAUGHS + b"\x85R" + b".",
    "an integer as key": START + b"}K\x01Ns.",
    "text in a shape": described(NAME + number(3 * 10**9) + b"\x86"),
    "a tuple in a shape": described(b")K\x00\x85" + number(4 * 10**8) + b"\x86"),
    "negative sizes": described(number(-2) + number(-2) + b"\x86"),
    "huge sizes": described(number(2**62) + b"K\x00\x86"),
    "one block in 500 arrays": START + b"}(" + SHARED + b"u.",
    "too many instructions": START + b")0" * 400_000 + b".",
    "no stack": START + b"s.",
    "no mark": START + b"u.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(tmp_path, name):
    path = tmp_path / "net.pkl"
    path.write_bytes(PICKLES[name])
    check_refused(read_weights, path)


def check_refused(read, path, match="net|bomb"):
    """The file is refused within a second of processor time and 64 MB more memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(WeightsError, match=match) as caught:
            read(path)
        seconds, memory = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert seconds < 10  # tracing slows it down several times
    assert memory < 2**26 + 4 * path.stat().st_size


TENSORS = {
    "stride 0": torch.ones(1).expand(2**16, 2**15),
    "sparse": torch.eye(3).to_sparse(),
    "meta": torch.ones(3, device="meta"),
    "complex": torch.ones(3, dtype=torch.complex64),
}


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", TENSORS)
def test_odd_tensors(tmp_path, name, new):
    path = tmp_path / "net.pt"
    torch.save({"w": TENSORS[name]}, path, _use_new_zipfile_serialization=new)
    check_refused(read_weights, path)


def test_strides_of_honest_files(tmp_path):
    """Transposed, channels last, a part of a larger storage, and two names for one tensor."""
    whole = torch.arange(48.0).reshape(2, 3, 4, 2)
    state = {
        "transposed": whole[0, 0].T,
        "last": whole.contiguous(memory_format=torch.channels_last),
        "part": whole[1, 1:, 2],
        "tied": whole,
        "again": whole,
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(whole),
    }
    for new in (True, False):
        path = tmp_path / f"{new}.pt"
        torch.save(state, path, _use_new_zipfile_serialization=new)
        found = read_weights(path)
        assert list(found) == list(state)
        for key, tensor in state.items():
            torch.testing.assert_close(found[key], tensor.detach(), rtol=0, atol=0)
            assert found[key].is_contiguous()


def test_optimizer_beside_the_weights(tmp_path):
    """Its keys are integers, and it holds lists and floats."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {"net_state_dict": layer.state_dict(), "optimizer": optimizer.state_dict(), "t": 1.5}
    torch.save(content, tmp_path / "net.ckpt")
    torch.testing.assert_close(read_weights(tmp_path / "net.ckpt")["weight"], layer.weight.detach())


def test_compressed_records(tmp_path):
    torch.save({"w": torch.zeros(2**20)}, tmp_path / "good.pt")
    source = zipfile.ZipFile(tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    check_refused(read_weights, tmp_path / "bomb.pt", "compressed or overlap")


@pytest.mark.filterwarnings("ignore")  # torch's tracer deprecates itself
def test_a_script_module_is_named(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "net.pt")
    check_refused(read_weights, tmp_path / "net.pt", "is a ScriptModule")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("read", [read_weights, read_network, onnx_backbone])
def test_pipes_and_devices(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.pkl")
    for path in (tmp_path / "pipe.pkl", "/dev/zero", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            read(path)


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_h5_does_not_leave_its_file(tmp_path, kind):
    h5py = pytest.importorskip("h5py")
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["s"] = np.full(4, 42, "f4")
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"l"]
        group = file.create_group("l")
        group.attrs["weight_names"] = [b"l/kernel:0"]
        if kind == "external link":
            group.create_group("l")["kernel:0"] = h5py.ExternalLink(str(other), "/s")
        elif kind == "soft link":
            group["l"] = h5py.SoftLink("/l/l")
        elif kind == "external storage":
            group.create_dataset("l/kernel:0", (4,), "f4", external=[(str(other), 0, 16)])
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(other), "s", (4,))
            group.create_virtual_dataset("l/kernel:0", layout)
    with pytest.raises(WeightsError, match=r"net\.h5', layer 'l/kernel:0': .*refused"):
        read_weights(path)


def test_h5_that_claims_more_than_it_holds(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["layer_names"] = [b"l"]
        group = file.create_group("l")
        group.attrs["weight_names"] = [b"l/kernel:0"]
        group.create_dataset("l/kernel:0", (2**33,), "f4", chunks=(2**16,))
    with pytest.raises(WeightsError, match="claims more values than the file can hold"):
        read_weights(tmp_path / "net.h5")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value):
    weights = {"a": torch.tensor([0.0, value])}
    with pytest.raises(WeightsError, match="layer 'a': holds values that are NaN or infinite"):
        check_weights("net.pt", weights, {"a": (2,)})


def test_negative_variances():
    weights = {"bn.running_var": torch.tensor([1.0, -1.0])}
    with pytest.raises(WeightsError, match=r"layer 'bn\.running_var': holds negative variances"):
        check_weights("net.pt", weights, {"bn.running_var": (2,)})


def test_denormal_weights_are_flushed_with_equal_output(tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(8, 3, 3, 3)
    weight[::2] *= 1e-40
    torch.save({"w": weight}, tmp_path / "net.pt")
    flushed = read_weights(tmp_path / "net.pt")["w"]
    assert (weight[::2] != 0).any()
    assert (flushed[::2] == 0).all()
    torch.testing.assert_close(flushed[1::2], weight[1::2], rtol=0, atol=0)
    x = 255 * torch.rand(2, 3, 16, 16)
    convolve = torch.nn.functional.conv2d
    torch.testing.assert_close(convolve(x, flushed), convolve(x, weight), rtol=0, atol=1e-30)
