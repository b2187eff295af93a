"""DeepFake clips, measured as the field measures them: AUC over frames and over clips.

    python benchmarks/clips.py --data FOLDER [--test FOLDER] --cache FOLDER [--frames N]
        [--detector NAME] [--backbone NAME] [--only NAME ...] [--n-jobs N] [--out FOLDER]

``--data`` is FaceForensics++ in its own tree, ``--test`` Celeb-DF in its own: detectors are
trained and chosen on the former alone, with folds by connected identities. Clips are decoded
once into ``--cache``, which holds pictures of people and stays outside of the repository; what
each detector said is kept there too, so that a run that was stopped goes on where it was. Written
are figures only: ``README.md``, ``clips.csv``, ``scores.csv`` and pictures of curves.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import RocCurveDisplay, roc_auc_score

from skfakespotter import (
    FaceAligner,
    NeuronCoverageTransformer,
    load_clips,
    load_coverage_sample,
)
from skfakespotter.evaluation import detection_report
from skfakespotter.video import (
    across_data_sets,
    follow_faces,
    iter_frames,
    leave_one_method_out,
    make_clipspotter,
    within_methods,
)

TEXT = """# DeepFake clips

Made by `benchmarks/clips.py --frames {frames} --detector {detector} --backbone {backbone}`.

FaceForensics++ (c23): {n_real} real and {n_fake} fake clips, cut to their first seconds, of
{n_groups} groups of connected identities; Celeb-DF(v2): {n_test} clips, for testing only. Of each
clip the first {frames} frames are looked at; faces are found by {detector}, and their landmarks
averaged over nine frames. The thresholds of dlib's network are those that the package ships,
measured on photographs: no clip has a say in them. Five folds by groups. Intervals (95 %) are from
drawing whole groups: they are wide, for there are few, and with fewer than ten groups that hold
fakes (FaceSwap, Face2Face and Celeb-DF in the cut sets that stand here) not to be trusted.

- "within": trained and tested on one method and the real clips, identities apart.
- "left out": trained on the other methods, tested on this one, identities apart.
- "across": trained on all of FaceForensics++, tested on Celeb-DF. No choice was made on Celeb-DF.

{table}

The form (windows of five faces, landmarks over nine, ridge, mean and flicker) was chosen within
FaceForensics++, on the very clips that the rows "within" and "left out" measure, though on other
draws of the folds: these rows are a little too good for that, and those on Celeb-DF are not.

![ROC curves](roc.png)

AUC over clips of "{first}", within, where a clip's score is the mean over its first frames alone:

{growth}

![AUC against frames](frames.png)

{speed}## Published, and not measured here

AUC over frames, from Y. Li et al., "Celeb-DF", CVPR 2020, table 5, as reprinted in
doi:10.1186/s13640-023-00614-z, table 3; FakeSpotter's from R. Wang et
al., IJCAI 2020.

{published}

What differs: those detectors were trained on far more data of their authors' own (several thousand
clips, or pictures) and tested on the whole published test sets, where a few clips stand here; they
judge single frames with an alignment of their own. A difference of a few points between the two
tables means nothing.
"""

OUT = Path(__file__).parent / "results" / "clips"
# name: (options of make_clipspotter, the protocols that it goes through)
DETECTORS = {
    "mean and flicker, per channel": ({}, ("within", "left out", "across")),
    "mean, per channel": ({"statistics": ["mean"]}, ("within", "across")),
    "flicker, per channel": ({"statistics": ["flicker"]}, ("within", "across")),
    "mean and flicker, per layer": ({"granularity": "layer"}, ("within", "across")),
}
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


def main(arguments=None):
    """Run what is missing, then write all tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="FaceForensics++")
    parser.add_argument("--test", type=Path, help="Celeb-DF; never trained on")
    parser.add_argument("--cache", type=Path, required=True, help="outside of the repository")
    parser.add_argument("--frames", type=int, default=64, help="consecutive frames of a clip")
    parser.add_argument("--detector", default=FaceAligner().detector, help="face detector")
    parser.add_argument("--backbone", default="dlib", help="the network that is watched")
    parser.add_argument("--only", nargs="*", help="detectors, by their beginning")
    parser.add_argument("--speed", type=int, help="clips to time; results are kept")
    parser.add_argument("--n-jobs", type=int, default=None)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    clips = load_clips(options.data)
    test = load_clips(options.test) if options.test else None
    if options.speed:
        speed(clips, options)
    for name in DETECTORS:
        if options.only is None or any(name.startswith(begin) for begin in options.only):
            measure(name, clips, test, options)
    write(clips, test, options)


def speed(clips, options):
    """Time the stages on a few clips: frames a second, one process, nothing from the cache."""
    aligner = FaceAligner(options.detector)
    seconds, n_frames, tracks = {}, 0, []
    paths = clips.data[: options.speed]
    start = time.perf_counter()
    for path in paths:
        n_frames += sum(1 for _ in iter_frames(path, max_frames=options.frames))
    seconds["decoded alone"] = time.perf_counter() - start
    start = time.perf_counter()
    for path in paths:
        tracks += follow_faces(iter_frames(path, max_frames=options.frames), aligner)
    seconds["decoded, faces found, followed and cropped"] = time.perf_counter() - start
    chips = [chip for track in tracks for chip in track.chips]
    coverage = NeuronCoverageTransformer(granularity="channel", threshold=0.0).fit(chips[:2])
    start = time.perf_counter()
    coverage.transform(chips)
    seconds["neurons counted"] = time.perf_counter() - start
    rows = [[stage, f"{n_frames / value:.0f}"] for stage, value in seconds.items()]
    place = options.cache / "scores" / f"speed_{options.detector}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(rows))


def measure(name, clips, test, options):
    """Put a detector through its protocols; what is known already is left alone."""
    settings, protocols = DETECTORS[name]
    scorer = make_clipspotter(
        options.backbone,
        coverage=counter(settings.get("granularity", "channel"), options),
        cache=options.cache,
        max_frames=options.frames,
        aligner=FaceAligner(options.detector),
        on_missing="nan",
        n_jobs=options.n_jobs,
        **settings,
    )
    runs = {
        "within": lambda: within_methods(scorer, clips),
        "left out": lambda: leave_one_method_out(scorer, clips),
        "across": lambda: across_data_sets(scorer, clips, {"Celeb-DF": test}),
    }
    for protocol in protocols:
        place = state(options, name, protocol)
        if place.is_file() or (protocol == "across" and test is None):
            continue
        start = time.perf_counter()
        result = runs[protocol]()
        seconds = time.perf_counter() - start
        save(place, result, seconds)
        print(f"{name}, {protocol}: {result} in {seconds:.0f} s", flush=True)


def counter(granularity, options):
    """Return what counts neurons: for dlib's network with the thresholds that the package ships.

    They were measured on photographs and their fakes, so that no clip has a say in them, and each
    face is counted once for all folds. Another network's are fitted in each fold.
    """
    if options.backbone != "dlib":
        return None
    sample = load_coverage_sample(granularity)
    return FrozenEstimator(sample.transformer(cache=options.cache / "coverage"))


def state(options, name, protocol):
    """Where the scores of a detector under a protocol are kept."""
    settings = f"{options.frames} frames, {options.detector}, {options.backbone}"
    file = f"{name}, {protocol}, {settings}.json"
    return options.cache / "scores" / file.replace(" ", "_").replace(",", "")


def save(place, result, seconds):
    """Keep of each clip its score and its frames'."""
    tests = {}
    for test, (scores, y, groups) in result.tests.items():
        tests[test] = [
            {
                "clip": Path(clip.path).stem,
                "label": int(label),
                "group": str(group),
                "score": clip.score,
                "frames": [float(s) for s in clip.frame_scores if not np.isnan(s)],
            }
            for clip, label, group in zip(scores, y, groups, strict=True)
        ]
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps({"seconds": seconds, "tests": tests}))
    part.replace(place)


def known(options):
    """List what has been measured: detector, protocol, test, clips."""
    for name, (_, protocols) in DETECTORS.items():
        for protocol in protocols:
            place = state(options, name, protocol)
            if place.is_file():
                tests = json.loads(place.read_text())["tests"]
                yield from ((name, protocol, test, clips) for test, clips in tests.items())


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


def write(clips, test, options):
    """Write the tables and draw the curves of all that is known."""
    options.out.mkdir(parents=True, exist_ok=True)
    header = ["detector", "protocol", "test", "clip AUC", "low", "high"]
    header += ["frame AUC", "low", "high", "clips", "left out", "frames"]
    rows, lines, scores = [], [], []
    for name, protocol, tested, items in known(options):
        of_clips, of_frames, n_clips, n_left, n_frames = figures(items)
        numbers = [f"{value:.3f}" for figure in (of_clips, of_frames) for value in figure]
        rows.append([name, protocol, tested, *numbers, n_clips, n_left, n_frames])
        cells = [f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]" for f in (of_clips, of_frames)]
        lines.append([name, protocol, tested, *cells, n_clips, n_left, n_frames])
        scores += [[name, protocol, tested, c["clip"], c["label"], c["score"]] for c in items]
    save_csv(options.out / "clips.csv", header, rows)
    columns = ["detector", "protocol", "test", "clip", "label", "score"]
    save_csv(options.out / "scores.csv", columns, scores)
    draw_roc(options)
    growth = draw_frames(options)
    place = options.cache / "scores" / f"speed_{options.detector}.json"
    timed = json.loads(place.read_text()) if place.is_file() else []
    text = TEXT.format(
        n_real=int(np.sum(clips.target == 0)),
        n_fake=int(np.sum(clips.target == 1)),
        n_groups=len(set(clips.groups.tolist())),
        n_test=0 if test is None else len(test.data),
        frames=options.frames,
        detector=options.detector,
        backbone=options.backbone,
        first=next(iter(DETECTORS)),
        growth=growth,
        speed=f"## Speed\n\n{table(['stage', 'frames a second'], timed)}\n\n" if timed else "",
        table=table([*header[:3], "clip AUC", "frame AUC", *header[9:]], lines),
        published=table(
            ["detector", "FaceForensics++ Deepfakes", "Celeb-DF(v2)"],
            [
                [name, *("" if v is None else f"{v / 100:.3f}" for v in values)]
                for name, values in PUBLISHED.items()
            ],
        ),
    )
    (options.out / "README.md").write_text(text, encoding="utf-8")
    print(text)


def draw_roc(options):
    """Draw the curves of the first detector, one a method."""
    first = next(iter(DETECTORS))
    found = {
        t: c for name, protocol, t, c in known(options) if (name, protocol) == (first, "within")
    }
    if not found:
        return
    figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
    for test, clips in found.items():
        scored = [clip for clip in clips if clip["score"] is not None]
        y, score = [c["label"] for c in scored], [c["score"] for c in scored]
        RocCurveDisplay.from_predictions(y, score, name=test, ax=ax, plot_chance_level=False)
    ax.set_title("Clips, folds by connected identities")
    figure.savefig(options.out / "roc.png", dpi=120)
    plt.close(figure)


def draw_frames(options):
    """Draw AUC over clips against the frames that are looked at; return it as a table."""
    first = next(iter(DETECTORS))
    steps = [n for n in (5, 10, 20, 40, 64, 128, 256) if n <= options.frames]
    rows = []
    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for name, protocol, test, clips in known(options):
        if (name, protocol) != (first, "within"):
            continue
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
    return table(["method", *(f"{n} frames" for n in steps)], rows)


def save_csv(path, header, rows):
    """Write a table for programs."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def table(header, rows):
    """Lay out a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
