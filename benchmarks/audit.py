"""Audit every pair: what gives the label away before any detector looks at a face.

    python benchmarks/audit.py --data FOLDER [--out benchmarks/results]

FOLDER holds one subfolder per pair, each with ``real/`` and ``fake/``. Prints the verdicts and
saves one table.
"""

import argparse
from pathlib import Path

from pairs import PAIRS

from skfakespotter import audit, load_folders


def main():
    """Audit, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    lines = ["| pair | verdict | finding | severity | AUC of it alone |", "|---|---|---|---|---|"]
    for pair in PAIRS:
        pictures = load_folders(options.data / pair)
        # the same name in both folders is the same photograph only in the paired sets
        groups = pictures.groups if PAIRS[pair].paired else None
        report = audit(pictures.data, pictures.target, groups)
        print(pair, report, sep="\n", end="\n\n")
        verdict = "leaks" if report.leaks else "no leak found"
        for finding in report.findings:
            if finding.severity in ("leak", "warning"):
                auc = "" if finding.auc is None else f"{finding.auc:.2f}"
                lines.append(
                    f"| {pair} | {verdict} | {finding.name} | {finding.severity} | {auc} |"
                )
    text = "# Audit\n\n`python benchmarks/audit.py --data FOLDER`\n\n" + "\n".join(lines) + "\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "audit.md").write_text(text)


if __name__ == "__main__":
    main()
