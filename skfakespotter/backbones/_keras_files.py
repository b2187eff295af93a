"""Keras's ``.h5`` files, read in a process of their own (see ``_keras_child``)."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from skfakespotter.backbones._backbone import WeightsError
from skfakespotter.backbones._files import open_file
from skfakespotter.backbones._pickles import shorten

LARGEST = 2**30  # bytes; the published files have a hundred million
CHILD = Path(__file__).with_name("_keras_child.py")
PATIENCE = 120  # seconds, where the child cannot limit itself


def read_keras(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the weights that Keras 2 saves, alone or in a whole model.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to Tensor
        ``layer.weight``, ``layer.bias``, ``layer.running_mean`` and ``layer.running_var``;
        kernels in PyTorch's axis order.

    Raises
    ------
    WeightsError
        For a layer of another kind, or a dataset that does not stand in the file.
    ImportError
        When the extra ``h5`` is not installed.
    """
    open_file(path, LARGEST).close()
    if ("h5py" in sys.modules and sys.modules["h5py"] is None) or find_spec("h5py") is None:
        raise ImportError(f'{path}: reading it needs h5py: pip install "skfakespotter[h5]"')
    try:
        done = subprocess.run(
            [sys.executable, CHILD, os.path.abspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(path, "takes too long to read: is it damaged?") from error
    head, _, data = done.stdout.partition(b"\n")
    if done.returncode or not head:
        raise WeightsError(path, "makes the HDF5 library fail or loop: it is damaged")
    head = json.loads(head)
    if isinstance(head, dict):
        raise WeightsError(path, head["reason"].split("\n")[0], shorten(head.get("key") or ""))
    weights, start = {}, 0
    for name, shape in head:
        values = np.frombuffer(data, "=f4", math.prod(shape), 4 * start).reshape(shape)
        weights[name] = torch.tensor(values)
        start += math.prod(shape)
    return weights
