"""Parallel work: workers that die, backends that cannot yield, Pillow's settings elsewhere."""

import os
import signal
import warnings

import joblib
import pytest
from joblib.parallel import ThreadingBackend, register_parallel_backend
from PIL import Image, ImageFile

from skfakespotter._parallel import parallel_map
from skfakespotter._pillow import PillowSettings, WithSettings


def square(n):
    return n * n


def die_once(n, folder):
    if n == 5 and not os.path.exists(f"{folder}/died"):
        open(f"{folder}/died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


def die(n):
    os.kill(os.getpid(), signal.SIGKILL)


def limits():
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES


class NoGenerator(ThreadingBackend):
    """What joblib's older backends look like: no results one by one."""

    supports_return_generator = False


@pytest.mark.timeout(120)
def test_the_work_of_a_worker_that_dies_is_done_again(tmp_path):
    tasks = [(n, str(tmp_path)) for n in range(12)]
    with pytest.warns(UserWarning, match="A worker process died"):
        assert list(parallel_map(die_once, tasks, n_jobs=2)) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()


@pytest.mark.timeout(120)
def test_workers_that_die_again_and_again_end_the_run():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="died 3 times in a row, at task 0 of 4"):
            list(parallel_map(die, [(n,) for n in range(4)], n_jobs=2))


def test_a_backend_that_cannot_yield_works_in_blocks():
    register_parallel_backend("no generator", NoGenerator)
    for backend in ("no generator", "threading"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            assert list(parallel_map(square, ((n,) for n in range(50)))) == [
                n * n for n in range(50)
            ]


@pytest.mark.timeout(120)
def test_pillows_settings_reach_the_workers(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12_345)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert set(parallel_map(limits, [()] * 4, n_jobs=2)) == {(12_345, True)}


def test_openers_of_the_user_are_registered_where_they_are_missing(monkeypatch):
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    Image.register_open("OWN", square)
    settings = PillowSettings.here()
    assert [name for name, *_ in settings.openers] == ["OWN"]
    del Image.OPEN["OWN"]
    assert WithSettings(settings, square)(3) == 9
    assert Image.OPEN["OWN"] == (square, None)
