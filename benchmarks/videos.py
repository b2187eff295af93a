"""Score clips with detectors that were trained on face-swapped photographs.

    python benchmarks/videos.py --data FOLDER [--pictures N] [--every N] [--out FOLDER]

FOLDER holds ``faces/faceswap/`` and ``videos/``, each with ``real/`` and ``fake/``. Every clip
is decoded and its faces followed; each detector scores the faces. Written are figures only,
no picture: ``clips.csv``, one row per clip, and ``README.md``.
"""

import time

import numpy as np
from options import RESULTS, make_parser
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from table import format_table, write_csv, write_page

from skfakespotter import FaceAligner, load_folders, make_fakespotter
from skfakespotter.video import VideoScorer, clip_report, follow_faces, iter_frames

CLASSIFIERS = {
    "SVC": CalibratedClassifierCV(SVC(C=10), ensemble=False),
    "LogisticRegression": LogisticRegression(C=0.1, max_iter=2000),
}


def main(arguments=None):
    """Train, decode, score and write."""
    parser = make_parser(__doc__, data="faces/faceswap/ and videos/", out=RESULTS / "videos")
    parser.add_argument("--pictures", type=int, help="training pictures per class; all by default")
    parser.add_argument("--every", type=int, default=10, help="frames; one of so many is scored")
    parser.add_argument("--n-jobs", type=int, default=None)
    options = parser.parse_args(arguments)
    names = ("real", "fake")
    folder = options.data / "videos"
    paths = [path for name in names for path in sorted((folder / name).glob("*.mp4"))]
    y = np.array([names.index(path.parent.name) for path in paths])
    rows = [describe(path, folder, options.every) for path in paths]
    detectors, n_faces = train(options)
    lines = []
    for name, detector in detectors.items():
        scorer = VideoScorer(FrozenEstimator(detector), every=options.every, n_jobs=options.n_jobs)
        start = time.perf_counter()
        clips = scorer.score_clips(paths)
        seconds = time.perf_counter() - start
        for row, clip in zip(rows, clips, strict=True):
            row["status"] = clip.status
            row[f"P(fake), {name}"] = "" if clip.score is None else f"{clip.score:.3f}"
        lines.append(summarize(name, clips, y, paths, seconds))
        print(*lines[-1], flush=True)
    write(options, rows, lines, n_faces)


def train(options):
    """Fit each classifier on the coverage of the same faces; the network runs once."""
    pictures = load_folders(options.data / "faces" / "faceswap")
    first = np.concatenate(
        [np.flatnonzero(pictures.target == label)[: options.pictures] for label in (0, 1)]
    )
    records = FaceAligner(n_jobs=options.n_jobs).locate([pictures.data[i] for i in first])
    kept = [i for i, record in zip(first, records, strict=True) if record.status == "found"]
    features = make_fakespotter(granularity="channel")[:2]
    coverage = features.fit_transform([pictures.data[i] for i in kept])
    target = pictures.target[kept]
    aligner, transformer = (step for _, step in features.steps)
    detectors = {}
    for name, classifier in CLASSIFIERS.items():
        last = make_pipeline(StandardScaler(), clone(classifier)).fit(coverage, target)
        detectors[name] = make_pipeline(aligner, transformer, *(step for _, step in last.steps))
    return detectors, np.bincount(target, minlength=2)


def describe(path, folder, every):
    """Decode a clip whole and follow its faces: one row of counts."""
    start = time.perf_counter()
    n_frames = sum(1 for _ in iter_frames(path))
    decoded = time.perf_counter()
    sampled = -(-n_frames // every)
    tracks = follow_faces(iter_frames(path, every=every))
    return {
        "clip": path.relative_to(folder).as_posix(),
        "frames decoded": n_frames,
        "decoding, s": f"{decoded - start:.1f}",
        "frames searched": sampled,
        "faces found": sum(len(track) for track in tracks),
        "tracks": len(tracks),
        "searching, s": f"{time.perf_counter() - decoded:.1f}",
    }


def summarize(name, clips, y, paths, seconds):
    """Return a row of figures; the number of its recording stands first in a clip's name."""
    recordings = [path.stem.split("_")[0] for path in paths]
    report = clip_report(clips, y, groups=recordings, n_bootstraps=0)
    values = [part[of].value for of in ("AUC", "accuracy") for part in (report.clip, report.frame)]
    counts = [report.clip.n_samples, report.frame.n_samples]
    return [name, *(f"{value:.3f}" for value in values), *counts, f"{seconds:.0f}"]


def write(options, rows, lines, n_faces):
    """Save the table of clips as CSV, and both tables as Markdown."""
    header = ["detector", "AUC, clips", "AUC, frames", "accuracy, clips", "accuracy, frames"]
    header += ["clips", "frames", "s"]
    of_clips = list(rows[0]), [list(row.values()) for row in rows]
    write_page(
        options.out / "README.md",
        "Clips scored by detectors trained on photographs",
        "python benchmarks/videos.py",
        "Detectors: the network `dlib`, coverage per channel, trained on "
        f"{n_faces[0]} real and {n_faces[1]} swapped faces of `faceswap`, none of them from a "
        f"clip. Every {options.every}th frame is searched; a clip's score is the mean of its most "
        "fake track.",
        format_table(header, lines),
        f"{len(rows)} clips are a trial that everything runs, not an estimate: frames of one clip "
        "say much the same, and no interval is given because there are too few recordings to "
        "draw from.",
        format_table(*of_clips),
    )
    write_csv(options.out / "clips.csv", *of_clips)


if __name__ == "__main__":
    main()
