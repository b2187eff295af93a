"""Fuzzing: good files of every reader, changed at random; each is read or refused by name.

The suite makes a short run (``test_fuzzing.py``); the long one is a program::

    python tests/fuzzing.py 200000              # in all, over all readers
    python tests/fuzzing.py 20000 onnx video    # over some
    python tests/fuzzing.py --again onnx 1234   # one input once more, in this process

Inputs are read in child processes, a few hundred each, so that one that kills its process, takes
more than five seconds of processor time or more than a gigabyte costs the run nothing but that
process. Every input is made from the seed and its number alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import mmap
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from weight_files import python2_pickle, write_keras

SECONDS = 5  # of processor time for one input
PATIENCE = 60  # seconds of waiting for one input, on a busy machine
MEMORY = 2**30  # bytes for one input, beyond what the process has
CHILD = 400  # inputs for one child process
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]


@dataclass(frozen=True)
class Target:
    """A reader, and good files for it.

    Parameters
    ----------
    read : callable
        Takes a path; raises what it documents, or returns.
    suffix : str
        Of the files.
    refusals : tuple of type
        What is documented.
    files : list of bytes
        Good ones.
    share : int
        Of the inputs of a run, relative to the others'.
    names : bool
        Whether a refusal must name the file.
    """

    read: Callable[[str], object]
    suffix: str
    refusals: tuple[type[BaseException], ...]
    files: list[bytes]
    share: int = 1
    names: bool = True


# --- readers, and good files --------------------------------------------------------------


def _arrays():
    return {f"layer{i}.weight": np.arange(4 * i + 4, dtype="f4").reshape(2, -1) for i in range(4)}


def _weights(files, suffix, **options):
    from skfakespotter.backbones import WeightsError
    from skfakespotter.backbones._weights import read_weights

    return Target(read_weights, suffix, (WeightsError,), files, **options)


def _pickle():
    arrays = _arrays()
    files = [pickle.dumps(arrays, protocol) for protocol in range(5)]
    return _weights([*files, python2_pickle(arrays)], ".pkl", share=100)


def _torch(new):
    files = []
    tensors = {name: torch.from_numpy(array) for name, array in _arrays().items()}
    for content in (tensors, {"state_dict": tensors, "epoch": 3}):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=new)
        files.append(buffer.getvalue())
    return _weights(files, ".pt", share=80)


def _safetensors():
    from safetensors.torch import save

    tensors = {name: torch.from_numpy(array) for name, array in _arrays().items()}
    return _weights([save(tensors)], ".safetensors", share=90)


def _h5():
    import h5py

    layers = {"l": {"kernel": np.ones((3, 3, 2, 4), "f4"), "bias": np.ones(4, "f4")}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.h5")
        write_keras(h5py, path, layers, whole_model=False)
        return _weights([path.read_bytes()], ".h5", share=1)  # each has a process of its own


def _dlib():
    """The file's format for a network of one block, so that an input has 100 kB, not 22 MB."""
    from skfakespotter.backbones import WeightsError, dlib

    def read(path):
        with mock.patch.object(dlib, "BLOCKS", ("32",)):
            return dlib.read_network(path)

    with mock.patch.object(dlib, "BLOCKS", ("32",)), torch.device("meta"):
        network = dlib.DlibFaceNet()
    return Target(read, ".dat", (WeightsError,), [dat_file(network)], share=30)


def dat_file(network):
    """Write a network's weights as dlib does: 0.01 everywhere."""

    def integer(value):
        data = value.to_bytes(4, "little").rstrip(b"\0") or b"\0"
        return bytes([len(data)]) + data

    def tensor(tag, size, integers=0):
        head = integer(len(tag)) + tag + integer(1) * integers + integer(2)
        shape = b"".join(map(integer, (size, 1, 1, 1)))
        return head + shape + np.full(size, 0.01, "<f4").tobytes()

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    convolutions = [
        tensor(b"con_4", layer.weight.numel() + len(layer.weight))
        + tensor(b"affine_", 2 * len(layer.weight))
        for layer in layers
    ]
    return b"".join([*convolutions, tensor(b"fc_2", network.fc.weight.numel(), integers=2)])


def _onnx():
    from onnx import TensorProto, helper, numpy_helper

    from skfakespotter.backbones import WeightsError
    from skfakespotter.backbones.onnx import onnx_backbone

    node, tensor = helper.make_node, numpy_helper.from_array
    rng = np.random.default_rng(0)

    def model(nodes, shapes, **constants):
        given = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
        constants = [tensor(array, name) for name, array in (given | constants).items()]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])
        graph = helper.make_graph(nodes, "graph", [x], [y], constants)
        opset = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()

    embedding = [
        node("Conv", ["x", "w", "b"], ["1"], pads=[1] * 4, strides=[2, 2]),
        node("PRelu", ["1", "s"], ["2"]),
        node("MaxPool", ["2"], ["3"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["3"], ["4"]),
        node("Gemm", ["4", "g", "c"], ["y"], transB=1),
    ]
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "s": (4, 1, 1), "g": (5, 16), "c": (5,)}
    pooled = [
        node("Conv", ["x", "w"], ["1"]),
        node("BatchNormalization", ["1", "b", "b", "b", "v"], ["2"]),
        node("Clip", ["2", "low", "high"], ["3"]),
        node("GlobalAveragePool", ["3"], ["4"]),
        node("Reshape", ["4", "shape"], ["5"]),
        node("MatMul", ["5", "m"], ["6"]),
        node("Add", ["6", "c"], ["y"]),
    ]
    files = [
        model(embedding, shapes),
        model(
            pooled,
            {"w": (4, 3, 3, 3), "b": (4,), "m": (4, 5), "c": (5,)},
            v=np.ones(4, "f4"),
            low=np.float32(0),
            high=np.float32(6),
            shape=np.array([0, -1]),
        ),
    ]
    return Target(onnx_backbone, ".onnx", (WeightsError,), files, share=30)


def _picture():
    from PIL import Image

    from skfakespotter.images import ImageError, load_image

    small = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    image = Image.fromarray(np.kron(small, np.ones((6, 6, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "hello"
    forms = [
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {"exif": exif}),
        *(("TIFF", {"compression": kind}) for kind in (None, "tiff_lzw", "jpeg")),
        *((name, {}) for name in ("GIF", "WEBP", "BMP", "PPM", "JPEG2000", "AVIF", "TGA", "PCX")),
        *((name, {}) for name in ("ICO", "SGI", "MPO", "QOI")),
    ]
    files = []
    for form, options in forms:
        buffer = io.BytesIO()
        try:
            image.save(buffer, form, **options)
        except (OSError, KeyError):  # a build of Pillow without the codec
            continue
        files.append(buffer.getvalue())

    def read(path):
        for side in (None, 10):
            pixels = load_image(path, draft_side=side)
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            assert pixels.size

    return Target(read, ".jpg", (ImageError,), files, share=100)


def _clip():
    import av

    from skfakespotter.video import VideoError, iter_frames

    av.logging.set_level(av.logging.PANIC)
    kinds = [
        ("mpeg4", ".mp4"),
        ("mpeg4", ".avi"),
        ("libx264", ".mkv"),
        ("libx264", ".mp4"),
        ("mpeg2video", ".ts"),
        ("ffv1", ".mkv"),
        ("mjpeg", ".mov"),
        ("libvpx-vp9", ".webm"),
        ("flv", ".flv"),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for codec, suffix in kinds:
            path = Path(folder, f"clip{suffix}")
            with av.open(str(path), "w") as output:
                stream = output.add_stream(codec, rate=25)
                stream.width, stream.height = 64, 48
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for i in range(5):
                    pixels = np.full((48, 64, 3), 20 * i, np.uint8)
                    pixels[10 + i : 30 + i, 10:50, i % 3] = 255
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                output.mux(stream.encode())
            files.append(path.read_bytes())

    def read(path):
        frames = 0
        for frame in iter_frames(path, max_frames=20):
            assert frame.image.dtype == np.uint8
            assert frame.image.ndim == 3
            assert np.isfinite(frame.time)
            frames += 1
        assert frames

    return Target(read, ".mp4", (VideoError,), files, share=40)


def _records():
    """A changed file may be read only where it still says what it said."""
    from skfakespotter import NeuronCoverageTransformer, make_pictures
    from skfakespotter.cache._records import DamagedRecords, Records

    X, _ = make_pictures(12, random_state=0, size=32)
    with tempfile.TemporaryDirectory() as folder:
        coverage = NeuronCoverageTransformer("toy_image", cache=folder, batch_size=8, device="cpu")
        coverage.fit_transform(X)
        paths = sorted(Path(folder).glob("*/*.npz"))
        group = paths[0].parent.name
        files = [path.read_bytes() for path in paths]
        known = {_content(Records.load(path, group)) for path in paths}

    def read(path):
        assert _content(Records.load(Path(path), group)) in known, "altered records were read"

    return Target(read, ".npz", (DamagedRecords,), files, share=70)


def _content(records):
    return b"".join(
        f"{k}{v.dtype}{v.shape}".encode() + v.tobytes() for k, v in vars(records).items()
    )


def _detector():
    from skfakespotter import load_detector, save_detector
    from skfakespotter.detectors import Calibration, Detector, Limits
    from skfakespotter.faces import Cropping

    layers = {"names": ["a", "b"], "thresholds": np.zeros(2)}
    layers |= {"n_neurons": np.array([8, 4]), "n_channels": np.array([2, 1])}
    detector = Detector(
        name="small",
        family="toys",
        backbone="toy_image",
        fingerprint="0" * 32,
        layers=layers,
        cropping=Cropping(),
        weights=np.ones(3, np.float32),
        intercept=0.5,
        calibration=Calibration({"here": np.linspace(-1, 1, 9)}, np.linspace(0, 2, 9)),
        limits=Limits(10.0, 0.0, 1e9, np.zeros(2), np.eye(2)),
        baselines={"a": np.ones((2, 2))},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "small.npz")
        save_detector(detector, path)
        files = [path.read_bytes()]
        with np.load(path) as arrays:  # uncompressed, so that more than the frame is changed
            np.savez(path, **arrays)
        files.append(path.read_bytes())

    def read(path):
        found = load_detector(path)
        assert found.decide(np.zeros((1, 3))).shape == (1,)
        assert 0 < found.p_value(0.0) <= 1
        assert isinstance(f"{found!r}{found}", str)

    return Target(read, ".npz", (ValueError,), files, share=70)


def _model():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from skfakespotter import NeuronCoverageTransformer, make_pictures, persistence

    X, y = make_pictures(12, random_state=0, size=32)
    pipeline = make_pipeline(NeuronCoverageTransformer("toy_image"), LogisticRegression(max_iter=9))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # it need not converge
        path = Path(folder, "model.skops")
        persistence.save(pipeline.fit(X, y), path)
        files = [path.read_bytes()]
    return Target(persistence.load, ".skops", (ValueError,), files, share=15)


TARGETS: dict[str, Callable[[], Target]] = {
    "pickle": _pickle,
    "torch": lambda: _torch(True),
    "torch of old": lambda: _torch(False),
    "safetensors": _safetensors,
    "h5": _h5,
    "dlib": _dlib,
    "onnx": _onnx,
    "picture": _picture,
    "clip": _clip,
    "records": _records,
    "detector": _detector,
    "model": _model,
}


# --- changes ------------------------------------------------------------------------------


def change(rng: random.Random, files: list[bytes]) -> bytes:
    """Change a good file in one to twelve places, half of them near its beginning."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 12))):
        if not data:
            break
        at = rng.randrange(min(len(data), 400) if rng.random() < 0.5 else len(data))
        _STEPS[rng.randrange(len(_STEPS))](rng, data, at, files)
    return bytes(data)


def _insert(rng, data, at, files):
    data[at:at] = rng.randbytes(rng.randrange(1, 8))


def _flip(rng, data, at, files):
    data[at] ^= 1 << rng.randrange(8)


def _replace(rng, data, at, files):
    data[at] = rng.randrange(256)


def _delete(rng, data, at, files):
    del data[at : None if rng.random() < 0.3 else at + rng.randrange(1, 20)]


def _splice(rng, data, at, files):
    other = rng.choice(files)
    start = rng.randrange(len(other))
    data[at:at] = other[start : start + rng.randrange(1, 60)]


def _repeat(rng, data, at, files):
    start, size = rng.randrange(len(data)), rng.randrange(1, 40)
    data[at : at + size] = data[start : start + size]


def _write_number(rng, data, at, files):
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) & ((1 << 8 * size) - 1)
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _add_to_number(rng, data, at, files):
    size, order = rng.choice((2, 4, 8)), rng.choice(("little", "big"))
    value = int.from_bytes(data[at : at + size], order) + rng.choice((-1, 1, 16, 255))
    data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)


_STEPS = [_insert, _flip, _replace, _delete, _splice, _repeat, _write_number, _add_to_number]


# --- runs ---------------------------------------------------------------------------------


def make_input(name: str, target: Target, seed: int, number: int) -> bytes:
    """Make one input from the seed and its number alone."""
    return change(random.Random(f"{name} {seed} {number}"), target.files)


def read_one(target: Target, path: Path, data: bytes) -> str | None:
    """Read one input; return "read" or "refused", or a fault in words."""
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(str(path))
    except target.refusals as error:
        if target.names and path.name not in str(error):
            return f"{type(error).__name__} that does not name the file: {str(error)[:200]}"
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "read"


def run(name: str, target: Target, count: int, seed: int = 0) -> dict:
    """Read many inputs in child processes.

    Returns
    -------
    dict
        ``read`` and ``refused``, counts; ``seconds``, the longest; ``megabytes``, the largest
        growth of a child; ``faults``, list of (number, words).
    """
    found = {"read": 0, "refused": 0, "seconds": 0.0, "megabytes": 0, "faults": []}
    first = 0
    with tempfile.TemporaryDirectory() as folder:
        while first < count:
            last = min(first + CHILD, count)
            at, died, report = _run_child(name, target, Path(folder), seed, first, last)
            found["seconds"] = max(found["seconds"], report.pop("seconds", 0.0))
            found["megabytes"] = max(found["megabytes"], report.pop("megabytes", 0))
            found["faults"] += report.pop("faults", [])
            for key, value in report.items():
                found[key] += value
            if died:
                found["faults"].append((at, died))
            first = at + 1 if died else last
    return found


def _run_child(name, target, folder, seed, first, last):
    """Read inputs in a child; return at which it ended, of what it died, and what it saw."""
    at = mmap.mmap(-1, 8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            _be_child(name, target, folder, seed, range(first, last), at, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    place = int.from_bytes(at[:8], "little")
    lines = [json.loads(line) for line in data.splitlines() if line.endswith(b"}")]
    report = lines[-1] if lines else {}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hung = number in (signal.SIGPROF, signal.SIGALRM)
        return place, "takes too long" if hung else f"dies of signal {number}", report
    return place, None if os.WEXITSTATUS(status) == 0 else "ends its process", report


def _be_child(name, target, folder, seed, numbers, at, writing):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    faulthandler.disable()  # the parent says what a child died of
    _limit_memory()
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # which ends the process, also inside C
    path, seen = folder / f"input{target.suffix}", Counter()
    report = {"seconds": 0.0, "faults": []}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        at[:8] = number.to_bytes(8, "little")
        data = make_input(name, target, seed, number)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        start = time.process_time()
        outcome = read_one(target, path, data)
        report["seconds"] = max(report["seconds"], time.process_time() - start)
        if outcome in ("read", "refused"):
            seen[outcome] += 1
        else:
            report["faults"].append((number, outcome))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        report["megabytes"] = grown // 1024
        if number % 20 == 0 or number == numbers[-1]:
            os.write(writing, json.dumps({**report, **seen}).encode() + b"\n")
    os._exit(0)


def _limit_memory():
    """Let the process have so much more memory, and no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> int:
    """Fuzz, and say what came of it; 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, help="inputs in all, or the number of one (--again)")
    parser.add_argument("names", nargs="*", metavar="reader", choices=[*TARGETS, []])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", metavar="READER", choices=TARGETS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # children of a process with threads could not compute
    if options.again:
        target = TARGETS[options.again]()
        path = Path(tempfile.mkdtemp(), f"input{target.suffix}")
        path.write_bytes(make_input(options.again, target, options.seed, options.count))
        print(path, target.read(str(path)))
        return 0
    targets = {name: TARGETS[name]() for name in options.names or TARGETS}
    whole = sum(target.share for target in targets.values())
    n_faults = 0
    for name, target in targets.items():
        start, count = time.monotonic(), -(-options.count * target.share // whole)
        found = run(name, target, count, options.seed)
        faults = found.pop("faults")
        print(f"{name}: {count} inputs in {time.monotonic() - start:.0f} s, {found}", flush=True)
        for number, words in faults[:20]:
            print(f"    --again {name!r} {number}: {words}", flush=True)
        n_faults += len(faults)
    print(f"{n_faults} faults")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
