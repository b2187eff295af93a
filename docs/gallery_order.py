"""The order of the gallery: that of a user's questions, in `examples/ORDER.txt`."""

from pathlib import Path

NAMES = (Path(__file__).parents[1] / "examples" / "ORDER.txt").read_text().split()


class Order:
    """Key by which sphinx-gallery sorts the examples of a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Place a file by its line in the list; unlisted ones come last."""
        return NAMES.index(name) if name in NAMES else len(NAMES)

    def __repr__(self):
        return "<Order>"
