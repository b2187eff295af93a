"""Clip reports: tables and pictures of what detectors of clips said."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from sklearn.metrics import roc_auc_score
from table import format_table, spell, write_csv, write_page

from skfakespotter import DetectionCurveDisplay
from skfakespotter.evaluation import detection_report

TEXT = """\
FaceForensics++ (c23): {n_real} real and {n_fake} fake clips of {n_groups} groups of connected
identities; Celeb-DF(v2): {n_test} clips, for testing only. Of each clip the first {frames} frames
are looked at; faces are found by {detector}, and dlib's landmarks averaged over nine frames. The
thresholds of equation 1 are means over all faces of FaceForensics++, without labels. Five folds by
groups. Intervals (95 %) are from drawing whole groups: they are wide, for there are few, and with
fewer than ten groups that hold fakes (FaceSwap, Face2Face and Celeb-DF in the cut sets that stand
here) not to be trusted.

- "within": trained and tested on one method and the real clips, identities apart.
- "draw 2", ...: the same with other folds; what they differ by is chance.
- "left out": trained on the other methods, tested on this one, identities apart.
- "across": trained on all of FaceForensics++, tested on Celeb-DF. No choice was made on Celeb-DF.

{table}

The form (windows of five faces, dlib's landmarks over nine, ridge, mean and flicker, log odds
averaged over windows, weights learned clip by clip) was chosen within FaceForensics++, on the very
clips that the rows "within", "draw" and "left out" measure: these rows are a little too good for
that, and those on Celeb-DF are not.

{notes}

![ROC curves](roc.png)

AUC over clips of "{first}", within, where a clip's score is the mean over its first frames alone:

{growth}

![AUC against frames](frames.png)

{compression}{speed}## Published, and not measured here

AUC over frames, from Y. Li et al., "Celeb-DF", CVPR 2020, table 5, as reprinted in
doi:10.1186/s13640-023-00614-z, table 3; FakeSpotter's from R. Wang et al., IJCAI 2020.

{published}

What differs: those detectors were trained on far more data of their authors' own (several thousand
clips, or pictures) and tested on the whole published test sets, where a few clips stand here; they
judge single frames with an alignment of their own. A difference of a few points between the two
tables means nothing.
"""
NOTES = {
    "union": '"Union": an expert for the mean and one for the flicker of both networks\' channels.',
    "stack": '"Stack": an expert for each statistic of each network.',
    "MobileFaceNet": "MobileFaceNet sees crops that are cut out of those of dlib's template.",
    "head pose": "Head pose: X. Yang et al., ICASSP 2019; the head's shape is learned.",
    "visual artifacts": "Visual artifacts: F. Matern et al., WACV Workshops 2019; eyes and teeth.",
    "MesoInception": "MesoInception-4: D. Afchar et al., WIFS 2018; ten epochs, crops of 96 "
    "pixels, from nothing; its authors trained far longer on far more.",
}
RIVALS = (
    "Rivals were built from their publications and trained on the same folds; they judge one face "
    "in eight of the same crops."
)
COMPRESSION = """## Compression

AUC over clips of "{first}", within, trained on the clips as they are and tested on copies that
H.264 encoded again at a constant rate factor (23 is "high", 40 "low quality" in FaceForensics++,
which was applied to these clips once already):

{table}

![AUC against compression](compression.png)

"""
SPEED = """## Speed

Frames a second of one process's processor time:

{table}

"""
# Y. Li et al., "Celeb-DF", CVPR 2020, table 5: AUC over frames, in percent, on FaceForensics++
# Deepfakes and on Celeb-DF(v2), as later papers reprint it (doi:10.1186/s13640-023-00614-z,
# table 3). FakeSpotter: R. Wang et al., IJCAI 2020, figure 5 and text.
PUBLISHED = {
    "Two-stream": (70.1, 53.8),
    "MesoNet": (84.7, 54.8),
    "HeadPose": (47.3, 54.6),
    "FWA": (80.1, 56.9),
    "VA-MLP": (66.4, 55.0),
    "Xception-raw": (99.7, 48.2),
    "Xception-c23": (99.7, 65.3),
    "Xception-c40": (95.5, 65.5),
    "Multi-task": (76.3, 54.3),
    "Capsule": (96.6, 57.5),
    "FakeSpotter": (None, 66.8),
}


def command(options):
    """Return what makes the page anew."""
    words = "python benchmarks/clips.py --data FOLDER --test FOLDER --cache FOLDER"
    words += f" --frames {options.frames} --detector {options.detector}"
    words += f" --backbone {options.backbone}" + " --second WEIGHTS" * bool(options.second)
    words += f" --compress {' '.join(map(str, options.compress))}" * bool(options.compress)
    return words + (f" --speed {options.speed}" if options.speed else "")


def boil_down(result):
    """Keep of each clip of a ClipEvaluation its score and its frames'."""
    return {
        test: [
            {
                "clip": Path(clip.path).stem,
                "label": int(label),
                "group": str(group),
                "score": clip.score,
                "frames": [float(s) for s in clip.frame_scores if not np.isnan(s)],
            }
            for clip, label, group in zip(scores, y, groups, strict=True)
        ]
        for test, (scores, y, groups) in result.tests.items()
    }


def figures(clips):
    """AUC over clips and over frames, each with the ends of its interval by group."""
    scored = [clip for clip in clips if clip["score"] is not None]
    y = np.array([clip["label"] for clip in scored])
    groups = np.array([clip["group"] for clip in scored])
    counts = [len(clip["frames"]) for clip in scored]
    of_clips = detection_report(y, [clip["score"] for clip in scored], groups=groups)["AUC"]
    of_frames = detection_report(
        np.repeat(y, counts),
        np.concatenate([clip["frames"] for clip in scored]),
        groups=np.repeat(groups, counts),
    )["AUC"]
    return of_clips, of_frames, len(scored), len(clips) - len(scored), sum(counts)


def write(known, clips, test, work, options):
    """Write the tables and draw the curves of all that is known.

    Parameters
    ----------
    known : iterable of (detector, protocol, test, list of clips)
        What was measured, the first detector first.
    clips, test : Bunch
        The data sets; the second may be None.
    work : Work
        Where speed and compressed copies' scores are.
    options : Namespace
        The command line.
    """
    known = list(known)
    options.out.mkdir(parents=True, exist_ok=True)
    first = known[0][0]
    within = {t: c for name, protocol, t, c in known if (name, protocol) == (first, "within")}
    text = TEXT.format(
        n_real=int(np.sum(clips.target == 0)),
        n_fake=int(np.sum(clips.target == 1)),
        n_groups=len(set(clips.groups.tolist())),
        n_test=0 if test is None else len(test.data),
        frames=options.frames,
        detector=options.detector,
        first=first,
        table=write_scores(known, options.out),
        growth=draw_frames(within, options),
        notes=write_notes({name for name, *_ in known}),
        compression=write_compression(first, within, work, options.out),
        speed=write_speed(work),
        published=format_table(
            ["detector", "FaceForensics++ Deepfakes", "Celeb-DF(v2)"],
            [
                [name, *("" if v is None else f"{v / 100:.3f}" for v in values)]
                for name, values in PUBLISHED.items()
            ],
        ),
    )
    draw_roc(within, options.out)
    write_page(options.out / "README.md", "DeepFake clips", command(options), text.rstrip())


def write_notes(names):
    """Say what the detectors in the table are."""
    notes = [note for begin, note in NOTES.items() if any(name.startswith(begin) for name in names)]
    rivals = any(name.startswith(("head pose", "visual", "Meso")) for name in names)
    return "\n".join(f"- {note}" for note in [*notes, *[RIVALS] * rivals])


def write_scores(known, out):
    """Write ``clips.csv`` and ``scores.csv``; return the table of figures."""
    header = ["detector", "protocol", "test", "clip AUC", "low", "high"]
    header += ["frame AUC", "low", "high", "clips", "left out", "frames"]
    rows, lines, scores = [], [], []
    for name, protocol, tested, items in known:
        of_clips, of_frames, *counts = figures(items)
        numbers = [f"{value:.3f}" for figure in (of_clips, of_frames) for value in figure]
        rows.append([name, protocol, tested, *numbers, *counts])
        cells = [spell(*f) for f in (of_clips, of_frames)]
        lines.append([name, protocol, tested, *cells, *counts])
        scores += [[name, protocol, tested, c["clip"], c["label"], c["score"]] for c in items]
    write_csv(out / "clips.csv", header, rows)
    columns = ["detector", "protocol", "test", "clip", "label", "score"]
    write_csv(out / "scores.csv", columns, scores)
    return format_table([*header[:3], "clip AUC", "frame AUC", *header[9:]], lines)


def write_compression(first, within, work, out):
    """Draw AUC against compression; return the chapter, or nothing where none was measured."""
    files = sorted(work.folder.glob(f"{first}, within, crf *.joblib"))
    if not files:
        return ""
    measured = {"as it is": within}
    measured |= {f"crf {file.stem.split()[-1]}": work.load(file.stem) for file in files}
    curves = {
        rate: {test: figures(clips)[0] for test, clips in tests.items()}
        for rate, tests in measured.items()
    }
    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    rows = []
    for test in within:
        areas = [of[test] for of in curves.values()]
        rows.append([test, *(spell(*a) for a in areas)])
        ax.plot(list(curves), [area.value for area in areas], marker="o", label=test)
    ax.set(xlabel="encoded again", ylabel="AUC over clips")
    ax.legend(fontsize="small")
    figure.savefig(out / "compression.png", dpi=120)
    plt.close(figure)
    return COMPRESSION.format(first=first, table=format_table(["method", *curves], rows))


def write_speed(work):
    """Return the chapter on speed, or nothing where it was not measured."""
    if not work.has("speed"):
        return ""
    rows = [[stage, f"{speed:.0f}"] for stage, speed in work.load("speed")]
    return SPEED.format(table=format_table(["stage", "frames a second"], rows))


def draw_roc(within, out):
    """Draw the curves of the first detector, one a method."""
    figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
    for test, clips in within.items():
        scored = [clip for clip in clips if clip["score"] is not None]
        y, score, groups = ([clip[key] for clip in scored] for key in ("label", "score", "group"))
        DetectionCurveDisplay.from_predictions(
            y, score, kind="roc", groups=groups, name=test, ax=ax, n_bootstraps=500
        )
    ax.set_title("Clips; bands (95 %) by connected identities", fontsize="medium")
    figure.savefig(out / "roc.png", dpi=120)
    plt.close(figure)


def draw_frames(within, options):
    """Draw AUC over clips against the frames that are looked at; return it as a table."""
    steps = [n for n in (5, 10, 20, 40, 64, 128, 256) if n <= options.frames]
    rows = []
    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for test, clips in within.items():
        seen = [clip for clip in clips if clip["frames"]]
        y = [clip["label"] for clip in seen]
        areas = [roc_auc_score(y, [np.mean(c["frames"][:n]) for c in seen]) for n in steps]
        rows.append([test, *(f"{area:.3f}" for area in areas)])
        ax.plot(steps, areas, marker="o", label=test)
    ax.set(xlabel="frames of a clip", ylabel="AUC over clips", xscale="log")
    ax.set_xticks(steps, map(str, steps), minor=False)
    if rows:
        ax.legend(fontsize="small")
        figure.savefig(options.out / "frames.png", dpi=120)
    plt.close(figure)
    return format_table(["method", *(f"{n} frames" for n in steps)], rows)
