"""Whether MobileFaceNet recognises people, on which template, and where the five points lie.

    python benchmarks/recognition.py --data FOLDER [--pictures 40] [--out benchmarks/results]

FOLDER holds ``faces/stgan_eyeglasses`` (photographs, and the same people with glasses drawn in),
``faces/stylegan/real`` and ``weights/mobilefacenet_casia.ckpt``. The cosine of the descriptors of a
photograph and its edit is compared with those of different people. "center" is the picture's
centre. The points are compared with ArcFace's after the best similarity.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from table import save_table

from skfakespotter import FaceAligner, load_backbone
from skfakespotter.faces._detectors import find_faces
from skfakespotter.faces._templates import TEMPLATES, five_points, similarity
from skfakespotter.images import find_images, fit_to, load_image

POINTS = (
    "eye on the left",
    "eye on the right",
    "nose tip",
    "mouth on the left",
    "mouth on the right",
)


def main(arguments=None):
    """Compare every template, print a table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    weights = options.data / "weights" / "mobilefacenet_casia.ckpt"
    backbone = load_backbone("recipes.mobilefacenet:mobilefacenet", weights=weights)
    folder = options.data / "faces" / "stgan_eyeglasses"
    sides = [find_images(folder / side)[: options.pictures] for side in ("real", "fake")]
    rows = [compare(backbone, template, *sides) for template in [*TEMPLATES, "center"]]
    distances = residuals(find_images(options.data / "faces" / "stylegan" / "real")[:60])
    notes = [
        f"{options.pictures} people; distance in standard deviations of other people's cosines.",
        "Mean distance of the five points from ArcFace's, in pixels of its 112, over 60 "
        "photographs of FFHQ: "
        + ", ".join(f"{name} {d:.1f}" for name, d in zip(POINTS, distances, strict=True))
        + ".",
    ]
    header = ["template", "AUC, same person or not", "distance of the same person's cosines"]
    command = "python benchmarks/recognition.py --data FOLDER"
    save_table(options.out, "recognition", "Recognition", command, header, rows, notes)


def compare(backbone, template, photos, edits):
    """Give the row of a template."""
    first, second = (describe(backbone, template, paths) for paths in (photos, edits))
    cosines, same = first @ second.T, np.eye(len(first), dtype=bool)
    distance = (cosines[same].mean() - cosines[~same].mean()) / cosines[~same].std()
    return [template, f"{roc_auc_score(same.ravel(), cosines.ravel()):.4f}", f"{distance:.1f}"]


def describe(backbone, template, paths):
    """Give descriptors of unit length."""
    size = backbone.input_size
    if template == "center":
        faces = np.stack([fit_to(load_image(path), size) for path in paths])
    else:
        aligned = FaceAligner(template=template, on_missing="center").transform(paths)
        faces = np.stack([fit_to(face, size) for face in aligned])
    with torch.inference_mode():
        x = backbone.preprocess(torch.from_numpy(faces).permute(0, 3, 1, 2))
        found = backbone.module(x).numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def residuals(paths):
    """Give the mean distance of each point from its place in the template, in pixels."""
    target, distances = np.array(TEMPLATES["arcface"].points), []
    for path in paths:
        image = load_image(path)
        if found := find_faces(image):
            points = five_points(image, found[0])
            matrix = similarity(points, target)
            moved = points @ matrix[:, :2].T + matrix[:, 2]
            distances.append(np.linalg.norm(moved - target, axis=1))
    return np.mean(distances, axis=0)


if __name__ == "__main__":
    main()
