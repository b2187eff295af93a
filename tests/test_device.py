"""Devices: what is shared by cores, and what each does alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skfakespotter._device import by_default, on_cores


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def look(item, at):
    at.wait()  # until all are there
    return item, torch.get_num_threads(), threading.get_ident()


def test_each_item_has_a_core_to_itself(three_threads):
    meeting = threading.Barrier(3, timeout=30)
    items, n_threads, where = zip(*on_cores(look, [5, 6, 7], [meeting] * 3), strict=True)
    assert items == (5, 6, 7)
    assert n_threads == (1, 1, 1)
    assert len({*where, threading.get_ident()}) == 4
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:  # nor does a later thread inherit it
        assert pool.submit(torch.get_num_threads).result() == 3


def test_one_item_has_all_cores(three_threads):
    ((_, n_threads, where),) = on_cores(look, [5], [threading.Barrier(1)])
    assert (n_threads, where) == (3, threading.get_ident())
    assert on_cores(look, [], []) == []


def test_errors_come_through(three_threads):
    with pytest.raises(ZeroDivisionError):
        on_cores(lambda n: 1 / n, [1, 0, 2])


@pytest.mark.parametrize("default", ["cpu", "meta"])
def test_new_tensors_are_made_on_the_device_whatever_the_default(default):
    with torch.device(default):
        with by_default(torch.device("cpu")):
            assert torch.zeros(2).tolist() == [0, 0]
        assert torch.zeros(2).device.type == default
