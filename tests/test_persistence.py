"""Model files without code: every pipeline of ours, in a fresh process, and hostile files."""

import os
import subprocess
import sys
import zipfile

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from skfakespotter import (
    NeuronCoverageTransformer,
    make_fakespotter,
    make_pictures,
    persistence,
)

skops = pytest.importorskip("skops.io")

PIPELINES = {
    "paper": {},
    "logistic": {"classifier": LogisticRegression(), "granularity": "channel"},
    "svc": {"classifier": SVC()},
    "recommended": {"preset": "recommended"},
    "aligned": {"classifier": LogisticRegression(), "align": True},
}


@pytest.fixture(scope="module")
def pictures():
    return make_pictures(24, random_state=0)


@pytest.fixture(scope="module")
def fitted(pictures):
    made = {}
    for name, options in PIPELINES.items():
        spotter = make_fakespotter("toy_image", **{"align": False, "random_state": 0, **options})
        if name == "aligned":
            spotter.set_params(align__on_missing="center")
        made[name] = spotter.fit(*pictures)
    return made


def scores(model, X):
    return (
        model.decision_function(X)
        if hasattr(model, "decision_function")
        else (model.predict_proba(X))
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_every_pipeline_of_ours(tmp_path, fitted, pictures, name):
    path = tmp_path / "model.skops"
    persistence.save(fitted[name], path)
    assert set(skops.get_untrusted_types(file=path)) <= set(persistence.TRUSTED_TYPES)
    loaded = persistence.load(path)
    np.testing.assert_array_equal(scores(loaded, pictures[0]), scores(fitted[name], pictures[0]))
    assert str(loaded) == str(fitted[name])


def test_in_a_fresh_process(tmp_path, fitted, pictures):
    names = ["paper", "recommended"]
    for name in names:
        persistence.save(fitted[name], tmp_path / f"{name}.skops")
    np.save(tmp_path / "X.npy", pictures[0])
    code = (
        "import sys, numpy as np; from skfakespotter import persistence\n"
        "folder, *names = sys.argv[1:]\n"
        "X = np.load(f'{folder}/X.npy')\n"
        "for name in names:\n"
        "    model = persistence.load(f'{folder}/{name}.skops')\n"
        "    np.save(f'{folder}/{name}.npy', model.predict_proba(X))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *names], check=True)
    for name in names:
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, fitted[name].predict_proba(pictures[0]), atol=1e-9)


def test_every_trusted_type_exists():
    from importlib import import_module

    for name in persistence.TRUSTED_TYPES:
        module, _, attribute = name.rpartition(".")
        assert isinstance(getattr(import_module(module), attribute), type)


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def test_joblib_runs_code_and_this_does_not(tmp_path, fitted):
    """What the docs warn of is shown, so that the refusal means something."""
    marker, path = tmp_path / "marker", tmp_path / "model.joblib"
    joblib.dump(Bomb(marker), path)
    joblib.load(path)
    assert marker.exists()
    marker.unlink()
    with pytest.raises(ValueError, match=r"model\.joblib' is no model file of skops"):
        persistence.load(path)
    assert not marker.exists()


def test_a_file_that_names_another_type_is_refused(tmp_path, fitted):
    """The type of the transformer replaced by a class that would start a program."""
    good, bad = tmp_path / "good.skops", tmp_path / "bad.skops"
    persistence.save(fitted["logistic"], good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == "schema.json":
                assert b"NeuronCoverageTransformer" in data
                data = data.replace(b"skfakespotter.transformer", b"subprocess")
                data = data.replace(b"NeuronCoverageTransformer", b"Popen")
            target.writestr(info, data)
    with pytest.raises(ValueError, match=r"not trusted: \['subprocess.Popen'\]. Nothing was built"):
        persistence.load(bad)


@pytest.mark.parametrize("spec", ["evil_module:factory", "onnx:/some/file.onnx"])
def test_a_backbone_with_a_colon_is_refused(tmp_path, monkeypatch, pictures, spec):
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    model = NeuronCoverageTransformer("toy_image").fit(pictures[0])
    model.backbone = spec
    path = tmp_path / "model.skops"
    skops.dump(model, path)
    with pytest.raises(ValueError, match=f"names the backbone '{spec}'.*backbones="):
        persistence.load(path)
    assert not (tmp_path / "marker").exists()
    assert persistence.load(path, backbones=[spec]).backbone == spec


def test_a_backbone_in_what_was_fitted_is_found(tmp_path, pictures, fitted):
    """Inside two estimators and a list."""
    import copy

    model = copy.deepcopy(fitted["recommended"])
    inner = model[-1].estimator_
    inner[0].backbone = "evil_module:factory"
    skops.dump(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="names the backbone 'evil_module:factory'"):
        persistence.load(tmp_path / "model.skops")


def test_no_path_and_no_folder_to_write_to(tmp_path, pictures):
    model = make_fakespotter("toy_image", align=False, cache=str(tmp_path / "cache"))
    model.fit(*pictures)
    for write in (persistence.save, skops.dump):
        write(model, tmp_path / "model.skops")
        assert persistence.load(tmp_path / "model.skops")["coverage"].cache is None
    persistence.save(model, tmp_path / "model.skops")
    assert model["coverage"].cache == str(tmp_path / "cache")
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        assert str(tmp_path).encode() not in archive.read("schema.json")


def test_a_network_of_ones_own_is_named(tmp_path, pictures):
    from torch import nn

    model = NeuronCoverageTransformer(nn.Conv2d(3, 2, 3)).fit(pictures[0])
    with pytest.raises(TypeError, match="backbone is a Conv2d: only a network given by name"):
        persistence.save(model, tmp_path / "model.skops")


def test_missing_and_broken_files(tmp_path, fitted):
    path = tmp_path / "model.skops"
    with pytest.raises(FileNotFoundError):
        persistence.load(path)
    persistence.save(fitted["paper"], path)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.skops' is no model"):
            persistence.load(path)


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r"pip install \"skfakespotter\[safe\]\""):
        persistence.load(tmp_path / "model.skops")
