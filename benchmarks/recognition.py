"""Whether MobileFaceNet recognizes people, on which template, and where the five points lie.

    python benchmarks/recognition.py --data FOLDER [--pictures 40] [--out benchmarks/results]

FOLDER holds ``faces/stgan_eyeglasses`` (photographs, and the same people with glasses drawn in),
``faces/stylegan/real`` and ``weights/mobilefacenet_casia.ckpt``. The cosine of the descriptors of a
photograph and its edit is compared with those of different people. "center" is the picture's
center. The points are compared with ArcFace's after the best similarity.
"""

import numpy as np
from options import find_recipes, make_parser
from sklearn.metrics import roc_auc_score
from table import save_table

from skfakespotter import FaceAligner, load_backbone
from skfakespotter.baselines import FaceEmbedding
from skfakespotter.faces import TEMPLATES, find_faces, five_points, similarity
from skfakespotter.images import find_images, load_image

POINTS = (
    "eye on the left",
    "eye on the right",
    "nose tip",
    "mouth on the left",
    "mouth on the right",
)


def main(arguments=None):
    """Compare every template, print a table and save it."""
    parser = make_parser(__doc__, data="faces/ and weights/")
    parser.add_argument("--pictures", type=int, default=40)
    options = parser.parse_args(arguments)
    find_recipes()
    weights = options.data / "weights" / "mobilefacenet_casia.ckpt"
    backbone = load_backbone("recipes.mobilefacenet:mobilefacenet", weights=weights)
    folder = options.data / "faces" / "stgan_eyeglasses"
    sides = [find_images(folder / side)[: options.pictures] for side in ("real", "fake")]
    rows = [compare(backbone, template, *sides) for template in [*TEMPLATES, "center"]]
    distances = residuals(find_images(options.data / "faces" / "stylegan" / "real")[:60])
    notes = [
        f"{options.pictures} people, faces found by dlib; distance in standard deviations of "
        "other people's cosines.",
        "Mean distance of the five points from ArcFace's, in pixels of its 112, over 60 "
        "photographs of FFHQ: "
        + ", ".join(f"{name} {d:.1f}" for name, d in zip(POINTS, distances, strict=True))
        + ".",
    ]
    header = ["template", "AUC, same person or not", "distance of the same person's cosines"]
    command = "python benchmarks/recognition.py --data FOLDER"
    save_table(options.out, "recognition", "Recognition", command, header, rows, notes)


def compare(backbone, template, photos, edits):
    """Return the row of a template."""
    first, second = (describe(backbone, template, paths) for paths in (photos, edits))
    cosines, same = first @ second.T, np.eye(len(first), dtype=bool)
    distance = (cosines[same].mean() - cosines[~same].mean()) / cosines[~same].std()
    return [template, f"{roc_auc_score(same.ravel(), cosines.ravel()):.4f}", f"{distance:.1f}"]


def describe(backbone, template, paths):
    """Return descriptors of unit length; whole pictures are fitted by their center."""
    faces = paths
    if template != "center":
        faces = FaceAligner("dlib", template=template, on_missing="center").transform(paths)
    found = FaceEmbedding(backbone).transform(faces)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def residuals(paths):
    """Return the mean distance of each point from its place in the template, in pixels."""
    target, distances = np.array(TEMPLATES["arcface"].points), []
    for path in paths:
        image = load_image(path)
        if found := find_faces(image, "dlib"):
            points = five_points(image, found[0])
            matrix = similarity(points, target)
            moved = points @ matrix[:, :2].T + matrix[:, 2]
            distances.append(np.linalg.norm(moved - target, axis=1))
    return np.mean(distances, axis=0)


if __name__ == "__main__":
    main()
