"""GPU, network: the sections of ``gpu.py`` on the transformer alone."""

import copy
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timing import device_name, time_in_turns, with_thresholds_of
from torch.profiler import ProfilerActivity, profile

from skfakespotter import CoverageCache, NeuronCoverageTransformer
from skfakespotter.backbones import place

BATCH_SIZE = 256
BATCH_SIZES = (16, 64, 256, 1024)
FEW = 256  # pictures that are counted on the CPU too
# what makes the host wait for the device; the last one, once a batch, is how results are fetched
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "cudaStreamSynchronize")
WAITS += ("cudaDeviceSynchronize", "cudaEventSynchronize")
COPIES = ("cudaMemcpy",)
TARGETS = {False: 0.90, True: 0.97}  # of the plain pass, by whether both are compiled
TARGET_OF_FIT_TRANSFORM = 0.45  # two passes without waits


class Bench:
    """A network on a device, and pictures for it.

    Parameters
    ----------
    backbone : Backbone
        The network.
    device : torch.device
        Where it runs.
    n_pictures, rounds : int
        Pictures generated, and rounds of which the best counts.
    compile : bool, default=True
        Measure compiled rows too.
    faces : path, default=None
        A folder of portraits.
    """

    def __init__(self, backbone, device, n_pictures, rounds, compile=True, faces=None):
        self.backbone, self.device, self.rounds = backbone, device, rounds
        self.compile, self.faces = compile, faces
        self.on_gpu = device.type == "cuda"
        self.name = device_name(device)
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

    def plain(self, network=None, precision="float32", batch_size=BATCH_SIZE, pictures=None):
        """Run the network over the pictures and throw its output away."""
        network = self.placed.module if network is None else network
        pictures = self.pictures if pictures is None else pictures.permute(0, 2, 3, 1)
        with torch.inference_mode(), computing_in(precision, self.device):
            for start in range(0, len(pictures), batch_size):
                network(self.placed.input(pictures[start : start + batch_size]))

    def rates(self, ways):
        """Return pictures a second of each way, in turns."""
        seconds = time_in_turns(ways, self.rounds, self.device)
        return {name: len(self.pictures) / s for name, s in seconds.items()}

    def peak(self, run):
        """Return the most memory of the device that torch reserves for something, in MiB, or "-".

        Unlike what is allocated, it includes the pools of captured graphs.
        """
        if not self.on_gpu:
            run()
            return "-"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        return f"{torch.cuda.max_memory_reserved(self.device) / 2**20:,.0f}"


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
    exact = bench.coverage().set_params(device="cpu").fit(bench.pictures[:FEW])
    counts, rows = exact.transform(bench.pictures[:FEW]), []
    for precision in bench.precisions:
        for compiled in (False, True)[: 1 + bench.compile]:
            try:
                rows.append(precision_row(bench, exact, counts, precision, compiled))
            except Exception as error:  # without a compiler the eager rows count
                reason = f"not possible: {type(error).__name__}"
                rows.append([precision, "compiled" if compiled else "eager", reason, *"-----"])
    header = ["precision", "both", "plain pass, pictures/s", "transform per layer", "per channel"]
    header += ["per channel, left on the device", "target", "neurons that differ, a picture"]
    text = f"Ratios to the plain pass. Neurons: of {exact.n_neurons_.sum():,}, at the thresholds "
    return text + "and against the counts of the CPU in float32.", header, rows


def precision_row(bench, exact, counts, precision, compiled):
    """Measure one precision."""
    network = bench.placed.module
    if compiled:  # as the transformer compiles
        mode = "reduce-overhead" if bench.on_gpu else "default"
        network = torch.compile(copy.deepcopy(network), mode=mode, dynamic=False)
    options = {"precision": precision, "compile": compiled, "device": str(bench.device)}
    layer = with_thresholds_of(exact, granularity="layer", **options)
    channel = with_thresholds_of(exact, **options)
    rates = bench.rates(
        {
            "plain": lambda: bench.plain(network, precision),
            "layer": lambda: layer.transform(bench.pictures),
            "channel": lambda: channel.transform(bench.pictures),
            "resident": lambda: transform_resident(channel, bench.pictures),
        }
    )
    moved = np.abs(channel.transform(bench.pictures[: len(counts)]) - counts).sum() / len(counts)
    ratios = [marked(rates[way] / rates["plain"], TARGETS[compiled]) for way in list(rates)[1:]]
    kind = "compiled" if compiled else "eager"
    return [
        *(precision, kind, f"{rates['plain']:.0f}", *ratios),
        *(f"{TARGETS[compiled]:.2f}", f"{moved:,.1f}"),
    ]


def marked(ratio, target):
    """Format a ratio, in bold where it misses the target."""
    return f"{ratio:.2f}" if round(ratio, 2) >= target else f"**{ratio:.2f}**"


def transform_resident(coverage, pictures):
    """Transform, and leave the vectors on the device."""
    with sklearn.config_context(array_api_dispatch=True):
        return coverage.transform(pictures)


def measure_resident(bench):
    """Compare with the plain pass where no picture has to travel: everything on the device."""
    rows = []
    pictures = torch.from_numpy(bench.pictures).to(bench.device).permute(0, 3, 1, 2)
    for precision in bench.precisions:
        fitted = bench.fitted(precision=precision)
        with sklearn.config_context(array_api_dispatch=True):
            rates = bench.rates(
                {
                    "plain": lambda p=precision: bench.plain(precision=p, pictures=pictures),
                    "transform": lambda f=fitted: f.transform(pictures),
                    "fit": lambda p=precision: bench.coverage(precision=p).fit(pictures),
                }
            )
        ratios = [f"{rates[way] / rates['plain']:.2f}" for way in ("transform", "fit")]
        rows.append([precision, f"{rates['plain']:.0f}", *ratios])
    text = "Per channel, eager; pictures are a tensor on the device, and the vectors stay there."
    return text, ["precision", "plain pass, pictures/s", "transform", "fit"], rows


def measure_batches(bench):
    """Vary the batch size; also the device's memory."""
    rows = []
    for size in (size for size in BATCH_SIZES if size <= len(bench.pictures)):
        coverage = bench.fitted(batch_size=size)
        memory = bench.peak(lambda c=coverage, s=size: c.transform(bench.pictures[:s]))
        rates = bench.rates(
            {
                "plain": lambda s=size: bench.plain(batch_size=s),
                "ours": lambda c=coverage: c.transform(bench.pictures),
            }
        )
        ratio = f"{rates['ours'] / rates['plain']:.2f}"
        rows.append([size, f"{rates['plain']:.0f}", f"{rates['ours']:.0f}", ratio, memory])
    header = ["batch size", "plain pass, pictures/s", "transform, pictures/s", "ratio"]
    text = "Per channel, float32, eager; the device's memory is what torch reserves for one batch."
    return text, [*header, "memory of the device, MiB"], rows


def measure_steps(bench):
    """Compare fit, transform, fit_transform and cached calls with one plain pass a picture."""
    fitted, warm = bench.fitted(), CoverageCache()
    bench.coverage(cache=warm).fit_transform(bench.pictures)
    ways = {
        "plain forward pass": bench.plain,
        "fit": lambda: bench.coverage().fit(bench.pictures),
        "transform": lambda: fitted.transform(bench.pictures),
        "fit_transform": lambda: bench.coverage().fit_transform(bench.pictures),
        "fit_transform, cold cache": lambda: bench.coverage(cache=CoverageCache()).fit_transform(
            bench.pictures
        ),
        "fit_transform, warm cache": lambda: bench.coverage(cache=warm).fit_transform(
            bench.pictures
        ),
    }
    rates = bench.rates(ways)
    plain, rows = rates["plain forward pass"], []
    for name, rate in rates.items():
        target = {"fit_transform": TARGET_OF_FIT_TRANSFORM, "transform": TARGETS[False]}.get(name)
        ratio = f"{rate / plain:.2f}" if target is None else marked(rate / plain, target)
        rows.append([name, f"{rate:.0f}", ratio, target or "", bench.peak(ways[name])])
    text = "Per channel, float32, eager. In bold: below the target. Two passes make fit_transform."
    header = ["step", "pictures/s", "of one plain pass a picture", "target"]
    return text, [*header, "memory of the device, MiB"], rows


def profiled(bench, run):
    """Run something under torch's profiler; return its events and the bytes copied each way."""
    run()  # what happens once is not of interest
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * bench.on_gpu]
    with profile(activities=activities) as profiler:
        run()
    calls = {event.key: event.count for event in profiler.key_averages()}
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    copied = {"HtoD": 0, "DtoH": 0}
    for event in (event for event in events if event.get("cat") == "gpu_memcpy"):
        for way in copied:
            if way in event["name"]:
                copied[way] += event["args"].get("bytes", 0)
    return calls, copied


def measure_waits(bench):
    """Count what makes the host wait for the device, by a profile: once a batch, not a layer."""
    fitted, pictures = bench.fitted(), bench.pictures[: 4 * BATCH_SIZE]
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
        waits, copies = (
            sum(n for key, n in calls.items() if key.startswith(kinds)) / n_batches
            for kinds in (WAITS, COPIES)
        )
        verdict = "none" if waits < n_layers else "**yes**"
        moved = [f"{copied[way] / len(pictures):,.0f}" for way in ("HtoD", "DtoH")]
        verdict, moved = (verdict, moved) if bench.on_gpu else ("-", "--")
        rows.append([name, n_batches, f"{waits:.1f}", verdict, f"{copies:.1f}", *moved])
    text = (
        f"Waits: calls of {', '.join(f'`{name}*`' for name in WAITS)} in a profile of torch. The "
        f"network has {n_layers} layers, so that a wait a layer shows as {n_layers} or more a "
        f"batch. A picture has {pictures[0].nbytes:,} bytes."
    )
    if not bench.on_gpu:
        text += " On a CPU nothing waits, and `fit_transform` looks values up in a single pass."
    header = ["step", "batches", "waits a batch", "a wait a layer", "copies a batch"]
    return text, [*header, "bytes to the device a picture", "bytes back a picture"], rows


def measure_array_api(bench):
    """Send pictures through coverage, scaling and a classifier on the device."""
    pictures = bench.pictures[: 4 * BATCH_SIZE]
    y = torch.arange(len(pictures), device=bench.device) % 2
    steps = bench.coverage(granularity="layer"), StandardScaler(), LinearDiscriminantAnalysis()
    model, rows = make_pipeline(*steps), []
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(pictures, y)
        ways = {"vectors, scaled": model[:-1].transform, "decision values": model.decision_function}
        for name, run in ways.items():
            found = run(pictures)
            _, copied = profiled(bench, lambda r=run: r(pictures))
            back = f"{copied['DtoH'] / len(pictures):,.1f}" if bench.on_gpu else "-"
            rows.append([name, type(found).__name__, str(found.device), back])
    text = (
        "Coverage per layer, StandardScaler, LinearDiscriminantAnalysis under "
        "`array_api_dispatch`. A copy of the vectors to the host would be "
        f"{4 * len(model[0].n_neurons_)} bytes a picture."
    )
    return text, ["result", "type", "device", "bytes back to the host a picture"], rows
