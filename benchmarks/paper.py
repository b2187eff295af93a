"""Measure the paper's tables and figures, and what it is compared with, from pictures to report.

    python benchmarks/paper.py --data FOLDER [--out FOLDER] [--work FOLDER]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Results of finished
stages lie in the work folder: an interrupted run continues, and only figures, tables and drawn
curves go to the report. No picture of a person is written there.
"""

import argparse
from pathlib import Path

from joblib import parallel_config
from pairs import PAIRS
from report.network import Watch, open_monitor
from report.pictures import Cropping
from report.stages import Bench, list_stages
from report.work import Work, run_stages
from report.writing import write_report
from threadpoolctl import threadpool_limits

from skfakespotter import load_backbone
from skfakespotter._device import one_thread
from skfakespotter.faces._templates import crop_size

QUICK = 60  # pictures of a pair


def main(arguments=None):
    """Run what is not there yet, then write the report."""
    options = parse(arguments)
    backbone = load_backbone(options.backbone)
    template = backbone.template or "dlib"
    size = crop_size(template) if options.align else backbone.input_size
    bench = Bench(
        data=options.data,
        work=Work(options.work),
        pairs=options.pairs,
        cropping=Cropping(options.align, template, tuple(size)),
        watch=Watch(options.backbone),
        limit=QUICK if options.quick else options.limit,
        n_attacked=20 if options.quick else options.attacked,
        n_jobs=options.n_jobs,
    )
    bench.work.claim(
        data=str(options.data.resolve()),
        limit=bench.limit,
        n_attacked=bench.n_attacked,
        cropping=list(bench.cropping),
        backbone=options.backbone,
    )
    # workers load the network when they start: a worker that grows later is taken for one that
    # leaks, and replaced; they share the cores, so each keeps to one thread
    workers = parallel_config("loky", initializer=open_monitor, initargs=(bench.watch,))
    with workers, one_thread(), threadpool_limits(1):
        run_stages(bench.work, list_stages(bench))
    write_report(bench, options.out)
    print(f"written: {options.out / 'REPORT.md'}")


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/paper"))
    parser.add_argument("--work", type=Path, default=Path("paper_work"))
    parser.add_argument("--pairs", nargs="+", help="subfolders; all known ones by default")
    parser.add_argument("--backbone", default="dlib")
    parser.add_argument("--align", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--attacked", type=int, default=400, help="pictures attacked, of a pair")
    parser.add_argument("--limit", type=int, help="pictures taken, of a pair")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures of a pair")
    options = parser.parse_args(arguments)
    options.pairs = options.pairs or [p for p in PAIRS if (options.data / p).is_dir()]
    if not options.pairs:
        parser.error(f"no known pair in {options.data}: pass --pairs")
    return options


if __name__ == "__main__":
    main()
