"""Pairs: the folders of real and synthesized faces that the benchmarks measure on."""

from typing import NamedTuple

import numpy as np

from skfakespotter import load_folders


class Pair(NamedTuple):
    """What is known of a folder with ``real/`` and ``fake/``."""

    kind: str  # of fake, in the paper's terms
    generator: str
    paired: bool  # one file name in real/ and fake/ is one photograph
    source: str  # pairs of one source share their photographs by file name


PAIRS = {
    "stylegan": Pair("entire synthesis", "StyleGAN", False, "stylegan"),
    "stylegan2": Pair("entire synthesis", "StyleGAN2", False, "stylegan2"),
    "pggan": Pair("entire synthesis", "PGGAN", False, "pggan"),
    "stargan_brown_hair": Pair("attribute editing", "StarGAN", True, "stargan"),
    "stgan_eyeglasses": Pair("attribute editing", "STGAN", True, "stgan"),
    "stgan_mouth_open": Pair("expression manipulation", "STGAN", True, "stgan"),
    "faceswap": Pair("DeepFake", "OpenForensics swap", False, "faceswap"),
}


def describe_pair(name):
    """Return the facts of a pair; of a folder unknown here, that its pictures stand alone."""
    return PAIRS.get(name, Pair("other", name, False, name))


def list_pictures(data, pair, limit=None):
    """List the pictures of a pair, at most ``limit`` of both classes together.

    Parameters
    ----------
    data : path
        Folder with one subfolder per pair.
    pair : str
        Name of the subfolder.
    limit : int, default=None
        Takes the first ``limit // 2`` of each class.

    Returns
    -------
    paths : ndarray of shape (n,), str
        Files.
    y : ndarray of shape (n,)
        1 for fake.
    groups : ndarray of shape (n,), str
        Photographs of a paired set are groups; elsewhere each picture is its own.
    """
    bunch, facts = load_folders(data / pair), describe_pair(pair)
    y = bunch.target
    prefix = np.where(facts.paired, "photo", np.where(y == 1, "fake", "real"))
    groups = [f"{facts.source}/{p}/{s}" for p, s in zip(prefix, bunch.groups, strict=True)]
    half = None if limit is None else limit // 2
    rows = np.concatenate([np.flatnonzero(y == label)[:half] for label in (0, 1)])
    return np.array(bunch.data)[rows], y[rows], np.array(groups)[rows]
