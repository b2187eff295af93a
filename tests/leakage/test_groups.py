"""Near-duplicates become one group."""

import numpy as np
import pytest
from PIL import Image

from skfakespotter.leakage import join_duplicates


@pytest.fixture(scope="module")
def pictures():
    coarse = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    return list(coarse.repeat(12, 1).repeat(12, 2))


def test_a_copy_joins_the_group_of_its_picture(pictures, tmp_path):
    Image.fromarray(pictures[1]).save(tmp_path / "copy.jpg", quality=40)
    X = [*pictures[:3], tmp_path / "copy.jpg"]
    groups, n_joined = join_duplicates(X, ["a", "b", "c", "d"])
    assert groups.tolist() == ["a", "b", "c", "b"]
    assert n_joined == 2


def test_whole_groups_are_joined(pictures):
    X = [pictures[0], pictures[1], pictures[0], pictures[2]]
    groups, n_joined = join_duplicates(X, ["x", "x", "y", "y"])
    assert groups.tolist() == ["x"] * 4
    assert n_joined == 2


def test_copies_within_a_group_are_expected(pictures):
    X = [pictures[0], pictures[0], pictures[1]]
    groups, n_joined = join_duplicates(X, [7, 7, 9])
    assert groups.tolist() == [7, 7, 9]
    assert n_joined == 0


def test_without_groups_every_picture_is_its_own(pictures):
    groups, n_joined = join_duplicates([pictures[0], pictures[1], pictures[0]])
    assert groups.tolist() == [0, 1, 0]
    assert n_joined == 2
