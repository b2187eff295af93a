"""How long one picture takes where a model is loaded and warm, as in a web service.

    python benchmarks/latency.py --data FOLDER [--pictures 20] [--out benchmarks/results]

FOLDER holds ``real/`` and ``fake/`` with JPEG files of faces. A call gets the path of one picture
that it has not seen yet. On a machine with other work the time that passes says more about that
work than about the package; processor time, on one thread, is what an idle core takes.
"""

import time
from functools import partial

import numpy as np
import torch
from options import make_parser
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from table import save_table
from torch import nn

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    find_faces,
    list_detectors,
    load_detector,
    load_folders,
    make_fakespotter,
)

TRAINING = 40  # pictures; the time of a prediction does not depend on them
WIDTHS = ((64, 2), (128, 2), (256, 2), (512, 2), (512, 1), (512, 1))  # channels, stride


def main(arguments=None):
    """Fit what is timed, time it, save."""
    parser = make_parser(__doc__, data="real/ and fake/")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    paths, labels, left = choose(options.data, options.pictures)
    rows = []
    for name, call in ways(paths, labels):
        seconds = time_each(call, left)
        figures = [f(of) for of in seconds for f in (min, np.median)]
        rows.append([name, *(f"{1000 * figure:.1f}" for figure in figures)])
        print(*rows[-1], sep="\t", flush=True)
    notes = [
        f"Milliseconds for one picture, the least and the median of {len(left)} files that were "
        f"not seen before: processor time, and time passed; {options.threads} threads, "
        f"torch {torch.__version__}, CPU.",
        "The network of one's own: six convolutions, 30 million weights, 112x112 pixels; \"plain "
        'pass" is the network alone, on an array.',
    ]
    command = "python benchmarks/latency.py --data FOLDER"
    header = ["call", "processor, least", "median", "passed, least", "median"]
    save_table(options.out, "latency", "One picture at a time", command, header, rows, notes)


def choose(folder, n_pictures):
    """Return paths to train on, their labels, and paths to time, all with a face."""
    data = load_folders(folder)
    order = np.random.default_rng(0).permutation(len(data.data))
    wanted = TRAINING + n_pictures
    kept = []
    for i in order:
        if FaceAligner().locate([data.data[i]])[0].status == "found":
            kept.append(i)
        if len(kept) == wanted:
            break
    paths = [data.data[i] for i in kept]
    return paths[:TRAINING], data.target[kept[:TRAINING]], paths[TRAINING:]


def ways(paths, labels):
    """Yield what is timed: its name, and a function of a list of paths."""
    yield "finding the face alone", lambda X: find_faces(X[0])
    spotter = make_fakespotter(random_state=0).fit(paths, labels)
    yield "make_fakespotter: predict_proba", spotter.predict_proba
    name = list_detectors()[0]
    yield f"load_detector({name!r}): decision_function", load_detector(name).decision_function
    network = make_network()
    coverage = NeuronCoverageTransformer(network)
    own = make_pipeline(
        FaceAligner(template="arcface", lazy=True), coverage, StandardScaler(), LogisticRegression()
    )
    own.fit(paths, labels)
    yield "a network of one's own: predict_proba", own.predict_proba
    crops = FaceAligner(template="arcface").transform(paths[:1])
    yield "its coverage alone, of an array", lambda X: coverage.transform(crops)
    x = torch.zeros(1, 3, 112, 112).contiguous(memory_format=torch.channels_last)
    yield "its plain pass", partial(plain_pass, network, x)


def make_network():
    """Build a network as users have them: an ``nn.Module`` and nothing else."""
    layers, channels = [], 3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for width, stride in WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 49, 1024)).eval()


def plain_pass(network, x, X):
    """Run the network alone."""
    with torch.inference_mode():
        return network(x)


def time_each(call, paths):
    """Return seconds of each call, processor time and time passed, after two that warm up."""
    processor, passed = [], []
    for path in [*paths[:2], *paths]:
        starts = time.process_time(), time.perf_counter()
        call([path])
        processor.append(time.process_time() - starts[0])
        passed.append(time.perf_counter() - starts[1])
    return processor[2:], passed[2:]


if __name__ == "__main__":
    main()
