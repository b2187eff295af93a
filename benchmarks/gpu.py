"""The transformer on a GPU: speed in every precision, bytes moved, waits, memory, the whole path.

    python benchmarks/gpu.py [--device auto] [--pictures 4096] [--only SECTION ...] [--eager]
        [--faces FOLDER] [--weights FILE]

It needs no network and no data: pictures are generated; ``--faces`` takes a folder of portraits
for the sections on faces, where generated ones show none and are taken by their center. What a bare
machine lacks is gathered by ``gpu_pack.py``. A section that fails says why, and the others go on;
the page is written after each of them: ``gpu.md``, or ``gpu_on_cpu.md`` without a GPU, on fewer
pictures, which shows that the script runs and nothing else.
"""

import os
import resource
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scipy reads it when it is imported

import torch
from gpu_faces import measure_faces, measure_path
from gpu_network import (
    BATCH_SIZE,
    Bench,
    measure_array_api,
    measure_batches,
    measure_precisions,
    measure_resident,
    measure_steps,
    measure_waits,
)
from options import make_parser
from table import format_table, write_page

from skfakespotter import load_backbone
from skfakespotter._device import resolve_device

SECTIONS = {
    "Steps": measure_steps,
    "Waits and bytes": measure_waits,
    "Pictures on the device": measure_resident,
    "Batch sizes": measure_batches,
    "Arrays on the device": measure_array_api,
    "Finding and cropping faces": measure_faces,
    "From JPEG files to vectors": measure_path,
    "Precisions": measure_precisions,  # the longest: it compiles
}


def main(arguments=None):
    """Measure everything, print the page and save it."""
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pictures", type=int, help="4096 on a GPU, 512 without")
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=SECTIONS)
    parser.add_argument("--eager", action="store_true", help="leave the compiled rows out")
    parser.add_argument("--faces", type=Path, help="folder of portraits")
    parser.add_argument("--weights", help="dlib's file, or 'random'; found by itself if installed")
    options = parser.parse_args(arguments)
    bench = make_bench(options)
    parts = [] if bench.on_gpu else ["**No GPU was used: this shows that the script runs.**"]
    parts.append(describe(bench, options.rounds))
    file = options.out / ("gpu.md" if bench.on_gpu else "gpu_on_cpu.md")
    given = " ".join(["python benchmarks/gpu.py", *without_out(arguments or sys.argv[1:])])
    for title in options.only:
        start = time.perf_counter()
        parts += [f"## {title}", *measured(SECTIONS[title], bench)]
        print(f"{title}: {time.perf_counter() - start:.0f} s", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        memory = f"Peak memory of the process on the host: {peak:,.0f} MiB."
        write_page(file, "On the device", given, *parts, memory)


def without_out(arguments):
    """Return the command's options but for the place of the results, which is the machine's."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [given for before, given in pairs if "--out" not in (before, given)]


def make_bench(options):
    """Load the network and make pictures for it."""
    device = resolve_device(options.device)
    n_pictures = options.pictures or (4096 if device.type == "cuda" else 512)
    try:
        backbone = load_backbone("dlib", weights=options.weights)
    except ImportError as error:
        print(f"random weights: {error}", flush=True)
        backbone = load_backbone("dlib", weights="random")
    bench = Bench(backbone, device, n_pictures, options.rounds, not options.eager, options.faces)
    print(f"{device}: {bench.name}", flush=True)
    return bench


def describe(bench, rounds):
    """Return one line on what was measured, and where."""
    size = "x".join(map(str, bench.backbone.input_size))
    untrained = bench.backbone.recipe[1] == "random"
    return (
        f"{bench.name}; {len(bench.pictures)} pictures of {size} pixels, batches of {BATCH_SIZE}, "
        f"weights {'random' if untrained else bench.backbone.source}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores; the best of {rounds} rounds."
    )


def measured(measure, bench):
    """Return the paragraphs of a section, or why there are none."""
    try:
        text, header, rows = measure(bench)
    except Exception as error:  # whatever is missing or broken, the other sections count
        reason = "".join(str(error).splitlines()[:1])
        return [f"**Not measured**: {type(error).__name__}: {reason}"]
    return [text, format_table(header, rows)]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch's own compiler
    main()
