"""Audit every pair: what gives the label away before any detector looks at a face.

    python benchmarks/audit.py --data FOLDER [--out benchmarks/results]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Prints the verdicts and
saves one table.
"""

from options import make_parser
from pairs import PAIRS
from table import save_table

from skfakespotter import audit, load_folders


def main(arguments=None):
    """Audit, print, save."""
    options = make_parser(__doc__, data="one subfolder per pair").parse_args(arguments)
    rows = []
    for pair, facts in PAIRS.items():
        pictures = load_folders(options.data / pair)
        # the same name in both folders is the same photograph only in the paired sets
        groups = pictures.groups if facts.paired else None
        report = audit(pictures.data, pictures.target, groups)
        print(pair, report, sep="\n", end="\n\n", flush=True)
        verdict = "leaks" if report.leaks else "no leak found"
        rows += [
            [pair, verdict, finding.name, finding.severity, f"{finding.auc:.2f}"]
            for finding in report.findings
            if finding.severity in ("leak", "warning")
        ]
    header = ["pair", "verdict", "finding", "severity", "AUC of it alone"]
    command = "python benchmarks/audit.py --data FOLDER"
    save_table(options.out, "audit", "Audit", command, header, rows)


if __name__ == "__main__":
    main()
