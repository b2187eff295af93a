"""Registry: backbones by name, one loaded copy per process."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from skfakespotter._forking import ForkSafeLock
from skfakespotter._params import checked
from skfakespotter.backbones._backbone import Backbone
from skfakespotter.backbones._contents import content_of


class _Entry(NamedTuple):
    factory: object
    takes_arrays: bool
    path: object = None


class _Loaded(NamedTuple):
    backbone: Backbone
    files: list  # whose content it was made of
    content: tuple


_SCHEMES = {"onnx": "skfakespotter.backbones.onnx:onnx_factory"}
_ENTRIES = {}
_LOADED = {}
_LOCK = ForkSafeLock()


@checked(name=[str], factory=[callable])
def register_backbone(
    name: str,
    factory: Callable[..., Any],
    *,
    takes_arrays: bool = False,
    path: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> None:
    """Make a backbone available by name.

    A name, unlike a module, keeps clones, pickles and cache keys small and stable. A worker
    process must import the registering module too. ``backbone="package.module:factory"`` needs no
    registration.

    Parameters
    ----------
    name : str
        Name, without a colon.
    factory : callable
        ``factory(weights=None)`` gives a :class:`Backbone`. ``weights`` is None, "random"
        or a path.
    takes_arrays : bool, default=False
        True when the network takes arrays of numbers (n, n_features), not pictures.
    path : path, default=None
        The file that the factory reads, if it always reads the same file. The backbone is loaded
        again when the content changes.
    overwrite : bool, default=False
        Replace a backbone of the same name; otherwise that is an error.

    Raises
    ------
    ValueError
        When the name is taken or malformed, or the factory cannot be called.

    Examples
    --------
    >>> from torch import nn
    >>> from skfakespotter.backbones import Backbone, load_backbone, register_backbone
    >>> def tiny(weights=None):
    ...     return Backbone("tiny", nn.Conv2d(3, 4, 3), input_size=(32, 32), scale=255.0)
    >>> register_backbone("tiny", tiny, overwrite=True)
    >>> load_backbone("tiny")
    <Backbone 'tiny': 1 conv and fc layers, input (32, 32)>
    """
    if not name or ":" in name:
        raise ValueError(f"name is {name!r}: expected a non-empty str without a colon.")
    with _LOCK:
        if name in _ENTRIES and not overwrite:
            raise ValueError(f"a backbone {name!r} is registered already: pass overwrite=True.")
        _ENTRIES[name] = _Entry(factory, takes_arrays, path)
        for key in [key for key in _LOADED if key[0] == name]:
            del _LOADED[key]


def list_backbones() -> list[str]:
    """List the registered names.

    Returns
    -------
    list of str
        Sorted.

    Examples
    --------
    >>> from skfakespotter import list_backbones
    >>> "dlib" in list_backbones()
    True
    """
    return sorted(_ENTRIES)


def load_backbone(backbone: Any, *, weights: str | os.PathLike | None = None) -> Backbone:
    """Return a backbone, loading it once per process, or again when its file has changed.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone
        A registered name; ``"package.module:factory"``, which is imported and called;
        ``"onnx:path/file.onnx"``; a module, which gets RGB pictures as float32 in [0, 1] or
        arrays as they are; or a backbone, which is returned unchanged.
    weights : None, "random" or path, default=None
        None: the published weights; "random": the seeded untrained network, a baseline;
        a path: a file of the same network.

    Returns
    -------
    Backbone
        With ``module``, ``preprocess``, ``input_size``, ``license``, ``source`` and
        ``fingerprint``.

    Raises
    ------
    ValueError
        For an unknown name, or weights that do not fit.
    TypeError
        When ``backbone`` is none of the above.
    ImportError
        When the backbone needs an extra that is not installed; the message names it.

    Examples
    --------
    >>> from skfakespotter import load_backbone
    >>> load_backbone("dlib", weights="random")
    <Backbone 'dlib': 30 conv and fc layers, input (150, 150)>
    """
    if isinstance(backbone, (Backbone, nn.Module)) and weights is not None:
        raise ValueError("weights applies to a backbone given by name: load yours beforehand.")
    if isinstance(backbone, Backbone):
        return backbone
    if isinstance(backbone, nn.Module):
        return _adopt(backbone)
    if not isinstance(backbone, str):
        raise TypeError(
            f"backbone is a {type(backbone).__name__}: expected a name from {list_backbones()}, "
            "'package.module:factory', a torch.nn.Module or a Backbone."
        )
    if weights is not None and weights != "random":
        weights = os.path.abspath(weights)
    if backbone.startswith("onnx:"):  # the working folder may change
        backbone = f"onnx:{os.path.abspath(backbone.removeprefix('onnx:'))}"
    with _LOCK:
        key = (backbone, weights)
        known = _LOADED.get(key)
        if known is None or known.content != content_of(known.files):
            _LOADED[key] = known = _load(*key)
        return known.backbone


def _load(name, weights):
    path = _file_of(name, weights)
    before = content_of([path] if path else [])
    made = _factory(name)(**({} if weights is None else {"weights": weights}))
    loaded = _adopt(made).made_by((name, weights))
    folder = os.path.dirname(path or "")
    beside = [os.path.join(folder, file) for file in getattr(loaded.module, "files_beside", ())]
    return _Loaded(loaded, [path, *beside] if path else [], before + content_of(beside))


def _file_of(name, weights):
    """Return the file that a backbone is made of, or None where that is not known."""
    if weights is not None:
        return None if weights == "random" else weights
    if name.startswith("onnx:"):
        return name.removeprefix("onnx:")
    return _ENTRIES[name].path if name in _ENTRIES else None


def reload_backbone(backbone: str, weights: str | None, fingerprint: str) -> Backbone:
    """Load a backbone by its recipe and refuse one whose weights have changed."""
    loaded = load_backbone(backbone, weights=weights)
    check_fingerprint(loaded, fingerprint)
    return loaded


def _reduce_backbone(backbone: Backbone) -> Any:
    """Pickle the recipe instead of the weights, where there is one."""
    if backbone.recipe is None:
        return object.__reduce_ex__(backbone, 2)
    return reload_backbone, (*backbone.recipe, backbone.fingerprint)


# a backbone itself need not know of names
copyreg.pickle(Backbone, _reduce_backbone)


def check_fingerprint(backbone: Backbone, fingerprint: str) -> None:
    """Raise ValueError unless the backbone is the one with this fingerprint.

    Parameters
    ----------
    backbone : Backbone
        The network at hand.
    fingerprint : str
        Digest of the one that a model was fitted on.
    """
    if backbone.fingerprint != fingerprint:
        raise ValueError(
            f"backbone {backbone.name!r} has the fingerprint {backbone.fingerprint[:12]}, but the "
            f"model was fitted on {fingerprint[:12]}: its weights or input format have changed. "
            "Load the original weights, or fit again."
        )


def takes_arrays(backbone: Any) -> bool:
    """Tell, without loading weights, whether a backbone is known to take arrays of numbers.

    Parameters
    ----------
    backbone : str, torch.nn.Module or Backbone
        As for :func:`load_backbone`.

    Returns
    -------
    bool
        False for any that is not registered by name.
    """
    return isinstance(backbone, str) and backbone in _ENTRIES and _ENTRIES[backbone].takes_arrays


def _factory(spec):
    scheme, _, rest = spec.partition(":")
    if scheme in _SCHEMES:  # its reader needs an extra, and itself knows the registry
        return partial(_factory(_SCHEMES[scheme]), rest)
    if ":" in spec:
        module, _, attribute = spec.partition(":")
        try:
            factory = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"backbone {spec!r} cannot be imported: {error}") from error
        if not callable(factory):
            raise TypeError(
                f"backbone {spec!r} is a {type(factory).__name__}: expected a callable."
            )
        return factory
    if spec not in _ENTRIES:
        raise ValueError(
            f"backbone {spec!r} is unknown: expected one of {list_backbones()} or "
            "'package.module:factory'."
        )
    return _ENTRIES[spec].factory


def _adopt(loaded):
    """Wrap a bare module; pictures reach it as torchvision's ToTensor would give them."""
    if isinstance(loaded, nn.Module):
        return Backbone(type(loaded).__name__, loaded, scale=255.0)
    if not isinstance(loaded, Backbone):
        raise TypeError(
            f"a backbone factory returned a {type(loaded).__name__}: expected a Backbone or a "
            "torch.nn.Module."
        )
    return loaded
