"""Model files that execute nothing: saved and loaded by ``skops``.

``joblib.load`` and ``pickle.load`` run whatever code a file holds, so that a model from a
stranger is a program from a stranger. A file of skops names the types that it holds, and only
known ones are built. What is known, besides scikit-learn's own types, is :data:`TRUSTED_TYPES`.

Two things that types alone do not stop are checked as well: a backbone given as
``"package.module:factory"`` is imported and called when it is first used, and a cache given as
a folder is written to.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator
from typing import Any

from skfakespotter._files import open_regular

TRUSTED_TYPES = (
    "skfakespotter.baselines._cooccurrence.CooccurrenceMatrices",
    "skfakespotter.baselines._cues.CheapCues",
    "skfakespotter.baselines._network.FaceEmbedding",
    "skfakespotter.baselines._network.MeanActivations",
    "skfakespotter.baselines._saturation.SaturationStatistics",
    "skfakespotter.baselines._spectrum.LogSpectrum",
    "skfakespotter.classifier._classifier.FakeSpotterClassifier",
    "skfakespotter.coverage._equations.ExactSums",
    "skfakespotter.experts.ExpertStack",
    "skfakespotter.faces._aligner.FaceAligner",
    "skfakespotter.faces._lazy.Cropping",
    "skfakespotter.perturbations._augmentation.AugmentedClassifier",
    "skfakespotter.perturbations._transformers.GaussianBlur",
    "skfakespotter.perturbations._transformers.GaussianNoise",
    "skfakespotter.perturbations._transformers.JPEGCompression",
    "skfakespotter.perturbations._transformers.Resize",
    "skfakespotter.pipeline.FakeSpotterPipeline",
    "skfakespotter.transformer.NeuronCoverageTransformer",
)
"""Types of the package that a model file may hold: all do nothing but keep what they are given."""


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted pipeline to a file that :func:`load` reads.

    The file holds no weights of the backbone (its name and fingerprint stand for them), and no
    path: a cache given as a folder is left out.

    Parameters
    ----------
    estimator : estimator
        A Pipeline of :func:`skfakespotter.make_fakespotter`, or any made of scikit-learn's
        estimators and those of ``TRUSTED_TYPES``. Its backbone is given by name.
    path : path
        The file; ``.skops`` by convention.

    Raises
    ------
    TypeError
        When a backbone is a network of its own, not a name.
    ValueError
        When it holds a type that would not be loaded again.
    ImportError
        When the extra ``safe`` is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from skfakespotter import make_fakespotter, make_pictures, persistence
    >>> X, y = make_pictures(12, random_state=0)
    >>> spotter = make_fakespotter("toy_image", align=False, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skops")
    ...     persistence.save(spotter, path)
    ...     loaded = persistence.load(path)
    >>> bool((loaded.predict_proba(X) == spotter.predict_proba(X)).all())
    True
    """
    skops = _skops()
    estimator = copy.deepcopy(estimator)
    for owner in _objects(estimator):
        backbone = vars(owner).get("backbone", "")
        if not isinstance(backbone, str):
            raise TypeError(
                f"backbone is a {type(backbone).__name__}: only a network given by name can "
                "be saved without code; see skfakespotter.register_backbone."
            )
        _forget_cache(owner)
    data = skops.dumps(estimator)
    if unknown := set(skops.get_untrusted_types(data=data)) - set(TRUSTED_TYPES):
        raise ValueError(f"{sorted(unknown)} would not be loaded again: not in TRUSTED_TYPES.")
    with open(path, "wb") as file:
        file.write(data)


def load(
    path: str | os.PathLike, *, trusted: Collection[str] = (), backbones: Collection[str] = ()
) -> Any:
    """Read a pipeline from a file, executing nothing that it holds.

    Parameters
    ----------
    path : path
        A file that :func:`save`, or ``skops.io.dump``, wrote.
    trusted : collection of str, default=()
        Further types that may be built, as ``skops.io.get_untrusted_types`` names them. Read
        their code first.
    backbones : collection of str, default=()
        Backbones with a colon (``"package.module:factory"``, ``"onnx:file.onnx"``) that you
        trust: they import a module, or read a file, when they are first used.

    Returns
    -------
    estimator
        Without a cache in a folder: set your own, ``set_params(coverage__cache=...)``.

    Raises
    ------
    ValueError
        When the file is broken, holds a type that is not trusted, or names a backbone with a
        colon that ``backbones`` does not.
    OSError
        When the file cannot be opened.
    ImportError
        When the extra ``safe`` is not installed.

    Examples
    --------
    See :func:`save`.
    """
    skops = _skops()
    known = {*TRUSTED_TYPES, *trusted}
    open_regular(path).close()
    try:
        unknown = sorted(set(skops.get_untrusted_types(file=path)) - known)
    except Exception as error:  # a broken archive makes skops raise many types
        raise ValueError(f"{os.fspath(path)!r} is no model file of skops ({error})") from error
    if unknown:
        raise ValueError(
            f"{os.fspath(path)!r} holds types that are not trusted: {unknown[:8]}. Nothing was "
            "built; if you have read their code, pass them as trusted=."
        )
    try:
        estimator = skops.load(path, trusted=sorted(known))
    except Exception as error:  # attributes that do not fit a type raise many
        raise ValueError(f"{os.fspath(path)!r} is no model of this package ({error})") from error
    for owner in _objects(estimator):
        backbone = vars(owner).get("backbone")
        if isinstance(backbone, str) and ":" in backbone and backbone not in backbones:
            raise ValueError(
                f"{os.fspath(path)!r} names the backbone {backbone[:80]!r}, which would import a "
                "module or read a file: if you trust it, pass backbones=[...]."
            )
        _forget_cache(owner)
    return estimator


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            'model files without code need skops: pip install "skfakespotter[safe]"'
        ) from error
    return skops.io


def _forget_cache(owner: Any) -> None:
    if vars(owner).get("cache") not in (None, False, True, "memory"):
        owner.cache = None


def _objects(root: Any) -> Iterator[Any]:
    """Walk the objects with attributes that a model is made of, each once."""
    waiting, seen = [root], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set)):
            waiting += item
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            yield item
            waiting += vars(item).values()
