"""Counting: dlib's network with a hook that notes the pictures it sees, in whichever process."""

import os
from pathlib import Path

from skfakespotter.backbones.dlib import dlib_backbone

BACKBONE = "counting:counted_dlib"
LOG = "FORWARD_LOG"  # environment variable: the file that every process appends to


def counted_dlib(weights=None):
    """Build the network."""
    backbone = dlib_backbone(weights)
    backbone.module.register_forward_pre_hook(_count)
    return backbone


def _count(module, inputs):
    if log := os.environ.get(LOG):
        with open(log, "a") as file:  # appending one short line is atomic
            file.write(f"{len(inputs[0])}\n")


def read_count(log):
    """Return the number of pictures noted so far, and begin anew."""
    log = Path(log)
    count = sum(map(int, log.read_text().split())) if log.exists() else 0
    log.write_text("")
    return count
