"""
A network of your own, from an ONNX file
========================================

This example writes a small face-recognition network as an ONNX file and watches it with the
whole pipeline. The network is untrained, so its verdicts mean nothing: follow the steps. The same
lines work for a file of your own, such as InsightFace's ``w600k_r50.onnx``.
"""

import pickle
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from skimage.data import astronaut  # NASA, public domain
from sklearn.linear_model import LogisticRegression

from skfakespotter import (
    CoverageProfileDisplay,
    FaceAligner,
    load_backbone,
    make_fakespotter,
    make_pictures,
)
from skfakespotter.backbones.onnx import register_onnx

# %%
# A file to read
# --------------


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


path = write_network(Path(tempfile.mkdtemp(), "small.onnx"))

# %%
# A name for it
# -------------
# Every convolution and fully-connected layer is watched under the name of its node.
# ``template`` says how the network wants faces to be aligned.

register_onnx("from_file", path, overwrite=True)
backbone = load_backbone("from_file")
print(backbone, "wants the alignment", backbone.template)

# %%
# A detector
# ----------
# For photographs, use ``FaceAligner(template=backbone.template)``. The generated pictures show no
# faces, so ``on_missing="center"`` takes their centers.

aligner = FaceAligner(template=backbone.template, on_missing="center")
X, y = make_pictures(20, size=64, random_state=0)
detector = make_fakespotter("from_file", align=aligner, classifier=LogisticRegression())
detector.fit(X, y)
print(f"probability of fake: {detector.predict_proba([astronaut()])[0, 1]:.2f}")
print(f"saved, without the network's weights: {len(pickle.dumps(detector)):,} bytes")

# %%
# What its layers count
# ---------------------

CoverageProfileDisplay.from_estimator(detector, X, y, show_names=True)
