"""Spot AI-synthesised faces by watching the neurons of a face-recognition network.

Everything public is imported from here; a name's module is loaded when the name
is first used, so that ``import skfakespotter`` does not import torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "FaceAligner": "faces",
    "FakeSpotterClassifier": "classifier",
    "ImageError": "images",
    "NeuronCoverageTransformer": "coverage",
    "list_backbones": "backbones",
    "load_backbone": "backbones",
    "load_coverage_sample": "datasets",
    "load_folders": "datasets",
    "make_fakespotter": "pipeline",
    "make_pictures": "datasets",
    "register_backbone": "backbones",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOMES])
