"""Measure where explanations point, on edits whose place is known.

    python benchmarks/localization.py --data FOLDER --work FOLDER [--detectors FOLDER]

FOLDER and the work folder are those of ``benchmarks/detectors.py``, which has to run first.
For each family of edits a model is trained without the photographs that are measured here.
Original and edited picture are cropped with the original's landmarks (or the mask is spoilt);
the mask is the 15 % of the pixels that the edit changed most. The figure is the AUC of a map's
pixels against the mask: of single pictures (their mean), and of the average map against the
average change of the family. Occlusion and gradients are of the same network and model.

The figures of what ``explain`` draws are noted in the detectors of ``--detectors`` and in their
cards, and the average maps are drawn over an outline of a face.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from detectors import Everything, fit_coverage
from matplotlib import pyplot as plt
from matplotlib.patches import Ellipse
from measured import FAMILIES, PHOTOGRAPHS
from options import make_parser
from pairs import PAIRS
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from table import save_table

from skfakespotter import load_backbone, load_detector, save_detector
from skfakespotter.detectors._fitting import fit_linear
from skfakespotter.detectors._measuring import count_faces
from skfakespotter.explanation import layer_evidence, smooth, spread
from skfakespotter.faces import Cropping, find_faces
from skfakespotter.images import load_image

EDITS = ("stgan_eyeglasses", "stgan_mouth_open", "stargan_brown_hair")
CHANGED = 0.15  # of the pixels are the mask
SIDE = 75  # pixels of a map
PATCH, STEP = 30, 15  # pixels of the crop that occlusion hides at a time
SOFT = 0.25  # standard deviations of a layer's output: width of the step that gradients see
DRAWN = "as `explain` draws it"
EYES, NOSE, MOUTH = ((46.9, 49.4), (102.2, 48.9)), (73.4, 76.9), ((51.0, 102.3), (96.9, 102.0))


def main() -> None:
    """Train without the measured photographs, draw all maps, compare them with the masks."""
    parser = make_parser(__doc__, data="one folder per pair")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=20, help="edited pictures of each family")
    parser.add_argument("--detectors", type=Path, help="folder of detectors that note the figures")
    parser.add_argument("--docs", type=Path, default=Path("docs/detectors"), help="their cards")
    parser.add_argument("--face-detector", default=Cropping().detector)
    parser.add_argument("--edits", nargs="*", default=EDITS)
    options = parser.parse_args()
    cropping = Cropping(detector=options.face_detector)
    work = options.work / cropping.detector
    coverage = fit_coverage(options.data, work, cropping)
    everything, rows, models, averages = Everything(work), [], {}, {}
    for pair in options.edits:
        pairs = crop_pairs(options.data / pair, cropping, options.pictures)
        names = [name for name, _, _ in pairs]
        models[pair] = pairs, fit_without(pair, everything, names, coverage.n_channels_)
    of_all = np.stack([weights for _, weights in models.values()])
    usual = evidence_of(coverage, of_all, photographs(options.data, cropping))
    for number, (pair, (pairs, weights)) in enumerate(models.items()):
        zero = {name: values[:, number].mean(0) for name, values in usual.items()}
        figures, averages[pair] = measure_edit(pairs, weights, zero, coverage)
        rows += [(FAMILIES[pair], name, *values, len(pairs)) for name, values in figures.items()]
        if options.detectors:
            note(options.detectors / f"{pair}.npz", options.docs / f"{pair}.md", figures)
    save_table(
        options.out,
        "localization",
        "Where explanations point",
        "python benchmarks/localization.py --data FOLDER --work FOLDER",
        ("edit", "map", "single pictures", "average of the family", "pictures"),
        [(*row[:2], *(f"{value:.3f}" for value in row[2:4]), row[4]) for row in rows],
        [
            "Pixel AUC against the 15 % of the pixels that the edit changed most; 0.5 is guessing. "
            "Models are trained without the photographs measured here. Maps of evidence add up to "
            "the score, but for those of some layers, which add up to the part of these.",
            "![Average maps of three kinds of edits over the outline of a face](localization.png)",
        ],
    )
    draw(averages, options.out / "localization.png")


def fit_without(pair, everything, names, n_channels):
    """Train without the photographs of these names."""
    table, used = everything.of_family(pair)
    measured = {f"{PAIRS[pair].source}/{name}" for name in names}
    return fit_linear(
        table.rows(used & ~np.isin(table.groups, list(measured))), n_channels=n_channels
    )[0]


def measure_edit(pairs, weights, zero, coverage):
    """Return the figures of one family, and the average of the maps that ``explain`` draws."""
    edited = np.stack([fake for _, _, fake in pairs])
    changes = np.stack([change_of(real, fake) for _, real, fake in pairs])
    plain = evidence_of(coverage, weights, edited)
    mirrored = evidence_of(coverage, weights, edited[:, :, ::-1])
    flipped = {name: (of + mirrored[name][..., ::-1]) / 2 for name, of in plain.items()}
    both = {name: (of + of[..., ::-1]) / 2 for name, of in zero.items()}
    maps = {
        DRAWN: smooth(total(flipped, both)),
        "without the mirrored face": smooth(total(plain, zero)),
        "not blurred": total(flipped, both),
        "without a zero line": smooth(total(flipped, {})),
        "layers up to 17 x 17": smooth(total(flipped, both, smallest=17)),
        "layers up to 8 x 8": smooth(total(flipped, both, smallest=8)),
        "Grad-CAM": np.stack([grad_cam(coverage, weights, crop) for crop in edited]),
        "gradient": np.stack([gradient(coverage, weights, crop) for crop in edited]),
        "occlusion": np.stack([occlusion(coverage, weights, crop) for crop in edited]),
        "center": np.broadcast_to(center_prior(), changes.shape),
    }
    figures = {}
    for name, of in maps.items():
        single = float(np.mean([pixel_auc(m, c) for m, c in zip(of, changes, strict=True)]))
        figures[name] = single, float(pixel_auc(of.mean(0), changes.mean(0)))
        print(f"{name:32} {single:.3f} {figures[name][1]:.3f}", flush=True)
    return figures, maps[DRAWN].mean(0)


def note(path, page, figures):
    """Write the figures of what is drawn into a detector's card, for the report to judge by."""
    detector = load_detector(path)
    single, average = figures[DRAWN]
    card = {**detector.card, "localization": {"single": single, "average": average}}
    save_detector(replace(detector, card=card), path)
    page.write_text(str(load_detector(path)), encoding="utf-8")


def draw(averages, path):
    """Draw average maps over the outline of a face."""
    figure, axes = plt.subplots(1, len(averages), figsize=(3.2 * len(averages), 3.6), squeeze=False)
    for axis, (pair, average) in zip(axes[0], averages.items(), strict=True):
        limit = np.abs(average).max()
        extent = (0, 2 * SIDE, 2 * SIDE, 0)
        axis.imshow(average, cmap="PuOr_r", vmin=-limit, vmax=limit, extent=extent)
        parts = [Ellipse((75, 74), 112, 142), Ellipse(NOSE, 14, 10)]
        parts += [Ellipse(eye, 24, 11) for eye in EYES]
        parts.append(Ellipse(np.mean(MOUTH, axis=0), MOUTH[1][0] - MOUTH[0][0], 14))
        for part in parts:
            axis.add_patch(part)
            part.set(fill=False, edgecolor="black", linewidth=1.2)
        axis.set(title=FAMILIES[pair], xticks=[], yticks=[])
    figure.suptitle("orange: looks fake, purple: looks real", fontsize=9)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def crop_pairs(folder, cropping, n):
    """Crop originals and edits alike; an even choice of those whose face is found."""
    names = sorted(path.name for path in (folder / "fake").iterdir())
    found = []
    for name in names[:: max(1, len(names) // (n + n // 4))]:
        real, fake = (load_image(folder / side / name) for side in ("real", "fake"))
        for face in find_faces(real, cropping.detector)[:1]:
            crops = (cropping.crop_found(image, face) for image in (real, fake))
            found.append((Path(name).stem, *crops))
    return found[:n]


def photographs(data, cropping, n=20):
    """Crop photographs of all sources, for the zero line."""
    crops = []
    for name, source in PHOTOGRAPHS.items():
        files = sorted((data / name / "real").iterdir())
        for path in files[:: max(1, len(files) // n)][:n] if source else ():
            image = load_image(path)
            found = find_faces(image, cropping.detector)[:1]
            crops += [cropping.crop_found(image, face) for face in found]
    return np.stack(crops)


def change_of(real, fake):
    """Return how much each place of a crop was changed, on the grid of the maps."""
    change = np.abs(real.astype(float) - fake).mean(2)
    return change.reshape(SIDE, 2, SIDE, 2).mean((1, 3))


def pixel_auc(evidence, change):
    """Return the AUC of a map's pixels against those that changed most."""
    mask = change > np.quantile(change, 1 - CHANGED)
    return roc_auc_score(mask.ravel(), evidence.ravel())


def evidence_of(coverage, weights, crops):
    """Return the maps of all layers that have one, a few faces at a time."""
    parts = [layer_evidence(coverage, weights, crops[i : i + 16]) for i in range(0, len(crops), 16)]
    mapped = [name for name, of in parts[0].items() if of.map is not None]
    return {name: np.concatenate([part[name].map for part in parts]) for name in mapped}


def total(evidence, zero, smallest=None):
    """Add the layers' maps on one grid, those of at most ``smallest`` rows or all."""
    maps = [
        spread(of - zero.get(name, 0.0), (SIDE, SIDE))
        for name, of in evidence.items()
        if smallest is None or of.shape[1] <= smallest
    ]
    return np.sum(maps, axis=0)


def center_prior():
    """Return a map that is highest in the middle."""
    place = np.abs(np.arange(SIDE) - (SIDE - 1) / 2)
    return -np.hypot(*np.meshgrid(place, place))


# The rivals: the score as a smooth function, so that it has a gradient


def soft_score(coverage, weights, x, outputs):
    """Run the network; return the score with steps made smooth, and keep the outputs asked for."""
    module = load_backbone(coverage.backbone).module
    limits = dict(zip(coverage.layer_names_, coverage.thresholds_, strict=True))
    parts = np.split(weights, np.cumsum(coverage.n_channels_)[:-1])
    of_layer = dict(zip(coverage.layer_names_, parts, strict=True))
    scores, hooks = [], []

    def watch(name, module, inputs, output):
        if name in outputs:
            output.retain_grad()
            outputs[name] = output
        width = SOFT * output.detach().std()
        active = torch.sigmoid((output - float(limits[name])) / width).flatten(
            2 if output.ndim > 2 else 1
        )
        w = torch.from_numpy(of_layer[name]).float()
        scores.append(((active.sum(2) if output.ndim > 2 else active) @ w).sum())

    layers = dict(module.named_modules())
    try:
        hooks = [layers[n].register_forward_hook(partial(watch, n)) for n in coverage.layer_names_]
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(scores)


def network_input(coverage, crop):
    """Return a crop as network input that has a gradient."""
    backbone = load_backbone(coverage.backbone)
    x = backbone.preprocess(torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()))
    return x.requires_grad_(True)


def grad_cam(coverage, weights, crop):
    """Return Grad-CAM of the last layer whose map has more than one place."""
    sizes = coverage.n_neurons_ // coverage.n_channels_
    name = [n for n, size in zip(coverage.layer_names_, sizes, strict=True) if size > 16][-1]
    outputs = {name: None}
    soft_score(coverage, weights, network_input(coverage, crop), outputs).backward()
    output = outputs[name]
    cam = (output.grad.mean((2, 3), keepdim=True) * output).sum(1)[0].relu()
    return spread(cam.detach().double().numpy(), (SIDE, SIDE))


def gradient(coverage, weights, crop):
    """Return the size of the input's gradient times the input, slightly smoothed."""
    x = network_input(coverage, crop)
    soft_score(coverage, weights, x, {}).backward()
    size = (x.grad * x.detach()).abs().sum(1)[0].double().numpy()
    return gaussian_filter(size.reshape(SIDE, 2, SIDE, 2).mean((1, 3)), 1.5)


def occlusion(coverage, weights, crop):
    """Return by how much the score falls when a part of the face is hidden by its mean color."""
    places = range(0, crop.shape[0] - PATCH + 1, STEP)
    hidden = []
    for top in places:
        for left in places:
            copy = crop.copy()
            copy[top : top + PATCH, left : left + PATCH] = crop.mean((0, 1))
            hidden.append(copy)
    scores = count_faces(coverage, np.stack([crop, *hidden])) @ weights
    fall, times = np.zeros(crop.shape[:2]), np.zeros(crop.shape[:2])
    for number, score in enumerate(scores[1:]):
        row, column = divmod(number, len(places))
        part = np.s_[places[row] : places[row] + PATCH, places[column] : places[column] + PATCH]
        fall[part] += scores[0] - score
        times[part] += 1
    return (fall / times).reshape(SIDE, 2, SIDE, 2).mean((1, 3))


if __name__ == "__main__":
    main()
