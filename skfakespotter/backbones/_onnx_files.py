"""ONNX files: read and checked by the package ``onnx``; nothing in them is executed."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

from skfakespotter._files import size_of
from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._files import open_file
from skfakespotter.backbones._pickles import shorten
from skfakespotter.backbones._weights import flush_denormals

LARGEST_GRAPH = 2**31 - 1  # bytes; what protobuf can hold. Weights may stand in files beside it
MOST_NODES = 50_000  # the largest vision transformers have about 3,000
# Values of the enum TensorProto.DataType that are read, and their bytes
FLOATS = {1: 4, 10: 2, 11: 8, 16: 2}
WHOLES = {2: 1, 3: 1, 6: 4, 7: 8, 9: 1}


def read_model(path: str | os.PathLike) -> Any:
    """Read an ONNX file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    onnx.ModelProto
        Not checked yet.

    Raises
    ------
    WeightsError
        When the file is missing, broken, too new or no ONNX file.
    ImportError
        When the extra ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError('ONNX files need onnx: pip install "skfakespotter[onnx]"') from error
    with open_file(path, LARGEST_GRAPH) as file:
        data = file.read()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises several types
        raise _broken(path, error) from error
    _check_version(onnx, path, model)
    if len(model.graph.node) > MOST_NODES:
        raise WeightsError(
            path, f"has {len(model.graph.node)} nodes; expected at most {MOST_NODES}"
        )
    return model


def names_beside(model: Any) -> set[str]:
    """Return the names of the files that hold weights of a model, as it states them."""
    entries = [entry for tensor in _outside(model) for entry in tensor.external_data]
    return {entry.value for entry in entries if entry.key == "location"}


def read_beside(path: str | os.PathLike, model: Any) -> None:
    """Put into a model the weights that stand in files beside it, and check it.

    Parameters
    ----------
    path : path
        Of the model.
    model : onnx.ModelProto
        Is changed.

    Raises
    ------
    WeightsError
        When a file is missing, elsewhere or too short, or the model is malformed.
    """
    import onnx

    for tensor in _outside(model):
        _read_tensor(onnx, path, tensor)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker raises several types
        raise _broken(path, error) from error


def _outside(model):
    return [t for t in model.graph.initializer if t.data_location == t.EXTERNAL]


def _broken(path, error):
    reason = str(error).strip().split("\n")[0][:300]
    return WeightsError(path, f"is no ONNX file, or is truncated ({reason})")


def _check_version(onnx, path, model):
    """Raise a WeightsError that says so when a file is newer than the package onnx."""
    newest = onnx.defs.onnx_opset_version()
    opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")], default=0)
    if model.ir_version > onnx.IR_VERSION or opset > newest:
        raise WeightsError(
            path,
            f"is newer (ONNX IR version {model.ir_version}, opset {opset}) than the installed "
            f"package onnx {onnx.__version__} knows (IR version {onnx.IR_VERSION}, opset "
            f"{newest}): upgrade onnx, or export the network with opset_version={newest}",
        )


def _read_tensor(onnx, path, tensor):
    """Read a tensor from a file in the folder of the model, and from nowhere else."""
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    name = shorten(tensor.name)
    if tensor.data_type not in FLOATS | WHOLES:
        raise WeightsError(path, f"has the unsupported type {tensor.data_type}", name)
    where = Path(os.path.dirname(os.path.abspath(path)), location)
    if not location or "\0" in location or os.path.basename(location) != location:
        raise WeightsError(
            path, f"stands in {shorten(location)!r}: expected a name beside it", name
        )
    if where.is_symlink():
        reason = f"stands in {shorten(location)!r}, a link: refused, put the file itself there"
        raise WeightsError(path, reason, name)
    offset = given.get("offset", "0")
    if any(size < 0 for size in tensor.dims) or not (offset.isascii() and offset.isdigit()):
        raise WeightsError(path, "has a size or place that is not a number", name)
    size = math.prod(tensor.dims) * (FLOATS | WHOLES)[tensor.data_type]
    if given.get("length", str(size)) != str(size):
        raise WeightsError(path, f"has another length than its {size} bytes", name)
    with open_file(where) as file:
        if len(offset) > 18 or int(offset) + size > size_of(file):
            raise WeightsError(path, f"reaches beyond the end of {location!r}", name)
        file.seek(int(offset))
        tensor.raw_data = file.read(size)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def input_of(graph: Any, path: str | os.PathLike) -> tuple[str, int | None, tuple[int, int] | None]:
    """Return the input's name, its fixed batch size or None, its height and width or None."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in inputs]
    if len(inputs) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (0, 3):
        found = {shorten(i.name): s[:8] for i, s in zip(inputs[:8], shapes[:8], strict=True)}
        raise WeightsError(path, f"takes {found}: expected one input of shape (n, 3, h, w)")
    batch, _, height, width = shapes[0]
    return inputs[0].name, batch or None, (height, width) if height and width else None


def attributes_of(node: Any) -> dict[str, Any]:
    """Return a node's attributes: numbers, str, lists of them, and tensors."""
    from onnx import TensorProto, helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for key, value in attributes.items():
        if isinstance(value, TensorProto):
            attributes[key] = to_tensor(value)
        elif isinstance(value, bytes):
            attributes[key] = value.decode()
    return attributes


def to_tensor(tensor: Any) -> torch.Tensor:
    """Turn a TensorProto into a tensor on the CPU; all floating-point types become float32.

    Parameters
    ----------
    tensor : onnx.TensorProto
        Of a type in ``FLOATS`` or ``WHOLES``, its values within.

    Returns
    -------
    Tensor
        In memory of its own.

    Raises
    ------
    ValueError
        For another type, or fewer values than its shape needs.
    """
    from onnx import numpy_helper

    if tensor.data_type not in FLOATS | WHOLES:
        raise ValueError(f"values of the unsupported type {tensor.data_type}")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > tensor.ByteSize():
        raise ValueError("a shape of more values than it holds")
    array = numpy_helper.to_array(tensor)
    if tensor.data_type not in FLOATS:
        return torch.from_numpy(array.copy())
    values = torch.from_numpy(array.astype("f4"))
    if not values.isfinite().all():
        return values  # masks have them; weights that are not finite are found when they run
    return flush_denormals(values)
