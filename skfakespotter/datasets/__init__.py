"""Datasets: folders of pictures, generated pictures, and a table of measured coverage."""

from skfakespotter._names import public_names
from skfakespotter.datasets._coverage_sample import CoverageSample, load_coverage_sample
from skfakespotter.datasets._folders import load_folders
from skfakespotter.datasets._pictures import make_pictures

__all__ = ["CoverageSample", "load_coverage_sample", "load_folders", "make_pictures"]

__getattr__, __dir__ = public_names(__name__)
