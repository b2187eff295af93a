"""Writing: the report, a page whose words are in ``REPORT.md.jinja``, with tables and figures."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import tables
from .detectors import FEW, HELD_OUT, LAYER_FSC, SHORT_EPOCHS
from .drawing import draw_all
from .summary import Summary

PAPER_LOSS = 3.77  # points of AUC, average over four attacks, section 4.4
PACKAGES = ("scikit-learn", "torch", "skorch", "numpy", "scipy", "pillow")


def write_report(bench, out):
    """Write REPORT.md, the tables and the figures of a bench with finished stages."""
    out.mkdir(parents=True, exist_ok=True)
    summary = Summary(bench)
    options = {"trim_blocks": True, "keep_trailing_newline": True, "undefined": StrictUndefined}
    folder = FileSystemLoader(Path(__file__).parent)
    page = Environment(loader=folder, **options).get_template("REPORT.md.jinja")
    text = page.render(
        bench=bench,
        machine=describe_machine(bench),
        n_folds=bench.n_folds,
        few=FEW,
        short_epochs=SHORT_EPOCHS,
        copies="; ".join(f"{n} {', '.join(map(str, at))}" for n, (_, at) in HELD_OUT.items()),
        paper=LAYER_FSC,
        paper_loss=PAPER_LOSS,
        kinds=summary.kinds,
        chosen_on=" and ".join(tables.CHOSEN_ON),
        figures=", ".join(f"`{name}`" for name in draw_all(summary, out)),
        data=tables.data(summary),
        **tables.table_2(summary, out),
        differences=tables.differences(summary, out),
        **tables.attacks(summary, out),
        attack_differences=tables.attack_differences(summary),
        missing=tables.missing(summary),
        matrices=tables.matrices(summary, out) if len(summary.pairs) > 1 else {},
        learning_curves=tables.learning_curves(summary, out),
        readings=tables.readings(summary, out),
        recommended=tables.recommendations(summary),
    )
    (out / "REPORT.md").write_text(text, encoding="utf-8")


def describe_machine(bench):
    """Say on what the report was made, and how long it took."""
    minutes = sum(bench.work.seconds().values()) / 60
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {minutes:.0f} minutes in all stages "
        f"together. Python {sys.version.split()[0]}, {versions}"
    )
