"""The command line: every verb is one public call, and what it returns is printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOUND, WRONG_USE, UNSURE = 1, 2, 3  # exit codes; 0: all were scored, and none resembles

EPILOG = """\
examples:
  skfakespotter score photo.jpg                  every detector, every face
  skfakespotter score album/ --out scores.csv    a folder of any size; goes on where it stopped
  find . -name '*.jpg' | skfakespotter score - --format json
  skfakespotter score photo.jpg --format html --out report.html
  skfakespotter explain photo.jpg --detector stylegan --out why.png
  skfakespotter train my_faces/ --out mine.npz   my_faces holds real/ and fake/
  skfakespotter evaluate mine.npz other_faces/
  skfakespotter audit my_faces/                  do the file facts give the labels away?
  skfakespotter detectors                        what ships; with a name: its model card

exit codes of score:
  0  everything was scored, and nothing resembles a family of fakes (no proof of a photograph)
  1  at least one face resembles a family of fakes
  2  wrong use: the message says what
  3  nothing resembles, but of some picture nothing can be said: no face, unreadable, too small, ...
The other verbs end with 0, or with 2 when something is wrong.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        The words after the command; None takes those of the process.

    Returns
    -------
    int
        Exit code: see ``skfakespotter --help``.

    Examples
    --------
    >>> from skfakespotter.cli import main
    >>> main(["detectors", "stylegan"])
    # stylegan: resembles the fakes of StyleGAN?
    ...
    0
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"skfakespotter: {error}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print("skfakespotter: stopped", file=sys.stderr)
        return 130


def _score(options: argparse.Namespace) -> int:
    from skfakespotter.detectors import score_each, score_pictures

    pictures = _pictures(options.pictures)
    asked = {"fpr": options.fpr, "device": options.device, "verbose": not options.quiet}
    if options.format == "html":
        from skfakespotter.explanation import write_report

        return _exit_code(write_report(pictures, _out(options), options.detector, **asked), options)
    if options.out:
        rows: Any = score_pictures(pictures, options.detector, out=options.out, **asked)
        return _exit_code(rows, options)
    each = score_each(pictures, options.detector, **asked)
    return _exit_code(_printed(each, options.format), options)


def _explain(options: argparse.Namespace) -> int:
    from skfakespotter.explanation import ExplanationDisplay, explain

    found = explain(options.detector, options.picture, face=options.face, flip=options.flip)
    if options.out:
        _need_matplotlib()
        ExplanationDisplay(found).plot(show_face=not options.no_face).figure_.savefig(options.out)
    if options.format == "json":
        import json

        print(
            json.dumps({"score": found.score, "constant": found.constant, "layers": found.layers})
        )
        return 0
    print(f"{found.score:+.3f}  score of face {options.face} (larger means more fake)")
    print(f"{found.constant:+.3f}  an average photograph")
    for name, evidence in found.top_layers(10):
        print(f"{evidence:+.3f}  layer {name}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from skfakespotter import load_folders, save_detector, train_detector

    pictures = load_folders(options.folder)
    path = Path(options.out)
    detector = train_detector(
        pictures.data,
        pictures.target,
        name=options.name or path.stem,
        family=options.family,
        groups=pictures.groups,
        device=options.device,
        verbose=not options.quiet,
    )
    save_detector(detector, path)
    print(detector)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from skfakespotter import evaluate_detector, load_folders

    pictures = load_folders(options.folder)
    print(
        evaluate_detector(
            options.detector,
            pictures.data,
            pictures.target,
            groups=pictures.groups,
            fpr=options.fpr,
            device=options.device,
            verbose=not options.quiet,
        )
    )
    return 0


def _audit(options: argparse.Namespace) -> int:
    from skfakespotter import audit, load_folders

    pictures = load_folders(options.folder)
    print(audit(pictures.data, pictures.target, groups=pictures.groups))
    return 0


def _detectors(options: argparse.Namespace) -> int:
    from skfakespotter import list_detectors, load_detector

    if options.name:
        print(load_detector(options.name))
        return 0
    for name in list_detectors():
        detector = load_detector(name)
        recall = detector.recall(options.fpr)
        print(f"{name:20} {detector.family:32} recall {recall:.0%} at {options.fpr:g}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skfakespotter",
        description="Say which faces resemble the fakes of known generators, and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--device", default="auto", help="where networks compute (default: auto)")
    common.add_argument("--quiet", action="store_true", help="no progress on standard error")
    rate = argparse.ArgumentParser(add_help=False)
    rate.add_argument(
        "--fpr",
        type=float,
        default=0.01,
        help="promised false-positive rate of each detector on its worst source (default: 0.01)",
    )

    score = verbs.add_parser("score", parents=[common, rate], help="judge faces")
    score.add_argument(
        "pictures", nargs="+", help="pictures, folders, clips; - for a list on stdin"
    )
    score.add_argument("--detector", nargs="+", help="names or files (default: all that ship)")
    score.add_argument("--format", choices=("table", "csv", "json", "html"), default="table")
    score.add_argument("--out", help="file: .csv or .jsonl (goes on where it stopped), or .html")
    score.set_defaults(run=_score)

    explain = verbs.add_parser("explain", parents=[common], help="say why")
    explain.add_argument("picture")
    explain.add_argument("--detector", required=True, help="name or file")
    explain.add_argument("--face", type=int, default=0, help="which face, the main one is 0")
    explain.add_argument(
        "--flip", action="store_true", help="average with the mirrored face, as detectors do"
    )
    explain.add_argument("--format", choices=("table", "json"), default="table")
    explain.add_argument("--out", help="draw map and layers into this file (.png, .svg, .pdf)")
    explain.add_argument("--no-face", action="store_true", help="draw without the face")
    explain.set_defaults(run=_explain)

    train = verbs.add_parser("train", parents=[common], help="train a detector")
    train.add_argument("folder", help="holds real/ and fake/")
    train.add_argument("--out", required=True, help="file to write, .npz")
    train.add_argument("--name", help="of the detector (default: that of the file)")
    train.add_argument("--family", help="the fakes in words")
    train.set_defaults(run=_train)

    evaluate = verbs.add_parser("evaluate", parents=[common, rate], help="measure a detector")
    evaluate.add_argument("detector", help="name or file")
    evaluate.add_argument("folder", help="holds real/ and fake/")
    evaluate.set_defaults(run=_evaluate)

    audit = verbs.add_parser("audit", help="look for facts that give the labels away")
    audit.add_argument("folder", help="holds real/ and fake/")
    audit.set_defaults(run=_audit)

    detectors = verbs.add_parser("detectors", parents=[rate], help="list, or show a model card")
    detectors.add_argument("name", nargs="?", help="name or file")
    detectors.set_defaults(run=_detectors)
    return parser


def _pictures(names: Sequence[str]) -> list[str]:
    """List what to look at; ``-`` reads names from standard input."""
    given = [line.rstrip("\n") for line in sys.stdin if line.strip()] if "-" in names else []
    return [name for name in names if name != "-"] + given


def _printed(each: Any, form: str) -> Any:
    """Print the rows of each picture as they come, and pass them on."""
    from skfakespotter.detectors import summarize, write_rows

    first = True
    for rows in each:
        if form == "table":
            faces = dict.fromkeys(row.face for row in rows)
            for face in faces:
                of_face = [row for row in rows if row.face == face]
                place = "" if face is None else f" face {face}"
                print(f"{rows[0].picture}{place}: {summarize(of_face)}")
        else:
            write_rows(rows, sys.stdout, form="jsonl" if form == "json" else form, header=first)
        sys.stdout.flush()
        first = False
        yield from rows


def _exit_code(rows: Any, options: argparse.Namespace) -> int:
    from skfakespotter.detectors import kind_of

    kinds = {kind_of(row.verdict) for row in rows}
    if "resembles" in kinds:
        return FOUND
    return UNSURE if "cannot say" in kinds else 0


def _out(options: argparse.Namespace) -> str:
    if not options.out:
        raise ValueError("--format html needs --out FILE.html.")
    return options.out


def _need_matplotlib() -> None:
    import matplotlib

    matplotlib.use("Agg")
