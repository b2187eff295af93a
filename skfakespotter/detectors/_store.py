"""Store: detectors as files, arrays in ``.npz`` and facts in JSON; loading runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from skfakespotter._files import DamagedFile, open_arrays
from skfakespotter._typing import Path as PathLike
from skfakespotter.detectors._calibration import Calibration
from skfakespotter.detectors._detector import Detector
from skfakespotter.detectors._limits import Limits
from skfakespotter.faces import Cropping

VERSION = 2
MOST_BYTES = 2**27  # unpacked; one that ships has a few megabytes
FACTS = ("name", "family", "backbone", "fingerprint", "intercept", "card")


def list_detectors() -> list[str]:
    """List the detectors that ship with the package.

    Returns
    -------
    list of str
        Names for :func:`load_detector`, sorted.

    Examples
    --------
    >>> from skfakespotter import list_detectors
    >>> "stylegan" in list_detectors()
    True
    """
    return sorted(path.name[:-4] for path in _shipped().iterdir() if path.name.endswith(".npz"))


def load_detector(name: PathLike, *, backbones: Collection[str] = ()) -> Detector:
    """Load a detector that ships, or one from a file.

    Nothing in the file can run: it holds arrays without Python objects, and JSON.

    Parameters
    ----------
    name : str or PathLike
        A name of :func:`list_detectors`, or a file that :func:`save_detector` wrote.
    backbones : collection of str, default=()
        Backbones with a colon (``"package.module:factory"``, ``"onnx:file.onnx"``) that you
        trust: they import a module, or read a file, when they are first used.

    Returns
    -------
    Detector
        The detector.

    Raises
    ------
    ValueError
        For an unknown name, a file that is damaged (it says what is wrong with it), or one
        that names a backbone with a colon that ``backbones`` does not.
    FileNotFoundError
        When there is no such file.

    Examples
    --------
    >>> from skfakespotter import load_detector
    >>> load_detector("stylegan")
    Detector('stylegan', family='StyleGAN')
    >>> load_detector("nobody")
    Traceback (most recent call last):
    ...
    ValueError: name is 'nobody': expected one of [...], or the path of a .npz file.
    """
    text = os.fspath(name)
    if not text.endswith(".npz"):
        if text not in list_detectors():
            raise ValueError(
                f"name is {text!r}: expected one of {list_detectors()}, or the path of a .npz file."
            )
        return _read(str(_shipped() / f"{text}.npz"))
    if not Path(text).is_file():
        raise FileNotFoundError(f"no such file: {text!r}")
    detector = _read(text)
    if ":" in detector.backbone and detector.backbone not in backbones:
        raise ValueError(
            f"{text!r} names the backbone {detector.backbone[:80]!r}, which would import a module "
            "or read a file: if you trust it, pass backbones=[...]."
        )
    return detector


def save_detector(detector: Detector, path: PathLike) -> None:
    """Write a detector to a file, a few tens of kilobytes.

    Parameters
    ----------
    detector : Detector
        What to write.
    path : str or PathLike
        File, ending in ``.npz``; one that exists is replaced at once or not at all.

    Raises
    ------
    ValueError
        When the name of the file ends otherwise.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skfakespotter import load_detector, save_detector
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.npz")
    ...     save_detector(load_detector("stylegan"), path)
    ...     load_detector(path).family
    'StyleGAN'
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path is {str(path)!r}: expected a file name that ends in .npz.")
    layers, limits = detector.layers, detector.limits
    facts = {"version": VERSION, **{key: _plain(getattr(detector, key)) for key in FACTS}}
    facts |= {"layer_names": list(layers["names"]), "sources": list(detector.calibration.real)}
    facts["cropping"] = asdict(detector.cropping)
    facts["limits"] = {key: getattr(limits, key) for key in ("width", "sharpness", "distance")}
    arrays: dict[str, Any] = {
        "weights": detector.weights,
        "fake": detector.calibration.fake,
        "center": limits.center,
        "whitener": limits.whitener,
        **{key: np.asarray(layers[key]) for key in ("thresholds", "n_neurons", "n_channels")},
        **{f"real/{i}": of for i, of in enumerate(detector.calibration.real.values())},
        # rounded: what is stored is both the zero line and its part of the constant
        **{f"baseline/{k}": np.float16(of) for k, of in detector.baselines.items()},
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)


def _shipped() -> Any:
    return files("skfakespotter.detectors") / "data"


def _plain(value):
    return dict(value) if hasattr(value, "keys") else value


def _read(path):
    try:
        with open_arrays(path, MOST_BYTES) as file:
            arrays = dict(file.items())
            facts = json.loads(arrays.pop("facts").tobytes())
    except (OSError, DamagedFile) as error:
        raise ValueError(f"{path!r} is no detector: {error}") from error
    version = facts.get("version") if isinstance(facts, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{path!r} has the version {version!r:.80}: expected {VERSION}. Train it again."
        )
    try:
        return _assemble(facts, arrays)
    except KeyError as error:
        raise ValueError(f"{path!r} is no detector: it lacks {error}.") from error
    except Exception as error:  # facts and arrays of any other kind
        raise ValueError(f"{path!r} is no detector: {error}") from error


def _assemble(facts, arrays):
    for key in ("name", "family", "backbone", "fingerprint"):
        if not isinstance(facts[key], str):
            raise ValueError(f"{key} is {facts[key]!r:.80}: expected text.")
    layers = {key: arrays[key] for key in ("thresholds", "n_neurons", "n_channels")}
    layers["names"] = facts["layer_names"]
    n_layers, n_channels = len(layers["names"]), int(layers["n_channels"].sum())
    for key, shape in (
        ("weights", (n_channels,)),
        ("thresholds", (n_layers,)),
        ("n_neurons", (n_layers,)),
        ("center", (n_layers,)),
        ("whitener", (n_layers, n_layers)),
    ):
        if arrays[key].shape != shape:
            raise ValueError(f"{key} has the shape {arrays[key].shape}: expected {shape}.")
    real = {source: arrays[f"real/{i}"] for i, source in enumerate(facts["sources"])}
    baselines = {
        key[9:]: of.astype(np.float32) for key, of in arrays.items() if key.startswith("baseline/")
    }
    return Detector(
        **{key: facts[key] for key in FACTS},
        cropping=Cropping(**facts["cropping"]),
        layers=layers,
        weights=arrays["weights"],
        calibration=Calibration(real, arrays["fake"]),
        limits=Limits(**facts["limits"], center=arrays["center"], whitener=arrays["whitener"]),
        baselines=baselines,
    )
