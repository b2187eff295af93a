"""Processes that work ahead of their consumer."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest

from skfakespotter import ImageError
from skfakespotter._prefetch import iter_images
from skfakespotter._workers import in_processes, in_this_process, process_count, work_ahead


def square(n):
    return n * n


def where(n):
    return os.getpid()


def die_once(n, folder):
    if n == 3 and not os.path.exists(f"{folder}/died"):
        open(f"{folder}/died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


def fail(n):
    raise ImageError("is bad", n, "a.jpg")


def test_a_bounded_number_of_steps_ahead():
    started, lock = [], threading.Lock()

    def note(n):
        with lock:
            started.append(n)
        return n

    with ThreadPoolExecutor(2) as pool:
        results = work_ahead(lambda n: pool.submit(note, n), range(50), depth=5)
        for n, result in enumerate(results):
            assert n == result
            time.sleep(0.001)
            assert max(started) <= n + 5


def test_processes_work_in_order_and_are_kept():
    tasks = [(n,) for n in range(20)]
    assert list(in_processes(square, tasks, 2, 4)) == [n * n for n in range(20)]
    first = set(in_processes(where, tasks, 2, 4))
    assert os.getpid() not in first
    assert first & set(in_processes(where, tasks, 2, 4))  # the same workers


def test_a_worker_that_dies_costs_nothing(tmp_path):
    tasks = [(n, str(tmp_path)) for n in range(12)]
    assert list(in_processes(die_once, tasks, 2, 4)) == [n * n for n in range(12)]
    assert (tmp_path / "died").exists()
    assert list(in_processes(square, [(5,)], 2, 4)) == [25]  # and the next call has workers


def test_an_error_comes_out_as_it_is():
    with pytest.raises(ImageError, match=r"X\[0\] \('a.jpg'\): is bad"):
        list(in_processes(fail, [(0,), (1,)], 2, 4))


def test_process_count():
    assert process_count(None) == 0
    assert process_count(2) == 2
    assert process_count(-1) == joblib.cpu_count()
    with pytest.raises(ValueError, match="n_processes is 0: expected None, a number"):
        process_count(0)
    with pytest.raises(ValueError, match="prefetch is 0: expected None, a number"):
        list(iter_images(list("abcdefghi"), prefetch=0))
    with in_this_process():
        assert process_count(2) == 0
    assert process_count(2) == 2
    counts = joblib.Parallel(2)(joblib.delayed(process_count)(2) for _ in range(2))
    assert counts == [0, 0]  # no processes within parallel work
