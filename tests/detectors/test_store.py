"""Files: what is written comes back; whatever else is refused, and nothing runs."""

import dataclasses
import pickle
import zipfile

import numpy as np
import pytest

from skfakespotter import list_detectors, load_detector, save_detector


def test_round_trip(small_detector, tmp_path, face_picture):
    small = dataclasses.replace(
        small_detector, card={"facts": {"Trained on": "noise"}}, baselines={"0": np.ones((2, 3))}
    )
    save_detector(small, tmp_path / "small.npz")
    loaded = load_detector(tmp_path / "small.npz")
    assert (loaded.name, loaded.family, loaded.cropping) == ("small", "toys", small.cropping)
    assert loaded.card == small.card
    np.testing.assert_array_equal(loaded.baselines["0"], np.ones((2, 3)))
    np.testing.assert_array_equal(
        loaded.decision_function([face_picture]), small.decision_function([face_picture])
    )
    assert loaded.p_value(1.0) == small.p_value(1.0)
    assert loaded.limits.complaint(5.0, 1.0, np.zeros(3)) is not None


@pytest.mark.parametrize("name", list_detectors())
def test_what_ships_is_complete(name):
    detector = load_detector(name)
    assert detector.name == name
    assert len(detector.calibration.real) >= 5
    assert 0 < detector.recall(0.01) <= detector.recall(0.05) <= 1
    assert "Held-out figures" in str(detector)
    assert "must not be used for" in str(detector)
    assert repr(detector) == f"Detector({name!r}, family={detector.family!r})"


def test_a_pickle_inside_does_not_run(small_detector, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    path = tmp_path / "bomb.npz"
    np.savez(path, facts=np.array([Bomb()], dtype=object))
    assert pickle.dumps(Bomb())  # it would run
    with pytest.raises(ValueError, match="is no detector"):
        load_detector(path)
    assert not (tmp_path / "ran").exists()


def test_damage_is_named(small_detector, tmp_path):
    path = tmp_path / "small.npz"
    save_detector(small_detector, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"small\.npz.* is no detector"):
        load_detector(path)
    np.savez(path, something=np.zeros(3))
    with pytest.raises(ValueError, match=r"small\.npz.* is no detector"):
        load_detector(path)
    save_detector(dataclasses.replace(small_detector, weights=np.zeros(4)), path)
    with pytest.raises(ValueError, match=r"weights has the shape \(4,\): expected"):
        load_detector(path)


@pytest.mark.parametrize("backbone", ["os:getcwd", "onnx:/somewhere/net.onnx"])
def test_a_file_may_not_name_a_module_or_a_path(small_detector, tmp_path, backbone):
    path = tmp_path / "small.npz"
    save_detector(dataclasses.replace(small_detector, backbone=backbone), path)
    with pytest.raises(ValueError, match=f"names the backbone '{backbone}', which would import"):
        load_detector(path)
    assert load_detector(path, backbones=[backbone]).backbone == backbone


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("facts.npy", bytes(160 * 2**20))
    with pytest.raises(ValueError, match=r"bomb\.npz' is no detector: .*would unpack to 167772160"):
        load_detector(tmp_path / "bomb.npz")


@pytest.mark.parametrize("facts", ["[]", "null", '{"version": 1, "name": 3}', "[" * 100_000])
def test_facts_of_another_kind_are_refused(small_detector, tmp_path, facts):
    path = tmp_path / "small.npz"
    save_detector(small_detector, path)
    with np.load(path) as file:
        arrays = {**file, "facts": np.frombuffer(facts.encode(), np.uint8)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"small\.npz' (is no detector|has the version)"):
        load_detector(path)


def test_names_and_paths(small_detector, tmp_path):
    with pytest.raises(ValueError, match="name is 'nobody': expected one of"):
        load_detector("nobody")
    with pytest.raises(FileNotFoundError, match=r"no such file: .*missing\.npz"):
        load_detector(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match=r"expected a file name that ends in \.npz"):
        save_detector(small_detector, tmp_path / "small.bin")


def test_another_network_is_refused(small_detector, face_picture):
    other = dataclasses.replace(small_detector, fingerprint="0" * 64)
    with pytest.raises(ValueError, match="fingerprint"):
        other.decision_function([face_picture])
