"""The transformer on a GPU: speed in every precision, bytes moved, waits, memory, the whole path.

    python benchmarks/gpu.py [--device auto] [--pictures 4096] [--faces FOLDER] [--weights FILE]
        [--eager]

It needs no network and no data: pictures are generated; ``--faces`` takes a folder of portraits
for the path from JPEGs to vectors, where generated ones show no face and are taken by their
center. Without a GPU it runs on the CPU, on fewer pictures, which shows that it runs and nothing
else; the first line says so. One page comes out, ``gpu.md`` or ``gpu_on_cpu.md``.
"""

import copy
import json
import os
import resource
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scipy reads it when it is imported

import numpy as np
import sklearn
import torch
from options import make_parser
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from table import format_table, write_page
from timing import time_in_turns, with_thresholds_of
from torch.profiler import ProfilerActivity, profile

from skfakespotter import (
    CoverageCache,
    FaceAligner,
    ImageError,
    NeuronCoverageTransformer,
    load_backbone,
    make_pictures,
)
from skfakespotter.backbones import place
from skfakespotter.images import find_images

BATCH_SIZE = 256
BATCH_SIZES = (16, 64, 256, 1024)
FEW = 256  # pictures that are counted on the CPU too
# what makes the host wait for the device, or copies from it
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "cudaStreamSynchronize", "cudaMemcpy")
TARGETS = {False: 0.90, True: 0.97}  # of the plain pass, by whether both are compiled


class Bench:
    """A network on a device, and pictures for it."""

    def __init__(self, backbone, device, n_pictures, rounds, compile=True):
        self.backbone, self.device, self.rounds = backbone, device, rounds
        self.compile = compile
        self.on_gpu = device.type == "cuda"
        shape = (n_pictures, *backbone.input_size, 3)
        self.pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.placed = place(backbone, device, (3, *backbone.input_size))

    @property
    def precisions(self):
        """Precisions that the device computes in at a bearable speed."""
        return ("float32", "tf32", "bfloat16") if self.on_gpu else ("float32", "bfloat16")

    def coverage(self, **options):
        """Make a transformer per channel, unfitted."""
        options = {"granularity": "channel", "batch_size": BATCH_SIZE, "compile": False, **options}
        return NeuronCoverageTransformer(self.backbone, device=str(self.device), **options)

    def fitted(self, **options):
        """Make a transformer, fitted on one batch."""
        return self.coverage(**options).fit(self.pictures[:BATCH_SIZE])

    def plain(self, network=None, precision="float32", batch_size=BATCH_SIZE):
        """Run the network over the pictures and throw its output away."""
        network = self.placed.module if network is None else network
        with torch.inference_mode(), computing_in(precision, self.device):
            for start in range(0, len(self.pictures), batch_size):
                x = self.placed.input(self.pictures[start : start + batch_size])
                network(x)

    def rates(self, ways):
        """Return pictures a second of each way, in turns."""
        seconds = time_in_turns(ways, self.rounds, self.device)
        return {name: len(self.pictures) / s for name, s in seconds.items()}


@contextmanager
def computing_in(precision, device):
    """Let a network compute in a precision, by torch's own switches."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def measure_precisions(bench):
    """Compare transform with the plain pass of its kind, eager and compiled."""
    few = bench.pictures[:FEW]
    exact = bench.coverage().set_params(device="cpu").fit(few)
    counts, rows = exact.transform(few), []
    for precision in bench.precisions:
        for compiled in (False, True)[: 1 + bench.compile]:
            network = bench.placed.module
            if compiled:
                network = torch.compile(copy.deepcopy(network))
            options = {"precision": precision, "compile": compiled}
            layer = bench.fitted(granularity="layer", **options)
            channel = bench.fitted(**options)
            rates = bench.rates(
                {
                    "plain": lambda n=network, p=precision: bench.plain(n, p),
                    "layer": lambda c=layer: c.transform(bench.pictures),
                    "channel": lambda c=channel: c.transform(bench.pictures),
                    "resident": lambda c=channel: transform_resident(c, bench.pictures),
                }
            )
            same = with_thresholds_of(exact, device=str(bench.device), **options)
            moved = np.abs(same.transform(few) - counts).sum() / len(few)
            ratios = [f"{rates[way] / rates['plain']:.2f}" for way in rates if way != "plain"]
            kind = "compiled" if compiled else "eager"
            rows.append([precision, kind, f"{rates['plain']:.0f}", *ratios])
            rows[-1] += [f"{TARGETS[compiled]:.2f}", f"{moved:,.1f}"]
    header = ["precision", "both", "plain pass, pictures/s", "transform per layer", "per channel"]
    header += ["per channel, left on the device", "target", "neurons that differ, a picture"]
    text = f"Ratios to the plain pass. Neurons: of {exact.n_neurons_.sum():,}, at the thresholds "
    return text + "and against the counts of the CPU in float32.", header, rows


def transform_resident(coverage, pictures):
    """Transform, and leave the vectors on the device."""
    with sklearn.config_context(array_api_dispatch=True):
        return coverage.transform(pictures)


def measure_batches(bench):
    """Vary the batch size; also the device's memory."""
    rows = []
    for size in (size for size in BATCH_SIZES if size <= len(bench.pictures)):
        coverage = bench.fitted(batch_size=size)
        if bench.on_gpu:
            torch.cuda.reset_peak_memory_stats(bench.device)
        coverage.transform(bench.pictures[:size])
        peak = torch.cuda.max_memory_allocated(bench.device) if bench.on_gpu else 0
        rates = bench.rates(
            {
                "plain": lambda s=size: bench.plain(batch_size=s),
                "ours": lambda c=coverage: c.transform(bench.pictures),
            }
        )
        ratio = f"{rates['ours'] / rates['plain']:.2f}"
        memory = f"{peak / 2**20:.0f}" if bench.on_gpu else "-"
        rows.append([size, f"{rates['plain']:.0f}", f"{rates['ours']:.0f}", ratio, memory])
    header = ["batch size", "plain pass, pictures/s", "transform, pictures/s", "ratio"]
    text = "Per channel, float32, eager; the device's memory is the peak of one batch."
    return text, [*header, "memory of the device, MiB"], rows


def measure_steps(bench):
    """Compare fit, transform, fit_transform and cached calls with one plain pass a picture."""
    fitted, warm = bench.fitted(), CoverageCache()
    bench.coverage(cache=warm).fit_transform(bench.pictures)
    rates = bench.rates(
        {
            "plain forward pass": bench.plain,
            "fit": lambda: bench.coverage().fit(bench.pictures),
            "transform": lambda: fitted.transform(bench.pictures),
            "fit_transform": lambda: bench.coverage().fit_transform(bench.pictures),
            "fit_transform, cold cache": lambda: bench.coverage(
                cache=CoverageCache()
            ).fit_transform(bench.pictures),
            "fit_transform, warm cache": lambda: bench.coverage(cache=warm).fit_transform(
                bench.pictures
            ),
        }
    )
    plain = rates["plain forward pass"]
    rows = [[name, f"{rate:.0f}", f"{rate / plain:.2f}"] for name, rate in rates.items()]
    text = "Per channel, float32, eager. Target of fit_transform: 0.45, two passes and no waits."
    return text, ["step", "pictures/s", "of one plain pass a picture"], rows


def profiled(bench, run):
    """Run something under torch's profiler; return its events and the bytes copied each way."""
    run()  # what happens once is not of interest
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * bench.on_gpu]
    with profile(activities=activities) as profiler:
        run()
        if bench.on_gpu:
            torch.cuda.synchronize(bench.device)
    calls = {event.key: event.count for event in profiler.key_averages()}
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    copied = {"HtoD": 0, "DtoH": 0}
    for event in events:
        for way in copied:
            if event.get("cat") == "gpu_memcpy" and way in event["name"]:
                copied[way] += event["args"]["bytes"]
    return calls, copied


def measure_waits(bench):
    """Count what makes the host wait for the device, by a profile: once a batch, not a layer."""
    fitted = bench.fitted()
    pictures = bench.pictures[: 4 * BATCH_SIZE]
    n_batches, n_layers = -(-len(pictures) // BATCH_SIZE), len(fitted.layer_names_)
    ways = {
        "fit": lambda: bench.coverage().fit(pictures),
        "transform": lambda: fitted.transform(pictures),
        "transform, left on the device": lambda: transform_resident(fitted, pictures),
        "fit_transform": lambda: bench.coverage().fit_transform(pictures),
    }
    rows = []
    for name, run in ways.items():
        calls, copied = profiled(bench, run)
        waits = sum(n for key, n in calls.items() if key.startswith(WAITS)) / n_batches
        verdict = "none" if waits < n_layers else "**yes**"
        moved = [f"{copied[way] / len(pictures):,.0f}" for way in ("HtoD", "DtoH")]
        rows.append([name, n_batches, f"{waits:.1f}", verdict, *(moved if bench.on_gpu else "--")])
    text = (
        f"Calls of {', '.join(f'`{name}*`' for name in WAITS)} in a profile of torch; the network "
        f"has {n_layers} layers, so that a wait a layer would show as {n_layers} or more a batch."
    )
    if not bench.on_gpu:
        text += " On a CPU nothing waits, and `fit_transform` looks values up in a single pass."
    header = ["step", "batches", "waits and copies a batch", "a wait a layer"]
    return text, [*header, "bytes to the device a picture", "bytes back a picture"], rows


def measure_array_api(bench):
    """Send pictures through coverage, scaling and a classifier on the device."""
    pictures = bench.pictures[: 4 * BATCH_SIZE]
    y = torch.arange(len(pictures), device=bench.device) % 2
    model = make_pipeline(bench.coverage(granularity="layer"), StandardScaler())
    model.steps.append(("classifier", LinearDiscriminantAnalysis()))
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(pictures, y)
        _, copied = profiled(bench, lambda: model[:-1].transform(pictures))
        vectors, scores = model[:-1].transform(pictures), model.decision_function(pictures)
    back = f"{copied['DtoH'] / len(pictures):,.1f}" if bench.on_gpu else "-"
    rows = [
        [name, type(found).__name__, str(found.device), back]
        for name, found in (("vectors, scaled", vectors), ("decision values", scores))
    ]
    text = "Coverage per layer, StandardScaler, LinearDiscriminantAnalysis under "
    text += "`array_api_dispatch`; a copy of the vectors to the host would be 120 bytes a picture."
    return text, ["result", "type", "device", "bytes back to the host a picture"], rows


def measure_path(bench, faces):
    """From JPEG files to vectors, with each face detector there is."""
    n_pictures = min(len(bench.pictures), 1024)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(path) for path in find_images(faces)] if faces else write_pictures(folder)
        paths = np.resize(files, n_pictures).tolist()
        network = (
            n_pictures
            / time_in_turns(
                {"": lambda: bench.fitted().transform(bench.pictures[:n_pictures])}, bench.rounds
            )[""]
        )
        rows = [
            path_row(bench, f"find and crop by {detector}", paths, network, detector)
            for detector in ("centerface", "dlib")
        ]
        rows.append(path_row(bench, "no faces: decode and fit", paths, network, None))
    text = (
        f"{n_pictures} JPEGs, {os.cpu_count()} cores beside the device, transform per channel. "
        "Target: half of the network's own rate."
    )
    return text, ["faces", "pictures/s", "of the network's rate"], rows


def path_row(bench, name, paths, network, detector):
    """Measure one way from files to vectors; say why where it is impossible."""
    try:
        steps = [bench.coverage()]
        if detector is not None:
            template = bench.backbone.template or "dlib"
            options = {"template": template, "on_missing": "center", "lazy": True}
            steps.insert(0, FaceAligner(detector, **options))
        model = make_pipeline(*steps).fit(paths[:BATCH_SIZE])
        seconds = time_in_turns({"": lambda: model.transform(paths)}, bench.rounds, bench.device)
    except (ImportError, ImageError, FileNotFoundError, ValueError) as error:
        return [name, "-", f"not possible: {str(error).splitlines()[0]}"]
    rate = len(paths) / seconds[""]
    return [name, f"{rate:.0f}", f"{rate / network:.2f}"]


def write_pictures(folder):
    """Write generated JPEGs of 256 pixels; return their paths."""
    paths = []
    for number, picture in enumerate(make_pictures(64, size=256, random_state=0)[0]):
        paths.append(f"{folder}/{number:03d}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=95)
    return paths


def main(arguments=None):
    """Measure everything, print the page and save it."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=int, help="4096 on a GPU, 512 without")
    parser.add_argument("--eager", action="store_true", help="leave the compiled rows out")
    parser.add_argument("--faces", type=Path, help="folder of portraits")
    parser.add_argument("--weights", help="dlib's file, or 'random'; found by itself if installed")
    options = parser.parse_args(arguments)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(auto if options.device == "auto" else options.device)
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else "no GPU: shows only that it runs"
    print(f"{device}: {name}", flush=True)
    backbone = load_backbone("dlib", weights=options.weights)
    n_pictures = options.pictures or (4096 if on_gpu else 512)
    bench = Bench(backbone, device, n_pictures, options.rounds, not options.eager)
    sections = {
        "Precisions": measure_precisions,
        "Batch sizes": measure_batches,
        "Steps": measure_steps,
        "Waits and bytes": measure_waits,
        "Arrays on the device": measure_array_api,
        "From JPEG files to vectors": lambda bench: measure_path(bench, options.faces),
    }
    parts = ["" if on_gpu else "**No GPU was used: this shows that the script runs, no more.**"]
    parts.append(
        f"{name if on_gpu else str(device)}; {len(bench.pictures)} pictures of "
        f"{'x'.join(map(str, backbone.input_size))} pixels, batches of {BATCH_SIZE}, torch "
        f"{torch.__version__}, {os.cpu_count()} cores; the best of {options.rounds} rounds."
    )
    for title, measure in sections.items():
        text, header, rows = measure(bench)
        parts += [f"## {title}", text, format_table(header, rows)]
        print(f"{title}: done", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    parts.append(f"Peak memory of the process on the host: {peak:,.0f} MiB.")
    file = options.out / ("gpu.md" if on_gpu else "gpu_on_cpu.md")
    given = " ".join(["python benchmarks/gpu.py", *(arguments or sys.argv[1:])])
    write_page(file, "On the device", given, *filter(None, parts))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch's own compiler
    main()
