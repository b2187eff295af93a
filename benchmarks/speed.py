"""Speed of the transformer against the plain forward pass and what a user finds today.

    python benchmarks/speed.py [--backbone dlib] [--weights random] [--pictures 512]
                               [--rounds 8] [--curves] [--out benchmarks/results]

All rows run the same network on the same pictures in one process, in turns, so that the
ratios hold on a noisy machine; the best of the rounds counts. "plain" is the network's forward
pass and nothing else, in its fastest form: batch normalizations folded, channels last.
"literal" is the usual code of this field: pictures one by one, a hook per layer that moves the
activation to numpy and counts there. "torchextractor" is a library that captures all layers
(``pip install -c constraints.txt ".[bench]"``); its row is left out where it is not installed.
``--curves`` measures how the speed depends on pictures, batch size, threads and layers.
"""

import copy
import warnings

import numpy as np
import torch
from options import find_recipes, make_parser
from table import save_table
from timing import time_in_turns, with_thresholds_of

from skfakespotter import NeuronCoverageTransformer, load_backbone
from skfakespotter.backbones import monitored_layers, place

BATCH_SIZE = 64
EAGER, COMPILED = "plain forward pass", "plain forward pass, compiled"
HALF = "plain forward pass, bfloat16"
OURS = "transform, per layer"
BEST = "plain forward pass, best batches"
PEERS = {"compiled": COMPILED, "bfloat16": HALF, "best batches": BEST}


def main(arguments=None):
    """Time every way of counting, print a table and save it."""
    parser = make_parser(__doc__, rounds=8)
    parser.add_argument("--backbone", default="dlib")
    parser.add_argument("--weights", help="file, or 'random'")
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--curves", action="store_true")
    options = parser.parse_args(arguments)
    find_recipes()
    backbone = load_backbone(options.backbone, weights=options.weights)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(auto if options.device == "auto" else options.device)
    bench = Bench(backbone, device, options.pictures)
    if options.curves:
        write_curves(measure_curves(bench, options.rounds), options)
        return
    ways = bench.ways()
    seconds = time_in_turns({name: run for name, (run, _) in ways.items()}, options.rounds, device)
    seconds = {name: s / ways[name][1] for name, s in seconds.items()}
    report(seconds, bench, options)


class Bench:
    """A network, pictures for it, and the ways to count its neurons."""

    def __init__(self, backbone, device, n_pictures):
        self.backbone, self.device = backbone, device
        shape = (n_pictures, *backbone.input_size, 3)
        self.pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.placed = place(backbone, device, (3, *backbone.input_size))
        self.network, self.best_batch = self.placed.module, self.placed.best_batch
        self.compiled = torch.compile(copy.deepcopy(self.network))
        self.fitted = self.coverage(compile=False).fit(self.pictures[:BATCH_SIZE])
        self.thresholds = dict(
            zip(self.fitted.layer_names_, self.fitted.thresholds_.tolist(), strict=True)
        )

    def coverage(self, **options):
        """Make a transformer."""
        options = {"batch_size": BATCH_SIZE, "device": str(self.device), **options}
        return NeuronCoverageTransformer(self.backbone, **options)

    def ways(self):
        """Name the ways; each has a function and the share of the pictures it handles."""
        few = max(8, len(self.pictures) // 16)
        batch = self.pictures[:BATCH_SIZE]
        ways = {
            EAGER: (self.plain, 1),
            COMPILED: (lambda: self.plain(self.compiled), 1),
            HALF: (lambda: self.plain(autocast=True), 1),
        }
        for name, compile_ in (("", False), (", compiled", True)):
            for granularity in ("layer", "channel"):
                ways[f"transform, per {granularity}{name}"] = (
                    self.transform(granularity=granularity, compile=compile_),
                    1,
                )
            thresholds = self.coverage(compile=compile_)
            ways[f"fit (thresholds){name}"] = (lambda t=thresholds: t.fit(self.pictures), 1)
        both = self.coverage(compile=False)
        ways["fit_transform (thresholds and counts)"] = (
            lambda: both.fit_transform(self.pictures),
            1,
        )
        ways[BEST] = (lambda: self.plain(batch_size=self.best_batch), 1)
        ways["transform, per layer, best batches (the default)"] = (
            self.transform(batch_size="auto"),
            1,
        )
        ways["transform, per layer, bfloat16"] = (self.transform(precision="bfloat16"), 1)
        ways["hooks to numpy, whole batches"] = (
            lambda: self.count_in_numpy(batch),
            len(batch) / len(self.pictures),
        )
        if extract := self.torchextractor():
            ways["torchextractor, then numpy"] = (extract, len(batch) / len(self.pictures))
        ways["literal: one by one, hooks to numpy"] = (
            lambda: [self.count_in_numpy(self.pictures[i : i + 1]) for i in range(few)],
            few / len(self.pictures),
        )
        return ways

    def plain(self, network=None, autocast=False, batch_size=BATCH_SIZE):
        """Run the network and throw its output away."""
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=autocast)
        network = self.network if network is None else network
        with torch.inference_mode(), half:
            for start in range(0, len(self.pictures), batch_size):
                network(self.placed.input(self.pictures[start : start + batch_size]))

    def transform(self, **options):
        """Return a function that counts all pictures."""
        coverage = self.coverage(**{"compile": False, **options})
        coverage.fit(self.pictures[:BATCH_SIZE])
        return lambda: coverage.transform(self.pictures)

    def count_in_numpy(self, pictures):
        """Move every layer's output to numpy and count there."""
        activations, original = {}, self.backbone.module  # as published code runs it
        handles = [
            layer.register_forward_hook(
                lambda _, __, output, name=name: activations.update({name: output.cpu().numpy()})
            )
            for name, layer in monitored_layers(original).items()
        ]
        x = self.placed.input(pictures).contiguous()
        with torch.no_grad():
            original.to(self.device)(x)
        for handle in handles:
            handle.remove()
        return count(activations, self.thresholds)

    def torchextractor(self):
        """Return a function that captures all layers of a batch by the library; None without it."""
        try:
            import torchextractor
        except ImportError:
            return None
        network = copy.deepcopy(self.backbone.module).to(self.device)
        extractor = torchextractor.Extractor(network, list(self.thresholds))

        def extract():
            with torch.no_grad():
                _, maps = extractor(self.placed.input(self.pictures[:BATCH_SIZE]).contiguous())
            return count({name: m.cpu().numpy() for name, m in maps.items()}, self.thresholds)

        return extract

    def flipped(self, **options):
        """Count neurons a picture that another way of computing puts on the other side."""
        first = self.pictures[:BATCH_SIZE]
        exact = self.coverage(granularity="channel", compile=False).fit(first)
        other = with_thresholds_of(exact, **options)
        return np.abs(other.transform(first) - exact.transform(first)).sum() / len(first)

    def literal_difference(self):
        """Compare the literal counts with ours: neurons a picture."""
        first = self.pictures[:16]
        rows = [self.count_in_numpy(first[i : i + 1])[0] for i in range(len(first))]
        return np.abs(np.array(rows) - self.fitted.transform(first)).sum() / len(first)


def count(activations, thresholds):
    """Count in numpy: (n_pictures, n_layers)."""
    return np.stack(
        [
            (activations[name] > t).reshape(len(activations[name]), -1).sum(1)
            for name, t in thresholds.items()
        ],
        axis=1,
    )


def report(seconds, bench, options):
    """Print and save pictures per second and the ratio to the plain forward pass of its kind."""
    rows = []
    for name, s in seconds.items():
        peer = next((p for word, p in PEERS.items() if word in name), EAGER)
        rate, ratio = len(bench.pictures) / s, seconds[peer] / s
        rows.append((name, f"{rate:.0f}", f"{ratio:.2f}", f"{s / seconds[OURS]:.2f}"))
    header = ("way", "pictures/s", "speed / plain pass of its kind", "time / transform")
    literal = seconds["literal: one by one, hooks to numpy"]
    compiled = "transform, per layer, compiled"
    default = "transform, per layer, best batches (the default)"
    n_neurons = int(bench.fitted.n_neurons_.sum())
    notes = [
        f"Network {bench.backbone.name}{' (random weights)' * (options.weights == 'random')}, "
        f"{len(bench.pictures)} pictures of {'x'.join(map(str, bench.backbone.input_size))} "
        f"pixels, batches of {BATCH_SIZE} (best: {bench.best_batch}), {bench.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; the best of "
        f"{options.rounds} rounds in turns.",
        f"Against the literal implementation: {literal / seconds[OURS]:.1f} times as fast, "
        f"compiled {literal / seconds[compiled]:.1f} times, by default "
        f"{literal / seconds[default]:.1f} times; its counts differ by "
        f"{bench.literal_difference():.2f} neurons a picture (of {n_neurons:,}).",
        f"Neurons a picture on the other side of the same thresholds: compiled "
        f"{bench.flipped(compile=True):.2f}, one by one "
        f"{bench.flipped(compile=False, batch_size=1):.2f}, bfloat16 "
        f"{bench.flipped(compile=False, precision='bfloat16'):,.0f}.",
    ]
    name = "speed" if bench.backbone.name == "dlib" else f"speed_{bench.backbone.name}"
    save(options, name, "Speed", header, rows, notes)


def measure_curves(bench, rounds):
    """Vary one thing at a time: rows of what, value, plain and ours in pictures per second."""
    layers, pictures = bench.fitted.layer_names_, bench.pictures
    few = pictures[:BATCH_SIZE]
    threads = torch.get_num_threads()
    plans = [("pictures", n) for n in (16, 64, 256, 1024, 4096)]
    plans += [("batch size", n) for n in (1, 4, 16, 32, 64, 128, 256)]
    plans += [("threads", n) for n in range(1, threads + 1)]
    plans += [("layers", n) for n in (1, 5, 15, len(layers))]
    rows = []
    for what, value in plans:
        n_pictures = value if what == "pictures" else 256
        bench.pictures = np.resize(few, (n_pictures, *few.shape[1:]))
        batch_size = value if what == "batch size" else BATCH_SIZE
        coverage = bench.coverage(
            batch_size=batch_size,
            compile=False,
            layers=layers[-value:] if what == "layers" else None,
        ).fit(few)
        torch.set_num_threads(value if what == "threads" else threads)
        ways = {
            "plain": lambda n=batch_size: bench.plain(batch_size=n),
            "ours": lambda c=coverage: c.transform(bench.pictures),
        }
        seconds = time_in_turns(ways, rounds, bench.device)
        torch.set_num_threads(threads)
        plain, ours = (n_pictures / seconds[name] for name in ("plain", "ours"))
        rows.append((what, value, f"{plain:.0f}", f"{ours:.0f}", f"{ours / plain:.2f}"))
        print(*rows[-1], sep="\t", flush=True)
    return rows


def write_curves(rows, options):
    """Save the curves as a table and a picture."""
    header = ("varied", "value", "plain, pictures/s", "transform, pictures/s", "ratio")
    note = f"Everything else: 256 pictures, batches of {BATCH_SIZE}, all layers, eager, per layer."
    save(options, "speed_curves", "Scaling of the speed", header, rows, [note])
    draw_curves(rows, options.out / "speed_curves.svg")


def draw_curves(rows, path):
    """Draw a panel for each thing that was varied."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "speed"  # equal figures give equal files
    kinds = list(dict.fromkeys(row[0] for row in rows))
    figure, axes = plt.subplots(1, len(kinds), figsize=(12, 3), sharey=True, layout="constrained")
    for axis, kind in zip(axes, kinds, strict=True):
        of_kind = [row for row in rows if row[0] == kind]
        values = [row[1] for row in of_kind]
        axis.plot(values, [float(row[2]) for row in of_kind], "o--", label="plain forward pass")
        axis.plot(values, [float(row[3]) for row in of_kind], "o-", label="transform, per layer")
        axis.set(xlabel=kind, xscale="log" if max(values) > 50 else "linear")
        if kind == "threads":
            axis.set_xticks(values)
        axis.grid(alpha=0.3)
    fastest = max(float(rate) for row in rows for rate in row[2:4])
    axes[0].set(ylabel="pictures per second", ylim=(0, 1.08 * fastest))
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


def save(options, name, title, header, rows, notes):
    """Save a table, with the command that makes it."""
    flags = {"backbone": options.backbone if options.backbone != "dlib" else None}
    flags["weights"] = "FILE" if options.weights not in (None, "random") else options.weights
    flags["pictures"] = options.pictures if options.pictures != 512 else None
    flags["rounds"] = options.rounds if options.rounds != 8 else None
    given = "".join(f" --{flag} {value}" for flag, value in flags.items() if value is not None)
    command = f"python benchmarks/speed.py{given}{' --curves' * options.curves}"
    save_table(options.out, name, title, command, header, rows, notes)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch's own compiler
    main()
