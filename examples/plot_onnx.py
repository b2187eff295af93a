"""
An ONNX file as the network
===========================

A small face-recognition network (convolutions, PReLU, a residual block, a fully-connected
layer) is written as an ONNX file and used as the backbone of the whole pipeline. It is
untrained, so its verdicts mean nothing; the steps are what counts. With a file of your own,
InsightFace's ``w600k_r50.onnx`` for example, the same lines hold:

    python examples/plot_onnx.py [--onnx FILE] [--out FOLDER]

It needs the extra ``onnx`` and writes a PNG with the coverage of every layer.
"""

import argparse
import pickle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from skimage.data import astronaut  # NASA, public domain
from sklearn.linear_model import LogisticRegression

from skfakespotter import FaceAligner, load_backbone, make_fakespotter, make_pictures
from skfakespotter.backbones.onnx import register_onnx


def main(arguments=None):
    """Write a file or take one, register it, fit a detector on it and draw its coverage."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--onnx", type=Path, help="a file with one input (n, 3, h, w)")
    parser.add_argument("--out", type=Path, default=Path("report"), help="where results go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.onnx or write_network(options.out / "small.onnx")

    register_onnx("from_file", path, overwrite=True)
    backbone = load_backbone("from_file")
    print(f"{backbone}, alignment {backbone.template!r}")

    # Of your own photographs, the aligner that fits is FaceAligner(template=backbone.template);
    # the generated pictures hold no faces, and their centres are taken.
    aligner = FaceAligner(template=backbone.template, on_missing="center")
    X, y = make_pictures(60, random_state=0)
    detector = make_fakespotter("from_file", align=aligner, classifier=LogisticRegression())
    detector.fit(X, y)
    score = detector.predict_proba([astronaut()])[0, 1]  # this one is a face, and is aligned
    print(f"P(fake) of a photograph: {score:.2f}; saved, {len(pickle.dumps(detector)):,} bytes")
    draw(detector, X, y, options.out / "onnx_coverage.png")


def write_network(path, seed=0):
    """Write a small network with the operators of iresnet, for pictures of 64x64."""
    rng = np.random.default_rng(seed)
    shapes = {
        "w1": (16, 3, 3, 3),
        "w2": (16, 16, 3, 3),
        "w3": (16, 16, 3, 3),
        "w4": (32, 16 * 16 * 16),
    }
    weights = {
        name: rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    weights["slope"] = np.full((16, 1, 1), 0.25, np.float32)
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="stem", strides=[2, 2], **conv),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="block.conv1", **conv),
        helper.make_node("PRelu", ["c", "slope"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"], name="block.conv2", **conv),
        helper.make_node("Add", ["b", "e"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "w4"], ["y"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def draw(detector, X, y, path):
    """Draw the mean coverage of each layer, as a fraction of its neurons, for both classes."""
    coverage = detector[:-2].transform(X) / detector["coverage"].n_neurons_
    names = detector[:-2].get_feature_names_out()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for label, name in enumerate(("real", "fake")):
        place = np.arange(len(names)) + 0.4 * label - 0.2
        axes.bar(place, coverage[y == label].mean(0), 0.4, label=name)
    axes.set(xticks=np.arange(len(names)), xticklabels=names, ylabel="fraction of active neurons")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    print(path)


if __name__ == "__main__":
    main()
