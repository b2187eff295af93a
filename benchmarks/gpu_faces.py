"""GPU, faces: the sections of ``gpu.py`` on finding, cropping, and JPEG files to vectors."""

import os
import tempfile
from contextlib import contextmanager

import numpy as np
import sklearn
import torch
from PIL import Image
from sklearn.pipeline import make_pipeline
from timing import time_in_turns

from skfakespotter import FaceAligner, make_pictures
from skfakespotter.images import find_images, load_image

DETECTORS = ("centerface", "dlib")
FEW = 256  # files that faces are found in
MANY = 1024  # files of the whole path
TARGET = 0.5  # of the network's own rate, from JPEG to vectors


def measure_faces(bench):
    """Find and crop faces, on the device where the face detector can use it."""
    n_pictures = min(len(bench.pictures), FEW)
    with portraits(bench, n_pictures) as paths:
        rows = [
            faces_row(bench, detector, device, paths)
            for detector in DETECTORS
            for device in dict.fromkeys([str(bench.device), "cpu"])
            if detector == "centerface" or device == "cpu"  # dlib knows the CPU alone
        ]
        rows.append(tensors_row(bench, paths))
    text = (
        f"{n_pictures} JPEGs: decoded, faces found and cropped; {os.cpu_count()} cores. The last "
    )
    text += "row has them decoded already, as tensors on the device, and leaves the crops there."
    return text, ["face detector", "device", "pictures/s", "faces found"], rows


def tensors_row(bench, paths):
    """Measure finding and cropping of pictures that are tensors on the device."""
    name, device = "centerface, tensors to tensors", str(bench.device)
    aligner = FaceAligner("centerface", device=device)
    try:
        images = np.stack([load_image(path) for path in paths])
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).to(bench.device)
        with sklearn.config_context(array_api_dispatch=True):
            found = aligner.transform(pictures)
            ways = {"": lambda: aligner.transform(pictures)}
            seconds = time_in_turns(ways, bench.rounds, bench.device)
    except Exception as error:  # pictures of several sizes, or a file that is not there
        return [name, device, "-", f"not possible: {str(error).splitlines()[0]}"]
    return [name, str(found.device), f"{len(paths) / seconds['']:.0f}", ""]


def faces_row(bench, detector, device, paths):
    """Measure one face detector on one device; say why where it is impossible."""
    aligner = FaceAligner(detector, on_missing="center", device=device)
    try:
        found = sum(record.status == "found" for record in aligner.locate(paths))
        seconds = time_in_turns({"": lambda: aligner.transform(paths)}, bench.rounds, bench.device)
    except Exception as error:  # a package or a file that is not there
        return [detector, device, "-", f"not possible: {str(error).splitlines()[0]}"]
    return [detector, device, f"{len(paths) / seconds['']:.0f}", f"{found} of {len(paths)}"]


def measure_path(bench):
    """From JPEG files to vectors, with each face detector there is."""
    n_pictures = min(len(bench.pictures), MANY)
    with portraits(bench, n_pictures) as paths:
        coverage, pictures = bench.fitted(), bench.pictures[:n_pictures]
        alone = {"": lambda: coverage.transform(pictures)}
        network = n_pictures / time_in_turns(alone, bench.rounds, bench.device)[""]
        ways = [(detector, prefetch) for detector in (*DETECTORS, None) for prefetch in (None, 8)]
        rows = [path_row(bench, paths, network, *way) for way in ways]
    text = (
        f"{n_pictures} JPEGs, {os.cpu_count()} cores beside the device, transform per channel; the "
        f"network alone: {network:.0f} pictures/s. Target: {TARGET} of that."
    )
    return text, ["faces", "prefetch", "pictures/s", "of the network's rate"], rows


def path_row(bench, paths, network, detector, prefetch):
    """Measure one way from files to vectors; say why where it is impossible."""
    name = "none: decode and fit" if detector is None else f"found and cropped by {detector}"
    workers = "threads" if prefetch is None else f"{prefetch} processes"
    steps = [bench.coverage(prefetch=prefetch)]
    if detector is not None:
        options = {"template": bench.backbone.alignment, "on_missing": "center", "lazy": True}
        steps.insert(0, FaceAligner(detector, device=str(bench.device), **options))
    try:
        model = make_pipeline(*steps).fit(paths[:FEW])
        seconds = time_in_turns({"": lambda: model.transform(paths)}, bench.rounds, bench.device)
    except Exception as error:  # a package or a file that is not there
        return [name, workers, "-", f"not possible: {str(error).splitlines()[0]}"]
    rate = len(paths) / seconds[""]
    return [name, workers, f"{rate:.0f}", f"{rate / network:.2f}"]


@contextmanager
def portraits(bench, n_pictures):
    """Give paths of JPEGs: those of the folder, or generated ones of 256 pixels, repeated."""
    with tempfile.TemporaryDirectory() as folder:
        if bench.faces is not None:
            files = [str(path) for path in find_images(bench.faces)]
        else:
            files = write_pictures(folder)
        yield np.resize(files, n_pictures).tolist()


def write_pictures(folder):
    """Write generated JPEGs of 256 pixels; return their paths."""
    paths = []
    for number, picture in enumerate(make_pictures(64, size=256, random_state=0)[0]):
        paths.append(f"{folder}/{number:03d}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=95)
    return paths
