"""Pairs: the folders of real and synthesised faces that the benchmarks measure on."""

from typing import NamedTuple


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
    """Give the facts of a pair; of a folder unknown here, that its pictures stand alone."""
    return PAIRS.get(name, Pair("other", name, False, name))
