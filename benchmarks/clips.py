"""DeepFake clips, measured as the field measures them: AUC over frames and over clips.

    python benchmarks/clips.py --data FOLDER [--test FOLDER] --cache FOLDER [--frames N]
        [--detector NAME] [--backbone NAME] [--second WEIGHTS] [--only NAME ...]
        [--compress CRF ...] [--speed N] [--draws N] [--n-jobs N] [--out FOLDER]

``--data`` is FaceForensics++ in its own tree, ``--test`` Celeb-DF in its own: detectors are
trained and chosen on the former alone, with folds by connected identities. ``--second`` are
MobileFaceNet's weights (Xiaoccer/MobileFaceNet_Pytorch). Clips are decoded once into ``--cache``,
which holds pictures of people and stays outside of the repository; what each detector said is
kept there too, so that a run that was stopped goes on where it was. Written are figures only:
``README.md``, ``clips.csv``, ``scores.csv`` and pictures of curves.
"""

import time
from functools import cached_property, partial
from pathlib import Path

import clip_reports
import numpy as np
from clip_timing import compress_clips, measure_speed
from options import RESULTS, find_recipes, make_parser
from remembered import remember
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from work import Work

from skfakespotter import FaceAligner, NeuronCoverageTransformer, load_backbone, load_clips
from skfakespotter.baselines import make_baseline
from skfakespotter.faces import TEMPLATES, crop_size, dlib_centers, similarity, warp
from skfakespotter.video import (
    VideoScorer,
    across_data_sets,
    leave_one_method_out,
    make_clipspotter,
    within_methods,
)

MAIN = "mean and flicker, per channel"
ALL = ("within", "across", "left out")
TWO = ("within", "across")
# name: (network, granularity, statistics, protocols)
OURS = {
    MAIN: ("first", "channel", ("mean", "flicker"), ALL),
    "mean, per channel": ("first", "channel", ("mean",), TWO),
    "flicker, per channel": ("first", "channel", ("flicker",), TWO),
    "mean and flicker, per layer": ("first", "layer", ("mean", "flicker"), TWO),
    "MobileFaceNet, per channel": ("second", "channel", ("mean", "flicker"), TWO),
    "union of both networks": ("union", "channel", ("mean", "flicker"), TWO),
    "stack of both networks": ("stack", "channel", ("mean", "flicker"), TWO),
}
# name: (of make_baseline, step that learns nothing, options)
RIVALS = {
    "head pose": ("head-pose", "landmarks", {}),
    "visual artifacts, logistic regression": ("visual-artifacts", "features", {}),
    "visual artifacts, MLP": ("visual-artifacts-mlp", "features", {}),
    "MesoInception-4": (
        "mesoinception",
        "features",
        {"features__size": 96, "classifier__max_epochs": 10},
    ),
}
STEP = 8  # a rival judges one face in so many
RECIPE = "recipes.mobilefacenet:mobilefacenet"


def main(arguments=None):
    """Run what is missing, then write all tables and pictures."""
    options = parse(arguments)
    clips = load_clips(options.data)
    test = load_clips(options.test) if options.test else None
    settings = f"{options.frames} frames, {options.detector}, {options.backbone}"
    work = Work(options.cache / settings.replace(", ", "_").replace(" ", "_"))
    bench = Bench(options, clips, test, work)
    if options.speed:
        work.save("speed", measure_speed(clips.data[: options.speed], options))
    for name in [*OURS, *RIVALS]:
        wanted = options.only is None or any(name.startswith(begin) for begin in options.only)
        if wanted and (options.second or name not in OURS or OURS[name][0] == "first"):
            bench.measure(name)
    for crf in options.compress:
        bench.measure_copies(crf)
    clip_reports.write(bench.known(), clips, test, work, options)


def parse(arguments):
    """Read the command line."""
    parser = make_parser(__doc__, data="FaceForensics++", out=RESULTS / "clips")
    parser.add_argument("--test", type=Path, help="Celeb-DF; never trained on")
    parser.add_argument("--cache", type=Path, required=True, help="outside of the project")
    parser.add_argument("--frames", type=int, default=64, help="consecutive frames of a clip")
    parser.add_argument("--detector", default=FaceAligner().detector, help="face detector")
    parser.add_argument("--backbone", default="dlib", help="the network that is watched")
    parser.add_argument("--second", help="weights of MobileFaceNet, to be watched as well")
    parser.add_argument("--only", nargs="*", help="detectors, by their beginning")
    parser.add_argument("--compress", nargs="*", type=int, default=[], help="H.264 rate factors")
    parser.add_argument("--speed", type=int, help="clips to time; results are kept")
    parser.add_argument("--draws", type=int, default=4, help="of the folds, by the first detector")
    parser.add_argument("--n-jobs", type=int, default=None)
    return parser.parse_args(arguments)


class Bench:
    """Detectors and the protocols that they go through; what is known already is left alone."""

    def __init__(self, options, clips, test, work):
        self.options, self.clips, self.test, self.work = options, clips, test, work
        self.draws = {f"draw {seed + 1}": seed for seed in range(1, options.draws)}

    def measure(self, name):
        """Put a detector through its protocols."""
        protocols = OURS[name][-1] if name in OURS else TWO
        protocols = (*protocols, *self.draws) if name == MAIN else protocols
        missing = [p for p in protocols if not self.work.has(f"{name}, {p}")]
        if self.test is None:
            missing = [p for p in missing if p != "across"]
        if not missing:
            return
        scorer = self.scorer(name)
        runs = {
            **{
                draw: partial(within_methods, scorer, self.clips, random_state=seed)
                for draw, seed in {"within": 0, **self.draws}.items()
            },
            "left out": lambda: leave_one_method_out(scorer, self.clips),
            "across": lambda: across_data_sets(scorer, self.clips, {"Celeb-DF": self.test}),
        }
        for protocol in missing:
            self.keep(f"{name}, {protocol}", runs[protocol])

    def measure_copies(self, crf):
        """Test the first detector on clips that were compressed again, trained on the others."""
        name = f"{MAIN}, within, crf {crf}"
        if self.work.has(name):
            return
        folder = self.options.cache / f"crf{crf}"
        copies = compress_clips(self.clips.data, folder, crf, self.options.frames)
        scorer = self.scorer(MAIN)
        self.keep(name, lambda: within_methods(scorer, self.clips, tested_as=copies))

    def keep(self, name, run):
        """Run a protocol and keep of each clip its score and its frames'."""
        start = time.process_time()
        result = run()
        self.work.took(name, time.process_time() - start)
        self.work.save(name, clip_reports.boil_down(result))
        print(f"{name}: {result}", flush=True)

    def known(self):
        """List what has been measured: detector, protocol, test, clips."""
        for name in [*OURS, *RIVALS]:
            for protocol in (*ALL, *self.draws):
                if self.work.has(f"{name}, {protocol}"):
                    tests = self.work.load(f"{name}, {protocol}")
                    yield from ((name, protocol, test, clips) for test, clips in tests.items())

    def scorer(self, name):
        """Build a detector of clips."""
        if name in RIVALS:
            return self.rival(name)
        network, granularity, statistics, _ = OURS[name]
        coverage = self.coverage(network, granularity)
        scorer = self.spotter(coverage=coverage, statistics=statistics)
        if network == "stack":
            scorer.set_params(estimator__experts__experts=self.split_experts(scorer, coverage))
        return scorer

    def spotter(self, **settings):
        """Build a make_clipspotter with the options of this run."""
        return make_clipspotter(
            self.options.backbone,
            cache=self.options.cache,
            max_frames=self.options.frames,
            aligner=FaceAligner(self.options.detector),
            on_missing="nan",
            n_jobs=self.options.n_jobs,
            **settings,
        )

    def coverage(self, network, granularity):
        """Return what counts neurons: of one network, or of both."""
        if network in ("union", "stack"):
            parts = [(n, self.coverage(n, granularity)) for n in ("first", "second")]
            return FeatureUnion(parts)
        return self.counter(network, granularity)

    def counter(self, network, granularity):
        """Return a network's counter, its thresholds measured on all training clips, unlabeled.

        They are means over thousands of faces, which no clip moves much; so each face is
        counted once for all folds.
        """
        file = f"thresholds of {network}, {granularity}"
        backbone, recrop = self.networks[network]
        if not self.work.has(file):
            counter = NeuronCoverageTransformer(
                backbone, granularity=granularity, cache=self.options.cache / "coverage"
            )
            counter = make_pipeline(recrop, counter) if recrop else counter
            self.work.save(file, counter.fit(self.training_faces()))
        rows = self.work.folder / f"counts of {network}, {granularity}.npz"
        return remember(self.work.load(file), rows)

    def training_faces(self):
        """List the crops of all training clips."""
        clips = self.spotter().follow_clips(self.clips.data)
        return [crop for tracks in clips for track in tracks for crop in track.crops]

    @cached_property
    def networks(self):
        """The networks by name, and what turns crops of the first one's template into theirs."""
        networks = {"first": (self.options.backbone, None)}
        if self.options.second:
            find_recipes()
            second = load_backbone(RECIPE, weights=self.options.second)
            recrop = FunctionTransformer(recrop_faces, kw_args={"template": second.template})
            networks["second"] = (second, recrop)
        return networks

    def split_experts(self, scorer, coverage):
        """Give each network an expert of its own for each statistic."""
        widths = [len(part.get_feature_names_out()) for _, part in coverage.transformer_list]
        experts, start = [], 0
        for statistic, expert in scorer.estimator["experts"].experts:
            for (network, _), width in zip(coverage.transformer_list, widths, strict=True):
                take = FunctionTransformer(take_columns, kw_args={"start": start, "width": width})
                experts.append((f"{statistic} {network}", make_pipeline(take, *expert[1:])))
                start += width
        return experts

    def rival(self, name):
        """Build a rival that judges the middle face of each window."""
        baseline, fixed, settings = RIVALS[name]
        pipeline = make_baseline(baseline, random_state=0).set_params(**settings)
        rows = self.work.folder / f"{fixed} of {baseline.removesuffix('-mlp')}.npz"
        pipeline.set_params(**{fixed: remember(pipeline[fixed], rows)})
        middle = FunctionTransformer(middle_faces)
        steps = [("align", FaceAligner(self.options.detector)), ("middle", middle)]
        return VideoScorer(
            Pipeline([*steps, *pipeline.steps[1:]]),
            every=1,
            max_frames=self.options.frames,
            smoothing=9,
            window=STEP,
            cache=self.options.cache / "faces",
            on_missing="nan",
            n_jobs=self.options.n_jobs,
        )


def middle_faces(windows):
    """Take the middle one of each window's faces."""
    return [window[len(window) // 2] for window in windows]


def take_columns(X, start, width):
    """Take some columns in a row."""
    return X[:, start : start + width]


def recrop_faces(crops, template):
    """Cut crops of the template "dlib" as another template would cut the face."""
    reference = TEMPLATES[template]
    size = crop_size(template)
    targets = (np.array(reference.points) + 0.5) * (size[0] / reference.height) - 0.5
    matrix = similarity(dlib_centers(len(crops[0]), 0.25), targets)
    return [warp(crop, matrix, size) for crop in crops]


if __name__ == "__main__":
    main()
