"""Weight files as other tools write them."""

import struct

import numpy as np


def python2_pickle(arrays):
    """Write name -> float32 array as `pickle.dump(arrays, f, 2)` of Python 2 does.

    Text and data are str (U: up to 255 bytes, T: longer), NumPy lives in numpy.core, and
    what comes a second time is fetched from the memo (h, j).
    """
    memo = {}

    def put(value):
        index = memo.setdefault(value, len(memo))
        return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)

    def get(index):
        return b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)

    def once(key, code):
        return get(memo[key]) if key in memo else code + put(key)

    def text(value):
        short = len(value) < 256
        return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + (
            value
        )

    def integer(value):
        for limit, code, form in ((1 << 8, b"K", "<B"), (1 << 16, b"M", "<H")):
            if value < limit:
                return code + struct.pack(form, value)
        return b"J" + struct.pack("<i", value)

    def shape_of(array):
        numbers = b"".join(map(integer, array.shape))
        fresh = put(("shape", len(memo)))
        if array.ndim > 3:
            return b"(" + numbers + b"t" + fresh
        return (
            numbers + (b")", b"\x85", b"\x86", b"\x87")[array.ndim] + (fresh if array.ndim else b"")
        )

    out = bytearray(b"\x80\x02}" + put("dict") + b"(")
    for number, (name, array) in enumerate(arrays.items()):
        assert array.dtype == np.float32
        out += text(name.encode()) + put(("name", number))
        out += once("reconstruct", b"cnumpy.core.multiarray\n_reconstruct\n")
        out += once("ndarray", b"cnumpy\nndarray\n")
        out += once("zero", b"K\x00\x85") + once("b", b"U\x01b") + b"\x87" + put(("a", number))
        out += b"R" + put(("array", number)) + b"(K\x01" + shape_of(array)
        if "f4" in memo:
            out += get(memo["f4"])
        else:
            out += b"cnumpy\ndtype\n" + put("dtype") + b"U\x02f4" + put("kind") + b"K\x00K\x01\x87"
            out += put("arguments") + b"R" + put("f4") + b"(K\x03U\x01<" + put("order")
            out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put("state") + b"b"
        out += b"\x89" + text(array.tobytes()) + put(("data", number))
        out += b"t" + put(("built", number)) + b"b"
    return bytes(out + b"u.")


def write_keras(h5py, path, layers, whole_model):
    """Write layers as Keras 2's `save_weights` (or `save`) does."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, kinds in layers.items():
            group = root.require_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{kind}:0".encode() for kind in kinds]
            for kind, values in kinds.items():
                group.create_dataset(f"{layer}/{kind}:0", data=values)
