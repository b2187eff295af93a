"""Measure where explanations point, on edits whose place is known.

    python benchmarks/localization.py --data FOLDER --work FOLDER [--out FOLDER] [--pictures N]

FOLDER and the work folder are those of ``benchmarks/detectors.py``, which has to run first.
For each family of edits a linear model is trained without the photographs that are measured
here. Original and edited picture are cropped with the original's landmarks (or the mask is
spoilt); the mask is the 15 % of the pixels that the edit changed most. The figure is the AUC
of a map's pixels against the mask: of single pictures (their mean), and of the average map
against the average change of the family. Occlusion and gradients are of the same network and
the same model.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from detectors import FAMILIES, PHOTOGRAPHS, Everything, fit_coverage
from pairs import PAIRS
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from table import save_table

from skfakespotter import load_backbone
from skfakespotter.detectors import fit_linear
from skfakespotter.explanation import layer_evidence, spread
from skfakespotter.faces import Cropping, crop_face, find_faces
from skfakespotter.images import load_image

EDITS = ("stgan_eyeglasses", "stgan_mouth_open", "stargan_brown_hair")
CHANGED = 0.15  # of the pixels are the mask
SIDE = 75  # pixels of a map
PATCH, STEP = 30, 15  # pixels of the crop that occlusion hides at a time
SOFT = 0.25  # standard deviations of a layer's output: width of the step that gradients see


def main() -> None:
    """Train without the measured photographs, draw all maps, compare them with the masks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--pictures", type=int, default=20, help="edited pictures of each family")
    parser.add_argument("--face-detector", default=Cropping().detector)
    parser.add_argument("--edits", nargs="*", default=EDITS)
    options = parser.parse_args()
    cropping = Cropping(detector=options.face_detector)
    work = options.work / cropping.detector
    coverage = fit_coverage(options.data, work, cropping)
    everything, rows, models = Everything(work), [], {}
    for pair in options.edits:
        pairs = crop_pairs(options.data / pair, cropping, options.pictures)
        models[pair] = pairs, fit_without(pair, everything, [name for name, _, _ in pairs])
    of_all = np.stack([weights for _, weights in models.values()])
    usual = evidence_of(coverage, of_all, photographs(options.data, cropping))
    for number, (pair, (pairs, weights)) in enumerate(models.items()):
        zero = {name: values[:, number].mean(0) for name, values in usual.items()}
        rows += measure_edit(pair, pairs, weights, zero, coverage)
    save_table(
        options.out,
        "localization",
        "Where explanations point",
        "python benchmarks/localization.py --data FOLDER --work FOLDER",
        ("edit", "map", "single pictures", "average of the family", "pictures"),
        rows,
        [
            "Pixel AUC against the 15 % of the pixels that the edit changed most; 0.5 is guessing. "
            "Models are trained without the photographs measured here. `evidence` adds up to the "
            "score; `center` is the distance from the middle of the crop."
        ],
    )


def fit_without(pair, everything, names):
    """Train without the photographs of these names."""
    table, used = everything.of_family(pair)
    measured = {f"{PAIRS[pair].source}/{name}" for name in names}
    rows = table.rows(used & ~np.isin(table.groups, list(measured)))
    weights, _ = fit_linear(rows.counts, rows.fake, copy=rows.copy)
    return weights


def measure_edit(pair, pairs, weights, zero, coverage):
    """Return the rows of one family."""
    edited = np.stack([fake for _, _, fake in pairs])
    changes = np.stack([change_of(real, fake) for _, real, fake in pairs])
    plain = evidence_of(coverage, weights, edited)
    mirrored = evidence_of(coverage, weights, edited[:, :, ::-1])
    flipped = {
        name: (of + mirrored[name][..., ::-1]) / 2 for name, of in plain.items() if of.ndim > 1
    }
    both = {k: (of + of[..., ::-1]) / 2 for k, of in zero.items() if of.ndim == 2}
    maps = {
        "evidence": total(plain, zero),
        "evidence, mirrored copies averaged": total(flipped, both),
        "evidence, smoothed": smooth(total(flipped, both), 4),
        "evidence, maps up to 17 x 17": smooth(total(flipped, both, smallest=17), 2),
        "evidence, maps up to 8 x 8": total(flipped, both, smallest=8),
        "evidence without a zero line": total(plain, {}),
        "Grad-CAM": np.stack([grad_cam(coverage, weights, crop) for crop in edited]),
        "gradient": np.stack([gradient(coverage, weights, crop) for crop in edited]),
        "occlusion": np.stack([occlusion(coverage, weights, crop) for crop in edited]),
        "center": np.broadcast_to(center_prior(), changes.shape),
    }
    figures = []
    for name, of in maps.items():
        single = np.mean([pixel_auc(m, c) for m, c in zip(of, changes, strict=True)])
        average = pixel_auc(of.mean(0), changes.mean(0))
        figures.append((FAMILIES[pair], name, f"{single:.3f}", f"{average:.3f}", len(pairs)))
        print(*figures[-1], flush=True)
    return figures


def crop_pairs(folder, cropping, n):
    """Crop originals and edits alike; an even choice of those whose face is found."""
    names = sorted(path.name for path in (folder / "fake").iterdir())
    options = {"template": cropping.template, "size": cropping.size, "padding": cropping.padding}
    found = []
    for name in names[:: max(1, len(names) // (n + n // 4))]:
        real, fake = (load_image(folder / side / name) for side in ("real", "fake"))
        for face in find_faces(real, cropping.detector)[:1]:
            crops = (crop_face(image, face, **options) for image in (real, fake))
            found.append((Path(name).stem, *crops))
    return found[:n]


def photographs(data, cropping, n=40):
    """Crop photographs of all sources, for the zero line."""
    crops = []
    for name, source in PHOTOGRAPHS.items():
        files = sorted((data / name / "real").iterdir())
        for path in files[:: max(1, len(files) // n)][:n] if source else ():
            image = load_image(path)
            options = {k: getattr(cropping, k) for k in ("template", "size", "padding")}
            found = find_faces(image, cropping.detector)[:1]
            crops += [crop_face(image, face, **options) for face in found]
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
    """Return the evidence of all layers, a few faces at a time."""
    parts = [layer_evidence(coverage, weights, crops[i : i + 16]) for i in range(0, len(crops), 16)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def total(evidence, zero, smallest=None):
    """Add the layers' maps on one grid, those of at most ``smallest`` rows or all."""
    maps = [
        spread(of - zero.get(name, 0.0), (SIDE, SIDE))
        for name, of in evidence.items()
        if of.ndim == 3 and (smallest is None or of.shape[1] <= smallest)
    ]
    return np.sum(maps, axis=0)


def smooth(maps, sigma):
    """Smooth maps; with mirrored borders each keeps its sum."""
    return gaussian_filter(maps, (0, sigma, sigma), mode="reflect")


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
    scores = coverage.transform(np.stack([crop, *hidden])) @ weights
    fall, times = np.zeros(crop.shape[:2]), np.zeros(crop.shape[:2])
    for number, score in enumerate(scores[1:]):
        row, column = divmod(number, len(places))
        part = np.s_[places[row] : places[row] + PATCH, places[column] : places[column] + PATCH]
        fall[part] += scores[0] - score
        times[part] += 1
    return (fall / times).reshape(SIDE, 2, SIDE, 2).mean((1, 3))


if __name__ == "__main__":
    main()
