"""Measure the paper's tables and figures, and what it is compared with, from pictures to report.

    python benchmarks/paper.py --data FOLDER [--out FOLDER] [--work FOLDER]
        [--rival package.module:name] [--attack package.module:name]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Every figure comes from
the package's public functions. Results of finished stages lie in the work folder: an interrupted
run continues, and only figures, tables and drawn curves go to the report. No picture of a person
is written there.

``--rival`` takes your own detector: an unfitted classifier of pictures, or a function that
returns one; it joins every table. ``--attack`` takes your own attack: a list of transformers, weak
to strong, a dict of such lists by name, or a function that returns one of these.
"""

from pathlib import Path

import torch
from options import RESULTS, import_object, make_parser
from pairs import PAIRS
from report.stages import Bench, list_stages
from report.writing import write_report
from threadpoolctl import threadpool_limits
from work import Work, run_stages

from skfakespotter import FaceAligner, load_backbone

QUICK = 60  # pictures of a pair


def main(arguments=None):
    """Run what is not there yet, then write the report."""
    options = parse(arguments)
    bench = Bench(
        data=options.data,
        work=Work(options.work),
        pairs=options.pairs,
        backbone=options.backbone,
        aligner=make_aligner(options),
        limit=QUICK if options.quick else options.limit,
        n_folds=options.folds,
        n_attacked=20 if options.quick else options.attacked,
        n_bootstraps=options.bootstraps,
        n_jobs=options.n_jobs,
        rivals={path: import_object(path) for path in options.rival},
        attacks=collect_attacks(options.attack),
    )
    bench.work.claim(
        data=str(options.data.resolve()),
        limit=bench.limit,
        n_folds=bench.n_folds,
        n_attacked=bench.n_attacked,
        n_bootstraps=bench.n_bootstraps,
        aligner=bench.aligner and {**bench.aligner.get_params(), "n_jobs": None},
        backbone=options.backbone,
        rivals=options.rival,
        attacks=options.attack,
    )
    torch.set_num_threads(1)  # the processes share the cores
    with threadpool_limits(1):
        run_stages(bench.work, list_stages(bench))
    write_report(bench, options.out)
    print(f"written: {options.out / 'REPORT.md'}")


def make_aligner(options):
    """Make what finds the faces, as the network was trained to see them; None without."""
    if not options.align:
        return None
    aligner = FaceAligner(template=load_backbone(options.backbone).alignment)
    if options.detector is not None:
        aligner.set_params(detector=options.detector)
    return aligner.set_params(n_jobs=options.n_jobs)


def collect_attacks(paths):
    """Import a user's attacks: lists of transformers by name."""
    attacks = {}
    for path in paths:
        found = import_object(path)
        attacks |= found if isinstance(found, dict) else {path: found}
    return attacks


def parse(arguments):
    """Read the command line."""
    parser = make_parser(__doc__, data="one subfolder per pair", out=RESULTS / "paper")
    parser.add_argument("--work", type=Path, default=Path("paper_work"))
    parser.add_argument("--pairs", nargs="+", help="subfolders; all known ones by default")
    parser.add_argument("--backbone", default="dlib")
    parser.add_argument("--no-align", dest="align", action="store_false", help="faces are aligned")
    parser.add_argument("--detector", help="what finds the faces; the package's default")
    parser.add_argument("--folds", type=int, default=5, help="folds of every cross-validation")
    parser.add_argument("--attacked", type=int, default=400, help="pictures attacked, of a pair")
    parser.add_argument("--limit", type=int, help="pictures taken, of a pair")
    parser.add_argument("--bootstraps", type=int, default=1000, help="resamples of an interval")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--rival", action="append", default=[], help="your own detector")
    parser.add_argument("--attack", action="append", default=[], help="your own attack")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures of a pair")
    options = parser.parse_args(arguments)
    options.pairs = options.pairs or [p for p in PAIRS if (options.data / p).is_dir()]
    if not options.pairs:
        parser.error(f"no known pair in {options.data}: pass --pairs")
    return options


if __name__ == "__main__":
    main()
