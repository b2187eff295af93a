"""The folder of a group: its marker appears whole, or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from skfakespotter.cache import _folders
from skfakespotter.cache._folders import group_name, is_group, rename_new
from skfakespotter.cache._group import RecordGroup


def test_a_new_name_is_given_once(tmp_path):
    first, second, name = (tmp_path / n for n in ("1.tmp", "2.tmp", "spec.json"))
    first.write_text("first")
    second.write_text("second")
    rename_new(first, name)
    rename_new(second, name)
    assert name.read_text() == "first"
    assert os.listdir(tmp_path) == ["spec.json"]


def test_a_disk_without_links(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError("no links here")

    monkeypatch.setattr(_folders.os, "link", refuse)
    test_a_new_name_is_given_once(tmp_path)
    foreign = tmp_path / "elsewhere"
    foreign.write_text("foreign")
    (tmp_path / "spec.json").unlink()
    (tmp_path / "spec.json").symlink_to(foreign)
    (tmp_path / "3.tmp").write_text("third")
    rename_new(tmp_path / "3.tmp", tmp_path / "spec.json")
    assert foreign.read_text() == "foreign"


@pytest.mark.parametrize("n", [2, 8])
def test_caches_that_make_a_folder_at_once_share_it(tmp_path, n, recwarn):
    """None takes another's half-written marker for a foreign file, and works alone."""
    for number in range(20):
        spec = {"number": number}
        folder = tmp_path / group_name(spec)
        groups = [RecordGroup(spec, folder, lambda _: None) for _ in range(n)]
        with ThreadPoolExecutor(n) as pool:
            taken = list(pool.map(lambda g: g.lock([b"k" * 16], lambda _: True), groups))
        assert [one for (one,) in taken].count(True) == 1
        assert is_group(folder)
    assert [str(w.message) for w in recwarn] == []


def test_a_folder_that_is_made_while_one_looks_is_shared(tmp_path, monkeypatch, recwarn):
    spec = {"number": 1}
    folder, asked = tmp_path / group_name(spec), []
    first, second = (RecordGroup(spec, folder, lambda _: None) for _ in range(2))
    first.lock([b"a" * 16], lambda _: True)

    def too_early(path):
        asked.append(path)
        return len(asked) > 1 and is_group(path)

    monkeypatch.setattr(_folders, "is_group", too_early)
    assert second.lock([b"a" * 16, b"b" * 16], lambda _: True) == [False, True]
    assert [str(w.message) for w in recwarn] == []
