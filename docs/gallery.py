"""The gallery: in the order of a user's questions, with figures as vector graphics."""

from pathlib import Path

from sphinx_gallery.scrapers import matplotlib_scraper

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


def save_vector_graphics(block, block_vars, gallery_conf):
    """Save the figures of a block of code as SVG."""
    return matplotlib_scraper(block, block_vars, gallery_conf, format="svg")
